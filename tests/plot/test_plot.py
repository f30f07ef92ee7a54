"""Pictures: drawn from what was computed, and clear about what cannot be drawn."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TrainingError
from chainrule.nn import Dense, Sequential
from chainrule.plot import canvas
from chainrule.workflow.worked_example import start

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
DATA = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
OBJECTIVE = cr.Objective(
    Sequential(Dense(2, activation="sigmoid"), Dense(2, activation="sigmoid")), "half_squared_error"
)


def lecture(of: str = "w1") -> Any:
    return cr.explain(OBJECTIVE, DATA, of=of, parameters=start(), optimizer=cr.learn.SGD(0.5))


@pytest.fixture(scope="module")
def run() -> Any:
    objective = cr.Objective(Sequential(Dense(32, "relu"), Dense(16, "tanh"), Dense(2)), "softmax_cross_entropy")
    return cr.fit(objective, (X[:150], Y[:150]), epochs=12, validation=(X[150:], Y[150:]), patience=50)


def drawn(figure: Any) -> tuple[list[Any], list[str]]:
    """The lines and the texts of a figure, which must come out as a picture."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=40)
    assert picture.getvalue().startswith(b"\x89PNG")
    (axes, *_) = figure.axes
    return list(axes.lines), [text.get_text() for text in axes.texts]


def test_history_has_both_losses(run: Any) -> None:
    lines, texts = drawn(cr.plot.history(run))
    assert list(lines[0].get_ydata()) == [entry["loss"] for entry in run.history]
    assert list(lines[1].get_ydata()) == [entry["validation_loss"] for entry in run.history]
    assert texts == [f"kept: epoch {run.best_epoch}"]


def test_gradients_by_layer_and_step(run: Any) -> None:
    lines, _ = drawn(cr.plot.gradients(run, steps=[0, 5]))
    looks = cr.diagnose(run, steps=[0, 5]).looks
    assert [list(line.get_ydata()) for line in lines] == [list(look.delta.values()) for look in looks]


def test_the_error_of_differences_is_a_u() -> None:
    lines, _ = drawn(cr.plot.check(lecture()))
    steps, errors = lines[0].get_xdata(), np.array(lines[0].get_ydata())
    best = float(steps[np.nanargmin(errors)])
    assert 1e-7 < best < 1e-1
    assert errors[0] > 1e3 * np.nanmin(errors)
    assert errors[-1] > 1e3 * np.nanmin(errors)


def test_the_loss_as_one_parameter_varies() -> None:
    d = lecture("w5")
    lines, texts = drawn(cr.plot.sweep(d, span=2.0))
    places, losses = lines[0].get_xdata(), lines[0].get_ydata()
    assert losses[0] == pytest.approx(d.scene.value_at("output.weight", (0, 0), float(places[0])))
    assert (lines[1].get_ydata()[-1] - lines[1].get_ydata()[0]) / 4.0 == pytest.approx(d.value)
    assert texts == ["slope 0.08217"]


def test_a_small_network_in_the_lectures_names() -> None:
    lines, texts = drawn(cr.plot.graph(lecture()))
    assert {"w1", "h1", "h2", "o1", "o2", "E"} <= set(texts)
    assert any("0.5933" in text and "δ 0.0364" in text for text in texts)
    edges = [line for line in lines if len(line.get_xdata()) == 2]
    thick = {round(line.get_linewidth(), 2) for line in edges if line.get_color() == canvas.UP}
    assert len(edges) == 1 + 4 + 2
    assert thick
    assert sum(line.get_color() == canvas.DOWN for line in edges) == 2


def test_a_large_network_is_drawn_by_what_carries(run: Any) -> None:
    _, texts = drawn(cr.plot.graph(cr.explain(run, of="hidden1.weight[1, 3]", step=7)))
    assert "hidden1[3]" in texts
    assert "… 31 more" in texts
    assert len(texts) < 60


def test_one_input_lit_at_a_time(run: Any) -> None:
    why = cr.explain(run, of="prediction", rows=[0])
    for column in range(3):
        figure = cr.plot.graph(why.paths(column))
        drawn(figure)
        assert f"{why.paths(column).count:,} paths" in figure.axes[0].get_title()


def test_a_jacobian_as_a_matrix() -> None:
    d = lecture()
    _, texts = drawn(cr.plot.jacobian(d, "hidden1.out", "output.net"))
    assert texts == ["0.4", "0.45", "0.5", "0.55"]
    with pytest.raises(TrainingError, match="there is no step from 'a' to 'b'; there are: "):
        cr.plot.jacobian(d, "a", "b")


def test_what_cannot_be_drawn_is_said(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for picture in (cr.plot.check, cr.plot.sweep):
        with pytest.raises(TrainingError, match="is no derivative by a parameter"):
            picture(lecture("delta net_h1"))
    why = cr.explain(run, of="prediction", rows=[0])
    function = cr.explain(lambda x: np.sin(x), 1.3)
    for call, message in (
        (lambda: cr.plot.graph(why), r"cr.plot.graph\(why.paths\(0\)\)"),
        (lambda: cr.plot.graph(function), "not a Func"),
        (lambda: cr.plot.check(function), "cr.plot.check draws what cr.explain"), (lambda: why.paths(9), "no input 9"),
        (lambda: cr.plot.history(function), "draws a training run"), (lambda: cr.diagnose(run, []), "steps is empty"),
    ):  # fmt: skip
        with pytest.raises(TrainingError, match=message):
            call()
    with pytest.raises(TrainingError, match="span is 0"):
        cr.plot.sweep(lecture(), span=0)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(TrainingError, match=r"pictures need matplotlib: pip install 'chainrule\[plot\]'"):
        cr.plot.history(run)


def test_learning_curves_are_those_that_were_measured() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    o = cr.workflow.CurveOptions(
        hidden=(8,), epochs=4, rows=(24, 48, 96), sizes=(4, 16), radii=(1.0, 2.0), repeats=3, learning_rate=0.02
    )
    found = cr.workflow.learning_curve((x, 3 * x[:, 0] + rng.normal(size=120)), options=o)
    figure = cr.plot.learning_curve(found)
    drawn(figure)
    for axes, curve in zip(figure.axes, (found.rows, found.size, found.limit), strict=True):
        training, held_out = axes.lines[:2]
        np.testing.assert_allclose(training.get_ydata(), curve.training["RMSE"].mean(axis=1))
        np.testing.assert_allclose(held_out.get_ydata(), curve.held_out["RMSE"].mean(axis=1))
    law = next(advice.law for advice in found.advice if advice.law is not None)
    assert figure.axes[0].lines[2].get_xdata()[-1] == pytest.approx(law.rows) == 192
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["1", "2", "none"]
    with pytest.raises(TrainingError, match=r"draws what cr\.workflow.learning_curve"):
        cr.plot.learning_curve(o)
