"""regularize: a table along a path of limits or penalties, the best of which is chosen by cross-validation."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.options import (
    AsJson,
    Debug,
    Executor,
    Ignore,
    Quiet,
    Table,
    Target,
    Task,
    TestShare,
    activations,
    batch,
    losses,
    names,
    numbers,
    one_of,
    rate,
    seed_in_range,
    sizes,
)
from chainrule.cli.output import check_picture, json_text, write_picture
from chainrule.cli.reporting import reporting
from chainrule.errors import TableError


def rules() -> tuple[str, ...]:
    return ("best", "one-standard-error")


def regularize(
    table: Table,
    target: Target,
    constrain: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What is limited: l2, l1, linf, maxnorm or group (input columns); l2 per layer. [default: l2]",
            show_default=False,
        ),
    ] = None,
    penalty: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="What costs, instead of a limit: l2, l1 or group.", show_default=False),
    ] = None,
    points: Annotated[int, typer.Option(metavar="COUNT", help="How many limits are tried.", min=2)] = 20,
    values: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="The radii or λs themselves, sorted: 0.1,0.3,1.", show_default=False),
    ] = None,
    folds: Annotated[int, typer.Option(metavar="COUNT", help="Folds of the cross-validation.", min=2)] = 5,
    rule: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="best, or one-standard-error: the strongest limit that is as good within one standard error.",
            callback=one_of(rules),
        ),
    ] = "best",
    hidden: Annotated[str, typer.Option(metavar="SIZES", help="Units of the hidden layers: 16; or none.")] = "none",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where to save the chosen model. [default: not saved]",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the path: .png, .svg or .pdf.", show_default=False),
    ] = None,
    task: Task = None,
    ignore: Ignore = "",
    activation: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Of hidden layers: relu, tanh, …, as of train.", callback=one_of(activations)
        ),
    ] = "relu",
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A loss, as of train. [default: by the task]",
            callback=one_of(losses),
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        float,
        typer.Option("--learning-rate", "--lr", metavar="RATE", help="With hidden layers: of Adam.", parser=rate),
    ] = 0.01,
    epochs: Annotated[
        int, typer.Option(metavar="COUNT", help="With hidden layers: epochs for each limit.", min=1)
    ] = 200,
    batch_size: Annotated[
        str, typer.Option(metavar="ROWS", help="With hidden layers: rows for each step, or all.")
    ] = "all",
    test: TestShare = 0.2,
    seed: Annotated[
        int,
        typer.Option(
            metavar="NUMBER", help="Of the test rows, the folds and the first weights.", min=0, callback=seed_in_range
        ),
    ] = 0,
    executor: Executor = "native",
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Choose how strongly the weights are limited, by cross-validation along a whole path of limits.

    For each limit: the loss, the multiplier, the held-out loss with its standard error, how many weights and inputs
    are used, and what is known of the solution. Rows set aside test the model that was chosen.

    Examples:

    \b
      chainrule regularize people.csv --target income --constrain group
      chainrule regularize people.csv --target income --penalty l1 --plot path.png
      chainrule regularize people.csv --target income --constrain l2 --hidden 16
    """
    if constrain is not None and penalty is not None:
        raise typer.BadParameter("give --constrain or --penalty: a path varies one number", param_hint="'--penalty'")
    hidden_sizes, rows = sizes(hidden), batch(batch_size)
    given = None if values is None else numbers(values, "'--values'")
    with reporting(debug):
        from chainrule.files.container import refuse_foreign
        from chainrule.learn.progress import show_count
        from chainrule.workflow import RegularizeOptions
        from chainrule.workflow import regularize as regularize_table
        from chainrule.workflow.regularize import regularized_text

        if out is not None:  # before the work, not after it
            if not Path(os.path.realpath(out)).parent.exists():
                raise TableError(f"the folder {out.parent} of --out does not exist")
            refuse_foreign(out)
        if plot is not None:
            check_picture(plot)
        options = RegularizeOptions(
            constraint=constrain,
            penalty=penalty,
            points=points,
            values=given,
            folds=folds,
            rule=rule,
            task=task,
            ignore=names(ignore),
            hidden=hidden_sizes,
            activation=activation,
            loss=loss,
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=rows if rows == "all" else int(rows),
            test=test,
            seed=seed,
            executor=executor,
        )
        with show_count("solving", not quiet and sys.stderr.isatty()) as progress:
            found = regularize_table(table, target, options, progress=progress)
        if out is not None:
            found.model.save(Path(os.path.realpath(out)))
        if plot is not None:
            from chainrule.plot import path as draw_path

            write_picture(draw_path(found.path), plot)
        place, picture = (None if p is None else str(p) for p in (out, plot))
        if as_json:
            typer.echo(json_text({**found.to_dict(), "model": place, "plot": picture}))
        elif not quiet:
            typer.echo(regularized_text(found, place, picture))
