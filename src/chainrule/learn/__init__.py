"""Learning: data, objective, optimizers, schedules, the training program, the run and its history."""

from chainrule.learn.averaging import Average
from chainrule.learn.callbacks import Every, Training
from chainrule.learn.fitting import fit
from chainrule.learn.many import fit_many
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import (
    LBFGS,
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ClipNorm,
    ClipValue,
    Lion,
    Metric,
    Optimizer,
    RMSprop,
    get_optimizer,
)
from chainrule.learn.predictor import Predictor
from chainrule.learn.progress import Report
from chainrule.learn.protocols import Covering, Method, MinMax, Multipliers, Penalty, Proximal, Set
from chainrule.learn.run import Moment, Run
from chainrule.learn.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    CosLog4,
    Exponential,
    FlatCosine,
    OneCycle,
    Piecewise,
    Polynomial,
    Schedule,
    Warmup,
    as_schedule,
    get_schedule,
)
from chainrule.learn.treatment import Treatment

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Average",
    "ClipNorm",
    "ClipValue",
    "Constant",
    "CosLog4",
    "Cosine",
    "Covering",
    "Every",
    "Exponential",
    "FlatCosine",
    "Lion",
    "Method",
    "Metric",
    "MinMax",
    "Moment",
    "Multipliers",
    "Objective",
    "OneCycle",
    "Optimizer",
    "Penalty",
    "Piecewise",
    "Polynomial",
    "Predictor",
    "Proximal",
    "RMSprop",
    "Report",
    "Run",
    "Schedule",
    "Set",
    "Training",
    "Treatment",
    "Warmup",
    "as_schedule",
    "fit",
    "fit_many",
    "get_optimizer",
    "get_schedule",
]
