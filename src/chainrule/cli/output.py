"""Writing results: JSON that any reader takes, and tables, never over an input, and whole or not at all."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from chainrule.errors import TableError


def json_text(value: Any) -> str:
    """Return data as JSON; a number that is not finite becomes null, since JSON has none, and a date a text."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


PICTURES = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Say what is wrong with the place of a picture before the work, not after it."""
    from chainrule.plot.canvas import canvas

    if path.suffix.lower() not in PICTURES:
        raise TableError(f"{path}: pictures are written as {', '.join(PICTURES)}; give a name such as curve.png")
    if not path.parent.exists():
        raise TableError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise TableError(f"cannot write {path}: it is a folder; give a file name, such as curve.png")
    canvas()  # says so where matplotlib is missing


def write_picture(figure: Any, path: Path) -> None:
    """Write a figure by the file's ending, whole or not at all."""
    place = Path(os.path.realpath(path))  # what a symbolic link points to
    temporary = place.with_name(f".{place.name}.part")
    try:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)
        os.replace(temporary, place)
    except OSError as error:
        raise TableError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_table(frame: Any, path: Path, inputs: tuple[Path, ...]) -> None:
    """Write a frame as CSV or Parquet by the file's ending."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise TableError(
            f"{path}: predictions are written as .csv or .parquet, not as {path.suffix or 'a file of no ending'}"
        )
    if any(path.exists() and path.samefile(source) for source in inputs):
        raise TableError(f"{path} is an input of this command; give another file to --out, so that nothing is lost")
    if not path.parent.exists():
        raise TableError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise TableError(f"cannot write {path}: it is a folder; give a file name, such as predictions.csv")
    place = Path(os.path.realpath(path))  # what a symbolic link points to
    temporary = place.with_name(f".{place.name}.part")
    try:
        if path.suffix.lower() == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary)
        os.replace(temporary, place)
    except OSError as error:
        raise TableError(f"cannot write {path}: {error.strerror or error}") from None
    finally:  # whatever stopped it, Ctrl-C too
        temporary.unlink(missing_ok=True)
