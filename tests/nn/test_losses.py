"""Losses: right far out, one number a row, and never n × n."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError, TrainingError, TypeMismatch
from chainrule.graph import Rows, Type
from chainrule.nn import LOSSES, get_loss

RNG = np.random.default_rng(1)
FAR = np.array([-1e4, -745.2, -40.0, -1.0, -1e-9, 0.0, 1e-9, 0.5, 37.0, 709.8, 1e4])


def number(x: float) -> Decimal:
    return Decimal(float(x))


def near(found: float, exact: Decimal, size: Any) -> bool:
    """Within two roundings of a number of the given size."""
    return abs(number(found) - exact) <= Decimal("4.5e-16") * abs(Decimal(size)) + Decimal("1e-300")


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("logit", FAR)
def test_binary_cross_entropy_far_out(target: float, logit: float) -> None:
    def loss(z: Any) -> Any:
        return np.sum(cr.nn.binary_cross_entropy(np.array([target]), z))

    value, gradient = cr.value_and_grad(loss)(np.array([logit]))
    with localcontext(prec=60):
        z, t = number(logit), number(target)
        below = (-abs(z)).exp()
        exact = max(z, Decimal(0)) + (1 + below).ln() - t * z
        slope = (1 if z > 0 else below) / (1 + below) - t
        # log(1 + eᶻ) − t·z is a difference of two numbers of the size of z.
        assert near(float(value), exact, max(abs(z), exact))
        assert near(float(gradient[0]), slope, 1)


@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize(
    "logits", [(1e4, -1e4, 0.0), (-1e4, 1e4, 9999.0), (1e4, 1e4, 1e4), (0.1, -2.0, 0.7), (-800.0, 0.0, 800.0)]
)
def test_softmax_cross_entropy_far_out(label: int, logits: tuple[float, ...]) -> None:
    def loss(z: Any) -> Any:
        return np.sum(cr.nn.softmax_cross_entropy(np.array([label]), z))

    value, gradient = cr.value_and_grad(loss)(np.array([logits]))
    with localcontext(prec=60):
        z = [number(v) for v in logits]
        powers = [(v - max(z)).exp() for v in z]
        total = sum(powers)
        exact = total.ln() + max(z) - z[label]
        assert near(float(value), exact, exact)
        for i, power in enumerate(powers):
            assert near(float(gradient[0, i]), power / total - (i == label), 1)


def test_float32_far_out_is_finite() -> None:
    z = np.array([[1e4, -1e4]], np.float32)
    for loss, target in (("binary_cross_entropy", [[0.0, 1.0]]), ("softmax_cross_entropy", [1])):
        rows = get_loss(loss).rows
        value, gradient = cr.value_and_grad(lambda z, r=rows, t=target: np.sum(r(np.array(t), z)))(z)
        assert value.dtype == gradient.dtype == np.float32
        assert value == 2e4
        assert np.abs(gradient).tolist() == [[1.0, 1.0]]


def test_squared_errors_sum_over_outputs_and_average_over_rows() -> None:
    target, output = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
    rows = ((target - output) ** 2).sum(axis=1)
    np.testing.assert_allclose(cr.nn.squared_error(target, output), rows, rtol=1e-14)
    np.testing.assert_allclose(cr.nn.half_squared_error(target, output), rows / 2, rtol=1e-14)
    objective = cr.Objective(lambda p, x: x * p, "half_squared_error")
    assert float(objective(1.0, (output, target))) == pytest.approx(rows.mean() / 2, rel=1e-14)
    weights = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    assert float(objective(1.0, (output, target, weights))) == pytest.approx(
        (rows * weights).sum() / weights.sum() / 2, rel=1e-14
    )  # as with weights of mean 1


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str) -> None:
    target = RNG.uniform(0, 1, size=(5, 3))
    target /= target.sum(axis=1, keepdims=True)
    target = np.round(target) if "hinge" in name else target
    assert cr.check_grad(lambda z: np.sum(LOSSES[name].rows(target, z)), RNG.normal(size=(5, 3)), tolerance=1e-8)


def test_class_numbers_equal_columns() -> None:
    labels, z = np.array([2, 0, 1, 1]), RNG.normal(size=(4, 3))
    columns = np.eye(3)[labels]
    np.testing.assert_array_equal(cr.nn.softmax_cross_entropy(labels, z), cr.nn.softmax_cross_entropy(columns, z))
    by_hand = np.log(np.exp(z).sum(axis=1)) - z[np.arange(4), labels]
    np.testing.assert_allclose(cr.nn.softmax_cross_entropy(labels, z), by_hand, rtol=1e-13)
    traced = cr.make_graph(cr.nn.softmax_cross_entropy, labels, z)
    np.testing.assert_allclose(cr.execute.REFERENCE.run(traced, [labels, z])[0], by_hand, rtol=1e-13)


def test_binary_cross_entropy_is_softmax_over_two() -> None:
    z, t = RNG.normal(size=6), np.array([0, 1, 1, 0, 1, 0])
    two = np.stack([np.zeros(6), z], axis=1)
    np.testing.assert_allclose(cr.nn.binary_cross_entropy(t, z), cr.nn.softmax_cross_entropy(t, two), rtol=1e-13)


@pytest.mark.parametrize("name", ["half_squared_error", "squared_error", "binary_cross_entropy"])
def test_a_column_and_a_line_do_not_become_a_square(name: str) -> None:
    loss = LOSSES[name].rows
    target, output = RNG.uniform(size=5), RNG.normal(size=(5, 1))
    right = loss(target[:, None], output)
    assert right.shape == (5,)
    np.testing.assert_array_equal(loss(target, output), right)
    np.testing.assert_array_equal(loss(target[:, None], output[:, 0]), right)
    graph = cr.make_graph(loss, Type("f64", (Rows(1),)), Type("f64", (Rows(1), 1)))
    assert graph.outputs[0].type == Type("f64", (Rows(1),))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 4), (5, 3, 1)])
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, ...]) -> None:
    target: Any = np.zeros(shape)
    if name in ("softmax_cross_entropy", "hinge", "squared_hinge") and shape == (5,):
        return  # class numbers
    with pytest.raises(TypeMismatch, match=rf"{name}: the target has shape \(5.*the output \(5, 3\)"):
        LOSSES[name].rows(target, np.zeros((5, 3)))


def linear() -> Any:
    return cr.nn.Sequential(cr.nn.Dense(3))


X = RNG.normal(size=(5, 4))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 2, 3, 0], "softmax_cross_entropy: the target of row 4 is 3; targets must be 0 to 2"),
        ([0, -1, 2, 3, 0], "softmax_cross_entropy: the target of row 2 is -1"),
        (
            [0.0, 1.0, 2.0, 0.0, 0.0],
            "takes class numbers (integers 0 to 2) or one column a class; the targets are float64",
        ),
        (np.full((5, 3), 1.5), "the target of row 1 is [1.5 1.5 1.5]; targets must be from 0 to 1"),
    ],
)
def test_class_targets_out_of_range(y: Any, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        cr.fit(cr.Objective(linear(), "softmax_cross_entropy"), (X, np.array(y)), epochs=1)
    assert message in str(error.value)


def test_binary_targets_out_of_range() -> None:
    objective = cr.Objective(cr.nn.Sequential(cr.nn.Dense(1)), "binary_cross_entropy")
    with pytest.raises(
        TrainingError, match="binary_cross_entropy: the target of row 3 is 2; targets must be from 0 to 1"
    ):
        cr.fit(objective, (X, np.array([0, 1, 2, 0, 1])), epochs=1)
    run = cr.fit(objective, (X, np.array([True, False, True, False, True])), epochs=1)
    assert run.status == "done"


def test_the_row_that_is_named_is_the_callers() -> None:
    """Rows of weight 0 are left out; they may hold anything, and the others keep their numbers."""
    objective = cr.Objective(linear(), "softmax_cross_entropy")
    y = np.array([-1, 0, 1, 7, 2])
    with pytest.raises(TrainingError, match="the target of row 4 is 7"):
        cr.fit(objective, (X, y, np.array([0.0, 1.0, 1.0, 1.0, 1.0])), epochs=1)
    assert cr.fit(objective, (X, y, np.array([0.0, 1.0, 1.0, 0.0, 1.0])), epochs=1).status == "done"


def test_targets_of_the_validation_are_checked() -> None:
    objective = cr.Objective(linear(), "softmax_cross_entropy")
    good = np.array([0, 1, 2, 1, 0])
    with pytest.raises(TrainingError, match="the target of row 5 is 3"):
        cr.fit(objective, (X, good), validation=(X, np.array([0, 1, 2, 1, 3])), epochs=1)


# --- one's own --------------------------------------------------------------------------------------------------------


def absolute_error(target: Any, output: Any) -> Any:
    return np.mean(np.abs(target - output), axis=1)


@pytest.mark.parametrize(
    "loss",
    [absolute_error, lambda target, output: np.abs(target - output) / 3],
    ids=["one number a row", "one number an output, which are summed"],
)
def test_a_loss_of_ones_own(loss: Callable[..., Any]) -> None:
    objective = cr.Objective(linear(), loss)
    p = linear().initialize(X)
    y = RNG.normal(size=(5, 3))
    by_hand = np.abs(y - linear()(p, X)).mean()
    assert float(objective(p, (X, y))) == pytest.approx(by_hand, rel=1e-14)
    assert cr.check_grad(lambda p: objective(p, (X, y)), p)
    run = cr.fit(objective, (X, y), optimizer=cr.learn.SGD(0.01), epochs=1, parameters=p)
    assert run.history[0]["loss"] == pytest.approx(by_hand, rel=1e-14)


def test_the_name_of_ones_own() -> None:
    assert get_loss(absolute_error).name == "absolute_error"
    assert get_loss(absolute_error).formula == "absolute_error(target, output)"
    assert get_loss(get_loss("squared_error")) is LOSSES["squared_error"]
    with pytest.raises(TraceError, match="there is no loss 'squared_eror'; did you mean 'squared_error'"):
        get_loss("squared_eror")


def own_cases() -> list[Callable[[Any], Any]]:
    p, y = linear().initialize(X), RNG.normal(size=(5, 3))
    return [
        lambda objective: objective(p, (X, y)),
        lambda objective: cr.grad(objective)(p, (X, y)),
        lambda objective: cr.fit(objective, (X, y), epochs=1),
    ]


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize(
    "loss",
    [lambda t, o: np.mean((t - o) ** 2), lambda t, o: np.mean((t - o) ** 2, axis=0), lambda t, o: 3.0],
    ids=["scalar", "one a column", "a number"],
)
def test_a_loss_that_does_not_return_rows(loss: Callable[..., Any], way: int) -> None:
    with pytest.raises(TraceError) as error:
        own_cases()[way](cr.Objective(linear(), loss))
    assert "it must return one number a row" in str(error.value)
    assert "right:  lambda target, output: np.mean((target - output) ** 2, axis=1)" in str(error.value)


def test_nor_a_square_that_is_averaged_again() -> None:
    """(n,) − (n, 1) is rows by rows; its mean over an axis is one number a row, and trained on without a word."""
    network, data = cr.nn.Sequential(cr.nn.Dense(1)), (X, np.arange(5.0).reshape(-1, 1))
    for loss in (
        lambda t, o: np.mean((t[:, 0] - o) ** 2, axis=1),
        lambda t, o: np.sum(np.abs(np.log1p(t * t) - np.sum(o, axis=1)), axis=1),
    ):
        with pytest.raises(TraceError, match=r"puts \(n,\) and \(n, 1\) together, at .*test_losses.py") as error:
            cr.fit(cr.Objective(network, loss), data, epochs=1)
        assert "x[:, None] - x[None, :]" in str(error.value)
    pairs = cr.Objective(network, lambda t, o: np.mean((t[:, 0][:, None] - o[:, 0][None, :]) ** 2, axis=1))
    assert cr.fit(pairs, data, epochs=1).status == "done"


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize(
    ("loss", "what"),
    [(lambda t, o: (o > 0) != (t > 0), "truth values"), (lambda t, o: np.argmax(o, axis=1), "whole numbers")],
    ids=["bool", "int"],
)
def test_a_loss_that_returns_no_floats(loss: Callable[..., Any], what: str, way: int) -> None:
    """The error was one of a product within."""
    with pytest.raises(TraceError, match=f"returned {what}; they have no derivative"):
        own_cases()[way](cr.Objective(linear(), loss))


NO_SLOPE: dict[str, Callable[..., Any]] = {
    "counted": lambda t, o: np.mean(((o > 0) != (t > 0)).astype(float), axis=1),
    "rounded": lambda t, o: np.sum((t - np.round(o)) ** 2, axis=1),
    "sign": lambda t, o: np.sum((t - np.sign(o)) ** 2, axis=1),
    "without the output": lambda t, o: np.sum(t**2, axis=1),
}


@pytest.mark.filterwarnings("ignore:the loss does not depend on the size")  # which is so
@pytest.mark.parametrize("loss", NO_SLOPE.values(), ids=NO_SLOPE)
def test_a_loss_that_no_step_can_lower_is_refused(loss: Callable[..., Any]) -> None:
    """It was trained to the end, and nothing was said."""
    data = X, RNG.normal(size=(5, 3))
    with pytest.raises(TraceError, match=r"the loss <lambda> has the derivative 0 by every parameter that is trained"):
        cr.fit(cr.Objective(linear(), loss), data, epochs=1)
    run = cr.fit(cr.Objective(linear(), loss, penalty=[cr.constrain.SquaredL2()]), data, epochs=1)
    assert run.status == "done"  # a penalty can be lowered


@pytest.mark.parametrize("traced", [True, False])
def test_a_loss_of_ones_own_cannot_make_a_square_either(traced: bool) -> None:
    network = cr.nn.Sequential(cr.nn.Dense(1))
    objective = cr.Objective(network, lambda target, output: target * np.sum(output, axis=1))
    data = X, np.arange(5.0)
    call = (lambda: cr.fit(objective, data)) if traced else (lambda: objective(network.initialize(X), data))
    with pytest.raises(TraceError, match="returned a table of rows by rows") as error:
        call()
    assert "right:  lambda target, output: np.sum(target * output, axis=1)" in str(error.value)
