"""One table end to end: read, inspect, split, encode, train, evaluate, predict, save."""

from chainrule.workflow.evaluate import Evaluation, evaluate
from chainrule.workflow.predict import predict
from chainrule.workflow.regularize import Regularized, RegularizeOptions, regularize
from chainrule.workflow.score import ClassificationScore, RegressionScore, Score
from chainrule.workflow.train import Trained, TrainOptions, train
from chainrule.workflow.why import Importance, Why, explain_row, importance
from chainrule.workflow.worked_example import Setup, WorkedExample, worked_example

__all__ = [
    "ClassificationScore",
    "Evaluation",
    "Importance",
    "RegressionScore",
    "RegularizeOptions",
    "Regularized",
    "Score",
    "Setup",
    "TrainOptions",
    "Trained",
    "Why",
    "WorkedExample",
    "evaluate",
    "explain_row",
    "importance",
    "predict",
    "regularize",
    "train",
    "worked_example",
]
