"""Every bad value × both estimators × fit and predict: a documented result, or an error with a type and a place.

The result for each is in the table below, and so is what docs/estimators.md says of it. "fits" is a fit whose
predictions are all finite; a text is what the message of a TableError says.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from chainrule import NetworkClassifier, NetworkRegressor
from chainrule.errors import ChainruleError, TableError, TrainingError

Array = np.ndarray[Any, Any]
ROWS = 40
X = np.random.default_rng(0).normal(size=(ROWS, 3))
Y = (X[:, 0] > 0).astype(int)
BOTH = [NetworkClassifier, NetworkRegressor]
FITS = "fits"


def cell(value: float) -> Callable[[Array], Array]:
    def put(x: Array) -> Array:
        x = x.copy()
        x[3, 1] = value
        return x

    return put


def column(values: Any) -> Callable[[Array], Array]:
    def put(x: Array) -> Array:
        x = x.copy()
        x[:, 1] = values
        return x

    return put


def every(value: float) -> Callable[[Array], Array]:
    return lambda x: np.full_like(x, value)


# what is done to X                                      to fit on it                    to predict from it
CASES: dict[str, tuple[Callable[[Array], Any], str, str]] = {
    "NaN": (cell(np.nan), FITS, FITS),
    "+Inf": (cell(np.inf), "infinite in row 4, column 2", "infinite in row 4, column 2"),
    "−Inf": (cell(-np.inf), "infinite in row 4, column 2", "infinite in row 4, column 2"),
    "denormal": (cell(5e-324), FITS, FITS),
    "a column of denormals": (column(5e-324 * np.arange(ROWS)), FITS, FITS),
    "1e38": (cell(1e38), FITS, FITS),
    "a column around 1e38": (column(1e38 * np.linspace(-3, 3, ROWS)), FITS, FITS),
    "the largest double": (cell(np.finfo(float).max), FITS, FITS),
    "int64 max": (lambda x: np.stack([2**63 - 1 - np.arange(ROWS), 7 * Y, Y], axis=1), FITS, FITS),
    "all missing in a column": (column(np.nan), FITS, FITS),
    "all missing": (every(np.nan), "no column to learn from", FITS),
    "a constant column": (column(2.5), FITS, FITS),
    "constant": (every(2.5), "no column to learn from", FITS),
    "duplicate columns": (lambda x: x[:, [0, 0, 0]], FITS, FITS),
    "no rows": (lambda x: x[:0], "0 sample", "0 sample"),
    "no columns": (lambda x: x[:, :0], "0 feature", "0 feature|expecting 3"),
    "one dimension": (lambda x: x[:, 0], "Expected 2D array", "Expected 2D array"),
    "three dimensions": (lambda x: x[:, :, None], "dim 3", "dim 3"),
    "complex": (lambda x: x + 1j, "Complex data", "Complex data"),
    "no array": (lambda x: "table.csv", "Expected 2D array|scalar", "Expected 2D array|scalar"),
    "None": (lambda x: None, "Expected 2D array|scalar", "Expected 2D array|scalar"),
}  # fmt: skip


def outcome(run: Callable[[], Any]) -> str:
    """What came of it: "fits", or the message of a typed error; anything else is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            predicted = run()
        except ValueError as error:
            if not isinstance(error, ChainruleError):
                raise
            return str(error)
    assert np.all(np.isfinite(predicted))
    return FITS


def agrees(found: str, expected: str) -> bool:
    import re

    return found == expected if expected == FITS else bool(re.search(expected, found))


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("estimator", BOTH)
def test_fit(name: str, estimator: Any) -> None:
    change, expected, _ = CASES[name]
    x = change(X)
    y = Y[: len(x)] if isinstance(x, np.ndarray) else Y
    found = outcome(lambda: estimator(epochs=20).fit(x, y).predict(x))
    assert agrees(found, expected), found


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("estimator", BOTH)
def test_predict(name: str, estimator: Any) -> None:
    change, _, expected = CASES[name]
    model = estimator(epochs=20).fit(X, Y)
    found = outcome(lambda: model.predict(change(X)))
    assert agrees(found, expected), found


@pytest.mark.parametrize("estimator", BOTH)
def test_one_row(estimator: Any) -> None:
    assert "n_samples=1" in outcome(lambda: estimator().fit(X[:1], Y[:1]).predict(X))
    model = estimator(epochs=20).fit(X, Y)
    assert np.array_equal(model.predict(X[:1]), model.predict(X)[:1])


@pytest.mark.parametrize("estimator", BOTH)
def test_two_rows(estimator: Any) -> None:
    model = estimator().fit(X[:2], [0, 1])
    assert np.all(np.isfinite(model.predict(X)))


def test_one_class() -> None:
    assert "one class only" in outcome(lambda: NetworkClassifier().fit(X, np.zeros(ROWS, int)).predict(X))
    weight = (Y == 1).astype(float)  # of the rows that count
    assert "one class only" in outcome(lambda: NetworkClassifier().fit(X, Y, sample_weight=weight).predict(X))


def test_a_constant_target_is_predicted() -> None:
    model = NetworkRegressor(epochs=20).fit(X, np.full(ROWS, 7.25))
    assert np.array_equal(model.predict(X), np.full(ROWS, 7.25))
    y = np.stack([np.full(ROWS, -3.0), X[:, 0]], axis=1)
    assert np.array_equal(NetworkRegressor(epochs=20).fit(X, y).predict(X)[:, 0], np.full(ROWS, -3.0))


# y as it is                                             what comes of it
TARGETS: dict[str, tuple[Array, str]] = {
    "NaN": (np.where(np.arange(ROWS) == 3, np.nan, X[:, 0]), "y contains NaN"),
    "+Inf": (np.where(np.arange(ROWS) == 3, np.inf, X[:, 0]), "y contains infinity"),
    "−Inf": (np.where(np.arange(ROWS) == 3, -np.inf, X[:, 0]), "y contains infinity"),
    "denormal": (5e-324 * np.arange(ROWS), FITS),
    "1e38": (np.where(np.arange(ROWS) == 3, 1e38, X[:, 0]), FITS),
    "all 1e38": (1e38 * X[:, 0], FITS),
    "1e300": (1e300 * X[:, 0], FITS),
    "the largest doubles": (np.finfo(float).max * np.where(Y, 1.0, -1.0), FITS),
    "int64 max": (2**63 - 1 - np.arange(ROWS), FITS),
    "empty": (np.zeros(0), "y|samples"),
    "no columns": (np.zeros((ROWS, 0)), "no column"),
    "three dimensions": (np.zeros((ROWS, 1, 1)), "dim 3"),
    "too few": (X[:-1, 0], "inconsistent numbers of samples"),
    "texts": (np.array(["a", "b"])[Y], "could not convert string to float"),
}


@pytest.mark.parametrize("name", list(TARGETS))
def test_numbers_to_learn(name: str) -> None:
    y, expected = TARGETS[name]
    found = outcome(lambda: NetworkRegressor(epochs=20).fit(X, y).predict(X))
    assert agrees(found, expected), found


def test_large_numbers_are_learned_in_their_own_unit() -> None:
    y = X[:, 0]
    expected = NetworkRegressor().fit(X, y).predict(X)
    for unit in (1e-300, 1e38, 1e300):
        assert np.allclose(NetworkRegressor().fit(X, unit * y).predict(X) / unit, expected, rtol=1e-6, atol=1e-6)


WEIGHTS: dict[str, tuple[Any, str]] = {
    "NaN": (np.where(Y, np.nan, 1.0), "NaN"),
    "+Inf": (np.where(Y, np.inf, 1.0), "infinity"),
    "negative": (np.where(Y, -1.0, 1.0), "[Nn]egative"),
    "all 0": (np.zeros(ROWS), "zero"),
    "too few": (np.ones(3), "sample_weight.shape"),
    "1e-300": (np.full(ROWS, 1e-300), FITS),
    "1e300": (np.full(ROWS, 1e300), FITS),
    "one number": (2.0, FITS),
}


@pytest.mark.parametrize("name", list(WEIGHTS))
@pytest.mark.parametrize("estimator", BOTH)
def test_weights(name: str, estimator: Any) -> None:
    weight, expected = WEIGHTS[name]
    found = outcome(lambda: estimator(epochs=20).fit(X, Y, sample_weight=weight).predict(X))
    assert agrees(found, expected), found


@pytest.mark.parametrize("estimator", BOTH)
def test_tables_with_bad_columns(estimator: Any) -> None:
    good = {"x": X[:, 0].tolist(), "color": ["red" if v else "blue" for v in Y]}
    model = estimator(epochs=20).fit(pl.DataFrame(good), Y)
    for name, bad, expected in [
        ("color", [None] * ROWS, FITS),
        ("color", ["green"] * ROWS, FITS),
        ("color", [1.5] * ROWS, "held texts in training"),
        ("x", [None] * ROWS, FITS),
        ("x", ["tall"] * ROWS, "was a number in training; now row 1"),
        ("x", [float("inf")] * ROWS, "is infinite"),
    ]:
        found = outcome(lambda frame={**good, name: bad}: model.predict(pl.DataFrame(frame, strict=False)))
        assert agrees(found, expected), (name, found)
    assert "holds List" in outcome(lambda: estimator().fit(pl.DataFrame({"x": [[1], [2]]}), [0, 1]).predict(X))
    assert "no column" in outcome(lambda: estimator().fit(pl.DataFrame({"x": [None] * 9}), [0, 1, 0] * 3).predict(X))


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"hidden_layer_sizes": (0,)}, "holds 0"),
    ({"hidden_layer_sizes": (True,)}, "holds True"),
    ({"hidden_layer_sizes": "wide"}, "hidden_layer_sizes is 'wide'"),
    ({"activation": "rellu"}, "did you mean 'relu'"),
    ({"optimizer": "adma"}, "did you mean 'adam'"),
    ({"loss": "hinge loss"}, "there is no loss"),
    ({"learning_rate": 0.0}, "learning rate"),
    ({"learning_rate": float("nan")}, "learning rate"),
    ({"schedule": "cosin"}, "did you mean 'cosine'"),
    ({"epochs": 0}, "epochs is 0"),
    ({"epochs": 1.5}, "epochs is 1.5"),
    ({"batch_size": 0}, "batch_size"),
    ({"batch_size": "some"}, "batch_size"),
    ({"dropout": 1.0}, "dropout is 1.0"),
    ({"weight_decay": -1}, "weight_decay is -1"),
    ({"weight_decay": float("inf")}, "weight_decay is inf"),
    ({"optimizer": "sgd", "weight_decay": 0.1}, "has no weight decay"),
    ({"early_stopping": "yes"}, "early_stopping is 'yes'"),
    ({"early_stopping": True, "validation_fraction": 0}, "validation_fraction is 0"),
    ({"early_stopping": True, "validation_fraction": 1.5}, "validation_fraction is 1.5"),
    ({"early_stopping": True, "validation_fraction": 0.001}, "too few"),
    ({"early_stopping": True, "patience": 0}, "patience is 0"),
    ({"random_state": "seed"}, "random_state"),
    ({"executor": "gpu"}, "there is no executor 'gpu'"),
]


@pytest.mark.parametrize(("given", "message"), SETTINGS, ids=lambda v: str(v))
@pytest.mark.parametrize("estimator", BOTH)
def test_settings(estimator: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ChainruleError, match=message):
        estimator(**given).fit(X, Y)


def test_losses_of_the_other_task() -> None:
    with pytest.raises(TrainingError, match="is for classes"):
        NetworkRegressor(loss="softmax_cross_entropy").fit(X, Y)
    with pytest.raises(TrainingError, match="is for two classes"):
        NetworkClassifier(loss="binary_cross_entropy").fit(X, np.arange(ROWS) % 3)
    with pytest.raises(TrainingError, match="is for one class a row"):
        NetworkClassifier(loss="softmax_cross_entropy").fit(X, np.eye(2, dtype=int)[Y])
    with pytest.raises(TableError, match="class_weight"):
        NetworkClassifier(class_weight={0: "heavy"}).fit(X, Y)
