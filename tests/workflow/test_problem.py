"""Tables with constraints and penalties: the report, the model file, and the settings that go by the table's size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import chainrule as cr
from chainrule import constrain as ct
from chainrule.errors import ModelFileError, TrainingError
from chainrule.workflow import TrainOptions, evaluate, objective_of, train
from chainrule.workflow.defaults import SETTINGS, automatic

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def weights(trained: Any) -> Any:
    return np.concatenate([v.ravel() for k, v in trained.model.parameters.items() if k.endswith("weight")])


@pytest.fixture(scope="module")
def limited() -> Any:
    return train(PENGUINS, "species", TrainOptions(constraint="l2<=3", penalty="0.0001*l1"))


def test_the_report_states_the_problem_and_what_was_reached(limited: Any) -> None:
    text = str(limited)
    assert max(map(len, text.splitlines())) <= 80
    said = flat(text)
    assert "problem minimize F(θ) + 0.0001 Σ |w|; F is the mean loss subject to ‖w‖² ≤ r², r = 3 w: " in said
    assert "w: hidden1.weight [13, 64], output.weight [64, 3]; 1024 numbers not covered: hidden1.bias, output" in said
    length = np.sqrt(np.sum(weights(limited).astype(np.float64) ** 2))
    assert length <= 3.0
    assert f"constraint ‖w‖ = {length:.9g} ≤ 3" in said
    found = cr.optimality(limited.run)
    assert f"penalty {found.value - found.data_loss:.6g}, beside a loss of {found.data_loss:.6g}" in said
    assert f"multiplier best λ̂ = {found.multipliers['L2Ball(3) | ']:.6g} of ‖w‖² − r²" in said
    assert found.multipliers["L2Ball(3) | "] > 0.0
    assert f"level {found.level}: {found.said}" in said
    zeros = int(np.sum(weights(limited) == 0.0))
    assert (f"zeros {zeros} of 1024 numbers are exactly 0" in said) == (zeros > 0)
    assert "weight decay" not in said


def test_without_constraints_nothing_is_said_of_them() -> None:
    trained = train(PENGUINS, "species", TrainOptions(epochs=2))
    assert trained.reached is None
    assert trained.to_dict()["problem"] is None
    assert "problem" not in trained.model.about
    for word in ("problem ", "constraint", "level ", "multiplier"):
        assert word not in str(trained)


def test_as_data_and_in_the_model_file(limited: Any, tmp_path: Path) -> None:
    data = json.loads(json.dumps(limited.to_dict(), default=str))["problem"]
    assert data["sets"][0]["title"] == "L2Ball(3)"
    assert data["sets"][0]["holds"] is True
    assert data["level"] == cr.optimality(limited.run).level
    assert "minimize over θ" in data["text"]
    limited.model.save(tmp_path / "m")
    model = cr.load(tmp_path / "m")
    assert model.about["problem"]["sets"] == data["sets"]
    assert model.about["options"]["constraint"] == "l2<=3"
    again = objective_of(model)
    assert list(again.subject_to) == [ct.L2Ball(3.0)]
    assert list(again.penalty) == [0.0001 * ct.L1()]
    assert evaluate(model, PENGUINS).score.accuracy > 0.9  # type: ignore[union-attr]
    assert objective_of(train(PENGUINS, "species", TrainOptions(epochs=1)).model).subject_to == ()


def test_constraints_as_objects_are_trained_with_and_told_but_not_in_the_file(tmp_path: Path) -> None:
    options = TrainOptions(constraint=[ct.L2Ball(3.0), "linf<=0.5"], method=ct.Lagrangian(0.001), epochs=5)
    trained = train(PENGUINS, "species", options)
    assert "subject to ‖w‖² ≤ r², r = 3 subject to ‖w‖∞ ≤ r, r = 0.5" in flat(str(trained))
    trained.model.save(tmp_path / "m")
    model = cr.load(tmp_path / "m")
    assert model.about["options"]["constraint"] == [{"object": "L2Ball(3)"}, "linf<=0.5"]
    with pytest.raises(ModelFileError, match=r"trained with L2Ball\(3\) as an object, which a file cannot hold"):
        objective_of(model)


def test_inputs_that_are_not_used_are_named() -> None:
    rng = np.random.default_rng(0)
    frame = {f"noise{i}": rng.normal(size=300).tolist() for i in range(3)} | {"x": rng.normal(size=300).tolist()}
    frame["y"] = [value > 0 for value in frame["x"]]
    trained = train(frame, "y", TrainOptions(penalty="0.05*group"))
    assert "not used noise0, noise1, noise2: all outgoing weights are 0" in flat(str(trained))
    assert trained.scores["test"].accuracy > 0.9  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["lagrangian", "augmented"])
def test_multipliers_are_told_and_what_is_over_is_said(method: str) -> None:
    trained = train(PENGUINS, "species", TrainOptions(constraint="l2<=3", method=method, validation=0.2))
    said = flat(str(trained))
    (multiplier,) = trained.run.multipliers.values()
    assert f"; λ = {multiplier:.6g} as training left it" in said
    (value,) = ct.set_values(trained.run)
    assert value.value == pytest.approx(3.0, rel=1e-3)
    assert ("; over by " in said) == (not value.holds)
    level = cr.optimality(trained.run).level
    near = "" if value.holds or level == "infeasible" else ", to ε = 0.0001"
    assert f"level {level}{near}: The " in said
    assert trained.rows["validation"] == 55
    assert trained.run.best_epoch is None


def test_both_executors_keep_the_limit_in_the_same_way() -> None:
    options: dict[str, Any] = {"constraint": "l2<=2 per layer", "penalty": "0.001*l1", "hidden": (8,), "epochs": 10}
    native, plain = (
        train(PENGUINS, "species", TrainOptions(**options, executor=name)) for name in ("native", "reference")
    )
    np.testing.assert_allclose(weights(native), weights(plain), rtol=1e-4, atol=1e-5)
    assert [v.holds for v in native.reached.sets] == [v.holds for v in plain.reached.sets] == [True]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraint": "l3<=4"}, "there is no constraint 'l3'"),
        ({"per": "unit"}, "per='unit' says what a constraint is for, and there is none"),
        ({"method": "lagrangian"}, "there is no constraint for it"),
        ({"parameters": "all"}, "says what a constraint or a penalty covers, and there is none"),
        ({"constraint": "nonnegative", "method": "lagrangian"}, "no constraint that multipliers can hold"),
        ({"constraint": "l2<=3", "method": "lagrangian", "patience": 5}, "patience keeps the parameters of the lowest"),
        ({"constraint": "l2<=3", "optimizer": "lbfgs"}, "cannot be kept by LBFGS"),
        ({"optimizer": "lbfgs", "learning_rate": 0.1}, "learning_rate is given, and 'lbfgs' has none"),
        ({"optimizer": "lbfgs", "clip": 1.0}, "leave the clipping out"),
        ({"optimizer": "sgd", "weight_decay": 0.1}, "the optimizer 'sgd' has no weight decay"),
        ({"average": 1.5}, "the average's decay is 1.5"),
        ({"clip": -1.0}, "limit"),
    ],
    ids=str,
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError) as error:
        train(PENGUINS, "species", TrainOptions(**options))
    assert message in str(error.value)


# --- settings that go by the table's size -----------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "kind"), [("species", "classes"), ("body_mass_g", "numbers")])
def test_what_is_not_given_goes_by_the_size_of_the_table(target: str, kind: str) -> None:
    trained = train(PENGUINS, target, TrainOptions(executor="reference", epochs=3))
    small = SETTINGS[kind][0][1]
    chosen = trained.model.about["chosen"]
    assert chosen == {**small.to_dict(), "epochs": 3}
    assert trained.model.about["layers"][1:-1] == list(small.hidden_layer_sizes)
    assert trained.run.plan.batch_size == trained.rows["training"]
    assert "validation" not in trained.rows
    assert isinstance(trained.run.optimizer, cr.learn.AdamW)
    said = flat(str(trained))
    assert "by the table's size: hidden layers 64, learning rate 0.01, schedule cosine, batch size all, dro" in said


def test_a_large_table_is_watched() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x": rng.normal(size=11_000)}).with_columns(y=pl.col("x") > 0)
    trained = train(frame, "y", TrainOptions(epochs=2))
    large = automatic(8_800, True)
    assert trained.rows == {"training": 7040, "validation": 1760, "test": 2200}
    assert trained.run.plan.patience == large.patience == 10
    assert trained.model.about["layers"][1:-1] == [256, 128]
    assert train(frame, "y", TrainOptions(epochs=1, hidden=(4,), validation=0.0)).rows["training"] == 8800


def test_patience_or_validation_ask_for_rows_to_watch() -> None:
    quick: dict[str, Any] = {"hidden": (4,), "epochs": 2}
    assert train(PENGUINS, "species", TrainOptions(**quick)).run.plan.patience is None
    asked = train(PENGUINS, "species", TrainOptions(**quick, patience=7))
    assert (asked.rows["validation"], asked.run.plan.patience) == (55, 7)
    watched = train(PENGUINS, "species", TrainOptions(**quick, validation=0.1))
    assert watched.run.plan.patience == SETTINGS["classes"][0][1].patience


def test_clipping_averaging_and_lbfgs_are_the_parts_of_learn() -> None:
    quick: dict[str, Any] = {"hidden": (4,), "epochs": 3, "executor": "reference"}
    run = train(PENGUINS, "species", TrainOptions(**quick, clip=0.5, average=0.8, weight_decay=0.0)).run
    assert isinstance(run.optimizer, cr.learn.ClipNorm)
    assert type(run.optimizer.optimizer) is cr.learn.Adam
    assert run.settings["clip_norm"] == 0.5
    assert run.settings["average.decay"] == 0.8
    assert np.array_equal(run.parameters["output.bias"], run.at(run.steps).average["output.bias"])
    found = train(PENGUINS, "body_mass_g", TrainOptions(hidden=(4,), optimizer="lbfgs"))
    assert isinstance(found.run.optimizer, cr.learn.LBFGS)
    assert found.scores["test"].r2 > 0.8  # type: ignore[union-attr]
    assert "learning rate" not in str(found)
    sgd = train(PENGUINS, "species", TrainOptions(**quick, optimizer="momentum"))
    assert sgd.run.settings["learning_rate"] == 0.02
