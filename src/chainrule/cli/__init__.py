"""The command line: arguments in, workflow called, text out; no logic of its own."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C, also while it is still being loaded, ends it with one word and exit code 130."""
    try:
        from chainrule.cli.app import app

        app()
    except KeyboardInterrupt:
        code: int | str | None = 130
    except SystemExit as end:
        code = end.code
    if code == 130:
        print("interrupted", file=sys.stderr)
    sys.exit(code)


__all__ = ["main"]
