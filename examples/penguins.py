"""A table end to end from Python: train, score, predict, save, load."""

import tempfile
from pathlib import Path

import polars as pl

import chainrule as cr

table = Path(__file__).with_name("penguins.csv")
trained = cr.workflow.train(table, "species", cr.workflow.TrainOptions(hidden=(32,), seed=1))
score = trained.scores["test"]
print(f"{trained.task.why}; rows {trained.rows}")
print(f"test accuracy {score.accuracy:.3f}, 95 % interval {score.interval.low:.3f} to {score.interval.high:.3f}")
print(f"always saying {score.guess_class}: {score.guess:.3f}; gap to the training rows {trained.gap:.3f}")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "species.chainrule"
    trained.model.save(path)
    model = cr.load(path)
    new = pl.DataFrame({"island": ["Dream", "Biscoe"], "bill_length_mm": [48.0, None], "bill_depth_mm": [18.5, 15.0],
                        "flipper_length_mm": [195, 220], "body_mass_g": [3700, 5200], "sex": ["female", None],
                        "year": [2008, 2009]})  # fmt: skip
    print(cr.workflow.predict(model, new, keep=["island"]))
