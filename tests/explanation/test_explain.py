"""explain: the worked example, any number of a run at any step, and what is said where something is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError, TrainingError
from chainrule.execute import REFERENCE
from chainrule.graph import flatten, unflatten
from chainrule.nn import BatchNorm, Dense, Dropout, Sequential
from chainrule.workflow.worked_example import PLACES, start

DATA = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
NETWORK = Sequential(Dense(2, activation="sigmoid"), Dense(2, activation="sigmoid"))
OBJECTIVE = cr.Objective(NETWORK, loss="half_squared_error")
RNG = np.random.default_rng(0)


def lecture(of: str, **options: Any) -> Any:
    return cr.explain(OBJECTIVE, DATA, of=of, parameters=start(), optimizer=cr.learn.SGD(0.5), **options)


# --- the worked example -----------------------------------------------------------------------------------------------


def test_the_two_paths_of_w1() -> None:
    d = lecture("w1")
    assert f"{d.value:.12f}" == "0.000438567734"
    assert d.paths.count == 2
    products = [f"{path.product:+.12f}" for path in d.paths]
    assert products == ["+0.000668396021", "-0.000229828287"]
    assert [round(f, 8) for f in d.paths[0].factors] == [0.05, 0.24130071, 0.4, 0.18681560, 0.74136507]
    assert f"{d.update.after:.9f}" == "0.149780716"
    assert d.check.difference < 1e-8
    text = str(d)
    assert "∂E/∂w1 = +0.000438567734        w1: i1 → h1" in text
    assert "w1 → h1 → o2 → E" in text
    assert "2 paths; multiply along a path, add across paths" in text
    assert "factored   (δ_o1·w5 + δ_o2·w7) · ∂h1/∂net · i1" in text
    assert "0.15 − 0.5 × 0.000438567734 = 0.149780716" in text


AFTER = {
    "w1": ".149780716", "w2": ".19956143", "w3": ".24975114", "w4": ".29950229",
    "w5": ".35891648", "w6": ".408666186", "w7": ".511301270", "w8": ".561370121",
}  # fmt: skip


@pytest.mark.parametrize("name", AFTER)
def test_every_weight_after_the_step(name: str) -> None:
    d = lecture(name)
    assert (d.asked.name, *d.asked.index) == PLACES[name]
    digits = len(AFTER[name]) - 1
    assert f"{d.update.after:.{digits}f}".lstrip("0") == AFTER[name]
    assert lecture(f"{d.asked.name}[{d.asked.index[0]}, {d.asked.index[1]}]").value == d.value
    assert lecture(f"∂E/∂{name}").value == d.value


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        ("net_h1", "net_h1", 0.3775), ("h1", "out_h1", 0.593269992), ("out_o2", "out_o2", 0.772928465),
        ("hidden1.out[1]", "hidden1.out[1]", 0.596884378), ("loss", "F", 0.298371109),
        ("delta net_o1", "∂E/∂net_o1", 0.138498562), ("i1->h1", "∂E/∂w1", 0.000438567734),
    ],
)  # fmt: skip
def test_values_and_deltas(of: str, name: str, value: float) -> None:
    d = lecture(of)
    assert d.title == name
    assert d.value == pytest.approx(value, abs=1e-9)


def test_a_net_input_is_told_term_by_term() -> None:
    text = str(lecture("net_h1"))
    assert re.search(r"w1 +0\.15000000 × i1 +0\.05000000 = \+0\.0075", text)
    assert re.search(r"b_h1 += \+0\.35", text)
    text = str(lecture("net_o2"))
    assert re.search(r"w7 +0\.50000000 × h1 +0\.59326999 = \+0\.296634996", text)


def test_a_tied_bias_and_a_bias_of_one_unit() -> None:
    _, gradient = cr.value_and_grad(OBJECTIVE)(start(), DATA)
    assert lecture("b1[1]").value == pytest.approx(float(gradient["hidden1.bias"][1]), rel=1e-12)
    assert lecture("b1").paths.count == 2


# --- runs -------------------------------------------------------------------------------------------------------------


def fitted(network: Any, optimizer: Any = None, **options: Any) -> Any:
    x = RNG.normal(size=(24, 3))
    y = RNG.integers(0, 2, 24)
    objective = cr.Objective(network, "softmax_cross_entropy")
    return cr.fit(objective, (x, y), **{"epochs": 3, "batch_size": 7, "optimizer": optimizer or cr.learn.Adam(0.02),
                                        **options})  # fmt: skip


NETWORKS = {
    "dense": lambda: Sequential(Dense(4, activation="tanh"), Dense(2)),
    "dropout": lambda: Sequential(Dense(5, activation="relu"), Dropout(0.4), Dense(2)),
    "batch statistics": lambda: Sequential(Dense(3, activation="tanh"), BatchNorm(), Dense(2)),
}


@pytest.mark.parametrize("step", [0, 3, 7, 11])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_gradient_of_a_step_is_the_trainers(kind: str, step: int) -> None:
    """With its batch, its dropout masks and its batch statistics."""
    run = fitted(NETWORKS[kind]())
    moment = run.at(step)
    loop = run.snapshots[0].snapshot()
    loop.status = "running"
    REFERENCE.advance(run.program, run.plan, loop, run.arrays, run.training, None, until=step)
    rows = run.plan.order(step // 4)[step % 4 * 7 : (step % 4 + 1) * 7]
    batch = {k: v[rows] for k, v in run.training.items()} | {"position": np.arange(len(rows), dtype=np.uint32)}
    sums = REFERENCE.measure(run.program, loop.carry, run.arrays, batch, None)
    for name, total in sums["gradient"].items():
        index = tuple(int(RNG.integers(size)) for size in total.shape)
        d = cr.explain(run, of=f"{name}[{', '.join(map(str, index))}]", step=step)
        assert d.value == pytest.approx(float(total[index]) / len(rows), rel=1e-8, abs=1e-14)
        assert d.paths.total == pytest.approx(
            d.by_row[d.row].slope if d.by_row else d.value, rel=1e-9, abs=1e-12 * (1 + d.paths.mass)
        )
        for layer in d.layers:
            assert d.cut(layer).total == pytest.approx(d.value, rel=1e-9, abs=1e-14)
        assert float(moment.parameters[name][index]) == d.update.before


OPTIMIZERS = {
    "sgd": cr.learn.SGD(0.1), "momentum": cr.learn.SGD(0.1, momentum=0.9), "adam": cr.learn.Adam(0.02),
    "adamw": cr.learn.AdamW(0.02, decay=0.1), "schedule": cr.learn.Adam(cr.learn.Cosine(0.05)),
}  # fmt: skip


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_update_is_the_runs_and_its_parts_add_up(kind: str) -> None:
    run = fitted(NETWORKS["dense"](), OPTIMIZERS[kind])
    for step in (0, 5):
        d = cr.explain(run, of="hidden1.weight[1, 2]", step=step)
        after = float(run.at(step + 1).parameters["hidden1.weight"][1, 2])
        assert d.update.after == pytest.approx(after, rel=1e-9)
        if d.update.parts:
            moved = sum(amount for _, amount in d.update.parts)
            assert moved == pytest.approx(after - d.update.before, rel=1e-6)
        assert "update" in str(d)


def test_rows_by_themselves_and_the_trained_network() -> None:
    run = fitted(NETWORKS["dropout"]())
    x, y = run.training["x"], run.training["y"]
    _, gradient = cr.value_and_grad(run.objective)(run.parameters, (x[[5]], y[[5]]))
    d = cr.explain(run, of="hidden1.weight[2, 1]", rows=[5])
    assert d.value == pytest.approx(float(gradient["hidden1.weight"][2, 1]), rel=1e-12)
    assert "row 5" in str(d)
    _, gradient = cr.value_and_grad(run.objective)(run.parameters, (x, y))
    d = cr.explain(run, of="output.bias[0]")
    assert d.value == pytest.approx(float(gradient["output.bias"][0]), rel=1e-12)
    assert "mean over 24 rows" in str(d)
    assert sum(part.part for part in d.by_row) == pytest.approx(d.value, rel=1e-12)


def test_explaining_changes_nothing() -> None:
    def bits(run: Any) -> list[bytes]:
        return [np.asarray(v).tobytes() for v in flatten(run.parameters)[0]]

    plain, watched = (cr.fit(cr.Objective(NETWORK, "half_squared_error"), DATA, epochs=20) for _ in range(2))
    before = [np.asarray(v).tobytes() for v in flatten(watched.at(3).parameters)[0]]
    str(cr.explain(watched, of="w3", step=3))
    assert [np.asarray(v).tobytes() for v in flatten(watched.at(3).parameters)[0]] == before
    assert bits(plain) == bits(watched)


def test_penalties_have_their_share() -> None:
    class L2:
        def settings(self) -> dict[str, float]:
            return {"lambda": 0.1}

        def value(self, parameters: Any, settings: Any) -> Any:
            return settings["lambda"] * sum(np.sum(v * v) for v in flatten(parameters)[0])

    objective = cr.Objective(NETWORK, "half_squared_error", penalty=[L2()])
    d = cr.explain(objective, DATA, of="w1", parameters=start())
    assert dict(d.penalties) == {"penalty1": pytest.approx(0.1 * 2 * 0.15)}
    _, gradient = cr.value_and_grad(objective)(start(), DATA)
    assert d.value == pytest.approx(float(gradient["hidden1.weight"][0, 0]), rel=1e-12)
    assert "penalty    penalty1 adds +0.03" in str(d)
    assert "penalty1 is" in str(cr.explain(objective, DATA, of="loss", parameters=start()))


def test_sample_weights_are_shares() -> None:
    x, y, weight = RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2)), np.array([1.0, 2, 0, 1, 1, 3])
    parameters = NETWORK.initialize(x, seed=1)
    d = cr.explain(OBJECTIVE, (x, y, weight), of="hidden1.weight[1, 0]", parameters=parameters)
    kept = weight > 0
    scaled = weight[kept] / weight[kept].mean()
    _, gradient = cr.value_and_grad(OBJECTIVE)(parameters, (x[kept], y[kept], scaled))
    assert d.value == pytest.approx(float(gradient["hidden1.weight"][1, 0]), rel=1e-12)
    assert len(d.by_row) == 5


# --- plain functions --------------------------------------------------------------------------------------------------


def test_a_function_link_by_link() -> None:
    d = cr.explain(lambda x: np.sin(0.5 * x**2), 1.3)
    assert d.value == pytest.approx(1.3 * np.cos(1.3**2 / 2), rel=1e-14)
    text = str(d)
    assert "∂y/∂x = +0.862850667233" in text
    assert "y    = sin(v2) = 0.747971112" in text
    assert "one path" in text


@pytest.mark.parametrize(
    ("function", "at", "of", "paths"),
    [
        (lambda x: np.sin(x) * np.sin(x), (0.7,), None, 2), (lambda x: x * x * x, (1.5,), None, 3),
        (lambda a, b: np.exp(a * b) / (a + b), (0.3, 0.9), "b", 2), (lambda x: x, (2.0,), None, 1),
    ],
)  # fmt: skip
def test_paths_of_functions_are_counted_by_operand(function: Any, at: Any, of: Any, paths: int) -> None:
    d = cr.explain(function, *at, of=of)
    number = 1 if of == "b" else 0
    assert d.paths.count == paths
    assert d.value == pytest.approx(float(cr.grad(function, number)(*at)), rel=1e-13)
    assert d.check.difference < 1e-7
    json.dumps(d.to_json())


# --- in print ---------------------------------------------------------------------------------------------------------


def everything() -> list[Any]:
    run = fitted(Sequential(Dense(30, activation="relu"), Dense(20, activation="tanh"), Dense(2)))
    return [
        *(lecture(of) for of in ("w1", "w8", "b2", "net_h2", "h2", "loss", "delta h1")),
        *(cr.explain(run, of="hidden1.weight[2, 17]", **more) for more in ({}, {"rows": [3]}, {"step": 4})),
        cr.explain(run, of="loss"), cr.explain(run, of="hidden2.net[3]", rows=[2]),
        cr.explain(run, of="delta hidden1.out[3]", rows=[2]),
    ]  # fmt: skip


def test_print_is_80_columns_wide_and_html_needs_nothing() -> None:
    for d in everything():
        wide = [line for line in str(d).splitlines() if len(line) > 80]
        assert not wide, wide
        html = d._repr_html_()
        assert not re.search(r"<script|https?:|src=|url\(", html)
        assert html.count("<table") == html.count("</table>")
        data = json.loads(json.dumps(d.to_json()))
        assert data["value"] == d.value
        assert d.latex().startswith("\\begin{align*}")


def test_the_share_of_the_mass_stands_beside_the_largest_paths() -> None:
    run = fitted(Sequential(Dense(30, activation="relu"), Dense(20, activation="tanh"), Dense(2)))
    d = cr.explain(run, of="hidden1.weight[2, 17]", rows=[3])
    assert d.paths.count == 20 * 2
    assert 0 < d.paths.covered < 1
    text = str(d)
    assert re.search(r"40 paths; the 20 largest have [\d.]+ % of their mass", text)
    assert text.count("cut at") == 3


# --- what is wrong ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, str]] = {
    "a typo": (lambda: lecture("hiden1.weight[0, 0]"), r"there is no 'hiden1.weight'; did you mean 'hidden1.weight'\?"),
    "no index": (lambda: lecture("hidden1.weight"), r"has the shape \(2, 2\); ask for one element, such as"),
    "too far": (lambda: lecture("hidden1.weight[0, 2]"), r"index 2 is out of range: axis 1 of hidden1.weight has"),
    "not a number": (lambda: lecture("hidden1.weight[a, 0]"), r"the index must be whole numbers"),
    "w9": (lambda: lecture("w9"), r"there is no w9: this network has w1 to w8"),
    "nothing": (lambda: cr.explain(OBJECTIVE, DATA), r"of what\? A name is needed"),
    "no data": (lambda: cr.explain(OBJECTIVE, of="w1"), r"an objective is explained on data"),
    "no row": (lambda: lecture("w1", rows=[1]), r"rows has 1; there are 1 rows"),
    "step of an objective": (lambda: lecture("w1", step=3), r"step= belongs to a run"),
    "a value of many rows": (
        lambda: cr.explain(fitted(NETWORKS["dense"]()), of="hidden1.out[0]"), r"has a value for each of 24 rows",
    ),
    "a step too far": (
        lambda: cr.explain(fitted(NETWORKS["dense"]()), of="output.bias[0]", step=12),
        r"the last that can be explained is step=11",
    ),
    "no cut": (lambda: lecture("w1").cut("hidden7"), r"there is no 'hidden7' on the way to be cut at; there are:"),
    "arrays": (lambda: cr.explain(lambda x: np.sum(x), np.ones(3)), r"explain takes functions of numbers"),
    "no function": (lambda: cr.explain(3.0), r"explain takes an objective, a run, or a function"),
    "no argument": (lambda: cr.explain(lambda x: x * 2, 1.0, of="z"), r"the function has no argument 'z'; it has x"),
    "does not depend": (lambda: cr.explain(lambda x, y: x * 2, 1.0, 2.0, of="y"), r"does not depend on y"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(kind: str) -> None:
    call, message = WRONG[kind]
    with pytest.raises((TrainingError, TraceError), match=message):
        call()


def test_parameters_left_out_are_those_of_seed_0() -> None:
    d = cr.explain(OBJECTIVE, DATA, of="w1")
    own = NETWORK.initialize(DATA[0], seed=0)
    leaves, structure = flatten(own)
    assert d.value == cr.explain(OBJECTIVE, DATA, of="w1", parameters=unflatten(structure, leaves)).value
    assert "those that seed 0 begins with" in str(d)


def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no TeX here: .ci/run installs Debian's texlive-latex-base where it may")
    functions = [cr.explain(lambda x: np.sin(0.5 * x**2), 1.3), cr.explain(lambda a_b, c: a_b * c / 3, 1.0, 2.0)]
    body = "\n\n".join(d.latex() for d in [*everything(), *functions])
    text = f"\\documentclass{{article}}\\usepackage{{amsmath}}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "all.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:]


UNSPLIT = ("sgd", "rmsprop", "rmsprop, centered", "adagrad")
"""A step of these is made of the one gradient alone."""
ALL_OPTIMIZERS = {
    **OPTIMIZERS,
    "nesterov": cr.learn.SGD(0.1, 0.9, nesterov=True), "rmsprop": cr.learn.RMSprop(0.01),
    "rmsprop, centered": cr.learn.RMSprop(0.01, centered=True),
    "rmsprop, momentum": cr.learn.RMSprop(0.01, momentum=0.8, centered=True),
    "adagrad": cr.learn.Adagrad(0.05), "lion": cr.learn.Lion(0.01, decay=0.1),
    "clipped to a length": cr.learn.ClipNorm(cr.learn.Adam(0.02), 0.1),
    "clipped to a length, momentum": cr.learn.ClipNorm(cr.learn.SGD(0.1, 0.9, nesterov=True), 0.1),
    "clipped by value": cr.learn.ClipValue(cr.learn.SGD(0.1, 0.9), 0.01),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL_OPTIMIZERS)
def test_an_update_knows_factors_frozen_parameters_and_schedules(kind: str) -> None:
    optimizer = ALL_OPTIMIZERS[kind]
    more: dict[str, Any] = {"settings": {"decay": cr.learn.FlatCosine(0.3)}} if optimizer.decays else {}
    own = {"rate_factors": {"*.weight": 0.3}, "frozen": ["output.bias"], **more}
    plain = fitted(NETWORKS["dense"](), optimizer)
    for step in (0, 5):
        d = cr.explain(plain, of="hidden1.weight[1, 2]", step=step)
        after = float(plain.at(step + 1).parameters["hidden1.weight"][1, 2])
        assert d.update.after == pytest.approx(after, rel=1e-9)
        moved = sum(amount for _, amount in d.update.parts)
        assert bool(d.update.parts) == (kind not in UNSPLIT)
        assert not d.update.parts or moved == pytest.approx(after - d.update.before, rel=1e-6)
    run = fitted(NETWORKS["dense"](), optimizer, **own)
    for step in (0, 5, run.steps - 1):
        d = cr.explain(run, of="hidden1.weight[1, 2]", step=step)
        after = float(run.at(step + 1).parameters["hidden1.weight"][1, 2])
        assert d.update.after == pytest.approx(after, rel=1e-9)
        moved = sum(amount for _, amount in d.update.parts)
        assert not d.update.parts or moved == pytest.approx(after - d.update.before, rel=1e-6)
        d = cr.explain(run, of="output.bias[0]", step=step)
        assert d.update.rule == "θ⁺ = θ: output.bias is frozen"
        assert d.update.after == d.update.before == float(run.at(step + 1).parameters["output.bias"][0])


def test_optimizers_that_are_made_from_known_ones_are_not_split_as_those() -> None:
    class Doubled(cr.learn.Adam):
        def update(self, gradient: Any, state: Any, parameters: Any, settings: Any) -> Any:
            longest = sum(np.sum(g * g) for g in flatten(gradient)[0])  # looks at all elements at once
            direction, metric, after = super().update(gradient, state, parameters, settings)
            return cr.graph.tree_map(lambda d: d / (1.0 + longest), direction), metric, after

    for optimizer in (Doubled(0.02), cr.learn.ClipNorm(Doubled(0.02), 0.1)):
        run = fitted(NETWORKS["dense"](), optimizer)
        d = cr.explain(run, of="hidden1.weight[1, 2]", step=5)
        assert d.update.after == pytest.approx(float(run.at(6).parameters["hidden1.weight"][1, 2]), rel=1e-9)
        assert d.update.parts == ()
        assert d.update.rule.startswith("θ⁺ by Doubled")
