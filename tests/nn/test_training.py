"""Every part of the vocabulary in training: native code against the reference, files, and explanations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn.config import PARTS

RNG = np.random.default_rng(21)
ROWS = 48


def table(dtype: Any = np.float64) -> tuple[Any, Any]:
    """Two columns of categories, three of numbers, and a target of both."""
    x = RNG.normal(size=(ROWS, 5))
    x[:, 0], x[:, 1] = RNG.integers(0, 4, ROWS), RNG.integers(0, 6, ROWS)
    return x.astype(dtype), (x[:, :1] - 1.5 + np.sin(2 * x[:, 2:3])).astype(dtype)


X, Y = table()
LABELS = (Y[:, 0] > 0).astype(int)
NUMBERS = slice(2, None)
BINS = nn.PiecewiseLinear.from_quantiles(X[:, 2:], bins=4).bins


def after(*layers: Any) -> Any:
    return nn.Sequential(nn.Columns(NUMBERS), *layers, nn.Dense(1))


NETWORKS: dict[str, Any] = {
    "Embedding": nn.Sequential(nn.Columns([0, 1], nn.Embedding([4, 6], 3)), nn.Dense(1)),
    "Embedding, shared": nn.Sequential(nn.Columns([0, 1], nn.Embedding(6, 2, initializer="uniform")), nn.Dense(1)),
    "LayerNorm": after(nn.Dense(4), nn.LayerNorm()),
    "BatchNorm": after(nn.Dense(4), nn.BatchNorm()),
    "Dropout": after(nn.Dense(8, "relu"), nn.Dropout(0.25)),
    "Scale": after(nn.Rated(nn.Scale(), rate=6.0)),
    "Residual": after(nn.Residual(nn.Dense(5, "silu"), nn.Dense(3))),
    "Concatenate": nn.Sequential(nn.Concatenate(nn.Columns([0, 3], nn.Dense(2)), nn.Columns(NUMBERS)), nn.Dense(1)),
    "Periodic": after(nn.Rated(nn.Periodic(4, 2), rate=0.1)),
    "Periodic, PLR": after(nn.Periodic(4, 2, sigma=0.5, with_input=False, with_sine=True, activation="relu")),
    "PiecewiseLinear": after(nn.PiecewiseLinear(BINS)),
    "PiecewiseLinear, units": after(nn.PiecewiseLinear(BINS, units=3, activation="relu")),
    "Lambda": after(nn.Lambda("tanh")),
    "PReLU": after(nn.Dense(4, activation=nn.PReLU())),
    "PReLU, a layer": after(nn.Dense(4), nn.PReLU(0.1)),
    "Parametric": after(nn.Dense(4, activation=nn.Rated(nn.Parametric("mish"), decay=0.0))),
    "LeakyReLU": after(nn.Dense(4, activation=nn.LeakyReLU(0.2))),
    "ELU": after(nn.Dense(4, activation=nn.ELU(0.5))),
    "Frozen": after(nn.Frozen(nn.Dense(4, "tanh"), only="bias")),
    "tied": nn.Sequential(
        nn.Columns(NUMBERS, nn.Dense(3, "tanh")), nn.Dense(3, "tanh"), nn.Dense(1), tie={"hidden2": "hidden1"}
    ),
    "initializers": after(
        nn.Dense(4, initializer=nn.Orthogonal(0.5)), nn.Dense(3, initializer=nn.TruncatedNormal(0.3)),
        nn.Dense(3, initializer=nn.Uniform(-0.5, 0.5)), nn.Scale(nn.Constant(0.5)),
    ),
    **{a: after(nn.Dense(4, a, initializer=nn.Normal(0.3))) for a in nn.ACTIVATIONS},
}  # fmt: skip


def realmlp(units: int = 16) -> Any:
    """The parts of RealMLP-TD: arXiv 2407.04491."""

    def dense(size: int, **more: Any) -> Any:
        return nn.Rated(nn.Dense(size, initializer="lecun_normal", **more), rate=0.1, decay=0.0, only="bias")

    return nn.Sequential(
        nn.Concatenate(
            nn.Columns([0, 1], nn.Embedding([4, 6], 8)), nn.Columns(NUMBERS, nn.Rated(nn.Periodic(), rate=0.1))
        ),
        nn.Rated(nn.Scale(), rate=6.0),
        *(layer for _ in range(3) for layer in (dense(units, activation=nn.Parametric("selu")), nn.Dropout(0.15))),
        dense(2),
    )


def test_every_layer_and_part_is_here() -> None:
    def kinds(value: Any) -> set[str]:
        if isinstance(value, dict):
            found = {value[k] for k in ("layer", "part") if k in value}
            return found.union(*(kinds(v) for v in value.values()))
        return set().union(*(kinds(v) for v in value)) if isinstance(value, list) else set()

    seen = set().union(*(kinds(nn.to_config(network)) for network in NETWORKS.values()))
    assert seen == set(nn.LAYERS) | set(PARTS)


@pytest.mark.parametrize("tile_rows", [None, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_native_training_is_that_of_the_reference(name: str, tile_rows: int | None) -> None:
    """With momentum, not Adam, which makes whole steps of the rounding of a gradient of 0 (a bias before a norm)."""
    network = NETWORKS[name]
    if network.whole_batch and tile_rows:
        with pytest.raises(cr.errors.TrainingError, match="batch normalization needs the statistics"):
            cr.fit(cr.Objective(network, "squared_error"), (X, Y), tile_rows=tile_rows)
        return
    runs = {
        executor: cr.fit(
            cr.Objective(network, "squared_error"), (X, Y), epochs=3, batch_size=16, executor=executor,
            optimizer=cr.learn.SGD(0.02, momentum=0.9), validation=(X[:20], Y[:20]), tile_rows=tile_rows,
        )
        for executor in ("reference", "native")
    }  # fmt: skip
    reference, native = runs["reference"], runs["native"]
    assert reference.status == native.status == "done"
    for key, expected in reference.parameters.items():
        np.testing.assert_allclose(native.parameters[key], expected, rtol=1e-8, atol=1e-10)
    for ours, theirs in zip(native.history, reference.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    np.testing.assert_allclose(native.predict(X), reference.predict(X), rtol=1e-8, atol=1e-10)
    first = reference.at(0).parameters
    assert any(not np.array_equal(first[k], v) for k, v in reference.parameters.items())


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_central_differences(name: str) -> None:
    network = NETWORKS[name]
    p, state = network.initialize(X, seed=1), network.initial_state(X)
    objective = cr.Objective(network, "squared_error")
    assert cr.check_grad(lambda p: objective(p, (X, Y), state=state), p, tolerance=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_config_and_files_there_and_back(name: str, dtype: Any, tmp_path: Path) -> None:
    network = NETWORKS[name]
    x, y = X.astype(dtype), Y.astype(dtype)
    again = nn.from_config(json.loads(json.dumps(nn.to_config(network))))
    assert again == network
    assert str(again) == str(network)
    p, q = network.initialize(x), again.initialize(x)
    assert {k: v.tobytes() for k, v in p.items()} == {k: v.tobytes() for k, v in q.items()}
    run = cr.fit(cr.Objective(network, "squared_error"), (x, y), epochs=1, batch_size=16)
    run.save(tmp_path / "m")
    model = cr.load(tmp_path / "m")
    assert model.network == network
    assert model.predict(x).tobytes() == run.predict(x).tobytes()
    assert all(value.dtype == dtype for value in model.parameters.values())
    cr.save(model, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


OF = {
    "Embedding": "embedding1.weight[{row}, 1]",
    "LayerNorm": "hidden1.weight[1, 2]",
    "Residual": "residual1.hidden1.weight[0, 1]",
    "Concatenate": "concatenate1.hidden1.weight[1, 1]",
    "Periodic": "periodic1.frequency[1, 2]",
    "PiecewiseLinear, units": "piecewise1.weight[0, 1, 2]",
    "PReLU": "hidden1.activation.slope[1]",
    "Parametric": "hidden1.activation.strength[2]",
    "Scale": "scale1.gain[1]",
    "tied": "hidden1.weight[1, 2]",
}


@pytest.mark.parametrize("name", OF)
def test_explanations_go_through(name: str) -> None:
    run = cr.fit(cr.Objective(NETWORKS[name], "squared_error"), (X, Y), epochs=2, batch_size=16)
    of = OF[name].format(row=int(X[0, 0]))
    parameter, _, place = of.partition("[")
    index = tuple(int(i) for i in place.rstrip("]").split(","))
    whole = cr.explain(run, of=of)
    slope = cr.grad(run.objective)(run.parameters, (X, Y))[parameter][index]
    assert whole.value == pytest.approx(slope, rel=1e-9, abs=1e-12)
    assert whole.check.difference < 1e-5
    one = cr.explain(run, of=of, rows=[0])
    assert one.check.difference < 1e-5
    for layer in one.layers:
        assert one.cut(layer).total == pytest.approx(one.value, rel=1e-9, abs=1e-12)
    if one.paths.count <= 2000:
        assert one.paths.total == pytest.approx(one.value, rel=1e-9, abs=1e-12)
    assert of in str(whole)
    assert len(str(one)) > 100


def test_predictions_are_explained_with_categories_held() -> None:
    """Integrated gradients lead along a line of numbers; a category has none, so it is the row's own in the base."""
    run = cr.fit(cr.Objective(realmlp(), "softmax_cross_entropy"), (X, LABELS), epochs=3, batch_size=16)
    why = cr.explain(run, of="prediction[1]", rows=[4])
    assert [p.part for p in why.parts[:2]] == [0.0, 0.0]
    assert [p.base for p in why.parts[:2]] == X[4, :2].tolist()
    base = X.mean(axis=0)
    base[:2] = X[4, :2]
    assert why.base_value == pytest.approx(float(run.predict(base[None, :])[0, 1]), rel=1e-9)
    assert sum(p.part for p in why.parts) == pytest.approx(why.value - why.base_value, rel=1e-7)
    assert "(at the mean of 48 training rows; categories (x[0], x[1]) are the row's own)" in str(why)
    made = nn.Sequential(nn.Columns([0], nn.Lambda("relu")), nn.Embedding(4, 2), nn.Dense(1))
    run = cr.fit(cr.Objective(made, "squared_error"), (X, Y), epochs=1)
    with pytest.raises(cr.errors.TrainingError, match="the layer 'embedding1' reads categories that are computed"):
        cr.explain(run, of="prediction", rows=[4])


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_the_parts_of_realmlp_learn(executor: str) -> None:
    network = realmlp()
    objective = cr.Objective(network, nn.losses.SoftmaxCrossEntropy(smoothing=0.1))
    x = X.astype(np.float32)
    run = cr.fit(objective, (x, LABELS), epochs=60, batch_size=16, optimizer=cr.learn.Adam(0.01), executor=executor)
    assert np.mean(run.predict(x).argmax(axis=1) == LABELS) > 0.9
    declared = network.declare(nn.input_type(x)).parameters
    assert {(p.rate, p.decay) for k, p in declared.items() if k.endswith(".bias") and "periodic" not in k} == {
        (0.1, 0.0)
    }
    assert {p.rate for k, p in declared.items() if "periodic" in k or "strength" in k} == {0.1}
    assert declared["scale1.gain"].rate == 6.0
