"""X and y of every kind that a practitioner has at hand: the same numbers give the same predictions."""

from __future__ import annotations

import datetime
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from chainrule import NetworkClassifier, NetworkRegressor
from chainrule.errors import CellTypeError, TableError
from chainrule.table import MatrixEncoder, TableEncoder
from chainrule.table.fitting import quartiles, row_weights

ROWS = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3)).round(3)
X[::7, 1] = np.nan
Y = (X[:, 0] + np.nan_to_num(X[:, 1]) > 0).astype(int)
NAMES = ["a", "b", "c"]
COLORS = np.array(["red", "green", "blue"])[np.arange(ROWS) % 3]
QUICK: dict[str, Any] = {"epochs": 30}


def mixed() -> dict[str, list[Any]]:
    return {
        "size": [None if np.isnan(v) else float(v) for v in X[:, 1]],
        "color": [None if i % 11 == 3 else str(c) for i, c in enumerate(COLORS)],
        "on": [bool(v > 0) for v in X[:, 0]],
        "day": [datetime.date(2024, 1, 1) + datetime.timedelta(days=int(i)) for i in range(ROWS)],
    }


FRAMES = {
    "pandas": lambda d: pd.DataFrame(d),
    "pandas categories": lambda d: pd.DataFrame(d).astype({"color": "category"}),
    "polars": lambda d: pl.DataFrame(d),
    "polars categories": lambda d: pl.DataFrame(d).with_columns(pl.col("color").cast(pl.Categorical)),
    "arrow": lambda d: pa.table(d),
}


@pytest.mark.parametrize("kind", list(FRAMES))
def test_frames_of_every_kind_give_the_same_predictions(kind: str) -> None:
    table = FRAMES[kind](mixed())
    model = NetworkClassifier(**QUICK).fit(table, Y)
    expected = NetworkClassifier(**QUICK).fit(pl.DataFrame(mixed()), Y)
    assert model.feature_names_in_.tolist() == ["size", "color", "on", "day"]
    assert model.n_features_in_ == 4
    assert np.array_equal(model.predict_proba(table), expected.predict_proba(pl.DataFrame(mixed())))
    for other in FRAMES:  # what was fitted on one kind predicts from any other
        assert np.array_equal(model.predict_proba(FRAMES[other](mixed())), model.predict_proba(table))


NUMBERS = {
    "float64": lambda x: x,
    "float32": lambda x: x.astype(np.float32),
    "Fortran order": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "big-endian": lambda x: x.astype(">f8"),
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
    "list of lists": lambda x: x.tolist(),
    "list of arrays": list,
    "objects": lambda x: x.astype(object),
    "objects with None": lambda x: np.where(np.isnan(x), None, x.astype(object)),
    "masked": lambda x: np.ma.masked_invalid(x),
    "texts": lambda x: np.where(np.isnan(x), "", x.astype(str)),
    "CSR": sparse.csr_array,
    "CSC matrix": sparse.csc_matrix,
    "COO": sparse.coo_array,
}


@pytest.mark.parametrize("kind", list(NUMBERS))
@pytest.mark.parametrize("estimator", [NetworkClassifier, NetworkRegressor])
def test_arrays_of_every_kind(kind: str, estimator: Any) -> None:
    given = NUMBERS[kind](X)
    model = estimator(**QUICK).fit(given, Y)
    expected = estimator(**QUICK).fit(X, Y)
    assert not hasattr(model, "feature_names_in_")
    tolerance = 1e-3 if kind == "float32" else 1e-12
    assert np.allclose(model.predict(given), expected.predict(X), rtol=0, atol=tolerance)
    assert np.allclose(expected.predict(given), expected.predict(X), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64, np.float16])
def test_dtypes(dtype: Any) -> None:
    x = (np.arange(60).reshape(30, 2) * 7 % 11).astype(dtype)
    y = np.arange(30) % 2
    a, b = (NetworkClassifier(**QUICK).fit(v, y).predict_proba(v) for v in (x, x.astype(np.float64)))
    assert np.array_equal(a, b)


def test_a_table_of_numbers_is_taken_as_the_matrix() -> None:
    model = NetworkClassifier(**QUICK).fit(pl.DataFrame(X, schema=NAMES), Y)
    expected = NetworkClassifier(**QUICK).fit(X, Y).predict_proba(X)
    assert np.array_equal(model.predict_proba(pd.DataFrame(X, columns=NAMES)), expected)


def test_texts_beside_numbers_in_a_list_or_array() -> None:
    rows = [[float(i % 7), "yes" if i % 3 else "no"] for i in range(30)]
    y = [i % 2 for i in range(30)]
    model = NetworkClassifier(**QUICK).fit(rows, y)
    kinds = [type(column).__name__ for column in model.encoder_.table.columns]
    assert kinds == ["NumberColumn", "TwoLevelColumn"]
    for other in (np.array(rows), np.array(rows, dtype=object), pd.DataFrame(rows)):
        again = NetworkClassifier(**QUICK).fit(other, y)
        assert np.array_equal(again.predict_proba(other), model.predict_proba(rows))


def test_unseen_categories_and_missing_cells_at_predict() -> None:
    table = {"color": list(COLORS), "size": list(X[:, 0])}
    model = NetworkClassifier(**QUICK).fit(pd.DataFrame(table), Y)
    new = pd.DataFrame({"color": ["violet", None, "red"], "size": [0.5, 0.5, None]})
    p = model.predict_proba(new)
    assert np.all(np.isfinite(p))
    assert np.array_equal(p[0], p[1])  # neither was seen in training: all columns of the category are 0


def test_names_are_checked_as_scikit_learn_does() -> None:
    frame = pd.DataFrame(X, columns=NAMES)
    model = NetworkClassifier(**QUICK).fit(frame, Y)
    with pytest.raises(TableError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])
    with (
        pytest.warns(UserWarning, match="does not have valid feature names"),
        pytest.raises(TableError, match="X has 2 features, but NetworkClassifier is expecting 3"),
    ):
        model.predict(X[:, :2])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        by_place = model.predict_proba(X)
    assert np.array_equal(by_place, model.predict_proba(frame))
    nameless = NetworkClassifier(**QUICK).fit(pd.DataFrame(X), Y)  # columns 0, 1, 2
    assert not hasattr(nameless, "feature_names_in_")
    assert np.array_equal(nameless.predict_proba(X), nameless.predict_proba(pd.DataFrame(X)))


def test_cells_that_are_no_values() -> None:
    x = X.astype(object)
    x[4, 2] = {"a": 1}
    with pytest.raises(CellTypeError, match=r"X\[4, 2\] is a dict"):
        NetworkClassifier().fit(x, Y)
    x[4, 2] = [1.0]
    with pytest.raises(TypeError, match=r"X\[4, 2\] is a list"):
        NetworkRegressor().fit(x, Y)


LABELS: dict[str, Any] = {
    "integers": Y,
    "texts": np.array(["no", "yes"])[Y],
    "objects": np.array(["no", "yes"], dtype=object)[Y],
    "booleans": Y.astype(bool),
    "floats": Y.astype(float),
    "list": Y.tolist(),
    "pandas": pd.Series(Y),
    "pandas texts": pd.Series(np.array(["no", "yes"])[Y]),
    "pandas categories": pd.Series(np.array(["no", "yes"])[Y], dtype="category"),
    "polars": pl.Series("y", Y),
    "polars texts": pl.Series("y", np.array(["no", "yes"])[Y].tolist()),
    "arrow": pa.array(Y),
}


@pytest.mark.parametrize("kind", list(LABELS))
def test_labels_of_every_kind(kind: str) -> None:
    y = LABELS[kind]
    model = NetworkClassifier(**QUICK).fit(X, y)
    predicted = model.predict(X)
    assert set(predicted.tolist()) <= set(np.asarray(y).tolist())
    assert predicted.dtype == model.classes_.dtype
    assert np.array_equal(model.predict_proba(X), NetworkClassifier(**QUICK).fit(X, Y).predict_proba(X))
    assert model.score(X, np.asarray(y)) > 0.7


def test_labels_that_are_missing_or_mixed() -> None:
    with pytest.raises(TableError, match="y has no label in row 2"):
        NetworkClassifier().fit(X[:3], np.array(["a", None, "b"], dtype=object))
    with pytest.raises(TableError, match="y mixes int and str"):
        NetworkClassifier().fit(X[:3], np.array(["a", 1, "b"], dtype=object))
    with pytest.raises(TableError, match="Unknown label type"):
        NetworkClassifier().fit(X, np.linspace(0, 1, ROWS))
    with pytest.raises(TableError, match="2 columns of classes"):
        NetworkClassifier().fit(X, np.stack([Y, Y + 3], axis=1))
    with pytest.raises(TableError, match="NaN"):
        NetworkRegressor().fit(X, np.where(Y, np.nan, 1.0))


def test_a_matrix_is_encoded_as_a_table_of_numbers_is() -> None:
    x = np.stack([X[:, 1], np.zeros(ROWS), X[:, 2] * 1e6, np.where(Y, 3.0, 5.0), np.where(Y, 1.0, np.nan)], axis=1)
    table = {f"x{i}": column for i, column in enumerate(x.T)}
    expected = TableEncoder.fit(table).transform(table)
    assert np.array_equal(MatrixEncoder.fit(x).transform(x).astype(np.float32), expected)
    weight = RNG.integers(0, 4, ROWS)
    rows = np.flatnonzero(weight)
    expected = TableEncoder.fit(table, rows=rows, weight=weight[rows]).transform(table)
    assert np.array_equal(MatrixEncoder.fit(x[rows], weight[rows]).transform(x).astype(np.float32), expected)


@pytest.mark.parametrize("seed", range(20))
def test_whole_weights_are_repetitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=9), rng.integers(1, 5, 9)
    assert np.allclose(quartiles(x, row_weights(weight)), np.quantile(np.repeat(x, weight), [0.25, 0.5, 0.75]))
    a, b = (quartiles(x, row_weights(scale * np.sqrt(weight))) for scale in (1.0, 1e200))
    assert np.allclose(a, b)  # of other weights only the ratios count


@pytest.mark.parametrize("estimator", [NetworkClassifier, NetworkRegressor])
def test_weights_are_repetitions_of_rows_of_a_table_too(estimator: Any) -> None:
    weight = RNG.integers(0, 4, ROWS)
    columns = mixed()
    repeated = {name: np.repeat(np.array(cells, dtype=object), weight).tolist() for name, cells in columns.items()}
    a = estimator().fit(pl.DataFrame(columns), Y, sample_weight=weight)
    b = estimator().fit(pl.DataFrame(repeated), np.repeat(Y, weight))
    method = "predict_proba" if estimator is NetworkClassifier else "predict"
    assert np.allclose(
        getattr(a, method)(pl.DataFrame(columns)), getattr(b, method)(pl.DataFrame(columns)), rtol=1e-7, atol=1e-9
    )


def test_a_row_of_weight_0_may_hold_anything() -> None:
    x, y, weight = X.copy(), Y.astype(float), np.ones(ROWS)
    x[5], weight[5] = np.inf, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a = NetworkRegressor(**QUICK).fit(x, y, sample_weight=weight)
    b = NetworkRegressor(**QUICK).fit(np.delete(X, 5, 0), np.delete(y, 5))
    assert np.allclose(a.predict(X), b.predict(X), rtol=1e-12)
