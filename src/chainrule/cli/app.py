"""The commands. Exit codes: 0 done, 1 a problem with data, model or training, 2 wrong usage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule import __version__
from chainrule.cli.cache import cache
from chainrule.cli.learning_curve import learning_curve
from chainrule.cli.options import (
    AsJson,
    Debug,
    ModelFile,
    Quiet,
    Table,
    bias_modes,
    names,
    numbers,
    one_of,
    rate,
    seed_in_range,
    tasks,
    weights_used,
)
from chainrule.cli.output import json_text, write_table
from chainrule.cli.regularize import regularize
from chainrule.cli.reporting import reporting
from chainrule.cli.train import train

app = typer.Typer(
    name="chainrule",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"chainrule {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Learning with neural networks: from a table to a trained network, and every number explained.

    Examples:

    \b
      chainrule inspect people.csv --target income
      chainrule train people.csv --target income
      chainrule regularize people.csv --target income --constrain group
      chainrule predict people.chainrule new.csv --out predictions.csv
      chainrule explain people.chainrule new.csv --row 5
      chainrule example
    """


@app.command()
def inspect(
    table: Table,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict.", show_default=False)
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="classification, regression, binary or multiclass.",
            show_default=False,
            callback=one_of(tasks),
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what is in a table, and what is wrong with it.

    The exit code is 1 where an error was found: a network could not be trained, or not be tested.

    Examples:

    \b
      chainrule inspect people.csv
      chainrule inspect people.csv --target income --json
    """
    with reporting(debug):
        from chainrule.cli.text import inspection_text
        from chainrule.table import inspect_table, read_table

        found = inspect_table(read_table(table), target, task, source=table.name)
        typer.echo(json_text(found.to_dict()) if as_json else inspection_text(found))
    if found.errors:
        raise typer.Exit(1)


app.command(short_help="Train a network on a table, test it on other rows, save it.")(train)
app.command("learning-curve", short_help="Say whether more rows, another size or a limit helps most.")(learning_curve)
app.command(short_help="Choose a limit on the weights by a cross-validated path.")(regularize)


@app.command()
def predict(
    model: ModelFile,
    table: Table,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="A CSV or Parquet file to write. [default: CSV to the screen]",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str, typer.Option(metavar="COLUMNS", help="Columns of TABLE to write too: id,name; or all.", show_default=False)
    ] = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Predict the target for the rows of a table.

    The result has a row for each row of TABLE, in its order: kept columns, the prediction, and (for classes) a
    probability for each class.

    Examples:

    \b
      chainrule predict people.chainrule new.csv --out predictions.csv --keep id
      chainrule predict people.chainrule new.csv | head
    """
    with reporting(debug):
        from chainrule.files import load
        from chainrule.table import read_table
        from chainrule.workflow import predict as predict_table
        from chainrule.workflow.predict import left_out

        loaded, frame = load(model), read_table(table)
        result = predict_table(loaded, frame, keep=names(keep), source=table.name)
        old = left_out(loaded, frame, names(keep))
        if old and not quiet:
            typer.echo(f"Note: not kept, since the result has columns of these names: {', '.join(old)}", err=True)
        if as_json:
            typer.echo(json_text(result.to_dicts()))
        if out is not None:
            write_table(result, out, inputs=(model, table))
            if not quiet and not as_json:
                typer.echo(f"{result.height} predictions written to {out}")
        elif not as_json:
            sys.stdout.write(result.write_csv())


@app.command()
def evaluate(
    model: ModelFile,
    table: Table,
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Score a saved model on a table that has the target column.

    Examples:

    \b
      chainrule evaluate people.chainrule test.csv
      chainrule evaluate people.chainrule test.csv --json
    """
    with reporting(debug):
        from chainrule.cli.text import evaluation_text
        from chainrule.files import load
        from chainrule.workflow import evaluate as evaluate_table

        result = evaluate_table(load(model), table)
        if as_json:
            typer.echo(json_text(result.to_dict()))
        elif not quiet:
            typer.echo(evaluation_text(result))


@app.command(short_help="Say why a prediction is what it is, or which columns matter.")
def explain(
    model: ModelFile,
    table: Table,
    row: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", help="Which row, counted from 1, the header not counted.", min=1, show_default=False
        ),
    ] = None,
    importance: Annotated[
        bool, typer.Option("--importance", help="Which columns matter, by shuffling one at a time; takes the target.")
    ] = False,
    repeats: Annotated[
        int, typer.Option(metavar="COUNT", help="With --importance: how often each is shuffled.", min=1)
    ] = 10,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="With --importance: of the shuffling.", min=0, callback=seed_in_range)
    ] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say why a model predicts what it does for one row of a table, column by column; or which columns matter.

    Examples:

    \b
      chainrule explain people.chainrule new.csv --row 5
      chainrule explain people.chainrule test.csv --importance
    """
    if (row is None) != importance:
        raise typer.BadParameter("give either --row NUMBER or --importance")
    with reporting(debug):
        from chainrule.files import load
        from chainrule.learn.progress import show_count
        from chainrule.workflow import explain_row
        from chainrule.workflow import importance as importance_of

        loaded = load(model)
        if row is not None:
            why = explain_row(loaded, table, row)
            typer.echo(json_text(why.to_dict()) if as_json else str(why))
            return
        with show_count("shuffling", not quiet and sys.stderr.isatty()) as progress:
            found = importance_of(loaded, table, repeats, seed, progress)
        typer.echo(json_text(found.to_dict()) if as_json else str(found))


@app.command(short_help="Print the lecture's worked example, with its numbers or yours.")
def example(
    inputs: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="0.05,0.10, or your own.", show_default=False)
    ] = None,
    targets: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="0.01,0.99, or your own.", show_default=False)
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="w1,w2,…: into h1, into h2, …, then into o1, …", show_default=False),
    ] = None,
    biases: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="Two, one a layer; or one for each unit.", show_default=False),
    ] = None,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--lr", metavar="RATE", help="Step size η.", parser=rate)
    ] = 0.5,
    bias: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What becomes of the biases: frozen, unit or tied.", callback=one_of(bias_modes)
        ),
    ] = "frozen",
    using: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="old, or updated: a famous mistake, hidden gradients with output weights updated already.",
            callback=one_of(weights_used),
        ),
    ] = "old",
    no_half: Annotated[bool, typer.Option("--no-half", help="Leave out the ½ in the error.")] = False,
    steps: Annotated[
        int, typer.Option(metavar="COUNT", help="How many steps to follow.", min=1, max=1_000_000)
    ] = 10_000,
    handout: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as a handout: .md, .html or .tex.", show_default=False),
    ] = None,
    exercise: Annotated[
        bool, typer.Option("--exercise", help="With --handout: numbers of its own, blanks, and a sheet of solutions.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", help="Of an exercise: another sheet for each. [default: 0]", min=0, show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over handouts that are there already.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print the lecture's worked example, line by line: forward, error, backward, update; or one with your own numbers.

    Examples:

    \b
      chainrule example
      chainrule example --steps 1 --using updated
      chainrule example --inputs 1,0 --targets 1 --weights .1,.2,.3,.4,.5,.6
      chainrule example --handout sheet.md --exercise --seed 7
    """
    given = {
        name: numbers(text, f"'--{name}'")
        for name, text in (("inputs", inputs), ("targets", targets), ("weights", weights), ("biases", biases))
        if text is not None
    }
    if exercise and handout is None:
        raise typer.BadParameter("an exercise is a handout: give --handout FILE too")
    if seed is not None and not exercise:
        raise typer.BadParameter("--seed belongs to --exercise")
    number = seed_in_range(seed or 0)
    with reporting(debug):
        from chainrule.cli.text import example_json, example_text
        from chainrule.workflow import Setup, worked_example

        setup = Setup(**given, learning_rate=learning_rate, bias=bias, using=using, half=not no_half)  # type: ignore[arg-type]  # checked there
        if handout is not None:
            from chainrule.workflow.handout import write_handout
            from chainrule.workflow.sheet import own_numbers

            if exercise and not given:
                setup = own_numbers(number, setup)
            for place in write_handout(worked_example(1, setup), handout, number if exercise else None, force):
                typer.echo(f"written: {place}")
            if exercise and handout.suffix.lower() != ".md":
                typer.echo("(to be marked by chainrule check-answers, a sheet must be written as .md)")
            return
        result = worked_example(steps, setup)
        typer.echo(json_text(example_json(result)) if as_json else example_text(result))


@app.command("check-answers", short_help="Mark an exercise sheet, and name the likely mistakes.")
def check_answers(
    sheet: Annotated[Path, typer.Argument(metavar="SHEET", help="A filled-in .md sheet.", show_default=False)],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Mark an exercise sheet that chainrule example wrote, and name the likely mistake behind each wrong answer.

    The exit code is 1 where an answer is wrong.

    Examples:

    \b
      chainrule check-answers sheet.md
      chainrule check-answers sheet.md --json
    """
    with reporting(debug):
        from chainrule.workflow.sheet import mark, marks_text, read_file

        marks = mark(read_file(sheet))
        typer.echo(json_text([vars(m) for m in marks]) if as_json else marks_text(marks))
    if not all(m.ok for m in marks):
        raise typer.Exit(1)


app.command(short_help="Show what is kept of compiled code, or remove it.")(cache)
