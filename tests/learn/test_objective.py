"""The objective called by itself: it is what ``fit`` makes small, and takes only what ``fit`` takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ExecutionError, TrainingError
from chainrule.nn import losses

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 3))
W = RNG.normal(size=(3, 3))
ONE = W[:, :1]
SCORES = np.zeros((2, 3))


def linear(loss: Any) -> cr.Objective:
    return cr.Objective(lambda w, x: x @ w, loss)


BAD = [
    ("softmax_cross_entropy", W, [0, 3, 1, 2], "row 2 is 3; targets must be 0 to 2"),
    ("softmax_cross_entropy", W, [0, 1, -1, 2], "row 3 is -1; targets must be 0 to 2"),
    ("softmax_cross_entropy", W, [0, 1.5, 1, 2], r"takes class numbers \(integers 0 to 2\) or one column a class"),
    ("hinge", W, [0, 1, 2, 3], "row 4 is 3; targets must be 0 to 2"),
    ("hinge", ONE, [0, 2, 1, 1], "row 2 is 2; targets must be the classes 0 and 1"),
    ("binary_cross_entropy", ONE, [0, 2, 1, 1], "row 2 is 2; targets must be from 0 to 1"),
    ("poisson", ONE, [0.0, 2.0, -1.0, 1.0], "row 3 is -1.0; targets must be counts"),
]


@pytest.mark.parametrize(("loss", "parameters", "target", "message"), BAD)
def test_targets_that_the_loss_cannot_take(loss: str, parameters: Any, target: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        linear(loss)(parameters, (X, np.array(target)))
    with pytest.raises(TrainingError, match=message):
        losses.get_loss(loss).rows(np.array(target), X @ parameters)


def test_a_class_that_does_not_exist_by_itself() -> None:
    with pytest.raises(TrainingError, match="row 1 is 5; targets must be 0 to 2"):
        losses.SoftmaxCrossEntropy().rows(np.array([5]), np.zeros((1, 3)))


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "hinge", "squared_hinge"])
def test_traced_class_numbers_are_checked_when_they_are_computed(loss: str) -> None:
    objective = linear(loss)
    gradient = cr.value_and_grad(objective)
    value, slope = gradient(W, (X, np.array([0, 1, 2, 1])))
    assert value == pytest.approx(float(objective(W, (X, np.array([0, 1, 2, 1])))))
    assert np.any(slope)
    with pytest.raises(ExecutionError, match=rf"the loss {loss} takes whole numbers from 0 to 2: row 2 holds 3"):
        gradient(W, (X, np.array([0, 3, 2, 1])))
    with pytest.raises(ExecutionError, match="row 1 holds -1"):
        gradient(W, (X, np.array([-1, 1, 2, 1], np.int32)))
    with pytest.raises(TrainingError, match="takes class numbers"):
        gradient(W, (X, np.array([0, 1.5, 2, 1])))


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_compiled_class_numbers_are_checked(executor: str) -> None:
    objective = linear("softmax_cross_entropy")
    compiled = cr.compile(lambda w, x, y: objective(w, (x, y)), executor=executor)
    good = np.array([0, 1, 2, 1])
    assert float(compiled(W, X, good)) == pytest.approx(float(objective(W, (X, good))))
    with pytest.raises(ExecutionError, match="softmax_cross_entropy takes whole numbers from 0 to 2: row 2 holds 3"):
        compiled(W, X, np.array([0, 3, 2, 1]))


def test_columns_of_classes_sum_to_one() -> None:
    objective, eye = linear("softmax_cross_entropy"), np.eye(3)[[0, 1, 2, 0]]
    several = eye.copy()
    several[1, 2] = 1.0
    for call in (
        lambda y: objective(W, (X, y)),
        lambda y: cr.fit(objective, (X, y), parameters=W, epochs=1, executor="reference"),
    ):
        call(eye)
        call(eye * 0.9 + 0.1 / 3)
        call(np.full((4, 3), 0.33))
        with pytest.raises(TrainingError, match=r"row 2 is \[0\. 1\. 1\.\]; targets must be shares of classes"):
            call(several)
        with pytest.raises(TrainingError, match="row 1 is"):
            call(np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.array([1.0, -1.0, 1.0, 1.0]), "the sample weight of row 2 is -1.0; weights are finite and not negative"),
        (np.ones((4, 1)), r"the sample weights have shape \(4, 1\); one for each of the 4 rows is needed"),
        (np.ones(3), r"the sample weights have shape \(3,\); one for each of the 4 rows"),
        (np.zeros(4), "all of the sample weights are 0"),
    ],
)
def test_weights_that_are_none(weight: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        linear("squared_error")(ONE, (X, np.ones(4), weight))


@pytest.mark.parametrize("weight", [np.ones((4, 1)), np.ones(3), np.ones(1), np.float64(1.0)])
def test_traced_weights_of_another_shape(weight: Any) -> None:
    with pytest.raises(TrainingError, match=r"the sample weights have shape .*; one for each of the 4 rows is needed"):
        cr.value_and_grad(linear("squared_error"))(ONE, (X, np.ones(4), weight))


def test_a_row_that_does_not_count_may_hold_anything() -> None:
    weight, keep = np.array([1.0, 0.0, 2.0, 1.0]), [0, 2, 3]
    for loss, parameters, target in (
        ("softmax_cross_entropy", W, np.array([0, 9, 2, 1])),
        ("softmax_cross_entropy", W, np.array([[1.0, 0, 0], [7, 7, 7], [0, 1, 0], [0, 0, 1]])),
        ("poisson", ONE, np.array([1.0, np.nan, 2.0, 3.0])),
    ):
        objective = linear(loss)
        found = objective(parameters, (X, target, weight))
        assert found == pytest.approx(objective(parameters, (X[keep], target[keep], weight[keep])), rel=1e-14)
        value, slope = cr.value_and_grad(objective)(parameters, (X, target, weight))
        assert value == pytest.approx(found, rel=1e-14)
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_it_is_what_fit_makes_small(scale: float) -> None:
    """Weights are scaled to mean 1: one step of gradient descent is one step along the objective's own gradient."""
    objective, target = linear("squared_error"), RNG.normal(size=4)
    weight = scale * np.array([1.0, 0.0, 3.0, 0.5])
    value, slope = cr.value_and_grad(objective)(ONE, (X, target, weight))
    run = cr.fit(
        objective, (X, target, weight), parameters=ONE, optimizer=cr.learn.SGD(0.1), epochs=1, batch_size="all"
    )
    assert run.history[0]["loss"] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(run.parameters, ONE - 0.1 * slope, rtol=1e-12)
    assert float(objective(ONE, (X, target, weight))) == pytest.approx(value, rel=1e-12)
    assert value == pytest.approx(float(objective(ONE, (X, target, weight / scale))), rel=1e-12)
