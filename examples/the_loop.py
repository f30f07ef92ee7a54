"""The lecture's loop, spelled out in four calls: forward, loss, backward, update. Then the same loop run by fit."""

import numpy as np

import chainrule as cr

X, y = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
network = cr.nn.Sequential(cr.nn.Dense(2, activation="sigmoid"), cr.nn.Dense(2, activation="sigmoid"))
objective = cr.Objective(network, loss="half_squared_error")
print(objective, "\n")

parameters = {  # or at random: network.initialize(X, seed=0); a weight is [in, out]
    "hidden1.weight": np.array([[0.15, 0.25], [0.20, 0.30]]),
    "hidden1.bias": np.array([0.35, 0.35]),
    "output.weight": np.array([[0.40, 0.50], [0.45, 0.55]]),
    "output.bias": np.array([0.60, 0.60]),
}
first = dict(parameters)
for name, value in network.activations(parameters, X).items():
    print(f"{name:12} {value}")

optimizer = cr.learn.SGD(0.5)
state = optimizer.init(parameters)
for step in range(5):
    output = network(parameters, X)  # forward
    loss, gradient = cr.value_and_grad(objective)(parameters, (X, y))  # loss and backward
    parameters, state = optimizer.step(parameters, gradient, state)  # θ⁽ᵗ⁺¹⁾ = θ⁽ᵗ⁾ − η_t ∇L
    print(f"step {step}: loss {loss:.9f}, output {output[0]}")

run = cr.fit(objective, (X, y), optimizer=optimizer, epochs=5, batch_size="all", parameters=first)
same = all(np.array_equal(run.parameters[name], parameters[name]) for name in parameters)
print("fit takes the same five steps, to the bit:", same)
