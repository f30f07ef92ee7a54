"""Wrong usage: exit code 2, and what to give instead on stderr; stdout stays empty, and no file is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"

USAGE: list[tuple[list[str], str]] = [
    (["foo"], "No such command 'foo'"),
    (["--foo"], "No such option: --foo"),
    (["train"], "Missing argument 'TABLE'"),
    (["train", "T"], "Missing option '--target'"),
    (["train", "T", "--target"], "'--target' requires an argument"),
    (["train", "T", "-t", "y", "extra"], "unexpected extra argument"),
    (["train", "T", "-t", "y", "--epoch", "3"], "No such option: --epoch"),
    (["predict", "T"], "Missing argument 'TABLE'"),
    (["evaluate"], "Missing argument 'MODEL'"),
    (["inspect"], "Missing argument 'TABLE'"),
    (["inspect", "T", "--task", "clustering"], "'clustering' is not one of classification, regression"),
    (["example", "--steps", "0"], "'--steps'"),
    (["example", "--steps", "1000001"], "'--steps'"),
    (["example", "--steps", "many"], "'--steps'"),
]

TRAIN: list[tuple[list[str], str]] = [
    (["--hidden", "abc"], "'--hidden': 'abc': give sizes such as 64 or 64,32, or none for no hidden layer"),
    (["--hidden", "64,-1"], "give sizes such as 64 or 64,32"),
    (["--hidden", "64,,32"], "give sizes such as 64 or 64,32"),
    (["--hidden", "3.5"], "give sizes such as 64 or 64,32"),
    (["--batch-size", "0"], "'--batch-size': '0': give a number of rows of at least 1, or all"),
    (["--batch-size", "-5"], "give a number of rows of at least 1, or all"),
    (["--batch-size", "half"], "'half': give a number of rows of at least 1, or all"),
    (["--lr", "0"], "'--learning-rate' / '--lr': 0: give a finite number greater than 0"),
    (["--lr", "-0.1"], "-0.1: give a finite number greater than 0"),
    (["--lr", "nan"], "nan: give a finite number greater than 0"),
    (["--lr", "inf"], "inf: give a finite number greater than 0"),
    (["--lr", "fast"], "'--learning-rate' / '--lr': 'fast' is not a number"),
    (["--test", "half"], "'--test': 'half' is not a number"),
    (["--test", "0.99"], "'--test': 0.99 is not a share of rows: give a number from 0 to 0.9"),
    (["--validation", "0.91"], "'--validation': 0.91 is not a share of rows: give a number from 0 to 0.9"),
    (["--seed", "18446744073709551616"], "'--seed': 18446744073709551616: give a number of at most 184467440737095"),
    (["--test", "1.5"], "'--test': 1.5 is not a share of rows: give a number from 0 to 0.9"),
    (["--test", "-1"], "'--test': -1 is not a share of rows"),
    (["--test", "nan"], "'--test': nan is not a share of rows"),
    (["--validation", "1"], "'--validation': 1 is not a share of rows"),
    (["--epochs", "0"], "'--epochs'"),
    (["--epochs", "1.5"], "'--epochs'"),
    (["--patience", "0"], "'--patience'"),
    (["--seed", "-1"], "'--seed'"),
    (["--seed", "x"], "'--seed'"),
    (["--dropout", "1"], "'--dropout'"),
    (["--dropout", "-0.1"], "'--dropout'"),
    (["--activation", "rulu"], "'--activation': 'rulu' is not one of identity, sigmoid, tanh, relu, softmax"),
    (["--loss", "mse"], "'--loss': 'mse' is not one of half_squared_error, squared_error, binary_cross_entropy, softm"),
    (["--weight-decay", "-1"], "'--weight-decay': -1: give a finite number of at least 0"),
    (["--clip", "0"], "'--clip': 0: give a finite number greater than 0"),
    (["--average", "1"], "'--average': 1: give a number of at least 0 and less than 1, such as 0.99"),
    (["--constrain", "l3<=4"], "'--constrain': there is no constraint 'l3'; there are: l2, l1, linf, maxnorm, group"),
    (["--constrain", "maxnrm<=4"], "there is no constraint 'maxnrm'; did you mean 'maxnorm'?"),
    (["--constrain", "l2"], "'--constrain': 'l2' has no limit that is a number; write 'l2<=4'"),
    (["--constrain", "l2<=-4"], "'--constrain': 'l2<=-4': the limit is a finite number greater than 0"),
    (["--constrain", "0.1*l2"], "'0.1*l2' is a penalty, λ*R(w), not a constraint, which is written 'l2<=4'"),
    (["--constrain", "nonnegative", "--per", "unit"], "nonnegative has no per: it is for each weight by itself"),
    (["--constrain", "l2<=4", "--per", "units"], "'--per': 'units' is not one of network, layer, unit, input"),
    (["--per", "unit"], "'--per': give --constrain LIMITS too: what is limited"),
    (["--penalty", "l1"], "'--penalty': 'l1' is not λ*R(w); write '0.001*l1', '0.01*l2' (λ Σ w²) or '0.01*group'"),
    (["--penalty", "l2<=4"], "'--penalty': 'l2<=4' is a constraint, not a penalty, which is written '0.001*l1'"),
    (["--parameters", "all"], "'--parameters': give --constrain or --penalty too: what covers them"),
    (["--penalty", "0.1*l1", "--parameters", ","], "give weights, all, biases, or names such as hidden1.*,output.weig"),
    (["--method", "lagrangian"], "'--method': give --constrain LIMITS too: what it is to hold"),
    (["--constrain", "l2<=4", "--method", "lagrange"], "'lagrange' is not one of projection, lagrangian, augmented"),
    (
        ["--constrain", "l2<=4", "--dual-learning-rate", "1"],
        "it belongs to --method lagrangian",
    ),
    (["--optimizer", "adamm"], "'--optimizer': 'adamm' is not one of sgd, momentum, adam, adamw"),
    (["--schedule", "cosin"], "'--schedule': 'cosin' is not one of constant, cosine, warmup, warmup_cosine"),
    (["--task", "clustering"], "'--task': 'clustering' is not one of classification, regression, binary, multiclass"),
]

CURVE: list[tuple[list[str], str]] = [
    (["--rows", "10,x"], "'--rows': '10,x': give whole numbers such as 100,200,400"),
    (["--sizes", "0"], "'--sizes': '0': give whole numbers such as 100,200,400"),
    (["--radii", "a"], "'--radii': 'a': give numbers such as 0.05,0.10"),
    (["--repeats", "2"], "'--repeats'"),
    (["--constrain", "l3"], "'--constrain': 'l3' is not one of l2, maxnorm, l1, linf"),
    (["--measure", "auc"], "'--measure': 'auc' is not one of log-loss, error rate, RMSE, MAE"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *USAGE,
        *((["train", "T", "-t", "species", *more], message) for more, message in TRAIN),
        *((["learning-curve", "T", "-t", "species", *more], message) for more, message in CURVE),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(arguments: list[str], message: str, cli: Any, tmp_path: Path) -> None:
    result = cli(*(str(PENGUINS) if a == "T" else a for a in arguments))
    assert result.code == 2
    assert result.out == ""
    assert message in re.sub(r"\s+", " ", result.err)
    assert "Error: " in result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--hidden", "none"],
        ["--hidden", "4, 3"],
        ["--batch-size", "all"],
        ["--batch-size", "1000"],
        ["--test", "0"],
        ["--test", "0.9"],
        ["--validation", "0"],
        ["--dropout", "0.5"],
        ["--optimizer", "momentum", "--lr", "0.01"],
        ["--optimizer", "adamw", "--schedule", "warmup_cosine"],
        ["--activation", "tanh", "--loss", "half_squared_error"],
        ["--task", "classification", "--ignore", "island, year"],
        ["--seed", "18446744073709551615"],
        ["--optimizer", "lbfgs"],
        ["--clip", "1", "--average", "0.9", "--weight-decay", "0.01"],
        ["--constrain", "l2<=4, -1<=w<=1", "--penalty", "0.001*l1 + 0.01*l2", "--parameters", "all"],
        ["--constrain", "l2<=4", "--per", "unit", "--method", "lagrangian", "--dual-learning-rate", "0.01"],
        ["--constrain", "group<=4", "--parameters", "hidden1.weight", "--method", "augmented"],
    ],
    ids=" ".join,
)
def test_right_usage(arguments: list[str], cli: Any, tmp_path: Path) -> None:
    result = cli("train", PENGUINS, "-t", "species", "--hidden", "4", "--epochs", "1", "--quiet", *arguments)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert [p.name for p in tmp_path.iterdir()] == ["penguins.chainrule"]


def test_names_in_help_are_the_names_that_are_known(cli: Any) -> None:
    """Help is written out by hand, so that it loads no network code: it must not drift."""
    from chainrule.constrain import METHODS
    from chainrule.learn import SCHEDULES
    from chainrule.nn import ACTIVATIONS
    from chainrule.workflow.network import FOR_TABLES
    from chainrule.workflow.optimizing import NAMES

    text = re.sub(r"\s+", " ", cli("train", "--help").out)
    for known in (ACTIVATIONS, FOR_TABLES, NAMES, SCHEDULES, METHODS):
        assert [name for name in known if name not in text] == []


def test_names_of_limits_and_measures_are_the_names_that_are_known() -> None:
    from chainrule.cli.options import limits, measures
    from chainrule.workflow.curve_runs import MEASURES, SETS

    assert limits() == tuple(SETS)
    assert measures() == (*MEASURES["classes"], *MEASURES["numbers"])
