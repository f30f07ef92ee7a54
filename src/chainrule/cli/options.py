"""What the commands share: arguments and options, and the checks of their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.errors import TrainingError

Table = Annotated[Path, typer.Argument(metavar="TABLE", help="A CSV or Parquet file.", show_default=False)]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file that train saved.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LARGEST_SEED = 2**64 - 1
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no report; only errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="On an error, show the traceback.")]


def names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(text: str, hint: str) -> tuple[float, ...]:
    """Read a comma-separated list of numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: give numbers such as 0.05,0.10", param_hint=hint) from None


def whole_numbers(text: str, hint: str, wanted: str = "whole numbers such as 100,200,400") -> tuple[int, ...]:
    """Read a comma-separated list of whole numbers of at least 1."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = (0,)
    if any(number < 1 for number in found):
        raise typer.BadParameter(f"{text!r}: give {wanted}", param_hint=hint)
    return found


def bias_modes() -> tuple[str, ...]:
    return ("frozen", "unit", "tied")


def weights_used() -> tuple[str, ...]:
    return ("old", "updated")


def sizes(text: str) -> tuple[int, ...]:
    """Read hidden layer sizes: '64,32', or 'none'."""
    if text.strip().lower() in ("", "none", "0"):
        return ()
    return whole_numbers(text, "'--hidden'", "sizes such as 64 or 64,32, or none for no hidden layer")


def batch(text: str) -> str:
    """Check a batch size: a number or 'all'."""
    if text != "all" and not (text.isdecimal() and int(text) > 0):
        raise typer.BadParameter(f"{text!r}: give a number of rows of at least 1, or all", param_hint="'--batch-size'")
    return text


def real(text: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


def rate(text: str) -> float:
    """Read a learning rate, or another number greater than 0."""
    value = real(text)
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"{text}: give a finite number greater than 0")
    return value


def share(text: str) -> float:
    """Read a share of the rows: so that some are left to learn from."""
    value = real(text)
    if not 0.0 <= value <= 0.9:
        raise typer.BadParameter(f"{text} is not a share of rows: give a number from 0 to 0.9")
    return value


def not_negative(text: str) -> float:
    """Read a number of at least 0."""
    value = real(text)
    if not 0 <= value < math.inf:
        raise typer.BadParameter(f"{text}: give a finite number of at least 0")
    return value


def below_one(text: str) -> float:
    """Read a decay: how much of an average stays in each step."""
    value = real(text)
    if not 0 <= value < 1:
        raise typer.BadParameter(f"{text}: give a number of at least 0 and less than 1, such as 0.99")
    return value


def covered(text: str) -> str | tuple[str, ...]:
    """Read what a constraint covers: weights, all, biases, or names and patterns."""
    found = names(text)
    if not found:
        raise typer.BadParameter("give weights, all, biases, or names such as hidden1.*,output.weight")
    return found[0] if len(found) == 1 and found[0] in ("weights", "all", "biases") else found


def refuse_wrong_limits(given: dict[str, Any]) -> None:
    """Say what texts of constraints and penalties cannot mean, as wrong usage: before any work is done."""
    if given["per"] is not None and given["constraint"] is None:
        raise typer.BadParameter("give --constrain LIMITS too: what is limited", param_hint="'--per'")
    if given["method"] is not None and given["constraint"] is None:
        raise typer.BadParameter("give --constrain LIMITS too: what it is to hold", param_hint="'--method'")
    if given["dual_learning_rate"] is not None and given["method"] != "lagrangian":
        raise typer.BadParameter("it belongs to --method lagrangian", param_hint="'--dual-learning-rate'")
    if given["parameters"] != "weights" and given["constraint"] is None and given["penalty"] is None:
        raise typer.BadParameter("give --constrain or --penalty too: what covers them", param_hint="'--parameters'")
    if given["constraint"] is None and given["penalty"] is None:
        return
    from chainrule.constrain import penalties_of, sets_of

    try:
        hint = "'--constrain'"
        sets_of(given["constraint"], per=given["per"], parameters=given["parameters"])
        hint = "'--penalty'"
        penalties_of(given["penalty"], parameters=given["parameters"])
    except TrainingError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


def seed_in_range(value: int) -> int:
    """Check a seed: 64 bits."""
    if value > LARGEST_SEED:
        raise typer.BadParameter(f"{value}: give a number of at most {LARGEST_SEED}")
    return value


def one_of(table: Callable[[], Any]) -> Callable[[str | None], str | None]:
    """Make a check that an option is one of the names in a table (loaded only when the option is used)."""

    def check(value: str | None) -> str | None:
        known = list(table())
        if value is not None and value not in known:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}")
        return value

    return check


def activations() -> Any:
    from chainrule.nn import ACTIVATIONS

    return ACTIVATIONS


def losses() -> Any:
    from chainrule.nn import LOSSES
    from chainrule.workflow.network import FOR_TABLES

    return [name for name in LOSSES if name in FOR_TABLES]


def optimizers() -> Any:
    from chainrule.workflow.optimizing import NAMES

    return NAMES


def schedules() -> Any:
    from chainrule.learn import SCHEDULES

    return SCHEDULES


def pers() -> Any:
    return ("network", "layer", "unit", "input")


def methods() -> Any:
    return ("projection", "lagrangian", "augmented")


def executors() -> Any:
    return ("reference", "native")


def tasks() -> Any:
    return ("classification", "regression", "binary", "multiclass")


def limits() -> Any:
    return ("l2", "maxnorm", "l1", "linf")


def measures() -> Any:
    return ("log-loss", "error rate", "RMSE", "MAE")


Target = Annotated[
    str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict.", show_default=False)
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="classification, regression, binary or multiclass, instead of what the target looks like.",
        callback=one_of(tasks),
        show_default=False,
    ),
]
Ignore = Annotated[str, typer.Option(metavar="COLUMNS", help="Columns to leave out: id,name", show_default=False)]
TestShare = Annotated[
    float, typer.Option(metavar="SHARE", help="Share of rows set aside for the test score.", parser=share)
]
Executor = Annotated[
    str,
    typer.Option(metavar="NAME", help="native (machine code, LLVM) or reference (NumPy).", callback=one_of(executors)),
]
