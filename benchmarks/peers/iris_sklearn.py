"""The task of ``chainrule train`` as a script with pandas and scikit-learn: read, encode, split, train, score.

python iris_sklearn.py TABLE TARGET HIDDEN EPOCHS BATCH RATE
"""

import json
import sys
import warnings

import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

table, target, hidden, epochs, batch, rate = sys.argv[1:]
warnings.simplefilter("ignore")  # that the last epoch was reached
frame = pd.read_csv(table)
x, y = frame.drop(columns=target).astype("float32"), frame[target]
x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
model = make_pipeline(
    StandardScaler(),
    MLPClassifier(
        tuple(int(size) for size in hidden.split(",")), solver="adam", alpha=0.0, batch_size=int(batch),
        learning_rate_init=float(rate), max_iter=int(epochs), tol=0.0, early_stopping=True, validation_fraction=0.2,
        n_iter_no_change=int(epochs), random_state=0,
    ),
)  # fmt: skip
model.fit(x, y)
print(json.dumps({"accuracy": model.score(x_test, y_test), "epochs": model[-1].n_iter_}))
