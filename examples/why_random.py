"""Why weights must begin at random: units that begin alike have the same gradient, and stay alike for ever."""

import numpy as np

import chainrule as cr

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([[0.0], [1.0], [1.0], [0.0]])
network = cr.nn.Sequential(cr.nn.Dense(3, activation="tanh"), cr.nn.Dense(1))
objective = cr.Objective(network, loss="half_squared_error")
alike = {"hidden1.weight": np.full((2, 3), 0.5), "output.weight": np.full((3, 1), 0.5)}

for name, first in (("alike", alike), ("at random", {})):
    run = cr.fit(
        objective, (X, y), optimizer=cr.learn.SGD(0.3), epochs=3000, batch_size="all", parameters=first, seed=3
    )
    print(f"begun {name}: loss {run.history[-1]['loss']:.6f}; the weights into the three hidden units are now")
    print(np.array2string(run.parameters["hidden1.weight"], precision=3))
    slopes = [cr.explain(run, of=f"hidden1.weight[0, {unit}]", step=0).value for unit in range(3)]
    print(f"  ∂E/∂w of the first step: {', '.join(f'{slope:+.6f}' for slope in slopes)}\n")
