"""Training on images of digits: dropout, early stopping, the history, replay of any step, saving and loading."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import chainrule as cr

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
order = np.random.default_rng(0).permutation(len(X))
training, validation, test = np.split(order, [1100, 1400])

network = cr.nn.Sequential(cr.nn.Dense(64, activation="relu"), cr.nn.Dropout(0.1), cr.nn.Dense(10))
run = cr.fit(
    cr.Objective(network, loss="softmax_cross_entropy"),
    (X[training], y[training]),
    validation=(X[validation], y[validation]),
    optimizer=cr.learn.Adam(cr.learn.Cosine(0.005)),
    epochs=30,
    patience=10,
    seed=0,
    progress=True,
)
print(run)
print("last epoch:", run.history[-1])
print("test accuracy:", np.mean(run.predict(X[test]).argmax(axis=1) == y[test]))
print("a weight at step 100:", run.at(100).parameters["hidden1.weight"][30, 5])

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.chainrule"
    run.save(path)
    loaded = cr.load(path)
    print("loaded, same bits:", np.array_equal(loaded.predict(X[test]), run.predict(X[test])))
