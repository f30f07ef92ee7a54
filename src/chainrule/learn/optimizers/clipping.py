"""Clipping: an optimizer that sees a gradient made smaller, by its elements or by its length as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.graph import flatten, tree_map
from chainrule.learn.optimizers.base import Optimizer, Tree, Update, require_positive
from chainrule.learn.schedules import Schedule
from chainrule.nn.setting import POSITIVE, Setting


@dataclass(frozen=True)
class _Clipped(Optimizer):
    """An optimizer behind a change of its gradient; all else is that of the optimizer within."""

    optimizer: Optimizer
    limit: float = 1.0
    setting: ClassVar[str] = ""

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.optimizer, Optimizer):
            raise TrainingError(f"{name} takes an optimizer first, not {self.optimizer!r}: {name}(Adam(0.001), 1.0)")
        require_positive(self.limit, "limit", name)
        if not self.optimizer.has_steps:
            raise TrainingError(
                f"{name} clips the gradient of a step, and {type(self.optimizer).__name__} takes none by one gradient: "
                "its search along a line needs the gradient as it is; leave the clipping out"
            )
        inner = self.optimizer
        while isinstance(inner, _Clipped):
            if inner.setting == self.setting:
                raise TrainingError(f"{name} within {name}: clip once, by the smaller limit")
            inner = inner.optimizer

    @property
    def decays(self) -> bool:
        return self.optimizer.decays

    @property
    def learning_rate(self) -> Any:
        return self.optimizer.learning_rate

    @property
    def schedule(self) -> Schedule:
        return self.optimizer.schedule

    def settings(self) -> dict[str, float]:
        return {**self.optimizer.settings(), self.setting: Setting(self.limit, POSITIVE)}

    def with_total(self, steps: int) -> Optimizer:
        return replace(self, optimizer=self.optimizer.with_total(steps))

    def init(self, parameters: Tree) -> dict[str, Any]:
        return self.optimizer.init(parameters)

    def clipped(self, gradient: Tree, settings: Mapping[str, Any]) -> Tree:
        """Return the gradient that the optimizer within is given."""
        raise NotImplementedError

    def update(self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]) -> Update:
        return self.optimizer.update(self.clipped(gradient, settings), state, parameters, settings)


@dataclass(frozen=True)
class ClipValue(_Clipped):
    """Clip each element of the gradient to [−limit, limit]: g ← min(max(g, −c), c).

    The gradient is that of the whole objective, penalties included, of the parameters that are trained.

    >>> import chainrule as cr
    >>> cr.learn.ClipValue(cr.learn.SGD(0.1), 0.5).settings()
    {'learning_rate': 0.1, 'clip_value': 0.5}
    """

    setting: ClassVar[str] = "clip_value"

    def clipped(self, gradient: Tree, settings: Mapping[str, Any]) -> Tree:
        limit = settings[self.setting]
        return tree_map(lambda g: np.minimum(np.maximum(g, -limit), limit), gradient)


@dataclass(frozen=True)
class ClipNorm(_Clipped):
    """Clip the gradient as a whole to a length: g ← g · min(1, c / (‖g‖ + 10⁻⁶)), ‖g‖² = Σ g² over all parameters.

    Pascanu, Mikolov and Bengio (2013), algorithm 1, with the 10⁻⁶ of torch's ``clip_grad_norm_``. The gradient is
    that of the whole objective, penalties included, of the parameters that are trained. A gradient whose length is no
    finite number is not clipped to nothing: the step is not taken, and the run says so.

    >>> import chainrule as cr
    >>> cr.learn.ClipNorm(cr.learn.Adam(0.001), 1.0).settings()["clip_norm"]
    1.0
    """

    setting: ClassVar[str] = "clip_norm"

    def clipped(self, gradient: Tree, settings: Mapping[str, Any]) -> Tree:
        share = clip_share(gradient, settings[self.setting])
        return tree_map(lambda g: g * share, gradient)


def clip_share(gradient: Tree, limit: Any) -> Any:
    """Return min(1, limit / (‖g‖ + 10⁻⁶)), or NaN where ‖g‖ is not finite."""
    norm = np.sqrt(reduce(lambda a, b: a + b, [ops.sum_(g * g) for g in flatten(gradient)[0]]))
    return np.minimum(1.0, limit / (norm + 1e-6)) + 0.0 * norm  # 0 · ∞ is NaN: an infinite length stops the run
