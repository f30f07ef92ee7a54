"""Losses with numbers, of numbers, of counts and of margins: against 60 digits far out, their kinks, their targets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ModelFileError, TraceError, TrainingError
from chainrule.nn import LOSSES, losses

RNG = np.random.default_rng(5)
FAR = (-1e4, -745.2, -40.0, -1.0, -0.3, -1e-9, 0.0, 1e-9, 0.3, 0.5, 37.0, 88.0, 1e4)
ONE, TWO, HALF = Decimal(1), Decimal(2), Decimal("0.5")


def tanh(d: Decimal) -> Decimal:
    small = (-2 * abs(d)).exp()
    return (ONE - small) / (ONE + small) * (1 if d >= 0 else -1)


def log1p_exp(z: Decimal) -> Decimal:
    return max(z, Decimal(0)) + (ONE + (-abs(z)).exp()).ln()


def sigmoid(z: Decimal) -> Decimal:
    small = (-abs(z)).exp()
    return (ONE if z >= 0 else small) / (ONE + small)


def log_cosh(t: Decimal, z: Decimal) -> tuple[Decimal, Decimal]:
    size = abs(z - t)
    return log1p_exp(2 * size) - size - TWO.ln(), tanh(z - t)


Exact = Callable[[Decimal, Decimal], tuple[Decimal, Decimal]]


def huber(delta: str) -> Exact:
    limit = Decimal(delta)

    def exact(t: Decimal, z: Decimal) -> tuple[Decimal, Decimal]:
        d = z - t
        return (HALF * d * d, d) if abs(d) <= limit else (limit * (abs(d) - HALF * limit), limit if d > 0 else -limit)

    return exact


def pinball(q: str) -> Exact:
    share = Decimal(q)

    def exact(t: Decimal, z: Decimal) -> tuple[Decimal, Decimal]:
        d = t - z
        return max(share * d, (share - 1) * d), -share if d > 0 else 1 - share if d < 0 else Decimal(0)

    return exact


def smoothed(s: str) -> Exact:
    share = Decimal(s)

    def exact(t: Decimal, z: Decimal) -> tuple[Decimal, Decimal]:
        moved = t * (1 - share) + share / 2
        return log1p_exp(z) - moved * z, sigmoid(z) - moved

    return exact


def margin(t: Decimal, z: Decimal) -> tuple[Decimal, Decimal]:
    s = 1 if t == 1 else -1
    missing = 1 - s * z
    return (missing, Decimal(-s)) if missing > 0 else (Decimal(0), Decimal(0))


def squared_margin(t: Decimal, z: Decimal) -> tuple[Decimal, Decimal]:
    value, slope = margin(t, z)
    return value * value, 2 * value * slope


CASES: dict[str, tuple[Any, Exact, tuple[float, ...]]] = {
    "half_squared_error": (losses.HalfSquaredError(), lambda t, z: (HALF * (z - t) ** 2, z - t), (0.0, 1.5, -2e3)),
    "squared_error": (losses.SquaredError(), lambda t, z: ((z - t) ** 2, 2 * (z - t)), (0.0, 1.5, -2e3)),
    "absolute_error": (
        losses.AbsoluteError(), lambda t, z: (abs(z - t), Decimal((z > t) - (z < t))), (0.0, 0.5, -2e3)
    ),
    "huber": (losses.Huber(), huber("1"), (0.0, 1.5, -2e3)),
    "huber of 0.25": (losses.Huber(0.25), huber("0.25"), (0.0, 0.5, 37.0)),
    "log_cosh": (losses.LogCosh(), log_cosh, (0.0, 0.25)),
    "quantile": (losses.Quantile(), pinball("0.5"), (0.0, 0.5)),
    "quantile of 0.875": (losses.Quantile(0.875), pinball("0.875"), (0.0, 0.5, -2e3)),
    "poisson": (losses.Poisson(), lambda t, z: (z.exp() - t * z, z.exp() - t), (0.0, 1.0, 7.0)),
    "binary_cross_entropy": (losses.BinaryCrossEntropy(), smoothed("0"), (0.0, 1.0, 0.25)),
    "binary_cross_entropy, smooth": (losses.BinaryCrossEntropy(0.125), smoothed("0.125"), (0.0, 1.0, 0.25)),
    "hinge": (losses.Hinge(), margin, (0.0, 1.0)),
    "squared_hinge": (losses.SquaredHinge(), squared_margin, (0.0, 1.0)),
}  # fmt: skip


def test_every_loss_is_here() -> None:
    assert {type(loss) for loss in LOSSES.values()} == {type(c[0]) for c in CASES.values()} | {
        losses.SoftmaxCrossEntropy
    }


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_far_out(name: str, dtype: Any, executor: str) -> None:
    """Within a few roundings of the largest number that the result is the difference of."""
    loss, exact, targets = CASES[name]
    t, z = (a.astype(dtype).ravel() for a in np.meshgrid(targets, FAR))
    if name == "poisson":
        t, z = t[z < 80], z[z < 80]

    def both(t: Any, z: Any) -> Any:
        return {"rows": loss.rows(t, z), "slope": cr.grad(lambda z: np.sum(loss.rows(t, z)))(z)}

    found = cr.compile(both, executor=executor)(t, z)
    assert found["rows"].dtype == found["slope"].dtype == dtype
    roundings, tiny = Decimal(float(8 * np.finfo(dtype).eps)), Decimal("1e-37" if dtype == np.float32 else "1e-300")
    differs = name == "poisson" or "entropy" in name  # the value is a difference of two numbers, and so is the slope
    for i, (target, output) in enumerate(zip(t, z, strict=True)):
        with localcontext(prec=60):
            a, b = Decimal(float(target)), Decimal(float(output))
            value, slope = exact(a, b)
            size = max(abs(value), abs(a * b)) if differs else abs(value)
            assert abs(Decimal(float(found["rows"][i])) - value) <= roundings * size + tiny
            size = max(abs(slope), ONE) if differs else abs(slope)
            assert abs(Decimal(float(found["slope"][i])) - slope) <= roundings * size + tiny


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_poisson_beyond_the_largest_float_is_infinite_and_stops_a_run(dtype: Any) -> None:
    assert np.isinf(losses.poisson(np.array([1.0], dtype), np.array([1e4], dtype))).all()
    x, y = np.full((4, 1), 1e4, dtype), np.ones(4)
    run = cr.fit(cr.Objective(cr.nn.Dense(1, initializer="ones"), "poisson"), (x, y), epochs=1)
    assert run.status == "non-finite"
    assert "infinite" in run.message


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_softmax_with_smoothing_far_out(smoothing: float, dtype: Any) -> None:
    z = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 9999.0], [0.1, -2.0, 0.7], [-800.0, 0.0, 800.0]], dtype)
    labels = np.array([1, 0, 2, 0])
    loss = losses.SoftmaxCrossEntropy(smoothing)
    rows = loss.rows(labels, z)
    gradient = cr.grad(lambda z: np.sum(loss.rows(labels, z)))(z)
    eps = float(np.finfo(dtype).eps)
    for i, label in enumerate(labels):
        with localcontext(prec=60):
            line = [Decimal(float(v)) for v in z[i]]
            powers = [(v - max(line)).exp() for v in line]
            total = sum(powers)
            logs = [v - max(line) - total.ln() for v in line]
            share = Decimal(smoothing)
            target = [(1 - share) * (k == label) + share / 3 for k in range(3)]
            value = -sum(t * v for t, v in zip(target, logs, strict=True))
            assert abs(Decimal(float(rows[i])) - value) <= Decimal(8 * eps) * max(value, ONE)
            for k in range(3):
                assert abs(Decimal(float(gradient[i, k])) - (powers[k] / total - target[k])) <= Decimal(8 * eps)


def test_label_smoothing_is_what_scikit_and_torch_call_so() -> None:
    """t (1 − s) + s/K, spelled out."""
    z, labels = RNG.normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
    smooth = np.eye(4)[labels] * 0.8 + 0.2 / 4
    expected = losses.softmax_cross_entropy(smooth, z)
    np.testing.assert_allclose(losses.SoftmaxCrossEntropy(0.2).rows(labels, z), expected, rtol=1e-14)
    np.testing.assert_allclose(losses.SoftmaxCrossEntropy(0.2).rows(np.eye(4)[labels], z), expected, rtol=1e-14)


def test_hinge_of_several_classes() -> None:
    z, labels = RNG.normal(size=(50, 4)) * 2, RNG.integers(0, 4, 50)
    right = z[np.arange(50), labels]
    others = np.where(np.eye(4, dtype=bool)[labels], -np.inf, z).max(axis=1)
    missing = np.maximum(0, 1 + others - right)
    np.testing.assert_allclose(losses.hinge(labels, z), missing, rtol=1e-14)
    np.testing.assert_allclose(losses.squared_hinge(labels, z), missing**2, rtol=1e-14)
    assert 5 < np.count_nonzero(missing) < 50
    assert cr.check_grad(lambda z: np.sum(losses.hinge(labels, z)), z)
    far = cr.grad(lambda z: np.sum(losses.hinge(labels, z)))(z * 1e4)
    assert set(np.unique(far)) <= {-1.0, 0.0, 1.0}


def test_log_cosh_keeps_its_digits_near_zero() -> None:
    d = np.array([1e-150, 1e-9, 1e-4, 0.1, 0.49, 0.51])
    rows = losses.log_cosh(np.zeros(6), d)
    with localcontext(prec=400):
        exact = [float(((Decimal(float(v)).exp() + (-Decimal(float(v))).exp()) / 2).ln()) for v in d]
    np.testing.assert_allclose(rows, exact, rtol=1e-14)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_best_constant_is_the_quantile(q: float) -> None:
    y = RNG.exponential(size=501)
    network = cr.nn.Sequential(cr.nn.Lambda(lambda x: x * 0.0), cr.nn.Dense(1))
    run = cr.fit(
        cr.Objective(network, losses.Quantile(q)), (np.ones((501, 1)), y), epochs=400, batch_size="all",
        optimizer=cr.learn.Adam(cr.learn.Cosine(0.05)),
    )  # fmt: skip
    below = float(np.mean(y < run.predict(np.ones((1, 1)))[0, 0]))
    assert abs(below - q) < 0.01


@pytest.mark.parametrize("name", LOSSES)
def test_rows_of_weight_zero_never_enter(name: str) -> None:
    """Whatever they hold: neither the value nor the gradient of an objective has anything of them, nor has a run."""
    x, y = RNG.normal(size=(6, 3)), np.array([0, 1, 0, 1, 1, 0])
    units = 2 if name == "softmax_cross_entropy" else 1
    network = cr.nn.Sequential(cr.nn.Dense(units))
    objective = cr.Objective(network, name)
    p = network.initialize(x)
    weight = np.array([1.0, 0.0, 2.0, 1.0, 0.0, 1.0])
    bad = x.copy()
    bad[1], bad[4] = np.inf, np.nan
    bad_y = y.astype(float) if units == 1 else y.copy()
    bad_y[1] = np.nan if units == 1 else 7
    value, gradient = cr.value_and_grad(objective)(p, (x, y, weight))
    again, same = cr.value_and_grad(objective)(p, (bad, bad_y, weight))
    assert value == again
    assert np.isfinite(value)
    assert {k: v.tobytes() for k, v in gradient.items()} == {k: v.tobytes() for k, v in same.items()}
    kept = weight > 0
    runs = [
        cr.fit(objective, data, epochs=3, shuffle=False, batch_size="all")
        for data in ((bad, bad_y, weight), (x[kept], y[kept], weight[kept]))
    ]
    for key, found in runs[0].parameters.items():
        np.testing.assert_allclose(found, runs[1].parameters[key], rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_counts_as_that_many_rows(name: str) -> None:
    x, y = RNG.normal(size=(4, 3)), np.array([0, 1, 0, 1])
    network = cr.nn.Sequential(cr.nn.Dense(2 if name == "softmax_cross_entropy" else 1))
    objective, p = cr.Objective(network, name), network.initialize(x)
    weight = np.array([1.0, 2.0, 3.0, 2.0])
    each = np.repeat(np.arange(4), weight.astype(int))
    assert float(objective(p, (x, y, weight))) * 4 == pytest.approx(
        float(objective(p, (x[each], y[each]))) * 8, rel=1e-13
    )


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("poisson", [0, 3, -1], "poisson: the target of row 3 is -1; targets must be counts: numbers of at least 0"),
        ("hinge", [0, 1, 2], "hinge: the target of row 3 is 2; targets must be the classes 0 and 1"),
        (
            "squared_hinge",
            [1, -1, 1],
            "the target of row 2 is -1; targets must be the classes 0 and 1; of -1 and 1 make them",
        ),
        ("hinge", [[0, 1], [1, 1], [0, 0.5]], "hinge: the target of row 3 is [0.  0.5]"),
        (losses.BinaryCrossEntropy(0.1), [0, 1, 2], "binary_cross_entropy: the target of row 3 is 2"),
    ],
)
def test_targets_that_are_refused(loss: Any, y: Any, message: str) -> None:
    target = np.array(y)
    network = cr.nn.Sequential(cr.nn.Dense(target.shape[1] if target.ndim > 1 else 1))
    with pytest.raises(TrainingError) as error:
        cr.fit(cr.Objective(network, loss), (np.ones((3, 2)), target), epochs=1)
    assert message in str(error.value)


def test_class_numbers_of_hinge_are_checked() -> None:
    objective = cr.Objective(cr.nn.Sequential(cr.nn.Dense(3)), "hinge")
    with pytest.raises(TrainingError, match="hinge: the target of row 2 is 3; targets must be 0 to 2"):
        cr.fit(objective, (np.ones((2, 2)), np.array([0, 3])), epochs=1)
    with pytest.raises(TrainingError, match=r"hinge takes class numbers .* the targets are float64"):
        cr.fit(objective, (np.ones((2, 2)), np.array([0.0, 1.0])), epochs=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.Huber(0.0), "huber: delta is 0.0; it must be a number greater than 0"),
        (lambda: losses.Huber("wide"), "huber: delta is 'wide'"),
        (lambda: losses.Quantile(1.0), "quantile: q is 1.0; it must be a number between 0 and 1, without them"),
        (lambda: losses.SoftmaxCrossEntropy(1.0), "softmax_cross_entropy: smoothing is 1.0; it must be a number of"),
        (lambda: losses.BinaryCrossEntropy(float("nan")), "binary_cross_entropy: smoothing is nan"),
        (lambda: cr.nn.get_loss(losses.Huber), "the loss is the class Huber; make one of it: cr.nn.losses.Huber()"),
        (lambda: cr.nn.get_loss("hubber"), "there is no loss 'hubber'; did you mean 'huber'?"),
    ],
)  # fmt: skip
def test_losses_that_cannot_be(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TraceError) as error:
        make()
    assert message in str(error.value)


def test_the_link_makes_predictions() -> None:
    x, y = RNG.normal(size=(20, 2)), RNG.poisson(2.0, 20)
    run = cr.fit(cr.Objective(cr.nn.Sequential(cr.nn.Dense(1)), "poisson"), (x, y), epochs=2)
    np.testing.assert_allclose(run.predict(x), np.exp(run.output(x)), rtol=1e-12)
    run = cr.fit(cr.Objective(cr.nn.Sequential(cr.nn.Dense(1)), "hinge"), (x, (y > 2).astype(int)), epochs=2)
    np.testing.assert_array_equal(run.predict(x), run.output(x))


@pytest.mark.parametrize("name", CASES)
def test_a_model_file_keeps_the_numbers(name: str, tmp_path: Path) -> None:
    loss = CASES[name][0]
    run = cr.fit(cr.Objective(cr.nn.Sequential(cr.nn.Dense(1)), loss), (np.ones((4, 2)), np.ones(4)), epochs=1)
    run.save(tmp_path / "m")
    model = cr.load(tmp_path / "m")
    assert model.objective.loss == loss
    assert model.loss == loss.name
    cr.save(model, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("huber", {}), ("huber", {"delta": -1.0}), ("huber", {"delta": 1.0, "more": 2.0}), ("huber", 3), ("hubber", {})],
)
def test_foreign_losses_are_refused(name: str, numbers: Any) -> None:
    with pytest.raises(ModelFileError, match="loss"):
        cr.nn.loss_from(name, numbers)


def test_a_loss_prints_its_numbers() -> None:
    assert str(losses.Huber(0.5)) == "huber(delta=0.5)"
    assert str(losses.SquaredError()) == "squared_error"
    assert repr(losses.SoftmaxCrossEntropy(0.1)) == "SoftmaxCrossEntropy(smoothing=0.1)"
    text = str(cr.Objective(cr.nn.Dense(1), losses.Huber(0.5)))
    assert "loss              huber(delta=0.5): Σ ½d² where |d| ≤ δ" in text
