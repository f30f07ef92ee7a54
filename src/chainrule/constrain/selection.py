"""Which parameters a penalty or a set is over, and in which bundles: the network's, a layer's, a unit's, an input's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

import numpy as np

from chainrule.errors import TrainingError
from chainrule.graph import flatten, leaf_names, unflatten
from chainrule.nn import Parameter

Tree = Any
Per = Literal["network", "layer", "unit", "input"]
PER: tuple[Per, ...] = ("network", "layer", "unit", "input")
ROLE_OF = {"weights": "weight", "biases": "bias"}
"""What ``parameters="weights"`` and ``"biases"`` choose by."""
Axes = tuple[int, ...] | None


@dataclass(frozen=True)
class Bundle:
    """Parameters whose elements belong together: all of them, or (``split``) each unit's or each input's by itself."""

    label: str
    names: tuple[str, ...]
    split: Literal["", "unit", "input"] = ""

    def axes(self, rank: int) -> Axes:
        """Return the axes of a parameter along which one vector lies; None for all elements of all parameters.

        A weight is [in, out]; one for each column is [columns, in, out]. A unit has the incoming weights, an input
        column the outgoing ones.
        """
        if not self.split:
            return None
        return (rank - 2,) if self.split == "unit" else tuple(range(1, rank))


@dataclass(frozen=True)
class Cover:
    """The names of the parameters that are covered, and of those that are not."""

    names: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    def bundles(self, per: Per) -> list[Bundle]:
        """Return the bundles of a choice of ``per``."""
        if per == "network":
            return [Bundle("", self.names)]
        if per == "layer":
            layers: dict[str, list[str]] = {}
            for name in self.names:
                layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
            return [Bundle(layer, tuple(names)) for layer, names in layers.items()]
        return [Bundle(f"{per} of {name}", (name,), per) for name in self.names]

    def describe(self) -> list[str]:
        """Return lines that list what is covered and what is not."""
        count = sum(int(np.prod(shape)) for shape in self.shapes.values())
        sizes = {n: " [" + ", ".join(map(str, s)) + "]" for n, s in self.shapes.items()}
        lines = [f"w: {', '.join(n + sizes.get(n, '') for n in self.names)}" + (f"; {count} numbers" if count else "")]
        if self.others:
            lines.append(f"not covered: {', '.join(self.others)}")
        if self.frozen:
            lines.append(f"frozen, so not covered: {', '.join(self.frozen)}")
        return lines


def make_cover(
    who: str, wanted: str | Sequence[str], per: Per, declared: Mapping[str, Parameter | None], frozen: Collection[str]
) -> Cover:
    """Return what is covered by a role, "all", or names and patterns; raise TrainingError where nothing is."""
    patterns = [wanted] if isinstance(wanted, str) else list(wanted)
    plain = any(p is None for p in declared.values())
    chosen: set[str] = set()
    for pattern in patterns:
        if pattern == "all":
            found = set(declared)
        elif pattern in ROLE_OF and plain:
            if len(declared) > 1:
                raise TrainingError(
                    f"{who}: a network that is a plain function does not say which of its parameters are {pattern}.\n"
                    f"  wrong:  parameters={pattern!r}\n"
                    f"  right:  parameters=[{next(iter(declared))!r}], or parameters='all'; there are: "
                    f"{', '.join(declared)}"
                )
            found = set(declared)
        elif pattern in ROLE_OF:
            found = {name for name, p in declared.items() if p is not None and p.role == ROLE_OF[pattern]}
        else:
            found = {name for name in declared if fnmatchcase(name, pattern)}
        if not found:
            raise TrainingError(
                f"{who}: parameters={pattern!r} covers none of {', '.join(declared) or 'no parameters'}"
            )
        chosen |= found
    names = tuple(name for name in declared if name in chosen and name not in frozen)
    if not names:
        raise TrainingError(f"{who}: all that it covers is frozen ({', '.join(sorted(chosen))}); take it out")
    shapes = {name: p.shape for name in names if (p := declared[name]) is not None}
    for name, shape in shapes.items():
        if per in ("unit", "input") and len(shape) < 2:
            raise TrainingError(
                f"{who}: per={per!r} needs weights [in, out]; {name} has the shape {list(shape)}. Leave it out by "
                "parameters=…, or use per='layer'"
            )
    return Cover(
        names,
        shapes,
        tuple(n for n in declared if n not in chosen),
        tuple(n for n in declared if n in chosen & set(frozen)),
    )


@dataclass(frozen=True)
class Chooser:
    """What penalties and sets have in common: ``parameters``, and, once it is told which there are, a cover."""

    parameters: str | Sequence[str] = field(default="weights", kw_only=True)
    cover: Cover | None = field(default=None, kw_only=True, repr=False, compare=False)

    @property
    def spread(self) -> Per:
        """What its vectors are: "network" unless it has a ``per``."""
        return getattr(self, "per", "network")

    def _check_choice(self) -> None:
        name = type(self).__name__
        wanted = self.parameters
        if not isinstance(wanted, str):
            if not isinstance(wanted, Sequence) or not wanted or not all(isinstance(w, str) for w in wanted):
                raise TrainingError(f"{name}: parameters is {wanted!r:.60}; give 'weights', 'all', 'biases' or names")
            object.__setattr__(self, "parameters", tuple(wanted))
        if self.spread not in PER:
            raise TrainingError(f"{name}: per is {self.spread!r:.60}; it is one of {', '.join(PER)}")

    def covering(self, declared: Mapping[str, Parameter | None], frozen: Collection[str] = ()) -> Self:
        """Return it over those of these parameters that it chooses."""
        return replace(self, cover=make_cover(str(self), self.parameters, self.spread, declared, frozen))

    @property
    def covered(self) -> tuple[str, ...]:
        """The names of the parameters that it is over."""
        return self._cover().names

    def _cover(self) -> Cover:
        if self.cover is None:
            raise TrainingError(
                f"{self} has not been told which parameters there are.\n"
                "  right:  objective.on(X) chooses them for a network, or set.covering({'w': None}) by name alone"
            )
        return self.cover

    @property
    def bundles(self) -> list[Bundle]:
        return self._cover().bundles(self.spread)

    def describe(self) -> list[str]:
        """Return the lines that say what it is over."""
        if self.cover is not None:
            return self.cover.describe()
        wanted = self.parameters if isinstance(self.parameters, str) else ", ".join(self.parameters)
        rule = {
            "weights": "w: the weights of sums over inputs; not biases, gains, shifts, embeddings, frequencies",
            "all": "w: all parameters, biases included",
            "biases": "w: the biases",
        }.get(wanted, f"w: {wanted}")
        return [f"{rule} (objective.on(X) lists them by name)"]


def named_leaves(tree: Tree) -> dict[str, Any]:
    """Return the leaves of nested parameters by name."""
    leaves, structure = flatten(tree)
    return dict(zip(leaf_names(structure), leaves, strict=True))


def with_leaves(tree: Tree, changed: Mapping[str, Any]) -> Tree:
    """Return nested parameters in which some leaves are others."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [changed.get(n, leaf) for n, leaf in zip(leaf_names(structure), leaves, strict=True)])
