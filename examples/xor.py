"""XOR, which no network without a hidden layer can learn; and why the trained one answers as it does."""

import numpy as np

import chainrule as cr

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([0, 1, 1, 0])

for hidden in (0, 4):
    layers = [cr.nn.Dense(hidden, activation="tanh")] if hidden else []
    objective = cr.Objective(cr.nn.Sequential(*layers, cr.nn.Dense(2)), loss="softmax_cross_entropy")
    run = cr.fit(objective, (X, y), optimizer=cr.learn.Adam(0.05), epochs=300, batch_size="all", seed=1)
    print(
        f"{hidden} hidden units: predicts {run.predict(X).argmax(axis=1).tolist()}, loss {run.history[-1]['loss']:.4f}"
    )

print()
print(cr.explain(run, of="prediction", rows=[1]))
