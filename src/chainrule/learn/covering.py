"""Which parameters the penalties and sets of an objective are over, and a warning where the network undoes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ChainruleError
from chainrule.graph import flatten, leaf_names, unflatten
from chainrule.learn.protocols import Covering
from chainrule.nn import Layer, Parameter, input_type
from chainrule.nn.function import FunctionNetwork

LOOKED_AT = 256
"""So many rows are enough to see whether the size of a weight has an effect."""
NO_EFFECT = 1e-4
"""A loss that changes by less than this share of what the weight is worth does not depend on its size."""


def declared_parameters(network: Layer, x: Any, parameters: Any) -> dict[str, Parameter | None]:
    """Return what a network says of its parameters: None for each where it is a plain function."""
    if isinstance(network, FunctionNetwork):
        return dict.fromkeys(leaf_names(flatten(parameters)[1]))
    return dict(network.declare(input_type(x)).parameters)


def is_untold(member: Any) -> bool:
    """Does a penalty or set choose its parameters, and has not been told which there are?"""
    return isinstance(member, Covering) and getattr(member, "cover", None) is None


def cover_all(members: Sequence[Any], declared: Mapping[str, Parameter | None], frozen: Collection[str]) -> Any:
    """Return penalties or sets, each over the parameters that it chooses among these."""
    return tuple(m.covering(declared, frozen) if isinstance(m, Covering) else m for m in members)


def without_effect(objective: Any, parameters: Any, state: Any, rows: Mapping[str, Any]) -> list[str]:
    """Return the covered parameters whose size the loss does not depend on: twice of each gives the same loss.

    Batch normalization divides by the size of what it is given, so a ball on the weights before it limits nothing
    (trap 6 of the field: the network is the same at any radius). It is looked at, not guessed from the layers.
    """
    names = {name for m in (*objective.penalty, *objective.subject_to) for name in getattr(m, "covered", ())}
    leaves, structure = flatten(parameters)
    x, y, weight = (rows[k][:LOOKED_AT] for k in ("x", "y", "weight"))
    key = ops.key(0)

    def loss(place: int | None, factor: float) -> float:
        changed = [leaf * factor if i == place else leaf for i, leaf in enumerate(leaves)]
        options = {"training": True, "key": key} | ({"state": state} if state else {})
        with np.errstate(all="ignore"):
            return float(objective.data_loss(unflatten(structure, changed), (x, y, weight), **options))

    found = []
    try:
        here = loss(None, 1.0)
        for i, name in enumerate(leaf_names(structure)):
            if name not in names:
                continue
            worth = abs(loss(i, 0.0) - here)
            if worth > 0.0 and abs(loss(i, 2.0) - here) <= NO_EFFECT * worth:
                found.append(name)
    except ChainruleError:  # a network that can be traced and not called: training will say what is wrong with it
        return []
    return found


def warning_of(names: Sequence[str]) -> str:
    """Return what to say of parameters whose size has no effect."""
    which = ", ".join(names)
    return (
        f"the loss does not depend on the size of {which}: a normalization divides by it, so that a limit or a penalty "
        "on it regularizes nothing. Leave it out (parameters=[…] names what is covered), or take the normalization away"
    )
