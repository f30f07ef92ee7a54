"""Treatment: how each parameter is trained, with factors of learning rate and decay of its own, or frozen.

Factors are settings, ``"hidden1.bias.rate"`` and ``"hidden1.bias.decay"``, where they are not 1 or were given to
``fit``: another number needs no other graph. What is frozen is no setting: its gradient is never computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.graph import flatten, leaf_names, unflatten
from chainrule.nn.layer import Layer, Parameter, input_type
from chainrule.nn.setting import NOT_NEGATIVE, Setting

Tree = Any


@dataclass(frozen=True)
class Treatment:
    """Factors of learning rate and decay by parameter, and the names of those that are frozen.

    ``Treatment.of(network, X, frozen=["hidden1.*"])`` makes one for ``optimizer.step``; ``fit`` makes its own.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    decays: Mapping[str, float] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        network: Layer,
        x: Any,
        *,
        frozen: Sequence[str] = (),
        rate_factors: Mapping[str, float] | None = None,
        decay_factors: Mapping[str, float] | None = None,
    ) -> Treatment:
        """Return what the layers of a network say of their parameters, and what is said here, which goes before it.

        Names are patterns: ``"hidden1.*"``, ``"*.bias"``; of two that fit, the later one counts.

        >>> import numpy as np, chainrule as cr
        >>> network = cr.nn.Sequential(cr.nn.Dense(3, "tanh"), cr.nn.Dense(1))
        >>> X = np.ones((4, 2))
        >>> treatment = cr.learn.Treatment.of(network, X, frozen=["hidden1.*"])
        >>> parameters = network.initialize(X)
        >>> sorted(treatment.trained(parameters))
        ['output.bias', 'output.weight']
        """
        return make_treatment(network.declare(input_type(x)).parameters, frozen, rate_factors, decay_factors)

    def settings(self, decays: bool) -> dict[str, float]:
        """Return the factors by the names of their settings; those of the decay where the optimizer has one."""
        found: dict[str, float] = {f"{name}.rate": Setting(factor, NOT_NEGATIVE) for name, factor in self.rates.items()}
        if decays:
            found |= {f"{name}.decay": Setting(factor, NOT_NEGATIVE) for name, factor in self.decays.items()}
        return found

    def trained(self, parameters: Tree) -> Tree:
        """Return the parameters that are not frozen: all as they are, or those that are left, by name."""
        if not self.frozen:
            return parameters
        return {name: leaf for name, leaf in _named(parameters) if name not in self.frozen}

    def merged(self, parameters: Tree, trained: Tree) -> Tree:
        """Return parameters in which those that are trained have other values: the inverse of ``trained``."""
        if not self.frozen:
            return trained
        leaves = [trained.get(name, leaf) for name, leaf in _named(parameters)]
        return unflatten(flatten(parameters)[1], leaves)

    def rate_factors(self, trained: Tree, settings: Mapping[str, Any]) -> list[Any] | None:
        """Return each trained parameter's factor of the learning rate (None where it has none), if any has one."""
        found = [settings.get(f"{name}.rate") if name in self.rates else None for name, _ in _named(trained)]
        return None if all(factor is None for factor in found) else found


EVEN = Treatment()
"""All parameters are trained alike."""


def own_decay(settings: Mapping[str, Any], name: str) -> Any:
    """Return a parameter's own factor of the weight decay among the settings, or None."""
    return settings.get(f"{name}.decay")


def _named(tree: Tree) -> Iterator[tuple[str, Any]]:
    leaves, structure = flatten(tree)
    return zip(leaf_names(structure), leaves, strict=True)


def names_of(parameters: Tree) -> list[str]:
    """Return the names of the leaves of nested parameters."""
    return leaf_names(flatten(parameters)[1])


def make_treatment(
    declared: Mapping[str, Parameter],
    frozen: Sequence[str] = (),
    rate_factors: Mapping[str, float] | None = None,
    decay_factors: Mapping[str, float] | None = None,
) -> Treatment:
    """Return what is declared of parameters, and what is given for patterns of their names, which goes before it."""
    names = list(declared)
    stays = {name for name, parameter in declared.items() if parameter.frozen}
    if isinstance(frozen, str):
        frozen = [frozen]
    for pattern in frozen:
        stays.update(_matching(pattern, names, "frozen"))
    if len(stays) == len(names):
        raise TrainingError("every parameter is frozen: there is nothing to train")
    rates = {name: p.rate for name, p in declared.items() if p.rate != 1.0}
    decays = {name: p.decay for name, p in declared.items() if p.decay != 1.0}
    for name, value in (*rates.items(), *decays.items()):
        _require_factor(value, name)
    for given, found, what in ((rate_factors, rates, "rate_factors"), (decay_factors, decays, "decay_factors")):
        for pattern, value in (given or {}).items():
            _require_factor(value, pattern)
            found.update(dict.fromkeys(_matching(pattern, names, what), float(value)))
    return Treatment(
        {name: float(v) for name, v in rates.items() if name not in stays},
        {name: float(v) for name, v in decays.items() if name not in stays},
        frozenset(stays),
    )


def _matching(pattern: Any, names: Sequence[str], what: str) -> list[str]:
    found = [name for name in names if isinstance(pattern, str) and fnmatchcase(name, pattern)]
    if not found:
        raise TrainingError(f"{what}: no parameter is called {pattern!r}; there are: {', '.join(names)}")
    return found


def _require_factor(value: Any, name: str) -> None:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < 0:
        raise TrainingError(f"the factor of {name!r} is {value!r}; it must be a finite number of at least 0")
