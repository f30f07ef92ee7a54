"""One table end to end: read, inspect, split, encode, train, evaluate, predict, save."""

from chainrule.workflow.evaluate import Evaluation, evaluate
from chainrule.workflow.predict import predict
from chainrule.workflow.score import ClassificationScore, RegressionScore, Score
from chainrule.workflow.train import Trained, TrainOptions, train
from chainrule.workflow.worked_example import WorkedExample, worked_example

__all__ = [
    "ClassificationScore",
    "Evaluation",
    "RegressionScore",
    "Score",
    "TrainOptions",
    "Trained",
    "WorkedExample",
    "evaluate",
    "predict",
    "train",
    "worked_example",
]
