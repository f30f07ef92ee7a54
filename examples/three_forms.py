"""The three forms of regularization on one problem: hard, soft and Lagrangian, and where they agree.

python examples/three_forms.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import constrain as ct

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 8))
labels = (X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=200) > 0).astype(int)


def objective(**parts: Any) -> cr.Objective:
    return cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", **parts)


def shown(name: str, run: Any, multiplier: float) -> None:
    size = float(np.sum(run.parameters["weight"] ** 2))
    loss = cr.optimality(objective(), (X, labels), parameters=run.parameters).value
    print(f"{name:<12} F = {loss:.6f}   ‖w‖² = {size:.6f}   λ = {multiplier:.6f}")


# hard: min F subject to ‖w‖² ≤ 4, by projection after each step, in the metric of Adam
limited = objective(subject_to=[ct.L2Ball(2.0)])
hard = cr.fit(limited, (X, labels), optimizer=cr.learn.Adam(cr.learn.Cosine(0.05)), epochs=1000, batch_size="all")
found = cr.optimality(hard)
(multiplier,) = found.multipliers.values()
shown("hard", hard, multiplier)

# Lagrangian: min over θ, max over λ ≥ 0 of F + λ(‖w‖² − 4); λ is found on the way
method = ct.Lagrangian(dual_learning_rate=0.002, damping=0.05)
descent = cr.learn.SGD(0.3, momentum=0.9)
lagrangian = cr.fit(limited, (X, labels), method=method, optimizer=descent, epochs=3000, batch_size="all")
(trained,) = lagrangian.multipliers.values()
shown("Lagrangian", lagrangian, trained)

# soft: min F + λ‖w‖², with that λ
penalized = objective(penalty=[trained * ct.SquaredL2()])
soft = cr.fit(penalized, (X, labels), optimizer=descent, epochs=3000, batch_size="all")
shown("soft", soft, trained)

print()
print(ct.compare_forms(hard, tolerance=1e-4))
print()
print(cr.optimality(lagrangian))
