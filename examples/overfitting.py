"""Overfitting in pictures: three sizes of a network on sixteen noisy points, the gap, and what a limit changes.

python examples/overfitting.py
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import constrain as ct

Array = np.ndarray[Any, Any]
NOISE = 0.4


def truth(x: Array) -> Array:
    return np.sin(3.0 * x)


rng = np.random.default_rng(0)
x = np.linspace(-1.5, 1.5, 16)[:, None]
y = truth(x) + NOISE * rng.normal(size=x.shape)
new_x = rng.uniform(-1.5, 1.5, size=(1000, 1))  # rows to come, which stand for the expected loss
new_y = truth(new_x) + NOISE * rng.normal(size=new_x.shape)


def fit(units: int, limits: list[Any]) -> cr.learn.Run:
    network = cr.nn.Sequential(*(cr.nn.Dense(units, activation="tanh") for _ in range(2)), cr.nn.Dense(1))
    objective = cr.Objective(network, "squared_error", subject_to=limits)
    return cr.fit(objective, (x, y), optimizer=cr.learn.Adam(cr.learn.Cosine(0.02)), epochs=5000, batch_size="all")


runs = {
    "2 × 1 unit": fit(1, []),
    "2 × 2 units": fit(2, []),
    "2 × 40 units": fit(40, []),
    "2 × 40 units, ‖w‖₂ ≤ 4": fit(40, [ct.L2Ball(4.0)]),
}
losses = {}
print(f"mean squared error (of the truth itself on rows to come: {np.mean((truth(new_x) - new_y) ** 2):.3f})\n")
print("network                 training  to come    gap")
for name, run in runs.items():
    a, b = losses[name] = [np.mean((run.predict(rows) - target) ** 2) for rows, target in ((x, y), (new_x, new_y))]
    print(f"{name:<24}{a:8.3f} {b:8.3f} {b - a:6.3f}")


def draw(place: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    line = np.linspace(-1.5, 1.5, 400)[:, None]
    for axes, (name, run) in zip(figure.subplots(1, 4, sharey=True), runs.items(), strict=True):
        axes.plot(line, truth(line), "--", color="#b8b8b8", label="truth")
        axes.plot(line, run.predict(line), color="#2a6fb0", linewidth=2, label="network")
        axes.plot(x, y, "o", color="#333333", markersize=4, label="training rows")
        axes.set_title(f"{name}\ntraining {losses[name][0]:.2f}, to come {losses[name][1]:.2f}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(-2.0, 1.6)
        axes.set_xlabel("x")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(place, dpi=150)
    print(f"\nthe picture: {place}")


if find_spec("matplotlib") is None:
    print("\nfor the picture: pip install 'chainrule[plot]'")
else:
    draw(Path(tempfile.gettempdir()) / "overfitting.png")
