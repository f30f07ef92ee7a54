"""Weights, seeds, labels, tables and settings at the edges: the right result, or an error that says what was wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import NetworkClassifier, NetworkRegressor
from chainrule.errors import TableError, TrainingError

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
