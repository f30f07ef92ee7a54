"""train: from a table to a model file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

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
    below_one,
    covered,
    losses,
    methods,
    names,
    not_negative,
    one_of,
    optimizers,
    pers,
    rate,
    refuse_wrong_limits,
    schedules,
    seed_in_range,
    share,
    sizes,
)
from chainrule.cli.output import json_text
from chainrule.cli.reporting import reporting
from chainrule.errors import TableError, TrainingError

SIZED = "[default: by the size of the table]"


def train(
    table: Table,
    target: Target,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where to save the model. [default: TABLE's name.chainrule]",
            show_default=False,
        ),
    ] = None,
    task: Task = None,
    ignore: Ignore = "",
    hidden: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES",
            help=f"Units of the hidden layers: 64,32; or none. {SIZED}",
            show_default=False,
        ),
    ] = None,
    activation: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="relu, tanh, sigmoid, leaky_relu, elu, selu, gelu, gelu_tanh, silu, mish, softplus, identity, "
            "exponential, softmax or log_softmax.",
            callback=one_of(activations),
        ),
    ] = "relu",
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For classes: binary_cross_entropy, softmax_cross_entropy. For numbers, or probabilities: "
            "squared_error, half_squared_error, absolute_error, huber, log_cosh; for numbers: quantile. "
            "[default: by the task]",
            callback=one_of(losses),
            show_default=False,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help=f"Share of each hidden layer's values set to 0 in training. {SIZED}",
            min=0.0,
            max=0.99,
            show_default=False,
        ),
    ] = None,
    optimizer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="sgd, momentum, adam, adamw, nesterov, rmsprop, adagrad or lion; or lbfgs, which finds its own steps, "
            "over all rows.",
            callback=one_of(optimizers),
        ),
    ] = "adam",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            "--lr",
            metavar="RATE",
            help="Step size η. [default: by the optimizer, of adam by the size of the table]",
            show_default=False,
            parser=rate,
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="constant, cosine, warmup, warmup_cosine, flat_cosine, coslog4, exponential, polynomial or one_cycle. "
            f"{SIZED}",
            callback=one_of(schedules),
            show_default=False,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Of adamw (and adam, which becomes it) or lion: θ shrinks by η · RATE · θ in each step. This is no "
            f"penalty; beside --constrain or --penalty there is none unless given. {SIZED}",
            parser=not_negative,
            show_default=False,
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(
            metavar="NORM",
            help="Shorten a gradient that is longer to this length. [default: none]",
            parser=rate,
            show_default=False,
        ),
    ] = None,
    average: Annotated[
        float | None,
        typer.Option(
            metavar="DECAY",
            help="Use a moving average of the parameters, of which so much stays in each step: 0.99. [default: none]",
            parser=below_one,
            show_default=False,
        ),
    ] = None,
    constrain: Annotated[
        str | None,
        typer.Option(
            metavar="LIMITS",
            help="What the weights may be: l2<=4 (the radius r of ‖w‖ ≤ r), l1<=3, linf<=0.5, maxnorm<=2, group<=3, "
            "-1<=w<=1, nonnegative, cardinality<=20, spectral<=1, nuclear<=5; several with commas. Quote it.",
            show_default=False,
        ),
    ] = None,
    per: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help="What each limit of --constrain is for: network, layer, unit or input. [default: network]",
            callback=one_of(pers),
            show_default=False,
        ),
    ] = None,
    penalty: Annotated[
        str | None,
        typer.Option(
            metavar="TERMS",
            help="What the weights cost: 0.001*l1, 0.01*l2 (λ Σ w², without ½), 0.01*group; sums with +.",
            show_default=False,
        ),
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What --constrain and --penalty cover: weights, all, biases, or names such as hidden1.*. "
            "[default: weights]",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How --constrain is held: projection after each step, lagrangian or augmented by multipliers. "
            "[default: projection]",
            callback=one_of(methods),
            show_default=False,
        ),
    ] = None,
    dual_learning_rate: Annotated[
        float | None,
        typer.Option(
            "--dual-learning-rate",
            metavar="RATE",
            help="Of --method lagrangian: how fast λ rises. [default: by the size of the limits]",
            parser=rate,
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            help=f"How often every training row is used, at most. {SIZED}",
            min=1,
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(metavar="ROWS", help=f"Rows for each step, or all. {SIZED}", show_default=False),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            help=f"Stop after so many epochs without a lower validation loss. {SIZED}",
            min=1,
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the rows that are not for testing, watched for stopping. [default: 0.2 of a large table or "
            "beside --patience, else 0]",
            parser=share,
            show_default=False,
        ),
    ] = None,
    test: TestShare = 0.2,
    test_data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Another table to test on, instead of a share of this one.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="NUMBER",
            help="Of the split, the first weights, and the row order.",
            min=0,
            callback=seed_in_range,
        ),
    ] = 0,
    executor: Executor = "native",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write checkpoints there while training, to go on from.", show_default=False
        ),
    ] = None,
    checkpoint_every: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="With --checkpoint: about how often. [default: 30]", min=0.0, show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="With --checkpoint: go on from the last one, to the bits of a run never stopped."
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Train a network on a table, score it on rows it never saw, and save it.

    Examples:

    \b
      chainrule train people.csv --target income
      chainrule train people.csv --target income --hidden 128,64 --seed 7
      chainrule train houses.parquet --target price --ignore id,address
      chainrule train people.csv --target income --constrain "l2<=4" --per unit
      chainrule train people.csv --target income --penalty "0.001*l1"
      chainrule train people.csv --target income --checkpoint run1 --resume
    """
    hidden_sizes = None if hidden is None else sizes(hidden)
    rows: int | str | None = None if batch_size is None else batch(batch_size)
    rows = int(rows) if isinstance(rows, str) and rows != "all" else rows
    if checkpoint_every is not None and checkpoint is None:
        raise typer.BadParameter("give --checkpoint FOLDER too: where to write", param_hint="'--checkpoint-every'")
    if resume and checkpoint is None:
        raise typer.BadParameter("give --checkpoint FOLDER too: the last checkpoint is there", param_hint="'--resume'")
    limits: dict[str, Any] = {
        "constraint": constrain, "penalty": penalty, "per": per, "method": method,
        "parameters": "weights" if parameters is None else covered(parameters),
        "dual_learning_rate": dual_learning_rate,
    }  # fmt: skip
    refuse_wrong_limits(limits)
    with reporting(debug):
        from chainrule.cli.text import training_text
        from chainrule.files.checkpoint import checkpoints_in
        from chainrule.files.container import refuse_foreign
        from chainrule.learn.checkpoints import EVERY
        from chainrule.workflow import TrainOptions
        from chainrule.workflow import train as train_table

        if checkpoint is not None and not resume and checkpoints_in(checkpoint):
            raise TrainingError(
                f"{checkpoint} has checkpoints of a training already: go on from them with --resume, or choose "
                "another folder"
            )
        place = out or Path(table.stem + ".chainrule")
        real_place = Path(os.path.realpath(place))  # what a symbolic link points to
        if not real_place.parent.exists():
            raise TableError(f"the folder {place.parent} of --out does not exist")
        refuse_foreign(place)  # before the work, not after it
        replaced = place.exists() and place.stat().st_size > 0
        options = TrainOptions(
            task=task,
            ignore=names(ignore),
            hidden=hidden_sizes,
            activation=activation,
            loss=loss,
            dropout=dropout,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            epochs=epochs,
            batch_size=rows,
            patience=patience,
            weight_decay=weight_decay,
            clip=clip,
            average=average,
            **limits,
            validation=validation,
            test=test,
            seed=seed,
            executor=executor,
        )
        trained = train_table(
            table,
            target,
            options,
            test_data=test_data,
            progress=not quiet and sys.stderr.isatty(),
            checkpoint=checkpoint,
            checkpoint_every=EVERY if checkpoint_every is None else checkpoint_every,
            resume=resume,
        )
        trained.model.save(real_place)
        if as_json:
            typer.echo(json_text({**trained.to_dict(), "model": str(place), "replaced": replaced}))
        elif not quiet:
            typer.echo(training_text(trained, str(place), replaced=replaced))
