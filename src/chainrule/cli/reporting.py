"""Errors as one message on stderr and an exit code; the traceback is for --debug. Warnings as a line on stderr."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from chainrule.errors import ChainruleError


@contextmanager
def reporting(debug: bool) -> Iterator[None]:
    """Turn errors into one message on stderr and exit code 1; with --debug let the traceback through.

    Ctrl-C is left to ``chainrule.cli.main``, which says it wherever it strikes.
    """
    try:
        with warnings.catch_warnings():
            if not debug:  # a user of the command line has no use for a line of our source
                warnings.showwarning = _say
            yield
        sys.stdout.flush()
    except typer.Exit:
        raise
    except BrokenPipeError:  # the reader of our output (head, less) has gone: nothing is left to do
        _drop_output()
        raise typer.Exit(0) from None
    except (ChainruleError, OSError) as error:
        if debug:
            raise
        typer.echo(f"Error: {error}", err=True)
        try:
            sys.stdout.flush()
        except OSError:  # it was our own output that could not be written
            _drop_output()
        raise typer.Exit(1) from None
    except MemoryError:
        if debug:
            raise
        typer.echo("Error: the memory of this machine is not enough for this table or network", err=True)
        raise typer.Exit(1) from None
    except Exception as error:
        if debug:
            raise
        typer.echo(
            f"Error: chainrule itself failed ({type(error).__name__}: {error}). Please report it, with what "
            "--debug prints",
            err=True,
        )
        raise typer.Exit(1) from None


def _say(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"Warning: {message}", err=True)


def _drop_output() -> None:
    """Let what still waits to be printed go nowhere, so that it does not fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
