"""A kind of set or penalty by name, without its number: what a path varies."""

from __future__ import annotations

import re
from typing import Any

from chainrule.constrain.spelling import KINDS, kind_of
from chainrule.errors import TrainingError
from chainrule.learn import Objective
from chainrule.learn.covering import declared_parameters

OF_A_RADIUS = ("l2", "l1", "linf", "maxnorm", "group", "spectral", "nuclear")


def with_varied(objective: Objective, constraint: Any, penalty: Any, x: Any) -> Objective:
    """Return an objective with the set or penalty that a path is to vary: ``"l2"``, ``"l1 per layer"``, or an object.

    Groups are the input columns, so that ``"group"`` covers the weights of the first layer alone: feature selection.
    Where neither is given, it is the ball ‖w‖ ≤ r.

    Raises:
        TrainingError: both are given, a name that is not known, or a number, which the path is to find.
    """
    if constraint is not None and penalty is not None:
        raise TrainingError("give a constraint or a penalty: a path varies one number")
    if penalty is not None:
        return Objective(objective.network, objective.loss, penalty=[_member(penalty, "penalty", objective, x)])
    member = _member("l2" if constraint is None else constraint, "constraint", objective, x)
    return Objective(objective.network, objective.loss, subject_to=[member])


def _member(given: Any, what: str, objective: Objective, x: Any) -> Any:
    if not isinstance(given, str):
        return given
    known = ", ".join(n for n in OF_A_RADIUS if what == "constraint" or KINDS[n].penalty is not None)
    if re.search(r"[<>=≤*\d]", given.replace("l1", "").replace("l2", "")):
        raise TrainingError(f"{what} is {given!r}: the path finds its number; write a kind alone: {known}")
    name, _, per = given.partition(" per ")
    kind = kind_of(name, what)
    if kind.name not in OF_A_RADIUS:
        raise TrainingError(f"{kind.name} has no radius that a path could vary; the kinds that have one: {known}")
    parameters: Any = "weights"
    if kind.name == "group":
        declared = declared_parameters(objective.network, x, None)
        parameters = [next(n for n, p in declared.items() if p is not None and p.role == "weight")]
    make = kind.limited if what == "constraint" else kind.weighed
    return make(1.0, per.strip() or None, parameters)
