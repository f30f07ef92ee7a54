"""Weights, seeds, labels, tables and settings at the edges: the right result, or an error that says what was wrong."""

from __future__ import annotations

import datetime
import pickle
import uuid
from decimal import Decimal
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import chainrule as cr
from chainrule import NetworkClassifier, NetworkRegressor
from chainrule.errors import CellTypeError, ChainruleError, TableError, TrainingError

ROWS = 60
X = np.random.default_rng(0).normal(size=(ROWS, 3)).round(3)
Y = (X[:, 0] > 0).astype(int)
BOTH = [NetworkClassifier, NetworkRegressor]

# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 1.0}, {0: 3e307, 1: 1e307}])
def test_huge_weights_count_by_their_ratios(class_weight: Any) -> None:
    def fit(weight: Any, class_weight: Any) -> Any:
        model = NetworkClassifier(epochs=5, class_weight=class_weight).fit(X, Y, sample_weight=weight)
        return model.predict_proba(X)

    expected = fit(None, {0: 3.0, 1: 1.0} if isinstance(class_weight, dict) else class_weight)
    assert np.allclose(fit(np.full(ROWS, 1e308), class_weight), expected, rtol=1e-12)
    assert not np.allclose(fit(np.where(Y, 1e308, 1e307), class_weight), expected, rtol=1e-3) or (
        class_weight == "balanced"  # which undoes weights by class
    )


def test_huge_weights_of_numbers() -> None:
    y = X[:, 0] + X[:, 1]
    expected = NetworkRegressor(epochs=5).fit(X, y).predict(X)
    weight = np.full(ROWS, 1e308)
    assert np.allclose(NetworkRegressor(epochs=5).fit(X, y, sample_weight=weight).predict(X), expected, rtol=1e-12)
    a, b = (
        NetworkRegressor(epochs=5).fit(X, y, sample_weight=scale * (1.5 + Y)).predict(X) for scale in (1.0, 2.0**1022)
    )
    assert np.allclose(a, b, rtol=1e-12)


def test_huge_weights_of_rows_that_are_watched() -> None:
    losses = [
        NetworkClassifier(epochs=5).fit(X, Y, validation_data=(X, Y, weight)).best_validation_loss_
        for weight in (np.ones(ROWS), np.full(ROWS, 1e308))
    ]
    assert losses[0] == losses[1]


def test_huge_weights_in_cr_fit() -> None:
    objective = cr.Objective(cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.Dense(1)), loss="squared_error")
    y = np.sin(X[:, 0])
    a, b = (cr.fit(objective, (X, y, weight), epochs=3) for weight in (np.ones(ROWS), np.full(ROWS, 1e308)))
    assert all(np.array_equal(a.parameters[name], b.parameters[name]) for name in a.parameters)


# --- seeds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, np.int64(-1), np.uint64(2**32)])
@pytest.mark.parametrize("estimator", BOTH)
def test_seeds_outside_the_range(estimator: Any, seed: Any) -> None:
    with pytest.raises(
        TrainingError, match=rf"random_state is {int(seed)}; a seed is a whole number from 0 to 2\*\*32"
    ):
        estimator(epochs=2, random_state=seed).fit(X, Y)


def test_seeds_of_every_accepted_kind() -> None:
    for seed in (0, 2**32 - 1, np.int8(3), np.random.RandomState(1), None):
        NetworkClassifier(epochs=2, random_state=seed).fit(X, Y)
        NetworkClassifier(random_state=seed).partial_fit(X, Y).partial_fit(X, Y)


# --- class weights ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": -1, "b": 1}, r"class_weight\['a'\] is -1; a class's weight is a finite number of at least 0"),
        ({"a": 1, "b": float("nan")}, r"class_weight\['b'\] is nan"),
        ({"b": np.float64("inf")}, r"class_weight\['b'\] is inf"),
        ({"a": "heavy"}, r"class_weight\['a'\] is 'heavy'"),
        ({"a": None}, r"class_weight\['a'\] is None"),
        ({"a": True}, r"class_weight\['a'\] is True"),
        ({"c": 2.0}, r"class_weight has the class 'c', which y has not; the classes are a and b"),
        ({"a": 0, "b": 0}, "class_weight is 0 for every class"),
        (3, "class_weight"),
    ],
)
def test_class_weights_that_cannot_be(given: Any, message: str) -> None:
    labels = np.array(["a", "b"])[Y]
    with pytest.raises(TableError, match=message):
        NetworkClassifier(epochs=2, class_weight=given).fit(X, labels)
    with pytest.raises(TableError, match=message):
        NetworkClassifier(class_weight=given).partial_fit(X, labels)


def test_class_weights_that_can_be() -> None:
    for given in ({0: 0, 1: 2}, {np.int64(0): np.float32(2.0)}, {0.0: 1, 1: 3}):
        NetworkClassifier(epochs=2, class_weight=given).fit(X, Y)
    NetworkClassifier(class_weight={2: 3.0}).partial_fit(X, Y, classes=[0, 1, 2])  # a class that may come later


# --- targets ----------------------------------------------------------------------------------------------------------

DAYS = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(ROWS)]
NO_NUMBERS: dict[str, tuple[Any, str]] = {
    "dates": (DAYS, r"y holds dates \(row 1, counted from 1, is datetime.date"),
    "NumPy dates": (np.array(DAYS, "M8[D]"), "y holds dates"),
    "pandas dates": (pd.Series(pd.to_datetime(DAYS)), "y holds dates"),
    "a frame of dates": (pd.DataFrame({"y": pd.to_datetime(DAYS)}), "y holds dates"),
    "polars dates": (pl.Series(DAYS), "y holds dates"),
    "Arrow dates": (pa.array(DAYS), "y holds dates"),
    "durations": (np.arange(ROWS).astype("m8[D]"), "y holds durations"),
    "pandas durations": (pd.Series(pd.to_timedelta(range(ROWS), "D")), "y holds durations"),
    "Python durations": ([datetime.timedelta(days=i) for i in range(ROWS)], "y holds durations"),
    "truth values": (Y.astype(bool), "y holds truth values, and NetworkRegressor learns numbers"),
    "Python truth values": (Y.astype(bool).tolist(), "y holds truth values"),
    "nullable truth values": (pd.Series(Y.astype(bool)).astype("boolean"), "y holds truth values"),
    "a truth value among numbers": (np.array([1.5, True] * 30, object), r"truth values \(row 2, .* is True"),
    "complex": (Y + 1j, "y holds complex numbers, .* Complex data not supported"),
    "Python complex": (np.array([1j] * ROWS, object), "y holds complex numbers"),
    "periods": (pd.Series(pd.period_range("2020", periods=ROWS)), "y is a Period in row 1"),
    "records": ([{}] * ROWS, "y is a dict in row 1"),
}


@pytest.mark.parametrize("name", list(NO_NUMBERS))
def test_targets_that_are_no_numbers(name: str) -> None:
    y, message = NO_NUMBERS[name]
    with pytest.raises(CellTypeError, match=message):  # a TableError, a ValueError and a TypeError
        NetworkRegressor(epochs=2).fit(X, y)


def test_numbers_that_are_missing_or_too_large() -> None:
    missing = [
        pd.Series([1, None] * 30, dtype="Int64"),
        np.array([1.0, pd.NA] * 30, dtype=object),
        np.array([1.0, None] * 30, dtype=object),
        pl.Series([1.5, None] * 30),
        [1.0, np.nan] * 30,
    ]
    for y in missing:
        with pytest.raises(TableError, match=r"Input y contains NaN\. y is nan in row 2 \(counted from 1\)"):
            NetworkRegressor(epochs=2).fit(X, y)
    with pytest.raises(TableError, match=r"beyond the largest float64, about 1\.8e308, in row 2"):
        NetworkRegressor(epochs=2).fit(X, [1, 10**400] * 30)
    with pytest.raises(TableError, match=r"could not convert string to float: 'tall'.*row 2"):
        NetworkRegressor(epochs=2).fit(X, np.array([1, "tall"] * 30, object))


@pytest.mark.parametrize("decimals", [[Decimal("1.5"), 2] * 30, ["1.5", 2] * 30])
def test_python_numbers_and_texts_of_numbers_are_learned(decimals: Any) -> None:
    y = np.array(decimals, object)
    expected = NetworkRegressor(epochs=2).fit(X, y.astype(float)).predict(X)
    assert np.array_equal(NetworkRegressor(epochs=2).fit(X, y).predict(X), expected)


MISSING_LABELS: dict[str, Any] = {
    "pandas texts": pd.Series(["a", None] * 30, dtype="string"),
    "pandas' NA": np.array(["a", pd.NA] * 30, dtype=object),
    "pandas truths": pd.Series([True, None] * 30, dtype="boolean"),
    "categories": pd.Series(["a", None] * 30, dtype="category"),
    "dates": np.array(["2020-01-01", "NaT"] * 30, "M8[D]"),
    "polars": pl.Series(["a", None] * 30),
    "Arrow": pa.array(["a", None] * 30),
    "Decimal": np.array([Decimal(1), Decimal("NaN")] * 30, dtype=object),
}


@pytest.mark.parametrize("name", list(MISSING_LABELS))
def test_missing_labels(name: str) -> None:
    with pytest.raises(TableError, match=r"y has no label in row 2 \(counted from 1\)\. Leave such rows out\."):
        NetworkClassifier(epochs=2).fit(X, MISSING_LABELS[name])


def test_missing_labels_that_are_numbers() -> None:
    for y in ([1.0, np.nan, 0.0] * 20, pd.Series([1, None, 0] * 20, dtype="Int64")):
        with pytest.raises(TableError, match=r"Input y contains NaN\. y is nan in row 2 \(counted from 1\)"):
            NetworkClassifier(epochs=2).fit(X, y)


# --- words ------------------------------------------------------------------------------------------------------------


def test_messages_show_values_as_python_does() -> None:
    labels = np.array(["a", "b"])[Y]
    model = NetworkClassifier(epochs=2).fit(X, labels)
    cases: list[tuple[Any, str]] = [
        (lambda: NetworkClassifier().fit(X, np.full(ROWS, "a")), "y has one class only, 'a'"),
        (lambda: NetworkClassifier().fit(X, np.full(ROWS, 3)), "y has one class only, 3:"),
        (
            lambda: NetworkClassifier().partial_fit(X, labels, classes=["b", "c"]),
            "the class 'a', which is not among the given classes b and c",
        ),
        (lambda: NetworkClassifier().partial_fit(X, Y).partial_fit(X, Y + 1), "y is 2 in row"),
        (
            lambda: NetworkClassifier().partial_fit(X, Y).partial_fit(X, Y, classes=[0, 2]),
            r"classes are \[0, 2\]; in the first call they were \[0, 1\]",
        ),
        (
            lambda: NetworkRegressor().partial_fit(X, Y).partial_fit(X, np.eye(ROWS)[:, :2]),
            "fitted on 1 number a row",
        ),
        (
            lambda: NetworkClassifier().partial_fit(X, np.eye(2, dtype=int)[Y]).partial_fit(X, np.eye(3, dtype=int)[Y]),
            "fitted on 2 labels a row",
        ),
    ]
    for call, message in cases:
        with pytest.raises(TableError, match=message):
            call()
    assert model.predict(X).dtype == labels.dtype


def test_settings_are_shown_as_python_does() -> None:
    for given, message in (
        ({"dropout": np.float64(2.0)}, r"dropout is 2\.0;"),
        ({"hidden_layer_sizes": (np.int64(0),)}, "hidden_layer_sizes holds 0;"),
        ({"learning_rate": np.float32(-1.0)}, r"learning_rate is -1\.0;"),
        ({"epochs": np.int64(0)}, "epochs is 0;"),
        ({"patience": np.int64(0)}, "patience is 0;"),
    ):
        with pytest.raises(TrainingError, match=message):
            NetworkClassifier(**given).fit(X, Y)


# --- tables -----------------------------------------------------------------------------------------------------------

MIXED = {"x": X[:, 0], "color": np.array(["red", "green", "blue"])[np.arange(ROWS) % 3]}


def test_arrow_batches_are_tables() -> None:
    table = pa.table(MIXED)
    expected = NetworkClassifier(epochs=2).fit(table, Y).predict_proba(table)
    batch = table.to_batches()[0]
    model = NetworkClassifier(epochs=2).fit(batch, Y)
    assert model.feature_names_in_.tolist() == ["x", "color"]
    assert np.array_equal(model.predict_proba(batch), expected)
    assert np.array_equal(model.predict_proba(table.to_reader()), expected)


def test_a_lazy_frame_is_named() -> None:
    for lazy in (pl.DataFrame(MIXED).lazy(), nw.from_native(pl.DataFrame(MIXED).lazy())):
        with pytest.raises(TableError, match=r"lazy .*frame, which holds no rows yet\. Give frame\.collect\(\)"):
            NetworkClassifier(epochs=2).fit(lazy, Y)


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table, lambda d: pd.DataFrame(d, index=range(ROWS))])
def test_a_frame_without_columns(make: Any) -> None:
    with pytest.raises(TableError, match=r"Found array with 0 feature\(s\) \(shape=\(\d+, 0\)\) while a minimum of 1"):
        NetworkClassifier(epochs=2).fit(make({}), Y)


ODD_COLUMNS: dict[str, tuple[Any, str]] = {
    "complex": (X[:, 0] + 1j, r"holds complex numbers \(row 1, .*Give its real and its imaginary parts as two columns"),
    "Python complex": (np.array([None, *[1j] * (ROWS - 1)], object), r"holds complex numbers \(row 2"),
    "Period": (pd.period_range("2020", periods=ROWS), r"holds values of type Period \(row 1.*\.dt\.to_timestamp\(\)"),
    "Interval": (pd.interval_range(0, ROWS), r"holds values of type Interval \(row 1.*\.mid"),
    "pandas.cut": (pd.cut(X[:, 0], 3), r"holds values of type Interval .*\.astype\(str\)"),
    "UUID": (np.array([uuid.uuid4() for _ in range(ROWS)], object), r"holds values of type UUID .*texts"),
    "bytes": (np.array([b"a"] * ROWS, object), "holds bytes .*texts"),
    "large": (np.array([10**400] * ROWS, object), r"'d' is beyond the largest float64, about 1\.8e308, in row 1 "),
    "large among floats": (np.array([1.5, 10**400] * 30, object), r"'d' is beyond the largest float64.* in row 2 "),
}


@pytest.mark.parametrize("name", list(ODD_COLUMNS))
def test_columns_that_a_network_cannot_read(name: str) -> None:
    values, message = ODD_COLUMNS[name]
    with pytest.raises(TableError, match=message):
        NetworkClassifier(epochs=2).fit(pd.DataFrame({"x": X[:, 0]}).assign(d=values), Y)


def test_columns_that_cannot_be_read_at_predict() -> None:
    table = pd.DataFrame({"x": X[:, 0], "on": Y > 0, "day": pd.to_datetime(DAYS)})
    model = NetworkClassifier(epochs=2).fit(table, Y)
    for name in table.columns:
        for values, kind in ((pd.period_range("2020", periods=ROWS), "Period"), (X[:, 0] + 1j, "complex")):
            with pytest.raises(TableError, match=f"column '{name}' was .* in training; now row 1 .*of type {kind}"):
                model.predict(table.assign(**{name: values}))


def test_large_python_integers() -> None:
    values = np.array([2**200 * i for i in range(ROWS)], object)
    a = NetworkClassifier(epochs=2).fit(pd.DataFrame({"d": values}), Y).predict_proba(pd.DataFrame({"d": values}))
    b = NetworkClassifier(epochs=2).fit(values.astype(float)[:, None], Y).predict_proba(values.astype(float)[:, None])
    assert np.array_equal(a, b)
    with pytest.raises(TableError, match=r"X\[1, 0\] is beyond the largest float64"):
        NetworkClassifier(epochs=2).fit(np.array([[1], [10**400]] * 30, object), Y)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patience": -1}, "patience is -1; it must be a whole number of at least 1"),
        ({"patience": 2.5}, r"patience is 2\.5"),
        ({"learning_rate": None}, "learning_rate is None; the learning rate must be a finite number greater than 0"),
        ({"learning_rate": True}, "learning_rate is True"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"learning_rate": np.inf}, "learning_rate is inf"),
        ({"warm_start": "x"}, "warm_start is 'x'; it must be True or False"),
        ({"verbose": "x"}, "verbose is 'x'; it must be a whole number of at least 0"),
        ({"verbose": -1}, "verbose is -1"),
        ({"schedule": None}, "schedule is None; it must be 'auto' or one of 'constant', 'cosine'"),
        ({"schedule": cr.learn.Cosine(0.1)}, "a schedule as an object is given as learning_rate"),
        ({"optimizer": "lbfgs", "learning_rate": 0.1}, "learning_rate is given, and 'lbfgs' has none"),
        ({"optimizer": "lbfgs", "dropout": 0.5}, "[Dd]ropout"),
    ],
    ids=str,
)
@pytest.mark.parametrize("estimator", BOTH)
def test_settings_are_checked_at_fit(estimator: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        estimator(**{"epochs": 2, **given}).fit(X, Y)


def test_no_name_is_near_to_what_is_no_name() -> None:
    with pytest.raises(ChainruleError, match="there is no schedule None; there are"):
        cr.learn.get_schedule(None, 0.1)


@pytest.mark.parametrize("estimator", BOTH)
def test_lbfgs_by_name(estimator: Any) -> None:
    named = estimator(epochs=5, optimizer="lbfgs").fit(X, Y)
    given = estimator(epochs=5, optimizer=cr.learn.LBFGS()).fit(X, Y)
    assert np.array_equal(named.predict(X), given.predict(X))
    assert named.history_ == given.history_
    assert (named.chosen_["batch_size"], named.chosen_["dropout"]) == ("all", 0.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_layer_sizes": (8,)},
        {"activation": "tanh"},
        {"optimizer": "sgd"},
        {"learning_rate": 0.5},
        {"batch_size": 7},
        {"dropout": 0.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
def test_partial_fit_does_not_ignore_changed_settings(begin: str, changed: dict[str, Any]) -> None:
    model = getattr(NetworkClassifier((16,), epochs=2), begin)(X, Y).partial_fit(X, Y)
    before = model.get_params()
    model.set_params(**changed)
    (name,) = changed
    with pytest.raises(TrainingError, match=f"{name} is .*, and the training began with .*partial_fit goes on"):
        model.partial_fit(X, Y)
    model.set_params(
        **before,
    ).partial_fit(X, Y)
    copy = pickle.loads(pickle.dumps(model.set_params(verbose=0)))
    assert np.array_equal(copy.partial_fit(X, Y).predict_proba(X), model.partial_fit(X, Y).predict_proba(X))
