"""chainrule cache: what is kept of compiled code, where, and how to be rid of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from chainrule.cli.options import AsJson, Debug
from chainrule.cli.output import json_text
from chainrule.cli.reporting import reporting

if TYPE_CHECKING:
    from chainrule.execute.native.cache import Removed, Summary


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything that is kept.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what is kept of compiled code, or remove it.

    The native executor keeps the machine code of a network, so that the next run need not compile it again.
    CHAINRULE_CACHE_DIR names another folder for it, or says off; CHAINRULE_CACHE_MB says how much it may hold.

    Examples:

    \b
      chainrule cache
      chainrule cache --clear
    """
    with reporting(debug):
        from chainrule.execute.native import cache as store

        removed = store.clear() if clear else None
        state = store.summary()
        typer.echo(json_text(_data(state, removed)) if as_json else _text(state, removed))
    if removed is not None and (state.entries or (state.why and state.folder is not None)):
        raise typer.Exit(1)


def _data(state: Summary, removed: Removed | None) -> dict[str, object]:
    data: dict[str, object] = {
        "folder": None if state.folder is None else str(state.folder),
        "entries": state.entries,
        "bytes": state.bytes,
        "limit": state.limit,
        "off": state.why or None,
        "read_only": state.read_only,
    }
    return data if removed is None else {**data, "removed": removed._asdict()}


def _text(state: Summary, removed: Removed | None) -> str:
    from chainrule.workflow.layout import count, line

    lines = [line("folder", str(state.folder))] if state.folder is not None else []
    if state.why:
        return "\n".join([*lines, line("off", f"{state.why}; compiled code is not kept")])
    if removed is not None:
        nothing = "nothing" if state.entries else "nothing was kept"
        gone = f"{count(removed.files, 'file')}, {_size(removed.bytes)}" if removed.files else nothing
        lines.append(line("removed", gone))
        if state.entries:
            lines.append(line("error", f"{_held(state)} could not be removed; see who may write in the folder"))
        return "\n".join(lines)
    lines.append(line("holds", f"{_held(state)} of at most {_size(state.limit)}"))
    if state.read_only:
        lines.append(line("warning", "this user may not write in the folder: what is there is used, nothing is added"))
    if state.entries:
        lines.append(line("", "to remove it: chainrule cache --clear"))
    return "\n".join(lines)


def _held(state: Summary) -> str:
    if not state.entries:
        return "nothing,"
    return f"{state.entries}\xa0{'entry' if state.entries == 1 else 'entries'}, {_size(state.bytes)}"


def _size(amount: int) -> str:
    """Return a number of bytes in the unit that fits it."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= size:
            return f"{amount / size:.4g}\xa0{unit}"
    return f"{amount}\xa0bytes"
