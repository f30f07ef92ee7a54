"""What a search along a line cannot do, said by name before it begins."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.errors import TrainingError
from chainrule.execute import Program
from chainrule.graph import depends_on, flatten, unflatten
from chainrule.learn.averaging import Average
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import Optimizer
from chainrule.learn.protocols import Proximal
from chainrule.learn.schedules import Schedule
from chainrule.learn.treatment import Treatment


def refuse_what_cannot_be_searched(
    optimizer: Optimizer, objective: Objective, treatment: Treatment, schedules: Mapping[str, Schedule],
    average: Average | None, size: int, rows: int,
) -> None:  # fmt: skip
    """Raise TrainingError for what a search along a line has no place for."""
    name = type(optimizer).__name__
    if size < rows:
        raise TrainingError(
            f"{name} compares the loss of one point with that of another, so it looks at all rows: batch_size='all' "
            "(tile_rows=… measures them in parts, in less memory)"
        )
    if objective.subject_to:
        raise TrainingError(
            f"{objective.subject_to[0]} cannot be kept by {name}, whose steps are in no metric that is known; "
            "use SGD or Adam"
        )
    rough = [penalty for penalty in objective.penalty if isinstance(penalty, Proximal)]
    if rough:
        raise TrainingError(
            f"{rough[0]} is not smooth and needs a proximal step, which {name} cannot take; use SGD or Adam, or "
            "method=cr.constrain.AcceleratedProjection()"
        )
    if schedules:
        raise TrainingError(f"{name} needs an objective that stays the same: {next(iter(schedules))!r} has a schedule")
    if average is not None:
        raise TrainingError(f"{name} comes to a point: an average of the points before it would be behind it")
    if treatment.rates:
        raise TrainingError(
            f"{name} has no learning rate, so that of {', '.join(treatment.rates)} can have no factor: take it out, or "
            "freeze the parameter (frozen=[…])"
        )


def refuse_chance(program: Program) -> None:
    """Raise TrainingError where the loss depends on the step: at the same point it would be another one later."""
    assert program.measure.takes is not None
    _, _, clock, _, _ = unflatten(program.measure.takes, list(program.measure.inputs))
    reached = depends_on(program.measure.outputs, flatten(clock)[0])
    if any(output in reached for output in program.measure.outputs):
        raise TrainingError(
            "the network draws random numbers in training (dropout), so its loss is another one whenever LBFGS looks "
            "at it; leave the dropout out, or use another optimizer"
        )
