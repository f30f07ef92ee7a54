"""A limit on what a network does to two groups: errors on male and on female penguins, and the limit's price.

Is a penguin a Chinstrap, by the depth and the length of its bill? Bills of males are longer and deeper, so that one
rule for both errs more on females. python examples/fairness.py
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import constrain as ct

with Path(__file__).with_name("penguins.csv").open(encoding="utf-8") as file:
    table = [row for row in csv.DictReader(file) if row["sex"] in ("male", "female")]
female = np.array([row["sex"] == "female" for row in table])
y = np.array([row["species"] == "Chinstrap" for row in table]).astype(int)
X = np.array([[float(row["bill_depth_mm"]), float(row["bill_length_mm"])] for row in table])
X = (X - X.mean(axis=0)) / X.std(axis=0)
order = np.random.default_rng(0).permutation(len(table))
train, held = order[:222], order[222:]
groups, held_groups = ({"female": female[rows], "male": ~female[rows]} for rows in (train, held))


def errors(run: Any, rows: np.ndarray[Any, Any]) -> str:
    wrong = (run.output(X[rows])[:, 0] > 0) != y[rows]
    f, m = (wrong[mask[rows]].mean() for mask in (female, ~female))
    return f"errors {wrong.mean():.3f}: female {f:.3f}, male {m:.3f}, gap {f - m:+.3f}"


penalty = [1e-3 * ct.SquaredL2()]
optimizer = cr.learn.SGD(0.2, momentum=0.9, nesterov=True)
gap = ct.error_rate(group="female", sharpness=4.0) - ct.error_rate(group="male", sharpness=4.0)
free = cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", penalty=penalty)
fair = cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", penalty=penalty, subject_to=[gap <= 0.02, gap >= -0.02])

run = cr.fit(free, (X[train], y[train]), optimizer=optimizer, epochs=2000, batch_size="all")
print("no limit             training:", errors(run, train))
print("                     held out:", errors(run, held))
for rates in ("smooth", "decisions"):
    limited = cr.fit(
        fair, (X[train], y[train]), groups=groups, validation=(X[held], y[held]), validation_groups=held_groups,
        method=ct.AugmentedLagrangian(2.0, every=50, rates=rates), optimizer=optimizer, epochs=6000, batch_size="all",
    )  # fmt: skip
    print(f"by {rates:<17} training:", errors(limited, train))
    print("                     held out:", errors(limited, held))
print()
print(cr.optimality(limited))
