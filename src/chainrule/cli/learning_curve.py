"""learning-curve: would more rows, a smaller or larger network, or a limit help most?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.options import (
    AsJson,
    Debug,
    Ignore,
    Quiet,
    Table,
    Target,
    Task,
    limits,
    measures,
    names,
    numbers,
    one_of,
    rate,
    seed_in_range,
    share,
    sizes,
    whole_numbers,
)
from chainrule.cli.output import check_picture, json_text, write_picture
from chainrule.cli.reporting import reporting


def learning_curve(
    table: Table,
    target: Target,
    task: Task = None,
    ignore: Ignore = "",
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS", help="Numbers of rows to learn from. [default: 1/16, …, 1/2, all]", show_default=False
        ),
    ] = None,
    sizes_: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            metavar="NUMBERS",
            help="Units of the first hidden layer to try. [default: 2, 4, …, 512]",
            show_default=False,
        ),
    ] = None,
    constrain: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to limit: l2, l1, linf (of all weights), or maxnorm (l2 of each unit).",
            callback=one_of(limits),
        ),
    ] = "l2",
    radii: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="Limits to try. [default: 3/4 to 1/8 of what the unlimited network needs]",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(metavar="COUNT", help="How many splits, each with its own first weights.", min=3)
    ] = 10,
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="log-loss or 'error rate' of classes, RMSE or MAE of numbers. [default: the first]",
            callback=one_of(measures),
            show_default=False,
        ),
    ] = None,
    hidden: Annotated[
        str, typer.Option(metavar="SIZES", help="Units of the hidden layers of the network to judge: 64,32.")
    ] = "128",
    dropout: Annotated[float, typer.Option(metavar="RATE", help="Share of hidden units dropped.", parser=share)] = 0.0,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--lr", metavar="RATE", help="Step size η of Adam.", parser=rate)
    ] = 0.003,
    epochs: Annotated[int, typer.Option(metavar="COUNT", help="Most epochs.", min=1)] = 200,
    validation: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the rows to learn from that is watched for early stopping; 0: none.",
            parser=share,
        ),
    ] = 0.2,
    test: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of rows held out in each repeat.", parser=share)
    ] = 0.2,
    seed: Annotated[
        int,
        typer.Option(metavar="NUMBER", help="Of the first repeat; the others count on.", min=0, callback=seed_in_range),
    ] = 0,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the curves: .png, .svg or .pdf.", show_default=False),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say whether more rows, a smaller or larger network, or a limit on its weights would help most.

    A network is trained on more and more of the rows, at several sizes, and under several limits on its weights, all
    else alike, and scored on rows it never saw; again and again on new splits, so that differences can be told from
    noise.

    Examples:

    \b
      chainrule learning-curve people.csv --target income
      chainrule learning-curve people.csv --target income --plot curve.png
      chainrule learning-curve houses.csv --target price --constrain maxnorm
      chainrule learning-curve people.csv --target income --validation 0
    """
    rows_ = whole_numbers(rows, "'--rows'") if rows else ()
    units = whole_numbers(sizes_, "'--sizes'") if sizes_ else ()
    radii_ = numbers(radii, "'--radii'") if radii else ()
    hidden_sizes = sizes(hidden)
    with reporting(debug):
        from chainrule.learn.progress import show_count
        from chainrule.workflow import CurveOptions
        from chainrule.workflow import learning_curve as measure_curves

        if plot is not None:
            check_picture(plot)
        options = CurveOptions(
            task=task,
            ignore=names(ignore),
            hidden=hidden_sizes,
            dropout=dropout,
            learning_rate=learning_rate,
            epochs=epochs,
            validation=validation,
            test=test,
            rows=rows_,
            sizes=units,
            constrain=constrain,
            radii=radii_,
            repeats=repeats,
            measure=measure,
            seed=seed,
        )
        with show_count("training", not quiet and sys.stderr.isatty()) as progress:
            found = measure_curves(table, target, options, progress=progress)
        if plot is not None:
            from chainrule.plot import learning_curve as draw

            write_picture(draw(found), plot)
        if as_json:
            typer.echo(json_text(found.to_dict()))
        elif not quiet:
            typer.echo(str(found))
            if plot is not None:
                typer.echo(f"\nwritten: {plot}")
