"""fit_many: each of many trainings has the bits of a fit by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.graph import flatten

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(90, 4)).astype(np.float32), RNG.integers(0, 3, 90)
OPTIONS: dict[str, Any] = {"epochs": 6, "batch_size": 16}


@dataclass(frozen=True)
class L2:
    weight: float = 0.0

    def settings(self) -> dict[str, float]:
        return {"lambda": self.weight}

    def value(self, parameters: Any, settings: Any) -> Any:
        return settings["lambda"] * sum(np.sum(v * v) for v in parameters.values())


def objective() -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(9, "relu"), cr.nn.Dropout(0.1), cr.nn.Dense(3))
    return cr.Objective(network, "softmax_cross_entropy", penalty=[L2()])


def bits(run: Any) -> Any:
    return [leaf.tobytes() for leaf in flatten((run.parameters, run.state))[0]], run.history, run.status


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("executor", ["native", "reference"])
def test_settings_and_seeds_have_the_bits_of_fit(threads: int, executor: str) -> None:
    entries = [
        {"learning_rate": 0.01, "penalty1.lambda": 0.1}, {"seed": 3}, {"dropout1.rate": 0.5, "seed": 3}, {},
    ]  # fmt: skip
    runs = cr.learn.fit_many(objective(), (X, Y), entries, threads=threads, executor=executor, **OPTIONS)
    for entry, run in zip(entries, runs, strict=True):
        settings = {k: v for k, v in entry.items() if k != "seed"}
        alone = cr.fit(
            objective(), (X, Y), settings=settings, seed=int(entry.get("seed", 0)), executor=executor, **OPTIONS
        )
        assert bits(run) == bits(alone)
        assert run.settings == alone.settings
        assert run.at(7).parameters["output.weight"].tobytes() == alone.at(7).parameters["output.weight"].tobytes()


def test_folds_have_the_bits_of_fit_on_their_rows_and_stop_by_themselves() -> None:
    schedule = cr.learn.Adam(cr.learn.Cosine(0.05))
    masks = [np.arange(90) % 3 != k for k in range(3)]
    entries = [{"rows": mask, "validation_rows": np.flatnonzero(~mask)} for mask in masks]
    options = {**OPTIONS, "epochs": 60, "patience": 2, "optimizer": schedule}
    runs = cr.learn.fit_many(objective(), (X, Y), entries, **options)
    for mask, run in zip(masks, runs, strict=True):
        alone = cr.fit(objective(), (X[mask], Y[mask]), validation=(X[~mask], Y[~mask]), **options)
        assert bits(run) == bits(alone)
        assert run.status == "early"
        assert run.best_epoch == alone.best_epoch
    assert len({run.steps for run in runs}) > 1


def test_uneven_folds_have_schedules_of_their_own_length() -> None:
    entries = [{"rows": np.arange(90)}, {"rows": np.arange(40)}]
    options = {**OPTIONS, "optimizer": cr.learn.Adam(cr.learn.Cosine(0.05))}
    runs = cr.learn.fit_many(objective(), (X, Y), entries, **options)
    for count, run in zip((90, 40), runs, strict=True):
        assert bits(run) == bits(cr.fit(objective(), (X[:count], Y[:count]), **options))


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    cr.learn.fit_many(
        objective(), (X, Y), [{"seed": i} for i in range(5)], progress=lambda *a: seen.append(a), **OPTIONS
    )
    assert seen[-1] == (5, 5)
    assert [a for a, _ in seen] == sorted(a for a, _ in seen)


def test_no_entries_no_runs() -> None:
    assert cr.learn.fit_many(objective(), (X, Y), [], **OPTIONS) == []


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a mapping": ({"learning_rate": 0.1}, {}, r"takes a list of settings"),
    "an entry that is none": ([0.1], {}, r"settings\[0\] is 0.1; it must be a mapping"),
    "a typo": ([{}, {"learning_rat": 0.1}], {}, r"settings\[1\]: there is no setting 'learning_rat'; there are: "),
    "not a number": ([{"learning_rate": "fast"}], {}, r"settings\[0\]: the setting 'learning_rate' is 'fast'"),
    "no rows": ([{"rows": []}], {}, r"settings\[0\]: rows must be row numbers from 0 to 89"),
    "a row that is not there": ([{"rows": [0, 90]}], {}, r"settings\[0\]: rows has 90; there are 90 rows"),
    "a short mask": ([{"rows": np.ones(3, bool)}], {}, r"rows is a mask of shape \(3,\); there are 90 rows"),
    "a seed that is none": ([{"seed": -1}], {}, r"settings\[0\]: a seed is an integer"),
    "nothing to watch": ([{}], {"patience": 3}, r"settings\[0\]: patience needs validation rows"),
    "patience 0": ([{}], {"patience": 0}, r"patience is 0; it must be a whole number of at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_with_its_place(kind: str) -> None:
    entries, more, message = WRONG[kind]
    with pytest.raises((TrainingError, cr.errors.TypeMismatch), match=message):
        cr.learn.fit_many(objective(), (X, Y), entries, **OPTIONS, **more)


def test_one_that_diverges_leaves_the_others_alone() -> None:
    entries = [{"learning_rate": 0.01}, {"learning_rate": 1e30}, {"learning_rate": 0.02}]
    runs = cr.learn.fit_many(objective(), (X, Y), entries, optimizer=cr.learn.SGD(0.1), **OPTIONS)
    assert [run.status for run in runs] == ["done", "non-finite", "done"]
    assert "gave" in runs[1].message


def test_each_training_may_start_where_it_is_told() -> None:
    """Of an entry's own parameters, with the bits of fit; one that has none starts as before."""
    first = cr.fit(objective(), (X, Y), **OPTIONS)
    entries: list[dict[str, Any]] = [{"parameters": first.parameters, "learning_rate": 0.01}, {"learning_rate": 0.01}]
    warm, cold = cr.learn.fit_many(objective(), (X, Y), entries, **OPTIONS)
    given = {"settings": {"learning_rate": 0.01}, **OPTIONS}
    assert bits(warm) == bits(cr.fit(objective(), (X, Y), parameters=first.parameters, **given))
    assert bits(cold) == bits(cr.fit(objective(), (X, Y), **given))
    with pytest.raises(TrainingError, match=r"settings\[0\]: the network has no parameter 'w'"):
        cr.learn.fit_many(objective(), (X, Y), [{"parameters": {"w": np.ones(2)}}], **OPTIONS)
