"""Slices of the loss and pictures of paths: what is drawn is what was computed, and sets are cut exactly."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct
from chainrule.errors import TrainingError
from chainrule.plot.landscape import level_of
from chainrule.plot.slices import boundary, flat_of, make_slice, unflat

pytest.importorskip("matplotlib")
TABLE = load_diabetes()
X = StandardScaler().fit_transform(TABLE.data)
Y = (TABLE.target - TABLE.target.mean()) / TABLE.target.std()


def saved(figure: Any) -> Any:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=40)
    assert picture.getvalue().startswith(b"\x89PNG")
    return figure


def two_weights(ball: Any, **options: Any) -> cr.learn.Run:
    objective = cr.Objective(cr.nn.Dense(1, bias=False), "half_squared_error", subject_to=[ball])
    start = {"weight": np.array([[-0.5], [0.6]])}
    chosen = {"optimizer": cr.learn.SGD(0.2), "epochs": 30, "batch_size": "all", "parameters": start} | options
    return cr.fit(objective, (X[:, [2, 8]], Y), **chosen)


@pytest.mark.parametrize(("ball", "size"), [
    (ct.L1Ball(0.4), lambda w: np.abs(w).sum(axis=1)),
    (ct.L2Ball(0.4), lambda w: np.linalg.norm(w, axis=1)),
    (ct.LInfBall(0.4), lambda w: np.abs(w).max(axis=1)),
], ids=str)  # fmt: skip
def test_two_weights_and_their_ball_are_drawn_as_they_are(ball: Any, size: Any) -> None:
    run = two_weights(ball)
    (axes, *_) = saved(cr.plot.landscape(run, points=11)).axes
    assert axes.get_title() == "plane of two weights\nthe trajectory lies in it"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("weight[0, 0]", "weight[1, 0]")
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_allclose(size(lines[str(ball)]), 0.4, rtol=1e-10)
    way = lines["trajectory"]
    np.testing.assert_allclose(way[0], [-0.5, 0.6])
    np.testing.assert_array_equal(way[-1], run.parameters["weight"].ravel())
    assert np.all(size(way[1:]) <= 0.4)


def test_a_slice_of_a_ball_is_the_slice_of_that_ball() -> None:
    """Of ‖w‖₂ ≤ r in the plane of two of ten weights: a circle of radius √(r² − the square of the eight others)."""
    objective = cr.Objective(cr.nn.Dense(1), "half_squared_error", subject_to=[ct.L2Ball(0.5)])
    run = cr.fit(objective, (X, Y), method=ct.AcceleratedProjection())
    figure = saved(cr.plot.landscape(run, ("weight[2, 0]", "weight[8,0]"), points=9))
    (outline,) = [line for line in figure.axes[0].lines if line.get_label() == "L2Ball(0.5)"]
    others = np.delete(run.parameters["weight"].ravel(), [2, 8])
    np.testing.assert_allclose(
        np.linalg.norm(outline.get_xydata(), axis=1), np.sqrt(0.25 - np.sum(others**2)), rtol=1e-9
    )
    assert "projected on it, from up to" in figure.axes[0].get_title()


def test_contours_are_those_of_the_objective() -> None:
    run = two_weights(ct.L2Ball(0.4))
    found = cr.optimality(run)
    figure = cr.plot.landscape(run, points=9, span=0.3)
    x0, x1 = figure.axes[0].get_xlim()
    middle = 0.5 * (x0 + x1)
    assert middle == pytest.approx(run.parameters["weight"][0, 0])
    assert x1 - x0 == pytest.approx(0.6)
    assert found.value < 0.5
    low, high = figure.axes[1].get_ylim()  # of the colors: the lowest of the window lies outside of the ball
    assert low < found.value < high


def test_a_network_in_the_plane_of_its_trajectory() -> None:
    network = cr.nn.Sequential(cr.nn.Dense(3, "tanh"), cr.nn.Dense(1))
    objective = cr.Objective(
        network, "half_squared_error", penalty=[0.01 * ct.SquaredL2()], subject_to=[ct.L2Ball(1.5)]
    )
    run = cr.fit(objective, (X, Y), optimizer=cr.learn.Adam(0.01), epochs=5)
    axes = saved(cr.plot.landscape(run, points=7)).axes[0]
    assert axes.get_title().startswith("plane of the trajectory's first two principal directions")
    assert "the trajectory is projected on it" in axes.get_title()
    plane = make_slice(run, run.parameters, None, [run.at(s).parameters for s in (0, 10, 40)])
    assert abs(plane.u @ plane.v) < 1e-12
    np.testing.assert_array_equal(flat_of(unflat(plane.center, run.parameters)), plane.center)
    a, b, away = plane.coordinates(plane.at(0.3, -0.2))
    assert (a, b) == (pytest.approx(0.3), pytest.approx(-0.2))
    assert away == pytest.approx(0.0, abs=1e-12)


class Own:
    """A set of one's own that has a projection, and does not say its limits: |w| ≤ 0.8."""

    def project(self, parameters: Any, metric: Any, settings: Any) -> tuple[Any, Any]:
        return {"w": np.clip(parameters["w"], -0.8, 0.8)}, True


def test_a_set_that_says_no_limit_is_found_by_its_projection() -> None:
    outline = boundary(lambda a, b: level_of(Own(), {}, {"w": np.array([a, b])}), (0.1, 0.0), 3.0)
    np.testing.assert_allclose(np.abs(outline).max(axis=1), 0.8, atol=1e-8)


def test_what_cannot_be_drawn() -> None:
    run = two_weights(ct.L2Ball(0.4))
    for directions, message in (
        (("weight[0, 0]", "weight[7, 0]"), "no weight is called 'weight\\[7, 0\\]'"),
        (("weight[0, 0]", "weight[0, 0]"), "twice"),
        ("weight[0, 0]", "directions are two"),
        (({"weight": np.ones((2, 1))}, {"weight": 2.0 * np.ones((2, 1))}), "are one"),
        (({"weight": np.ones((3, 1))}, {"weight": np.ones((2, 1))}), "has 3 numbers; the run trains 2"),
    ):
        with pytest.raises(TrainingError, match=message):
            cr.plot.landscape(run, directions)
    with pytest.raises(TrainingError, match="draws a training run"):
        cr.plot.landscape(3)
    with pytest.raises(TrainingError, match="at least 5"):
        cr.plot.landscape(run, points=2)
    solved = cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (X, Y), method=ct.AcceleratedProjection())
    with pytest.raises(TrainingError, match="is a line"):
        cr.plot.landscape(solved)
    with pytest.raises(TrainingError, match="regularization_path returns"):
        cr.plot.path(run)


def test_a_path_with_its_choices() -> None:
    objective = cr.Objective(cr.nn.Dense(1), "half_squared_error", subject_to=[ct.L1Ball(1.0)])
    path = ct.regularization_path(objective, (X, Y), radii=[0.2, 0.8, 1.2, 5.0], folds=3, names=TABLE.feature_names)
    loss, multiplier, weights = saved(cr.plot.path(path)).axes
    held = next(line for line in loss.lines if len(line.get_ydata()) == 4)
    assert list(held.get_ydata()) == [p.held_out for p in path.points]
    assert list(multiplier.lines[0].get_ydata()) == [p.multiplier for p in path.points if p.multiplier]
    assert "does not bind" in multiplier.get_legend().get_texts()[0].get_text()
    assert {t.get_text() for t in weights.get_legend().get_texts()} >= {"bmi", "s5", "bp"}
    assert weights.get_xscale() == "log"
    costs = cr.Objective(cr.nn.Dense(2), "half_squared_error", penalty=[ct.GroupL2()])
    path = ct.regularization_path(costs, (X, np.column_stack([Y, -Y])), strengths=[0.5, 0.05], folds=None)
    loss, weights = saved(cr.plot.path(path)).axes
    assert weights.xaxis_inverted()
    assert weights.get_ylabel() == "length of an input's weights"
