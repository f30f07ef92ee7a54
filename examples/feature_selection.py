"""Which columns are needed? A path of group limits on the first layer's weights, cross-validated, linear and not.

python examples/feature_selection.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule import constrain as ct

table = load_diabetes()
X = StandardScaler().fit_transform(table.data)
y = (table.target - table.target.mean()) / table.target.std()

# A linear model: min F subject to Σ_g ‖w_g‖ ≤ r, g the weights of one column. Convex: each point is certified.
linear = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[ct.GroupL2Ball(1.0)])
path = ct.regularization_path(linear, (X, y), points=10, rule="one-standard-error", names=table.feature_names)
print(path)
print()

# A network: columns are chosen in its first layer, and the weights behind are limited, so that they cannot make up
# for it. Each radius starts at the solution of the larger one.
network = cr.nn.Sequential(cr.nn.Dense(6, "tanh"), cr.nn.Dense(1))
sets = [ct.GroupL2Ball(1.0, parameters=["hidden1.weight"]), ct.L2Ball(1.5, parameters=["output.weight"])]
selecting = cr.Objective(network, "squared_error", subject_to=sets)
path = ct.regularization_path(
    selecting, (X, y), along="set1.radius", radii=[0.25, 0.5, 1.0, 2.0], folds=3, rule="one-standard-error",
    names=table.feature_names, optimizer=cr.learn.Adam(cr.learn.Cosine(0.02)), epochs=200, batch_size="all",
)  # fmt: skip
print(path)
first = path.chosen.parameters["hidden1.weight"]
print("columns whose weights are all exactly 0:", int(np.sum(~first.any(axis=1))))
