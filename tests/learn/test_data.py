"""Rows, weights and arguments: what is refused, in which words, and what weights mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, TrainingError
from chainrule.graph import flatten

RNG = np.random.default_rng(2)
X = RNG.normal(size=(12, 3))
Y = np.sin(X.sum(axis=1))


def objective(**options: Any) -> Any:
    return cr.Objective(cr.nn.Sequential(cr.nn.Dense(4, "tanh"), cr.nn.Dense(1)), loss="squared_error", **options)


def fit(data: Any, **options: Any) -> Any:
    return cr.fit(objective(), data, **({"epochs": 3, "batch_size": 5} | options))


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    copy = array.copy()
    copy[place] = value
    return copy


# --- sample weights ---------------------------------------------------------------------------------------------------


def test_weights_count_by_their_ratios() -> None:
    """They are scaled to mean 1: a factor of two on all of them changes no bit."""
    weight = RNG.uniform(0.5, 2, size=12)
    a, b = fit((X, Y, weight)), fit((X, Y, 2 * weight))
    assert bits(a.parameters) == bits(b.parameters)
    assert a.training["weight"].mean() == pytest.approx(1, rel=1e-15)
    np.testing.assert_allclose(a.training["weight"], weight / weight.mean(), rtol=1e-15)
    assert bits(a.parameters) != bits(fit((X, Y)).parameters)


def test_equal_weights_are_no_weights() -> None:
    assert bits(fit((X, Y, np.full(12, 4.0))).parameters) == bits(fit((X, Y)).parameters)


def test_rows_of_weight_zero_are_left_out() -> None:
    weight = np.where(np.arange(12) % 4 == 1, 0.0, 1.0)
    keep = weight > 0
    weighted, without = fit((X, Y, weight)), fit((X[keep], Y[keep]))
    assert bits(weighted.parameters) == bits(without.parameters)
    assert weighted.history == without.history


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_rows_of_weight_zero_may_hold_anything(bad: float) -> None:
    """0 · Inf is NaN, so such a row must not be in a sum at all."""
    weight = np.where(np.arange(12) == 7, 0.0, 1.0)
    keep = weight > 0
    without = fit((X[keep], Y[keep]))
    assert bits(fit((changed(X, (7, 1), bad), Y, weight)).parameters) == bits(without.parameters)
    assert bits(fit((X, changed(Y, 7, bad), weight)).parameters) == bits(without.parameters)
    with pytest.raises(TrainingError, match="at row 9, column 1"):
        fit((changed(changed(X, (7, 1), bad), (8, 0), bad), Y, weight))


def test_weight_k_is_k_equal_rows() -> None:
    times = np.array([1, 3, 2, 1, 1, 2, 1, 1, 4, 1, 1, 2])
    options: dict[str, Any] = {"batch_size": "all", "optimizer": cr.learn.SGD(0.1), "epochs": 20}
    weighted = fit((X, Y, times), **options)
    repeated = fit((np.repeat(X, times, axis=0), np.repeat(Y, times)), **options)
    for name, value in weighted.parameters.items():
        np.testing.assert_allclose(value, repeated.parameters[name], rtol=1e-12, atol=1e-13)
    assert weighted.history[-1]["loss"] == pytest.approx(repeated.history[-1]["loss"], rel=1e-12)


def test_weights_of_the_validation_count() -> None:
    held = RNG.normal(size=(6, 3)), RNG.normal(size=6)
    weight = np.array([0, 1, 2, 0, 3, 1])
    run = fit((X, Y), validation=(*held, weight))
    error = (run.predict(held[0])[:, 0] - held[1]) ** 2
    assert run.history[-1]["validation_loss"] == pytest.approx((error * weight).sum() / weight.sum(), rel=1e-13)


def test_the_loss_in_the_history_is_the_weighted_mean() -> None:
    weight = RNG.uniform(0.5, 2, size=12)
    first = fit((X, Y), epochs=1, optimizer=cr.learn.SGD(1e-9)).at(0).parameters
    run = fit((X, Y, weight), epochs=1, optimizer=cr.learn.SGD(1e-12), parameters=first, batch_size="all")
    error = (objective().network(first, X)[:, 0] - Y) ** 2
    assert run.history[0]["loss"] == pytest.approx((error * weight).sum() / weight.sum(), rel=1e-13)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_weights_of_any_scale_in_float32(scale: float) -> None:
    x = X.astype(np.float32)
    weight = RNG.uniform(0.5, 2, size=12)
    scaled = fit((x, Y, weight * scale))
    np.testing.assert_allclose(scaled.training["weight"], weight / weight.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(11), "the training sample weights have shape (11,); one for each of the 12 rows is needed"),
        (np.ones((12, 1)), "the training sample weights have shape (12, 1)"),
        (1.0, "the training sample weights have shape ()"),
        (np.zeros(12), "all of the training sample weights are 0; at least one row must count"),
        (changed(np.ones(12), 4, -1), "the sample weight of row 5 is -1.0; weights are finite and not negative"),
        (changed(np.ones(12), 0, np.nan), "the sample weight of row 1 is nan"),
        (changed(np.ones(12), 11, np.inf), "the sample weight of row 12 is inf"),
        (["heavy"] * 12, "the training sample weights holds texts, not numbers"),
    ],
)
def test_bad_weights(weight: Any, message: str) -> None:
    with pytest.raises(ChainruleError) as error:
        fit((X, Y, weight))
    assert message in str(error.value)


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            (changed(X, (4, 2), np.nan), Y),
            "the training X has nan at row 5, column 3 (counted from 1); fill or leave out",
        ),
        ((changed(X, (0, 0), -np.inf), Y), "the training X has -inf at row 1, column 1"),
        ((X, changed(Y, 11, np.inf)), "the training y has inf at row 12 (counted from 1)"),
        ((X, changed(np.c_[Y, Y], (3, 1), np.nan)), "the training y has nan at row 4, column 2"),
        ((X.astype("f4"), changed(Y, 2, 1e300)), "the training y has inf at row 3"),
        ((X[:0], Y[:0]), "the training data has no rows"),
        ((X, Y[:7]), "the training X has 12 rows and y has 7; they must be equal"),
        ((X, 1.0), "the training X has 12 rows and y has no; they must be equal"),
        ((X[:, 0], Y), "the training X has shape (12,); it must have rows and columns: one column is X[:, None]"),
        (X, "the training data must be (X, y), or (X, y, sample weights); it is a ndarray"),
        ((X,), "the training data must be (X, y), or (X, y, sample weights)"),
        ((X.astype(str), Y), "the input holds texts, not numbers; encode it as float32 or float64 first"),
        ((X, ["a"] * 12), "the target holds texts, not numbers"),
        ((X, np.c_[Y, Y]), "squared_error: the target has shape (n, 2), the output (n, 1); they must be equal"),
    ],
)
def test_bad_rows(data: Any, message: str) -> None:
    with pytest.raises(ChainruleError) as error:
        fit(data)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ((X, np.arange(12)), "the validation y has shape (12,) of int64, the training y (12,) of float64"),
        ((X[:, :2], Y), "the validation X has shape (12, 2) of float64, the training X (12, 3) of float64"),
        ((X, Y[:, None]), "the validation y has shape (12, 1)"),
        ((changed(X, (1, 1), np.nan), Y), "the validation X has nan at row 2, column 2"),
        ((X[:0], Y[:0]), "the validation data has no rows"),
        ((X, Y[:3]), "the validation X has 12 rows and y has 3"),
        (X, "the validation data must be (X, y)"),
    ],
)
def test_bad_validation_rows(held: Any, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        fit((X, Y), validation=held)
    assert message in str(error.value)


def test_validation_too_large_for_float32_is_named() -> None:
    with pytest.raises(TrainingError, match="the validation X has inf at row 1, column 2"):
        fit((X.astype("f4"), Y), validation=(changed(X, (0, 1), 1e39), Y))


def test_lists_whole_numbers_and_float32() -> None:
    assert bits(fit((X.tolist(), Y.tolist())).parameters) == bits(fit((X, Y)).parameters)
    whole = fit((np.arange(24).reshape(12, 2), np.arange(12)))
    assert {v.dtype.str for v in whole.parameters.values()} == {"<f8"}
    small = fit((X.astype(np.float32), Y), validation=(X, Y))
    assert {v.dtype.str for v in small.parameters.values()} == {"<f4"}
    assert small.predict(X).dtype == np.float32
    assert {np.asarray(v).dtype.str for v in flatten(small.at(3).optimizer)[0]} == {"<f4", "<u4"}
    np.testing.assert_allclose(small.predict(X), fit((X, Y)).predict(X), rtol=0, atol=1e-4)


def test_the_callers_arrays_are_not_changed() -> None:
    x, y, weight = X.copy(), Y.copy(), np.linspace(0, 1, 12)
    for array in (x, y, weight):
        array.setflags(write=False)
    fit((x, y, weight), validation=(x, y))


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be a whole number of at least 1"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"epochs": True}, "epochs is True"),
        ({"batch_size": 0}, "batch_size is 0; it must be a whole number of at least 1, or 'all'"),
        ({"batch_size": "full"}, "batch_size is 'full'; it must be a whole number of at least 1, or 'all'"),
        ({"tile_rows": -1}, "tile_rows is -1"),
        ({"patience": 0, "validation": (X, Y)}, "patience is 0"),
        ({"patience": 3}, "patience needs validation rows to watch: pass validation=(Xv, yv)"),
        ({"seed": -1}, "a seed is an integer from 0 to 2**64 - 1, not -1"),
        ({"seed": 1.5}, "a seed is an integer"),
        ({"executor": "gpu"}, "there is no executor 'gpu'; there are: native, reference"),
        ({"optimizer": "adam"}, "the optimizer is 'adam'; give one such as cr.learn.Adam(0.001)"),
        ({"settings": {"lr": 0.1}}, "there is no setting 'lr'; there are: learning_rate, beta1, beta2, epsilon"),
        (
            {"settings": {"learning_rate": "high"}},
            "the setting 'learning_rate' is 'high'; it must be a number greater than 0",
        ),
        ({"settings": {"beta1": float("nan")}}, "the setting 'beta1' is nan"),
        ({"settings": {"beta1": True}}, "the setting 'beta1' is True"),
        ({"parameters": [1.0]}, "parameters must be a dict like {'hidden1.weight': W}"),
        (
            {"parameters": {"w": 1.0}},
            "the network has no parameter 'w'; it has: hidden1.weight, hidden1.bias, output.weight",
        ),
        ({"parameters": {"hidden1.bias": [1.0]}}, "'hidden1.bias' is given with shape (1,); the network needs (4,)"),
        (
            {"parameters": {"hidden1.bias": [1, 2, 3, np.nan]}},
            "the first value of the parameter hidden1.bias is not finite",
        ),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ChainruleError) as error:
        fit((X, Y), **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: cr.fit(objective().network, (X, Y)),
            "fit takes an objective first: cr.fit(cr.Objective(network, loss=",
        ),
        (lambda: cr.Objective(3, "squared_error"), "3 is not a network"),
        (lambda: cr.fit(cr.Objective(lambda p, x: x, "squared_error"), (X, X)), "a plain function has no initialize"),
        (
            lambda: cr.fit(cr.Objective(lambda p, x: 3.0, "squared_error"), (X, Y), parameters={"w": 1.0}),
            "the network must return one array with one row for each row of its input",
        ),
        (
            lambda: cr.fit(
                cr.Objective(lambda p, x: x @ p, "squared_error"), (X, Y), parameters=np.full((3, 1), np.nan)
            ),
            "the first value of the parameter value is not finite",
        ),
    ],
)
def test_bad_objectives(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ChainruleError) as error:
        call()
    assert message in str(error.value)


def test_two_settings_of_one_name() -> None:
    """A bare layer's settings have no prefix: batch normalization's momentum must not become the optimizer's."""
    bare = cr.Objective(cr.nn.BatchNorm(), "squared_error")
    with pytest.raises(TrainingError, match=r"both have a setting 'momentum'; put the layer into cr\.nn\.Sequential"):
        cr.fit(bare, (X, X), optimizer=cr.learn.SGD(0.1, momentum=0.9))
    run = cr.fit(
        cr.Objective(cr.nn.Sequential(cr.nn.BatchNorm()), "squared_error"),
        (X, X),
        optimizer=cr.learn.SGD(0.1, momentum=0.9),
        epochs=1,
    )
    assert run.settings == {"norm1.momentum": 0.1, "learning_rate": 0.1, "momentum": 0.9}


def test_some_parameters_given_and_the_others_at_random() -> None:
    given = np.full((3, 4), 0.5)
    run = fit((X, Y), parameters={"hidden1.weight": given}, seed=4)
    first = run.at(0).parameters
    assert np.array_equal(first["hidden1.weight"], given)
    assert np.array_equal(first["output.weight"], objective().network.initialize(X, seed=4)["output.weight"])
    given += 1
    assert np.array_equal(run.at(0).parameters["hidden1.weight"], np.full((3, 4), 0.5))


def test_an_objective_prints_what_it_is() -> None:
    text = str(objective())
    assert "minimize over θ" in text
    assert "squared_error: Σ (target − output)², for each row" in text
    assert "a1  hidden1: Dense" in text
