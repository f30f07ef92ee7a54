"""Limits on losses, rates and one's own expressions: their meaning, groups, batches, reports, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import constrain as ct
from chainrule.constrain.reports import wilson
from chainrule.errors import TraceError, TrainingError
from chainrule.learn import SGD

Array = np.ndarray[Any, Any]


def two_groups(count: int, seed: int) -> tuple[Array, Array, Array]:
    """A made-up table: in group b, a fifth of the rows, the label follows other columns, and with more noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    b = rng.random(count) < 0.2
    score = np.where(b, 1.2 * x[:, 2] + 0.4 * x[:, 0], 2.5 * x[:, 0] - x[:, 1])
    y = (rng.random(count) < 1.0 / (1.0 + np.exp(-score))).astype(int)
    return np.column_stack([x, b]), y, b


def logistic(limits: list[Any]) -> Any:
    return cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", subject_to=limits)


def mean_of(run: Any, x: Array, y: Array, mask: Array) -> float:
    z = run.output(x)[:, 0]
    return float(np.mean((np.logaddexp(0.0, z) - y * z)[mask]))


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_a_group_loss_is_limited(executor: str) -> None:
    x, y, b = two_groups(400, 0)
    free = cr.fit(logistic([]), (x, y), method=ct.AcceleratedProjection())
    limit = mean_of(free, x, y, b) - 0.03
    run = cr.fit(
        logistic([ct.mean_loss(group="b") <= limit]), (x, y), groups={"b": b}, method=ct.Lagrangian(0.5, damping=2.0),
        optimizer=SGD(0.2), epochs=2000, batch_size="all", executor=executor,
    )  # fmt: skip
    assert mean_of(run, x, y, b) == pytest.approx(limit, abs=1e-8)
    found = cr.optimality(run)
    assert found.level == "ε-KKT", found
    (multiplier,) = run.multipliers.values()
    assert multiplier > 0.01
    assert list(found.multipliers.values()) == [pytest.approx(multiplier, rel=1e-6)]
    # the same point is a minimum of F + λ · the mean loss of b: rows of b weigh more
    weights = 1.0 + multiplier * b * len(b) / b.sum()
    soft = cr.fit(logistic([]), (x, y, weights), method=ct.AcceleratedProjection(1e-9))
    np.testing.assert_allclose(soft.parameters["weight"], run.parameters["weight"], atol=1e-5)


def test_a_batch_divides_by_the_counts_of_the_whole_data() -> None:
    """Sums of minibatches are unbiased: the mean over an epoch's batches is the value over all rows."""
    x, y, b = two_groups(240, 1)
    still = {"weight": np.full((5, 1), 0.3), "bias": np.zeros(1)}
    options: dict[str, Any] = {"groups": {"a": ~b, "b": b}, "parameters": still, "epochs": 1, "optimizer": SGD(1e-12)}
    difference = ct.mean_loss(group="b") - 0.5 * ct.mean_loss(group="a") + 0.25
    for batch_size in (7, 48, "all"):
        for executor in ("native", "reference"):
            run = cr.fit(
                logistic([difference <= 0.1]), (x, y), method=ct.Lagrangian(1e-9), batch_size=batch_size,
                executor=executor, **options,
            )  # fmt: skip
            truth = mean_of(run, x, y, b) - 0.5 * mean_of(run, x, y, ~b) + 0.25 - 0.1
            # the last batch may be smaller; each batch's mean counts alike, so that only equal batches give the value
            exact = batch_size != 7
            assert run.history[-1]["set1.value"] == pytest.approx(truth, rel=1e-9 if exact else 0.2)


def test_weights_of_rows_and_rows_of_weight_0() -> None:
    x, y, b = two_groups(200, 2)
    weight = np.random.default_rng(3).integers(0, 3, 200).astype(float)
    x[weight == 0] = np.nan
    run = cr.fit(
        logistic([ct.mean_loss(group="b") <= 5.0]), (x, y, weight), groups={"b": b}, method=ct.Lagrangian(),
        epochs=3, batch_size="all",
    )  # fmt: skip
    (value,) = ct.limit_values(run)
    keep = weight > 0
    z = run.output(x[keep])[:, 0]
    losses, w = np.logaddexp(0.0, z) - y[keep] * z, weight[keep] * b[keep]
    assert value.value == pytest.approx(np.sum(losses * w) / np.sum(w), rel=1e-9)


def test_two_sides_and_at_least() -> None:
    x, y, b = two_groups(300, 4)
    rate = ct.selection_rate(group="b")
    for limit, wanted in ((rate >= 0.7, 0.7), (rate <= 0.3, 0.3), (abs(rate - 0.75) <= 0.05, 0.7)):
        run = cr.fit(
            logistic([limit]), (x, y), groups={"b": b}, method=ct.AugmentedLagrangian(2.0), optimizer=SGD(0.3),
            epochs=3000, batch_size="all",
        )  # fmt: skip
        (value,) = ct.limit_values(run)
        assert value.smooth == pytest.approx(wanted, abs=1e-5), limit
        assert cr.optimality(run).level == "ε-KKT", limit
    assert set(next(iter(run.multipliers.values()))) == {"upper", "lower"}
    assert next(iter(run.multipliers.values()))["upper"] == 0.0


def test_an_expression_of_ones_own() -> None:
    x, y, _ = two_groups(200, 5)

    def per_row(parameters: Any, outputs: Any, data: Any) -> Any:
        return np.square(outputs[:, 0])

    def one(parameters: Any, outputs: Any, data: Any) -> Any:
        return np.sum(np.square(outputs[:, 0]) * data.weight) / 200

    def of_parameters(parameters: Any, outputs: Any, data: Any) -> Any:
        return np.sum(np.square(parameters["weight"]))

    options: dict[str, Any] = {"method": ct.Lagrangian(0.05, damping=0.2), "optimizer": SGD(0.2), "epochs": 3000}
    runs = [
        cr.fit(logistic([ct.constraint(f) <= 0.2]), (x, y), batch_size="all", **options) for f in (per_row, one)
    ]  # fmt: skip
    for run in runs:
        assert np.mean(run.output(x)[:, 0] ** 2) == pytest.approx(0.2, abs=1e-7)
    np.testing.assert_allclose(runs[0].parameters["weight"], runs[1].parameters["weight"], atol=1e-9)
    mine = cr.fit(logistic([ct.constraint(of_parameters) <= 0.2]), (x, y), batch_size="all", **options)
    ball = cr.fit(logistic([ct.SquaredL2() <= 0.2]), (x, y), batch_size="all", **options)
    np.testing.assert_allclose(mine.parameters["weight"], ball.parameters["weight"], atol=1e-9)
    assert list(mine.multipliers.values()) == pytest.approx(list(ball.multipliers.values()))
    with pytest.raises(TrainingError, match="returns one number that depends on the rows"):
        cr.fit(logistic([ct.constraint(one) <= 0.2]), (x, y), batch_size=50, **options)
    cr.fit(logistic([ct.constraint(of_parameters) <= 0.2]), (x, y), batch_size=50, **options | {"epochs": 1})
    with pytest.raises(TraceError, match="it must return one number, or one a row"):
        cr.fit(logistic([ct.constraint(lambda p, o, d: o) <= 0.2]), (x, y), **options)


def test_trap_9_a_difference_of_losses_is_not_called_convex() -> None:
    """Even for a linear model: the level stays at ε-KKT, declared convex or not."""
    x, y, b = two_groups(300, 6)
    difference = ct.mean_loss(group="b") - ct.mean_loss(group="a")
    assert (ct.mean_loss(group="b") <= 0.5).convex
    assert not (difference <= 0.05).convex
    assert not (ct.mean_loss(group="b") >= 0.5).convex
    run = cr.fit(
        logistic([difference <= 0.05]), (x, y), groups={"a": ~b, "b": b}, method=ct.Lagrangian(0.5, damping=2.0),
        optimizer=SGD(0.2), epochs=3000, batch_size="all",
    )  # fmt: skip
    for declared in (False, True):
        found = cr.optimality(run, convex=declared)
        assert found.level == "ε-KKT", found
        assert not found.convex
        assert "is not known to be convex" in str(found)
        assert not found.certified


def test_rates_are_of_decisions_and_their_intervals_are_known_ones() -> None:
    x, y, b = two_groups(500, 7)
    limits = [
        ct.error_rate(group="b") <= 0.9, ct.false_positive_rate() <= 0.9, ct.true_positive_rate(group="a") >= 0.1,
        ct.selection_rate(group="a") - ct.selection_rate(group="b") <= 0.9,
    ]  # fmt: skip
    run = cr.fit(
        logistic(limits), (x, y), groups={"a": ~b, "b": b}, method=ct.Lagrangian(), optimizer=SGD(0.5), epochs=50,
        validation=(x, y), validation_groups={"a": ~b, "b": b},
    )  # fmt: skip
    decided = run.output(x)[:, 0] > 0
    values = ct.limit_values(run)
    wanted = [
        np.mean(decided[b] != y[b]), np.mean(decided[y == 0]), np.mean(decided[~b & (y == 1)]),
        np.mean(decided[~b]) - np.mean(decided[b]),
    ]  # fmt: skip
    assert [v.value for v in values] == pytest.approx(wanted)
    assert [v.value for v in cr.optimality(run).held_out] == pytest.approx(wanted)
    assert (values[0].low, values[0].high) == pytest.approx(wilson(wanted[0], b.sum()))
    for value in values:
        assert value.low is not None
        assert value.high is not None
        assert value.low < value.value < value.high


def test_wilson_and_the_interval_of_a_difference() -> None:
    """Against published numbers: Newcombe (1998), 81/263 and, for a difference, 56/70 − 48/80."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    count, hits = (70, 80), (56, 48)
    y = np.concatenate([np.arange(n) < k for n, k in zip(count, hits, strict=True)]).astype(int)
    first = np.arange(150) < 70
    x = np.where(y == 1, 1.0, -1.0)[:, None]
    objective = logistic([ct.selection_rate(group="a") - ct.selection_rate(group="b") <= 1.0])
    run = cr.fit(
        objective, (x, y), groups={"a": first, "b": ~first}, method=ct.Lagrangian(), optimizer=SGD(0.5), epochs=50,
    )  # fmt: skip
    (value,) = ct.limit_values(run)
    assert value.value == pytest.approx(0.2)
    assert (value.low, value.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_softmax_decides_as_the_sigmoid_does() -> None:
    x, y, b = two_groups(300, 8)
    limits = [ct.error_rate(group="b") <= 0.2, ct.selection_rate() <= 0.4]
    one = cr.fit(logistic(limits), (x, y), groups={"b": b}, method=ct.Lagrangian(), epochs=3)
    w, c = one.parameters["weight"], one.parameters["bias"]
    two = cr.Objective(cr.nn.Dense(2), "softmax_cross_entropy", subject_to=limits)
    start = {"weight": np.concatenate([-w / 2, w / 2], axis=1), "bias": np.concatenate([-c / 2, c / 2])}
    still = cr.fit(
        two, (x, y), groups={"b": b}, method=ct.Lagrangian(), parameters=start, epochs=1, optimizer=SGD(1e-12)
    )
    for mine, theirs in zip(ct.limit_values(still), ct.limit_values(one), strict=True):
        assert mine.value == pytest.approx(theirs.value)
        assert mine.smooth == pytest.approx(theirs.smooth, abs=1e-6)


def test_what_is_printed() -> None:
    limit = abs(ct.error_rate(group="a") - 2 * ct.error_rate(group="b")) <= 0.02
    assert str(limit) == "abs(error_rate(group='a') - 2 * error_rate(group='b')) <= 0.02"
    text = str(logistic([limit]))
    assert "subject to  abs(error_rate(group='a') - 2 * error_rate(group='b')) <= 0.02" in text
    assert "rates are smooth in training" in text
    assert str(abs(ct.selection_rate() - 0.3) <= 0.05) == "abs(selection_rate() - 0.3) <= 0.05"
    assert str(ct.mean_loss() / 2 + 1 >= 3) == "0.5 * mean_loss() >= 2"


def test_errors() -> None:
    x, y, b = two_groups(60, 9)
    limit = ct.mean_loss(group="b") <= 0.5
    method = ct.Lagrangian()
    with pytest.raises(TrainingError, match="there is no group 'b'; no groups were given"):
        cr.fit(logistic([limit]), (x, y), method=method)
    with pytest.raises(TrainingError, match="there is no group 'b'; the groups are c"):
        cr.fit(logistic([limit]), (x, y), method=method, groups={"c": b})
    with pytest.raises(TrainingError, match="no projection keeps it"):
        cr.fit(logistic([limit]), (x, y), groups=None)
    with pytest.raises(TrainingError, match="groups are read by the limits of a method"):
        cr.fit(logistic([]), (x, y), groups={"b": b})
    with pytest.raises(TrainingError, match="shape \\(59,\\); there are 60 rows"):
        cr.fit(logistic([limit]), (x, y), method=method, groups={"b": b[1:]})
    with pytest.raises(TrainingError, match="has 2 for row 3"):
        cr.fit(logistic([limit]), (x, y), method=method, groups={"b": np.where(np.arange(60) == 2, 2, 1)})
    with pytest.raises(TrainingError, match="no row that counts is in 'b'"):
        cr.fit(logistic([limit]), (x, y), method=method, groups={"b": np.zeros(60, bool)})
    with pytest.raises(TrainingError, match="no training row that counts is one of those"):
        cr.fit(logistic([ct.true_positive_rate() >= 0.5]), (x, np.zeros(60, int)), method=method)
    with pytest.raises(TrainingError, match="makes no decisions between classes"):
        cr.fit(
            cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[ct.error_rate() <= 0.1]), (x, y), method=method
        )
    with pytest.raises(TrainingError, match="a limit has one side"):
        bool(0.1 <= ct.error_rate() <= 0.2)
    with pytest.raises(TrainingError, match="two separate regions"):
        abs(ct.error_rate()) >= 0.1  # noqa: B015  # to compare is what is refused
    with pytest.raises(TrainingError, match="sharpness is 0"):
        ct.error_rate(sharpness=0)
    with pytest.raises(TrainingError, match="validation_groups are masks of validation rows"):
        cr.fit(logistic([limit]), (x, y), method=method, groups={"b": b}, validation_groups={"b": b})


def by_decisions(method: Any, executor: str = "native", count: int = 4000, epochs: int = 3000) -> Any:
    x, y, b = two_groups(count, 10)
    gap = ct.error_rate(group="b", sharpness=2.0) - ct.error_rate(group="a", sharpness=2.0)
    return cr.fit(
        logistic([gap <= 0.02, gap >= -0.02]), (x, y), groups={"a": ~b, "b": b}, method=method,
        optimizer=SGD(0.2, momentum=0.9, nesterov=True), epochs=epochs, batch_size="all", executor=executor,
    )  # fmt: skip


@pytest.mark.parametrize("method", [
    ct.AugmentedLagrangian(2.0, every=50, rates="decisions"), ct.Lagrangian(0.01, damping=1.0, rates="decisions"),
], ids=lambda m: type(m).__name__)  # fmt: skip
def test_multipliers_that_answer_to_decisions_hold_the_rate_itself(method: Any) -> None:
    """By the smooth form the rate misses its limit, though the smooth form meets it; by decisions it is met."""
    from scipy.optimize import minimize

    x, y, b = two_groups(4000, 10)
    smooth = ct.limit_values(by_decisions(ct.AugmentedLagrangian(2.0, every=50)))[0]
    assert smooth.smooth == pytest.approx(0.02, abs=1e-4)
    assert abs(smooth.value - 0.02) > 0.01
    run = by_decisions(method)
    found, (value, _) = cr.optimality(run), ct.limit_values(run)
    wrong = (run.output(x)[:, 0] > 0) != y
    truth = float(np.mean(wrong[b]) - np.mean(wrong[~b]))
    jump = 1 / b.sum() + 1 / (~b).sum()
    assert truth == pytest.approx(0.02, abs=2 * jump)
    assert value.value == pytest.approx(truth)
    assert run.history[-1]["set1.value"] == pytest.approx(truth - 0.02, abs=jump), "the history counts decisions too"
    (multiplier, other) = run.multipliers.values()
    assert multiplier > 0.05
    assert other == 0.0
    if found.level != "infeasible":  # within a row of the limit, on either side
        assert found.level == "ε-KKT", found
    assert found.stationarity < 1e-4
    assert not found.certified
    assert "counts decisions, and ∇g is that of its smooth form" in str(found)
    # the same point by another solver: the smooth limit, moved by the difference that is left there
    groups = [(b, 1.0), (~b, -1.0)]
    features = np.column_stack([x, np.ones(len(x))])

    def loss(w: Array) -> tuple[float, Array]:
        z = features @ w
        return float(np.mean(np.logaddexp(0.0, z) - y * z)), features.T @ (1 / (1 + np.exp(-z)) - y) / len(y)

    def room(w: Array) -> float:
        s = 1 / (1 + np.exp(2.0 * (2 * y - 1) * (features @ w)))
        return value.smooth - sum(sign * float(np.mean(s[mask])) for mask, sign in groups)

    start = np.concatenate([run.parameters["weight"][:, 0], run.parameters["bias"]])
    solved = minimize(
        loss, start + 0.05, jac=True, method="SLSQP", constraints={"type": "ineq", "fun": room}, tol=1e-14,
        options={"maxiter": 500},
    )  # fmt: skip
    np.testing.assert_allclose(solved.x, start, atol=2e-3)


def test_decisions_on_both_executors_and_in_batches() -> None:
    method = ct.AugmentedLagrangian(2.0, rates="decisions")
    native, judge = (by_decisions(method, e, 300, 40) for e in ("native", "reference"))
    np.testing.assert_allclose(native.parameters["weight"], judge.parameters["weight"], rtol=1e-9)
    assert [e["set1.value"] for e in native.history] == pytest.approx([e["set1.value"] for e in judge.history])
    x, y, b = two_groups(240, 1)
    still = {"weight": np.full((5, 1), 0.3), "bias": np.zeros(1)}
    limit = ct.selection_rate(group="b") - 0.5 * ct.true_positive_rate() <= 0.1
    options: dict[str, Any] = {"groups": {"b": b}, "parameters": still, "epochs": 1, "optimizer": SGD(1e-12)}
    for batch_size in (48, "all"):
        for executor in ("native", "reference"):
            method = ct.Lagrangian(1e-9, rates="decisions")
            run = cr.fit(logistic([limit]), (x, y), method=method, batch_size=batch_size, executor=executor, **options)
            yes = run.output(x)[:, 0] > 0
            truth = np.mean(yes[b]) - 0.5 * np.mean(yes[y == 1]) - 0.1
            assert run.history[-1]["set1.value"] == pytest.approx(truth, abs=1e-9)
    with pytest.raises(TrainingError, match="rates is 'true'; it is 'smooth' or 'decisions'"):
        ct.Lagrangian(rates="true")  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="AugmentedLagrangian: rates is None"):
        ct.AugmentedLagrangian(rates=None)  # type: ignore[arg-type]


def test_fairness_on_a_made_up_table() -> None:
    """A gap of error rates of at most 0.02 on training rows: its price in accuracy, the held-out gap, the level."""
    x, y, b = two_groups(4000, 10)
    held_x, held_y, held_b = two_groups(4000, 11)

    def gap(run: Any, x: Array, y: Array, b: Array) -> float:
        wrong = (run.output(x)[:, 0] > 0) != y
        return float(np.mean(wrong[b]) - np.mean(wrong[~b]))

    def accuracy(run: Any, x: Array, y: Array) -> float:
        return float(np.mean((run.output(x)[:, 0] > 0) == y))

    free = cr.fit(logistic([]), (x, y), optimizer=SGD(0.5), epochs=500, batch_size="all")
    assert gap(free, x, y, b) > 0.2, "without a limit the groups differ"
    difference = ct.error_rate(group="b", sharpness=4.0) - ct.error_rate(group="a", sharpness=4.0)
    run = cr.fit(
        logistic([abs(difference) <= 0.005]), (x, y), groups={"a": ~b, "b": b}, optimizer=SGD(0.2), epochs=4000,
        method=ct.Lagrangian(0.05, damping=1.0), batch_size="all", validation=(held_x, held_y),
        validation_groups={"a": ~held_b, "b": held_b},
    )  # fmt: skip
    found = cr.optimality(run)
    (training,), (held,) = found.limits, found.held_out
    assert abs(gap(run, x, y, b)) <= 0.02
    assert training.value == pytest.approx(gap(run, x, y, b))
    assert held.value == pytest.approx(gap(run, held_x, held_y, held_b))
    assert held.low is not None
    assert held.low < held.value < (held.high or 0.0)
    assert held.high - held.low < 0.1
    assert found.level == "ε-KKT"
    price = accuracy(free, held_x, held_y) - accuracy(run, held_x, held_y)
    assert 0.0 < price < 0.2
