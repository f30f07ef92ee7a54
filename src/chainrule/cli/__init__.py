"""The command line: arguments in, workflow called, text out; no logic of its own."""

from chainrule.cli.app import main

__all__ = ["main"]
