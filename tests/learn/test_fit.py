"""The loop: batches, seeds, history, early stopping, replay and progress."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn import Report

RNG = np.random.default_rng(5)
X = RNG.normal(size=(23, 3))
Y = np.sin(2 * X.sum(axis=1)) + 0.3 * RNG.normal(size=23)
HELD = X[:9] + 0.3 * RNG.normal(size=(9, 3)), Y[:9] + 0.5 * RNG.normal(size=9)


def objective() -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(6, "tanh"), cr.nn.Dropout(0.1), cr.nn.BatchNorm(), cr.nn.Dense(1))
    return cr.Objective(network, loss="squared_error")


def fit(**options: Any) -> Any:
    return cr.fit(objective(), (X, Y), **({"epochs": 4, "batch_size": 5, "optimizer": cr.learn.Adam(0.02)} | options))


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(tree)[0]]


# --- batches ----------------------------------------------------------------------------------------------------------


def test_steps_of_an_epoch() -> None:
    """23 rows in batches of 5: four full ones and a last one of 3."""
    run = fit(epochs=2)
    assert run.steps == 10
    assert [entry["step"] for entry in run.history] == [5, 10]
    assert fit(epochs=2, batch_size="all").steps == 2
    assert fit(epochs=2, batch_size=1000).steps == 2
    assert bits(fit(epochs=2, batch_size="all").parameters) == bits(fit(epochs=2, batch_size=23).parameters)


def linear(parameters: Any, x: Any) -> Any:
    return x @ parameters


def test_every_batch_is_the_rows_that_it_should_be() -> None:
    """SGD by hand over the order that the plan gives, with the last, partial batch divided by its own rows."""
    options: dict[str, Any] = {"parameters": np.zeros((3, 1)), "optimizer": cr.learn.SGD(0.1), "batch_size": 5}
    run = cr.fit(cr.Objective(linear, "half_squared_error"), (X, Y), epochs=2, seed=9, **options)
    w = np.zeros((3, 1))
    losses = []
    for epoch in range(2):
        order = run.plan.order(epoch)
        assert sorted(order) == list(range(23))
        total = 0.0
        for at in range(0, 23, 5):
            rows = order[at : at + 5]
            away = X[rows] @ w - Y[rows, None]
            total += 0.5 * float((away**2).sum())
            w = w - 0.1 * X[rows].T @ away / len(rows)
        losses.append(total / 23)
    np.testing.assert_allclose(run.parameters, w, rtol=1e-12)
    assert [entry["loss"] for entry in run.history] == pytest.approx(losses, rel=1e-13)
    assert not np.array_equal(run.plan.order(0), run.plan.order(1))
    assert not np.array_equal(run.plan.order(0), np.arange(23))


def test_without_shuffling_rows_come_in_their_order() -> None:
    run = fit(shuffle=False)
    assert all(np.array_equal(run.plan.order(epoch), np.arange(23)) for epoch in range(3))
    assert bits(run.parameters) != bits(fit().parameters)


def test_the_row_order_is_fair() -> None:
    """Each row comes to each place about equally often."""
    from chainrule.execute import row_orders

    orders = np.array([row_orders(cr.key(0), epoch, 1, 6)[0] for epoch in range(3000)])
    counts = np.array([np.bincount(orders[:, place], minlength=6) for place in range(6)])
    deviation = np.sqrt(3000 * (1 / 6) * (5 / 6))
    assert np.max(np.abs(counts - 500)) < 4.5 * deviation


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_same_seed_same_bits_twice() -> None:
    a, b = fit(seed=8), fit(seed=8)
    assert bits((a.parameters, a.state)) == bits((b.parameters, b.state))
    assert a.history == b.history


def test_another_seed_is_another_run() -> None:
    a, b = fit(seed=8), fit(seed=9)
    assert bits(a.at(0).parameters) != bits(b.at(0).parameters)
    assert not np.array_equal(a.plan.order(0), b.plan.order(0))
    p = a.at(0).parameters
    masks = [fit(seed=s, parameters=p, shuffle=False, epochs=1, batch_size="all").parameters for s in (8, 9)]
    assert bits(masks[0]) != bits(masks[1]), "dropout is drawn by the seed too"


PROGRAM = """
import hashlib, numpy as np, chainrule as cr
x = np.linspace(-1, 1, 60).reshape(20, 3) ** 3
network = cr.nn.Sequential(cr.nn.Dense(5, "relu"), cr.nn.Dropout(0.3), cr.nn.BatchNorm(), cr.nn.Dense(2))
objective = cr.Objective(network, "softmax_cross_entropy")
run = cr.fit(objective, (x, (x[:, 0] > 0).astype(int)), epochs=3, batch_size=6, seed=12)
digest = hashlib.sha256()
for name in sorted(run.parameters): digest.update(run.parameters[name].tobytes())
for name in sorted(run.state): digest.update(run.state[name].tobytes())
print(digest.hexdigest(), run.history[-1]["loss"].hex(), end="")
"""


def test_same_seed_same_bits_in_two_processes() -> None:
    """Hashes of strings differ between the two, so nothing may hang on the order of a set."""
    import os

    found = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(found[0]) > 64
    assert found[0] == found[1]


# --- history and early stopping ---------------------------------------------------------------------------------------


def test_history() -> None:
    run = fit(epochs=3, validation=HELD)
    assert [list(entry) for entry in run.history] == [["epoch", "step", "loss", "validation_loss", "learning_rate"]] * 3
    assert [entry["epoch"] for entry in run.history] == [1, 2, 3]
    assert all(type(value) in (int, float) for entry in run.history for value in entry.values())
    assert "validation_loss" not in fit(epochs=1).history[0]
    for entry in run.history:
        moment = run.at(entry["step"])
        out = objective().network(moment.parameters, HELD[0], state=moment.state)
        assert entry["validation_loss"] == pytest.approx(float(np.mean((out[:, 0] - HELD[1]) ** 2)), rel=1e-12)


def test_validation_changes_nothing_that_is_learned() -> None:
    assert bits(fit(validation=HELD).parameters) == bits(fit().parameters)


def test_early_stopping_restores_the_best() -> None:
    run = fit(epochs=300, validation=HELD, patience=4, optimizer=cr.learn.Adam(0.05))
    losses = [entry["validation_loss"] for entry in run.history]
    assert run.status == "early"
    best = int(np.argmin(losses))
    assert run.best_epoch == best + 1
    assert len(losses) == best + 1 + 4, "four epochs without a new lowest loss, then the end"
    assert best > 0, "else restoring was not tested"
    moment = run.at(run.history[best]["step"])
    assert bits(moment.parameters) == bits(run.parameters)
    assert bits(moment.state) == bits(run.state)
    assert bits(run.at(run.steps).parameters) != bits(run.parameters)
    assert run.message.startswith("stopped early: the validation loss had not fallen for 4 epochs")
    assert f"the parameters are those of epoch {best + 1}, the best of {run.epochs}" in run.message


def test_patience_that_does_not_run_out_restores_the_best_too() -> None:
    run = fit(epochs=6, validation=HELD, patience=6, optimizer=cr.learn.SGD(0.3))
    losses = [entry["validation_loss"] for entry in run.history]
    assert run.status == "done"
    assert run.best_epoch == int(np.argmin(losses)) + 1
    assert bits(run.parameters) == bits(run.at(run.history[int(np.argmin(losses))]["step"]).parameters)


def test_without_patience_the_last_parameters_are_kept() -> None:
    run = fit(epochs=30, validation=HELD, optimizer=cr.learn.Adam(0.05))
    assert run.best_epoch is None
    assert bits(run.parameters) == bits(run.at(run.steps).parameters)


def test_a_first_validation_loss_that_is_no_number_is_not_the_best_for_ever() -> None:
    """NaN compares false with everything; a later, real loss must still be taken for better."""
    # At w = 10, 7 and 4 the logit 1e308·w overflows, and log(1 + eᶻ) − z is Inf − Inf; at w ≈ 1 it is 0.
    run = cr.fit(
        cr.Objective(lambda w, x: x @ w, "binary_cross_entropy"),
        (np.ones((4, 1)), np.zeros(4)),
        parameters=np.array([[10.0]]),
        optimizer=cr.learn.SGD(3.0),
        epochs=4,
        validation=(np.array([[1e308]]), np.ones(1)),
        patience=4,
    )
    losses = [entry["validation_loss"] for entry in run.history]
    assert np.isnan(losses[:2]).all()
    assert losses[2] == 0
    assert losses[3] > 0
    assert run.best_epoch == 3


def test_slices_that_are_over_before_they_begin_still_go_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of very many rows takes longer to make than a slice lasts; each slice takes one step all the same."""
    monkeypatch.setattr(sys.modules["chainrule.learn.fitting"], "SLICE_SECONDS", -1.0)
    reports: list[Report] = []
    run = fit(progress=reports.append)
    assert [report.step for report in reports] == [*range(1, 21), 20][: len(reports)]
    assert run.steps == 20


# --- replay -----------------------------------------------------------------------------------------------------------


def test_at_equals_a_fresh_run_of_so_many_steps() -> None:
    """With shuffling, dropout, batch statistics, Adam, and partial batches, at every step."""
    from chainrule.learn.fitting import prepare

    run = fit(epochs=3, seed=2, validation=HELD)
    for step in range(run.steps + 1):
        job = prepare(
            objective(),
            (X, Y),
            epochs=3,
            batch_size=5,
            optimizer=cr.learn.Adam(0.02),
            seed=2,
        )
        job.executor.advance(job.program, job.plan, job.loop, job.arrays, job.training, None, until=step)
        carry, moment = job.loop.carry, run.at(step)
        assert moment.step == step
        assert moment.epoch == step // 5
        assert bits((moment.parameters, moment.state, moment.optimizer)) == bits(
            (carry["parameters"], carry["state"], carry["optimizer"])
        )


def test_at_replays_from_snapshots_of_a_longer_run() -> None:
    run = fit(epochs=120, executor="reference")  # slow enough for some snapshots
    assert len(run.snapshots) > 2
    assert run.snapshots[0].step == 0
    kept = [bits(loop.carry) for loop in run.snapshots]
    middle = run.snapshots[1].step + 1
    from_start = run.snapshots[0].snapshot()
    run.executor.advance(run.program, run.plan, from_start, run.arrays, run.training, None, until=middle)
    assert bits(run.at(middle).parameters) == bits(from_start.carry["parameters"])
    assert [bits(loop.carry) for loop in run.snapshots] == kept, "a replay leaves the snapshots as they are"
    assert bits(run.at(run.steps).parameters) == bits(run.parameters)
    assert len(run.history) == 120


def test_snapshots_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.learn import fit as room

    module = sys.modules["chainrule.learn.fitting"]
    assert room is cr.learn.fit
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(module, "MAX_SNAPSHOTS", 8)
    run = fit(epochs=12, seed=2)
    steps = [loop.step for loop in run.snapshots]
    assert len(steps) <= 8
    assert steps[0] == 0
    assert steps == sorted(set(steps))
    whole = fit(epochs=12, seed=2)
    for step in (0, 1, 17, 33, 59, 60):
        assert bits(run.at(step).parameters) == bits(whole.at(step).parameters)


@pytest.mark.parametrize("step", [-1, 21])
def test_a_step_that_was_not_taken(step: int) -> None:
    with pytest.raises(TrainingError, match=f"the run has 20 steps; there is no step {step}"):
        fit().at(step)


# --- progress and threads ---------------------------------------------------------------------------------------------


def test_progress_goes_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["chainrule.learn.fitting"], "SLICE_SECONDS", 0.0)
    reports: list[Report] = []
    run = fit(epochs=6, validation=HELD, progress=reports.append)
    steps = [report.step for report in reports]
    assert steps == sorted(steps)
    assert [r.epoch for r in reports] == sorted(r.epoch for r in reports)
    assert len(reports) >= 6
    assert {(r.steps, r.epochs) for r in reports} == {(30, 6)}
    assert all(r.loss is not None and np.isfinite(r.loss) for r in reports if r.step)
    last = reports[-1]
    assert (last.step, last.epoch, last.status) == (30, 6, "done")
    assert last.loss == run.history[-1]["loss"]
    assert last.validation_loss == run.history[-1]["validation_loss"]
    assert [r.status for r in reports[:-1]] == ["running"] * (len(reports) - 1)


def test_watching_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices end where a clock says; the bits do not depend on where."""
    quiet = fit()
    monkeypatch.setattr(sys.modules["chainrule.learn.fitting"], "SLICE_SECONDS", 0.0)
    watched = fit(progress=lambda report: None)
    assert bits((quiet.parameters, quiet.state)) == bits((watched.parameters, watched.state))
    assert quiet.history == watched.history


def test_the_live_bar(capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(validation=HELD, progress=True)
    assert run.status == "done"
    assert capsys.readouterr().out == "", "the bar is on stderr: what is printed can be piped"


def test_fit_in_another_thread() -> None:
    """Signals can be handled in the main thread alone; a run elsewhere goes without."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(fit()))
    thread.start()
    thread.join()
    assert bits(found[0].parameters) == bits(fit().parameters)


def test_two_runs_at_once() -> None:
    alone = [fit(seed=s) for s in (1, 2, 3)]
    found: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda s=s: found.update({s: fit(seed=s)})) for s in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bits(found[s].parameters) for s in (1, 2, 3)] == [bits(run.parameters) for run in alone]


def test_a_run_prints_what_came_of_it() -> None:
    run = fit(epochs=2, validation=HELD)
    assert repr(run).startswith("<run of 2 epochs, 10 steps: loss ")
    assert "validation_loss" in repr(run)
    assert "all epochs were run" in repr(run)
