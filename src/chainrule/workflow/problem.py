"""The problem that a training solves: its constraints and penalties, how they are held, and what was reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.constrain import Limit, Optimality, SetValue, method_of, optimality, penalties_of, set_values, sets_of
from chainrule.constrain.inequalities import as_inequality
from chainrule.errors import ModelFileError, TrainingError
from chainrule.files import Model
from chainrule.learn import Objective, Run
from chainrule.table.say import say
from chainrule.workflow.defaults import Choices


@dataclass(frozen=True)
class Regularization:
    """What constraint, penalty and method say: sets, penalties, and how the problem is solved (None: by projection)."""

    sets: tuple[Any, ...] = ()
    penalties: tuple[Any, ...] = ()
    method: Any = None

    def __bool__(self) -> bool:
        return bool(self.sets or self.penalties)


def regularization(
    constraint: Any = None,
    penalty: Any = None,
    method: Any = None,
    *,
    per: str | None = None,
    parameters: str | Sequence[str] = "weights",
    dual_learning_rate: float | None = None,
) -> Regularization:
    """Return what a user's constraint, penalty and method say: texts, objects, or lists of them.

    Raises:
        TrainingError: what they cannot mean.
    """
    sets = sets_of(constraint, per=per, parameters=parameters)
    penalties = penalties_of(penalty, parameters=parameters)
    for limit in sets:
        named = [term.group for _, term in limit.expression.terms] if isinstance(limit, Limit) else []
        if any(group is not None for group in named):
            raise TrainingError(
                f"{limit}: no groups of rows can be given here; use cr.fit(objective, data, groups={{…}}, method=…)"
            )
    if per is not None and not sets:
        raise TrainingError(f"per={per!r} says what a constraint is for, and there is none: give one such as 'l2<=4'")
    found = method_of(method, sets, dual_learning_rate)
    if found is not None and not sets:
        raise TrainingError(f"method is {say(method)}, and there is no constraint for it: give one such as 'l2<=4'")
    if found is not None and all(as_inequality(1, part) is None for s in sets for part in getattr(s, "parts", (s,))):
        raise TrainingError(
            f"{', '.join(map(str, sets))}: no constraint that multipliers can hold; they hold l2, maxnorm, linf, "
            f"group, and l1 of the network. Leave method={say(method)} out: others are kept by projection"
        )
    if parameters != "weights" and not sets and not penalties:
        raise TrainingError(
            f"parameters={say(parameters)} says what a constraint or a penalty covers, and there is none: give one "
            "such as 'l2<=4' or '0.001*l1'"
        )
    return Regularization(tuple(sets), tuple(penalties), found)


def without_stopping(chosen: Choices, asked: bool, how: str) -> Choices:
    """Return settings for a method of multipliers: the parameters of the last epoch are kept.

    Those of the lowest validation loss may violate what multipliers are only on their way to hold, so that it is an
    error to have asked for them; ``how`` is what the user did.
    """
    if asked:
        raise TrainingError(
            f"{how} keeps the parameters of the lowest validation loss, which may violate the constraints that the "
            "multipliers are on their way to hold: leave it out, or hold them by projection"
        )
    return replace(chosen, early_stopping=False)


def objective_of(model: Model) -> Objective:
    """Return the objective that a model file was trained on, its constraints and penalties included.

    Raises:
        ModelFileError: a network, a loss or a constraint as an object of one's own, which a file cannot hold; those
            that were given as texts are texts in the file.
    """
    options, plain = model.about.get("options", {}), model.objective
    known = {name: options.get(name) for name in ("constraint", "penalty", "per")}
    for given in (known["constraint"], known["penalty"]):
        own = [
            one.get("object", one) for one in (given if isinstance(given, list) else [given]) if isinstance(one, dict)
        ]
        if own:
            raise ModelFileError(f"this model was trained with {own[0]} as an object, which a file cannot hold")
    limited = regularization(**known, parameters=options.get("parameters") or "weights")
    return Objective(plain.network, plain.loss, limited.penalties, limited.sets)


@dataclass(frozen=True)
class Reached:
    """What a training with constraints or penalties came to: each set's value and limit, and ``cr.optimality``."""

    sets: tuple[SetValue, ...]
    optimality: Optimality
    zeros: int
    covered: int
    """Of so many numbers that penalties and sets are over, ``zeros`` are exactly 0."""

    def unused_inputs(self, model: Model) -> list[str]:
        """Return the inputs that a network of dense layers does not use, since their outgoing weights are 0."""
        first = next((v for k, v in model.parameters.items() if k.endswith("weight")), np.ones((1, 1)))
        names = [] if model.table is None else model.table.feature_names
        if first.ndim != 2 or len(first) != len(names):
            return []
        return [name for name, row in zip(names, first, strict=True) if not np.any(row)]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        found = self.optimality
        return {
            "sets": [{**value.to_dict(), "said": str(value)} for value in self.sets],
            "limits": [{"limit": str(v.limit), "value": v.value, "holds": v.holds} for v in found.limits],
            "level": found.level,
            "certified": found.certified,
            "said": found.said,
            "objective": found.value,
            "loss": found.data_loss,
            "stationarity": found.stationarity,
            "multipliers": found.multipliers,
            "trained_multipliers": dict(found.trained),
            "zeros": self.zeros,
            "covered": self.covered,
        }


def reached(run: Run) -> Reached | None:
    """Return what a run came to; None where it has neither constraints nor penalties."""
    objective = run.objective
    members = (*objective.subject_to, *objective.penalty)
    if not members:
        return None
    names = {name for member in members for name in getattr(member, "covered", ())}
    arrays = [np.asarray(value) for name, value in run.parameters.items() if name in names]
    zeros = sum(int(np.sum(a == 0.0)) for a in arrays)
    return Reached(tuple(set_values(run)), optimality(run), zeros, sum(a.size for a in arrays))
