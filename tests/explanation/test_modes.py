"""The switches of explain: updated weights on purpose, biases frozen, tied or one a unit, rows as a step saw them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.workflow.worked_example import Setup, start, worked_example

NETWORK = cr.nn.Sequential(cr.nn.Dense(2, activation="sigmoid"), cr.nn.Dense(2, activation="sigmoid"))
OBJECTIVE = cr.Objective(NETWORK, loss="half_squared_error")
DATA = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
SGD = cr.learn.SGD(0.5)


def lecture(of: str, **more: Any) -> Any:
    return cr.explain(OBJECTIVE, DATA, of=of, parameters=start(), optimizer=SGD, **more)


@pytest.mark.parametrize("name", list(Setup().places))
def test_updated_weights_make_the_famous_mistake(name: str) -> None:
    example = worked_example(1, Setup(using="updated"))
    d = lecture(name, using="updated")
    assert d.value == pytest.approx(example.first.weight(name, "gradient"), rel=1e-12)
    assert d.update.after == pytest.approx(example.first.weight(name, "after"), rel=1e-12)
    assert d.paths.total == pytest.approx(d.value, rel=1e-12)
    assert d.cut("output").total == pytest.approx(d.value, rel=1e-12)
    right = lecture(name)
    if name in ("w1", "w2", "w3", "w4"):
        assert abs(d.value - right.value) > 1e-5
        assert "WRONG ON PURPOSE" in str(d)
        assert f"{right.value:.9g}" in str(d).replace("−", "-").replace("\n           ", " ")
        assert "w5⁺" in str(d) or "w6⁺" in str(d)
        assert "w_{5}^{+}" in d.latex() or "w_{6}^{+}" in d.latex()
    else:
        assert d.value == right.value
        assert "WRONG" not in str(d)


def test_the_copied_figure_comes_out_of_the_updates() -> None:
    moved = {k: v.copy() for k, v in start().items()}
    for name, (parameter, row, column) in Setup().places.items():
        moved[parameter][row, column] = lecture(name, using="updated").update.after
    assert f"{float(OBJECTIVE(moved, DATA)):.9f}" == "0.291027924"


@pytest.mark.parametrize(
    ("bias", "total"), [("frozen", "0.291027774"), ("unit", "0.280471447"), ("tied", "0.285750887")]
)
def test_bias_modes_give_the_known_errors_after_one_step(bias: str, total: str) -> None:
    moved = {k: v.copy() for k, v in start().items()}
    for name, (parameter, row, column) in Setup().places.items():
        moved[parameter][row, column] = lecture(name, bias=bias).update.after
    for layer, letter, shared in (("hidden1", "h", "b1"), ("output", "o", "b2")):
        asked = [shared, shared] if bias == "tied" else [f"b_{letter}1", f"b_{letter}2"]
        moved[f"{layer}.bias"][:] = [lecture(name, bias=bias).update.after for name in asked]
    assert f"{float(OBJECTIVE(moved, DATA)):.9f}" == total


def test_a_tied_bias_has_the_paths_of_all_its_units() -> None:
    d = lecture("b1", bias="tied")
    assert d.title == "∂E/∂b1"
    assert d.paths.count == 4
    assert d.value == pytest.approx(lecture("b_h1").value + lecture("b_h2").value, rel=1e-12)
    assert d.check.difference < 1e-8
    with pytest.raises(cr.ChainruleError, match="the units share one bias here; ask for b2"):
        lecture("b_o1", bias="tied")
    uneven = start() | {"hidden1.bias": np.array([0.1, 0.2])}
    with pytest.raises(cr.ChainruleError, match=r"share one bias, and those of hidden1.bias differ"):
        cr.explain(OBJECTIVE, DATA, of="w1", parameters=uneven, bias="tied")


def test_a_run_has_trained_its_biases() -> None:
    for bias in ("frozen", "tied"):
        with pytest.raises(cr.ChainruleError, match=f"bias='{bias}' belongs to an objective"):
            cr.explain(dropout_run(), of="output.bias[0]", bias=bias)


def test_adamw_is_told_with_its_decay() -> None:
    adamw = cr.learn.AdamW(0.05, decay=0.3)
    text = str(cr.explain(OBJECTIVE, DATA, of="w5", parameters=start(), optimizer=adamw).update.substituted)
    numbers = text.partition("   (t")[0].replace("−", "-").replace("×", "*")
    after = cr.explain(OBJECTIVE, DATA, of="w5", parameters=start(), optimizer=adamw).update.after
    assert eval(numbers) == pytest.approx(after, rel=1e-8)


def test_a_frozen_bias_stays() -> None:
    d = lecture("b_h1", bias="frozen")
    assert d.update.before == d.update.after == 0.35
    assert "biases stay as they are" in str(d)


def mistaken(parameters: dict[str, Any], x: Any, y: Any, rate: float) -> dict[str, Any]:
    """A backward pass over three tanh layers that updates each layer before δ goes through it, written out."""
    layers = ["hidden1", "hidden2", "output"]
    outs = [x]
    for layer in layers:
        net = outs[-1] @ parameters[f"{layer}.weight"] + parameters[f"{layer}.bias"]
        outs.append(np.tanh(net) if layer != "output" else net)
    delta = (outs[-1] - y) / len(x)
    gradient = {}
    for place in (2, 1, 0):
        layer = layers[place]
        gradient[f"{layer}.weight"] = outs[place].T @ delta
        gradient[f"{layer}.bias"] = delta.sum(axis=0)
        updated = parameters[f"{layer}.weight"] - rate * gradient[f"{layer}.weight"]
        delta = (delta @ updated.T) * (1 - outs[place] ** 2)
    return gradient


def test_the_mistake_in_a_deeper_network_over_a_batch() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    network = cr.nn.Sequential(
        cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(3, activation="tanh"), cr.nn.Dense(2)
    )  # fmt: skip
    objective = cr.Objective(network, "half_squared_error")
    parameters = network.initialize(x, seed=1)
    wrong = mistaken(parameters, x, y, 0.3)
    for of, index in (
        ("hidden1.weight", (2, 1)),
        ("hidden1.bias", (3,)),
        ("hidden2.weight", (0, 2)),
        ("output.bias", (1,)),
    ):
        name = f"{of}[{', '.join(map(str, index))}]"
        d = cr.explain(objective, (x, y), of=name, parameters=parameters, optimizer=cr.learn.SGD(0.3), using="updated")
        assert d.value == pytest.approx(wrong[of][index], rel=1e-10)
        assert sum(part.part for part in d.by_row) == pytest.approx(d.value, rel=1e-10)
        assert d.paths.total == pytest.approx(d.by_row[d.row].slope, rel=1e-10)
        for layer in d.layers:
            assert d.cut(layer).total == pytest.approx(d.value, rel=1e-10)
        assert d._repr_html_()
        assert d.to_json()["value"] == d.value


def test_the_mistake_is_refused_where_it_has_no_meaning() -> None:
    with pytest.raises(cr.ChainruleError, match="needs the optimizer"):
        cr.explain(OBJECTIVE, DATA, of="w1", parameters=start(), using="updated")
    with pytest.raises(cr.ChainruleError, match="using is 'new'; it is one of old, updated"):
        lecture("w1", using="new")
    tied = cr.Objective(lambda p, x: np.tanh(np.tanh(x @ p["w"]) @ p["w"]), "squared_error")
    with pytest.raises(cr.ChainruleError, match="w is used in several places"):
        cr.explain(
            tied, (np.ones((1, 2)), np.ones((1, 2))), of="w[0, 0]", parameters={"w": np.eye(2)}, optimizer=SGD,
            using="updated",
        )  # fmt: skip


def dropout_run() -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
    network = cr.nn.Sequential(cr.nn.Dense(6, activation="tanh"), cr.nn.Dropout(0.5), cr.nn.Dense(1))
    return cr.fit(cr.Objective(network, "squared_error"), (x, y), epochs=3, batch_size=8, seed=0)


def test_rows_as_a_step_saw_them() -> None:
    run = dropout_run()
    whole = cr.explain(run, of="output.weight[2, 0]", step=7)
    assert len(whole.by_row) == 8
    for part in whole.by_row:
        row = part.row
        alone = cr.explain(run, of="output.weight[2, 0]", step=7, rows=[row], training=True)
        assert alone.value == pytest.approx(part.slope, rel=1e-12, abs=1e-300)
        kept = cr.explain(run, of="dropout1.out[2]", step=7, rows=[row], training=True).value
        out = cr.explain(run, of="hidden1.out[2]", step=7, rows=[row], training=True).value
        assert kept in (0.0, out / 0.5)
    outside = next(r for r in range(40) if r not in whole.scene.rows)
    with pytest.raises(cr.ChainruleError, match=f"row {outside} is not in the batch of step 7, which has the rows"):
        cr.explain(run, of="loss", step=7, rows=[outside], training=True)
    with pytest.raises(cr.ChainruleError, match="give step="):
        cr.explain(run, of="loss", rows=[0], training=True)


def test_a_step_that_was_not_finite_can_be_explained() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 2)) * 1e3, rng.normal(size=(16, 1)) * 1e3
    network = cr.nn.Sequential(cr.nn.Dense(3, activation="relu"), cr.nn.Dense(1))
    run = cr.fit(cr.Objective(network, "squared_error"), (x, y), optimizer=cr.learn.SGD(10.0), epochs=20, batch_size=4)
    assert run.status == "non-finite"
    d = cr.explain(run, of="output.weight[0, 0]", step=run.steps)
    assert str(run.steps) in str(d)
    with pytest.raises(cr.ChainruleError, match=f"the last that can be explained is step={run.steps}"):
        cr.explain(run, of="output.weight[0, 0]", step=run.steps + 1)


class Ball:
    """‖θ‖ ≤ 0.5 over all parameters, in the metric of plain descent."""

    def settings(self) -> dict[str, float]:
        return {"radius": 0.5}

    def project(self, parameters: Any, metric: Any, settings: Any) -> tuple[Any, Any]:
        total = sum(np.sum(v * v) for v in parameters.values())
        scale = np.minimum(1.0, settings["radius"] / np.sqrt(total))
        return {k: v * scale for k, v in parameters.items()}, np.asarray(True)

    def __str__(self) -> str:
        return "‖θ‖ ≤ 0.5"


class Own(cr.learn.SGD):
    """An optimizer that explanations do not know."""


OPTIMIZERS = {
    "momentum": cr.learn.SGD(0.1, momentum=0.8),
    "norm": cr.learn.ClipNorm(cr.learn.SGD(0.1), 0.01),
    "value": cr.learn.ClipValue(cr.learn.SGD(0.3, momentum=0.9), 0.01),
    "value, norm": cr.learn.ClipValue(cr.learn.ClipNorm(cr.learn.SGD(0.3), 0.3), 0.05),
    "norm, value": cr.learn.ClipNorm(cr.learn.ClipValue(cr.learn.SGD(0.3), 0.05), 0.3),
    "value, own": cr.learn.ClipValue(Own(0.3), 0.01),
    "own": Own(0.3),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_update_of_a_clipped_step_is_what_the_trainer_did(kind: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    network = cr.nn.Sequential(cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(1))
    objective = cr.Objective(network, "squared_error")
    run = cr.fit(objective, (x, y), optimizer=OPTIMIZERS[kind], epochs=3, batch_size=10, seed=0)
    for step in (0, 5):
        after = run.at(step + 1).parameters
        for name in after:
            index = tuple(0 for _ in after[name].shape)
            d = cr.explain(run, of=f"{name}{list(index)}", step=step)
            assert d.update.after == pytest.approx(float(after[name][index]), rel=1e-9)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_update_of_a_constrained_step_is_what_the_trainer_did(kind: str) -> None:
    optimizer = OPTIMIZERS[kind]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    network = cr.nn.Sequential(cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(1))
    objective = cr.Objective(network, "squared_error", subject_to=[Ball()])
    run = cr.fit(objective, (x, y), optimizer=optimizer, epochs=3, batch_size=10, seed=0)
    after = run.at(6).parameters
    for name, index in (("hidden1.weight", (2, 3)), ("output.bias", (0,))):
        d = cr.explain(run, of=f"{name}{list(index)}", step=5)
        assert d.update.after == pytest.approx(float(after[name][index]), rel=1e-9)
        assert d.update.parts[-1][0] == "from the projection"
        moved = sum(amount for _, amount in d.update.parts)
        assert moved == pytest.approx(d.update.after - d.update.before, rel=1e-6, abs=1e-12)
        assert "the nearest point that keeps ‖θ‖ ≤ 0.5" in str(d).replace("\n           ", " ")


def test_rows_are_numbered_as_they_were_given() -> None:
    """Rows of weight 0 are no part of a run, and yet the others keep their numbers."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    weight = np.ones(30)
    weight[[0, 3, 11]] = 0.0
    network = cr.nn.Sequential(cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(1))
    run = cr.fit(cr.Objective(network, "squared_error"), (x, y, weight), epochs=2, batch_size=10, seed=0)
    for row in (1, 4, 29):
        d = cr.explain(run, of="loss", rows=[row])
        assert d.value == pytest.approx(float((run.predict(x[[row]]) - y[row])[0, 0] ** 2), rel=1e-9)
        why = cr.explain(run, of="prediction", rows=[row])
        assert why.value == pytest.approx(float(run.predict(x[[row]])[0, 0]), rel=1e-9)
        assert f"row {row}" in str(why)
    with pytest.raises(cr.ChainruleError, match=r"row 3 enters no loss .* weight 0, or was not given"):
        cr.explain(run, of="loss", rows=[3])
    d = cr.explain(run, of="output.weight[0, 0]", step=1)
    assert not set(d.scene.rows) & {0, 3, 11}
    np.testing.assert_array_equal(d.scene.x, x[d.scene.rows])


def test_rows_of_many_runs_keep_their_numbers() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))
    objective = cr.Objective(cr.nn.Dense(1), "squared_error")
    (run,) = cr.learn.fit_many(objective, (x, y), [{"rows": [11, 3, 5, 9, 7]}], epochs=2, batch_size=2)
    for row in (3, 7, 11):
        d = cr.explain(run, of="loss", rows=[row])
        assert d.value == pytest.approx(float((run.predict(x[[row]]) - y[row])[0, 0] ** 2), rel=1e-9)
    with pytest.raises(cr.ChainruleError, match="row 4 enters no loss"):
        cr.explain(run, of="loss", rows=[4])
    d = cr.explain(run, of="weight[1, 0]", rows=[7, 9])
    assert [part.row for part in d.by_row] == [7, 9]
    assert [part["row"] for part in d.to_json()["by_row"]] == [7, 9]
    with pytest.raises(cr.ChainruleError, match=r"rows is '5'; it must be a list"):
        cr.explain(run, of="prediction", rows="5")


def test_why_a_prediction_is_a_handout_too(tmp_path: Any) -> None:
    run = dropout_run()
    why = cr.explain(run, of="prediction", rows=[2])
    assert "<pre>" in why._repr_html_()
    for ending in ("tex", "html", "md", "txt", "json"):
        assert why.save(tmp_path / f"why.{ending}").stat().st_size > 100
    assert why.latex().count("\\\\\n") == len(why.parts) + 1
