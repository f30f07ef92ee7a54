"""What is saved comes back: the same bits, and nothing that a plain safetensors file would not hold."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import chainrule as cr
from chainrule.errors import ModelFileError
from chainrule.files import Model, load, save
from chainrule.graph import flatten
from chainrule.nn import to_config


def rows(dtype: Any) -> tuple[Any, Any]:
    x = np.random.default_rng(3).normal(size=(24, 3)).astype(dtype)
    return x, (x[:, :1] ** 2 + x[:, 1:2]).astype(dtype)


NETWORKS = {
    "dense": cr.nn.Sequential(cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(1)),
    "one layer": cr.nn.Dense(1, bias=False),
    "batch normalization": cr.nn.Sequential(
        cr.nn.Dense(4), cr.nn.BatchNorm(momentum=0.25), cr.nn.Dense(1)
    ),
    "dropout": cr.nn.Sequential(cr.nn.Dense(8, activation="relu"), cr.nn.Dropout(0.3), cr.nn.Dense(1)),
    "nested": cr.nn.Sequential(
        cr.nn.Sequential(cr.nn.Dense(3, activation="sigmoid"), name="inside"), cr.nn.Dense(1, name="last")
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_bits_come_back(name: str, dtype: Any, tmp_path: Path) -> None:
    x, y = rows(dtype)
    run = cr.fit(cr.Objective(NETWORKS[name], loss="squared_error"), (x, y), epochs=3, batch_size=8)
    path = tmp_path / "m.chainrule"
    run.save(path)
    model = cr.load(path)
    assert model.network == NETWORKS[name]
    assert model.loss == "squared_error"
    assert model.parameters.keys() == run.parameters.keys()
    for key, value in run.parameters.items():
        assert model.parameters[key].dtype == value.dtype == dtype
        assert model.parameters[key].tobytes() == value.tobytes()
    assert model.state.keys() == run.state.keys()
    for key, value in run.state.items():
        assert model.state[key].tobytes() == value.tobytes()
    assert model.predict(x).tobytes() == run.predict(x).tobytes()
    assert model.output(x).tobytes() == run.output(x).tobytes()
    assert model.history == run.history
    assert model.about["steps"] == run.steps == 9
    assert model.about["seed"] == 0
    assert model.about["optimizer"] == "Adam"


def test_running_statistics_are_kept_not_the_first_ones(tmp_path: Path) -> None:
    run = cr.fit(
        cr.Objective(NETWORKS["batch normalization"], loss="squared_error"), rows(np.float64), epochs=3, batch_size=8
    )
    save(run, tmp_path / "m")
    assert np.any(load(tmp_path / "m").state["norm1.mean"] != 0)
    assert np.any(load(tmp_path / "m").state["norm1.variance"] != 1)


def test_training_can_go_on_from_a_loaded_model(dense_run: Any, tmp_path: Path) -> None:
    save(dense_run, tmp_path / "m")
    model = load(tmp_path / "m")
    run = cr.fit(model.objective, rows(np.float32), parameters=model.parameters, epochs=1, batch_size=8)
    start = run.at(0).parameters
    assert all(start[k].tobytes() == v.tobytes() for k, v in dense_run.parameters.items())


def test_a_function_network_predicts_but_its_code_is_not_in_the_file(tmp_path: Path) -> None:
    def network(parameters: Any, x: Any) -> Any:
        return np.tanh(x @ parameters["w"]) @ parameters["v"]

    x, y = rows(np.float64)
    generator = np.random.default_rng(1)
    start = {"w": generator.normal(size=(3, 4)), "v": generator.normal(size=(4, 1))}
    run = cr.fit(cr.Objective(network, loss="squared_error"), (x, y), parameters=start, epochs=2)
    save(run, tmp_path / "m")
    model = load(tmp_path / "m")
    assert model.network is None
    assert model.predict(x).tobytes() == run.predict(x).tobytes()
    expected = np.tanh(x @ run.parameters["w"]) @ run.parameters["v"]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-12)
    with pytest.raises(ModelFileError, match="network or loss of one's own, which a file cannot hold"):
        _ = model.objective


def test_a_single_number_is_a_parameter_too(tmp_path: Path) -> None:
    def network(parameters: Any, x: Any) -> Any:
        return x * parameters["slope"] + parameters["nested"]["offset"]

    x = np.arange(4.0)[:, None]
    start = {"slope": np.array(0.5), "nested": {"offset": np.array(1.0)}}
    run = cr.fit(cr.Objective(network, loss="squared_error"), (x, x), parameters=start, epochs=2)
    save(run, tmp_path / "m")
    model = load(tmp_path / "m")
    assert model.parameters["slope"].shape == ()
    assert model.predict(x).tobytes() == run.predict(x).tobytes()


def test_a_loss_of_ones_own_predicts_too(tmp_path: Path) -> None:
    x, y = rows(np.float64)
    objective = cr.Objective(NETWORKS["dense"], loss=lambda target, output: np.abs(target - output))
    run = cr.fit(objective, (x, y), epochs=1)
    save(run, tmp_path / "m")
    assert load(tmp_path / "m").predict(x).tobytes() == run.predict(x).tobytes()


def test_a_table_model_comes_back_with_its_encoders(table_model: Model, tmp_path: Path) -> None:
    table_model.save(tmp_path / "m")
    model = load(tmp_path / "m")
    assert model.table == table_model.table
    assert model.target == table_model.target
    assert model.about == json.loads(json.dumps(table_model.about))
    new = {"size": [0.1, None, -9.0], "color": ["red", "pink", None]}
    before, after = (cr.workflow.predict(m, new) for m in (table_model, model))
    assert before.equals(after)


def test_a_loaded_model_saves_to_the_same_bytes(table_bytes: bytes, dense_bytes: bytes, tmp_path: Path) -> None:
    for data in (table_bytes, dense_bytes):
        first, second = tmp_path / "first", tmp_path / "second"
        first.write_bytes(data)
        save(load(first), second)
        assert second.read_bytes() == data


def test_the_same_run_saved_twice_gives_the_same_bytes(dense_run: Any, tmp_path: Path) -> None:
    save(dense_run, tmp_path / "a")
    dense_run.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_plain_safetensors(table_model: Model, table_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.chainrule"
    path.write_bytes(table_bytes)
    arrays = load_file(path)
    named = dict(zip(table_model.predictor.names, table_model.predictor.arrays, strict=True))
    assert arrays.keys() == named.keys()
    assert {"parameters.hidden1.weight", "parameters.output.bias"} <= arrays.keys()
    assert all(arrays[k].tobytes() == v.tobytes() for k, v in named.items())
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    assert header["chainrule.format"] == "chainrule-model"
    assert header["chainrule.version"] == "1"
    document = json.loads(header["chainrule.document"])
    assert document["network"] == json.loads(json.dumps(to_config(table_model.network)))
    assert document["target"]["classes"] == ["large", "middle", "small"]
    assert len(header["chainrule.sha256"]) == len(hashlib.sha256().hexdigest())


def test_numbers_that_are_not_finite_are_kept_out_of_the_json(dense_run: Any, tmp_path: Path) -> None:
    model = Model.from_run(dense_run, about={"inf": float("inf"), "nan": np.float32("nan"), "three": np.int64(3)})
    save(model, tmp_path / "m")
    about = load(tmp_path / "m").about
    assert (about["inf"], about["nan"], about["three"]) == (None, None, 3)


def test_an_awkward_class_and_column_survive(tmp_path: Path) -> None:
    name = 'größe "x"\n=\t.\u2028 {}'
    frame = {name: [float(i) for i in range(20)], "y": ["\x00 null", "emoji 🐧"] * 10}
    model = cr.workflow.train(frame, "y", cr.workflow.TrainOptions(hidden=(2,), epochs=1)).model
    save(model, tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.table is not None
    assert loaded.target is not None
    assert loaded.table.feature_names == [name]
    assert loaded.target.classes == ["\x00 null", "emoji 🐧"]


def test_files_of_version_0_1_are_read(rewrite: Any, dense_bytes: bytes, dense_run: Any, tmp_path: Path) -> None:
    """They know no tied parameters, and no numbers of a loss."""

    def older(document: dict[str, Any], arrays: dict[str, Any]) -> None:
        del document["loss_numbers"]
        del document["network"]["tie"]

    model = load(rewrite(older, dense_bytes))
    assert model.network == dense_run.objective.network
    assert model.objective.loss == dense_run.objective.loss
    x, _ = rows(np.float32)
    assert model.predict(x).tobytes() == dense_run.predict(x).tobytes()


@pytest.mark.parametrize("numbers", [{"delta": -1.0}, {}, 3, {"delta": "wide"}, [1.0]])
def test_a_loss_that_cannot_be_is_refused(numbers: Any, rewrite: Any, dense_bytes: bytes) -> None:
    def change(document: dict[str, Any], arrays: dict[str, Any]) -> None:
        document["loss"], document["loss_numbers"] = "huber", numbers

    with pytest.raises(ModelFileError, match="loss"):
        load(rewrite(change, dense_bytes))


def test_only_runs_and_models_are_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="only a run or a model can be saved, not a dict"):
        save({"w": np.ones(3)}, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_every_leaf_has_a_name(dense_run: Any) -> None:
    predictor = dense_run.predictor
    assert len(predictor.names) == len(predictor.arrays) == len(flatten(dense_run.parameters)[0])
