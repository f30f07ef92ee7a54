"""A network as a plain function, a layer class of one's own, and a loss of one's own."""

from dataclasses import dataclass

import numpy as np

import chainrule as cr

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, size=(400, 1))
y = np.sin(2 * X)


# 1. A network is a function (parameters, x) -> output; parameters may be nested as one likes.
def wave(parameters, x):
    hidden = np.sin(x @ parameters["frequency"] + parameters["phase"])
    return hidden @ parameters["amplitude"]


start = {"frequency": rng.normal(size=(1, 8)), "phase": np.zeros(8), "amplitude": 0.1 * rng.normal(size=(8, 1))}
objective = cr.Objective(wave, loss=lambda target, output: np.mean((target - output) ** 2, axis=1))
run = cr.fit(objective, (X, y), parameters=start, optimizer=cr.learn.Adam(0.02), epochs=60)
print(f"a function as a network: loss {run.history[-1]['loss']:.6f}")


# 2. A layer says which parameters it needs, and how it computes.
@dataclass(frozen=True)
class Residual(cr.nn.Layer):
    """x + tanh(x W): as wide as its input."""

    def parameters(self, x):
        return {"weight": cr.nn.Parameter((x.shape[1], x.shape[1]), "glorot_uniform")}

    def forward(self, scope, x):
        return scope.name("out", x + np.tanh(x @ scope["weight"]))


network = cr.nn.Sequential(cr.nn.Dense(16, activation="tanh"), Residual(), Residual(), cr.nn.Dense(1))
run = cr.fit(cr.Objective(network, "squared_error"), (X, y), optimizer=cr.learn.Adam(0.01), epochs=60)
print(f"layers of one's own:     loss {run.history[-1]['loss']:.6f}")
print(network)
