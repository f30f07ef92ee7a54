"""A vanishing gradient, found and mended: eight layers of sigmoid do not learn, eight of tanh do."""

import numpy as np

import chainrule as cr

rng = np.random.default_rng(0)
X = rng.normal(size=(500, 6)).astype(np.float32)
y = (X[:, 0] * X[:, 1] > 0).astype(int)
held_out = X[400:], y[400:]

for activation in ("sigmoid", "tanh"):
    hidden = [cr.nn.Dense(16, activation=activation) for _ in range(8)]
    objective = cr.Objective(cr.nn.Sequential(*hidden, cr.nn.Dense(2)), loss="softmax_cross_entropy")
    run = cr.fit(objective, (X[:400], y[:400]), optimizer=cr.learn.Adam(0.003), epochs=40, seed=0)
    accuracy = np.mean(run.predict(held_out[0]).argmax(axis=1) == held_out[1])
    print(f"eight layers of {activation}: accuracy {accuracy:.3f} on 100 rows it never saw")
    found = cr.diagnose(run, steps=[0, run.steps // 2])
    print(next(f"  {f.grade}: {f.about}: {f.text}" for f in found.findings if "gradient" in f.about), "\n")
