"""Learning: data, objective, optimizers, schedules, the training program, the run and its history."""

from chainrule.learn.fitting import fit
from chainrule.learn.many import fit_many
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Metric, Optimizer, get_optimizer
from chainrule.learn.predictor import Predictor
from chainrule.learn.progress import Report
from chainrule.learn.protocols import Penalty, Set
from chainrule.learn.run import Moment, Run
from chainrule.learn.schedules import SCHEDULES, Constant, Cosine, Schedule, Warmup, as_schedule, get_schedule

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Metric",
    "Moment",
    "Objective",
    "Optimizer",
    "Penalty",
    "Predictor",
    "Report",
    "Run",
    "Schedule",
    "Set",
    "Warmup",
    "as_schedule",
    "fit",
    "fit_many",
    "get_optimizer",
    "get_schedule",
]
