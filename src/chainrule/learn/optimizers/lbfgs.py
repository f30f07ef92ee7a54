"""L-BFGS: steps along directions that the last gradients tell of the curvature, each found by a search along a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np

from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn.optimizers.base import Optimizer, Tree, require_not_negative
from chainrule.nn.setting import NOT_NEGATIVE, Setting


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """L-BFGS: θ ← θ − t H ∇F: H the inverse Hessian that the last ``memory`` steps tell, t by a strong-Wolfe search.

    Each step looks at all rows (``batch_size="all"``), and is an epoch; t is what the history calls learning rate. The
    run ends as ``"converged"`` where no element of the gradient is over ``tolerance``, a setting; as ``"stuck"`` where
    no lower point is found, which is what rounding leaves at a minimum in single precision. Nocedal (1980); Nocedal and
    Wright (2006), algorithms 7.4, 3.5 and 3.6; the first step has t = min(1, 1/‖∇F‖₁), as in torch. All is computed in
    double precision but for the objective itself.

    The loss must be the same whenever it is looked at: dropout is refused. Penalties are part of F, and should be
    smooth: at a kink, as of Σ|θ|, a search along a line may stop before the minimum. Constraints, schedules, an average
    and factors of learning rates are refused.

    >>> import numpy as np, chainrule as cr
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> objective = cr.Objective(cr.nn.Dense(1), "squared_error")
    >>> run = cr.fit(objective, (X, 3 * X[:, 0] + 1), optimizer=cr.learn.LBFGS(tolerance=1e-9))
    >>> run.status, run.steps < 10, np.round(run.parameters["weight"], 6).tolist()
    ('converged', True, [[3.0]])
    """

    memory: int = 10
    tolerance: float = 1e-6
    evaluations: int = 25
    has_steps: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("memory", "evaluations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise TrainingError(f"LBFGS: {name} is {value!r}; it must be a whole number of at least 1")
        require_not_negative(self.tolerance, "tolerance", "LBFGS")

    def settings(self) -> dict[str, float]:
        return {"tolerance": Setting(self.tolerance, NOT_NEGATIVE)}

    def with_total(self, steps: int) -> LBFGS:
        return self

    def init(self, parameters: Tree) -> dict[str, Any]:
        size = sum(np.size(leaf) for leaf in flatten(parameters)[0])
        empty = np.zeros((self.memory, size))
        return {
            "step": np.uint32(0), "pairs": np.uint32(0), "moves": empty, "changes": empty.copy(),
            "move": np.zeros(size), "gradient": np.zeros(size),
        }  # fmt: skip

    def update(
        self, gradient: Tree, state: Mapping[str, Any], parameters: Tree, settings: Mapping[str, Any]
    ) -> NoReturn:
        raise TrainingError(
            "LBFGS takes no step by one gradient: it looks at the objective several times along a line.\n"
            "  wrong:  optimizer.step(parameters, gradient, state)\n"
            "  right:  cr.fit(objective, data, optimizer=cr.learn.LBFGS())"
        )
