"""One table end to end: read, inspect, split, encode, train, evaluate, predict, save."""

from chainrule.workflow.curve_options import CurveOptions
from chainrule.workflow.evaluate import Evaluation, evaluate
from chainrule.workflow.learning_curve import LearningCurves, learning_curve
from chainrule.workflow.predict import predict
from chainrule.workflow.problem import objective_of
from chainrule.workflow.regularize import Regularized, RegularizeOptions, regularize
from chainrule.workflow.score import ClassificationScore, RegressionScore, Score
from chainrule.workflow.train import Trained, TrainOptions, train
from chainrule.workflow.why import Importance, Why, explain_row, importance
from chainrule.workflow.worked_example import Setup, WorkedExample, worked_example

__all__ = [
    "ClassificationScore",
    "CurveOptions",
    "Evaluation",
    "Importance",
    "LearningCurves",
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
    "learning_curve",
    "objective_of",
    "predict",
    "regularize",
    "train",
    "worked_example",
]
