"""What is asked for, and what things are called: ``hidden1.weight[3, 17]``, or w1, h1 and o1 as in the lecture.

Indices begin at 0, and a weight is [in, out]. A network of dense layers with one hidden layer may be asked about in
the lecture's names: inputs i1, i2, …, hidden units h1, …, outputs o1, …; w1, w2, … are the weights into h1, then h2, …,
then those into o1, …; b1 is the bias of the hidden layer, b2 that of the outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.nn import Dense, Layer

KINDS = {"grad": "gradient", "gradient": "gradient", "∂E/∂": "gradient", "δ": "delta", "delta": "delta"}
_PATTERN = re.compile(
    r"^(?:(?P<kind>∂E/∂|(?:grad|gradient|δ|delta)\s)\s*)?(?P<name>[^\[\]]+?)\s*(?:\[(?P<at>[^\]]*)\])?$"
)


@dataclass(frozen=True)
class Asked:
    """One number that was asked for: its kind, what it belongs to, and which element."""

    kind: str
    name: str
    index: tuple[int, ...]


@dataclass(frozen=True)
class Names:
    """What the units and weights of a network are called in print."""

    lecture: bool = False
    hidden: int = 0
    inputs: int = 0
    hidden_name: str = "hidden1"
    output_name: str = "output"

    def unit(self, layer: str, number: int) -> str:
        """Return what a unit of a layer is called."""
        if self.lecture and layer in (self.hidden_name, self.output_name):
            return f"{'h' if layer == self.hidden_name else 'o'}{number + 1}"
        return f"{layer}[{number}]"

    def input(self, column: int) -> str:
        return f"i{column + 1}" if self.lecture else f"x[{column}]"

    def parameter(self, name: str, index: Sequence[int]) -> str:
        """Return what an element of a parameter is called."""
        layer, _, kind = name.rpartition(".")
        if self.lecture and layer in (self.hidden_name, self.output_name):
            if kind == "bias":
                return f"b_{self.unit(layer, index[0])}" if index else f"b{1 if layer == self.hidden_name else 2}"
            if kind == "weight" and len(index) == 2:
                first = self.inputs * self.hidden if layer == self.output_name else 0
                wide = self.hidden if layer == self.output_name else self.inputs
                return f"w{first + index[1] * wide + index[0] + 1}"
        return f"{name}[{', '.join(map(str, index))}]" if len(index) else name

    def element(self, name: str, index: Sequence[int]) -> str:
        """Return what an element of a named value is called: the row is left out, where there is only one."""
        layer, _, kind = name.rpartition(".")
        at = tuple(index[1:]) if len(index) > 1 and index[0] == 0 else tuple(index)
        if kind in ("net", "out") and len(at) == 1:
            unit = self.unit(layer, at[0])
            return f"{kind}_{unit}" if self.lecture else f"{layer}.{kind}[{at[0]}]"
        return f"{name}[{', '.join(map(str, at))}]" if at else name


def names_of(network: Layer, parameters: Mapping[str, Any], lecture: bool) -> Names:
    """Return how the parts of a network are called; the lecture's names need two dense layers."""
    layers = network.children()
    if lecture and len(layers) == 2 and all(isinstance(layer, Dense) for layer in layers.values()):
        hidden, output = layers
        inputs, units = np.shape(parameters[f"{hidden}.weight"])
        return Names(True, int(units), int(inputs), hidden, output)
    return Names()


def asked(of: str, parameters: Mapping[str, Any], points: Mapping[str, tuple[int, ...]], names: Names) -> Asked:
    """Read what was asked for; raise TrainingError that lists what there is where there is no such thing.

    ``points`` are the shapes of the named values, for one row.
    """
    text = of.strip()
    if text in ("loss", "E", "F"):
        return Asked("loss", "loss", ())
    found = _PATTERN.match(text)
    if not found:
        raise TrainingError(f"of={of!r} cannot be read; ask for instance for {_examples(parameters, points)}")
    kind = KINDS.get((found["kind"] or "").strip(), "")
    name, index = found["name"], _index(of, found["at"])
    if names.lecture:
        name, index = _from_lecture(name, index, parameters, names)
    if name in parameters:  # δ of a parameter is its gradient, and so is what is meant without a word
        return Asked("gradient", name, _fitting(of, name, index, np.shape(parameters[name])))
    if name in points:
        shape = points[name]
        if len(index) == len(shape) - 1 and shape[:1] == (1,):
            index = (0, *index)
        return Asked("delta" if kind else "value", name, _fitting(of, name, index, shape))
    known = [*parameters, *points, "loss"]
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise TrainingError(f"of={of!r}: there is no {name!r}{hint or '.'} There are: {', '.join(known)}")


def _examples(parameters: Mapping[str, Any], points: Mapping[str, Any]) -> str:
    first = next(iter(parameters), "weight")
    return f"of='{first}{[0] * np.ndim(parameters.get(first, 0)) or ''}', of='loss'" + (
        f", of='{next(iter(points))}[0]'" if points else ""
    )


def _index(of: str, text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"\d+", part) for part in parts):
        raise TrainingError(f"of={of!r}: the index must be whole numbers from 0, such as [3, 17]")
    return tuple(map(int, parts))


def _fitting(of: str, name: str, index: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(index) != len(shape):
        example = ", ".join("0" for _ in shape)
        raise TrainingError(
            f"of={of!r}: {name} has the shape ({', '.join(map(str, shape))}); ask for one element, such as "
            f"{name}[{example}]"
            if shape
            else f"of={of!r}: {name} is one number; ask for {name} without an index"
        )
    for place, (i, size) in enumerate(zip(index, shape, strict=True)):
        if i >= size:
            raise TrainingError(f"of={of!r}: index {i} is out of range: axis {place} of {name} has 0 to {size - 1}")
    return index


def _from_lecture(
    name: str, index: tuple[int, ...], parameters: Mapping[str, Any], names: Names
) -> tuple[str, tuple[int, ...]]:
    """Return the full name and index of w5, b1, h1, net_h1, out_o2, i1->h1."""
    hidden, output = names.hidden_name, names.output_name
    outputs = np.shape(parameters[f"{output}.weight"])[1]
    if found := re.fullmatch(r"w(\d+)", name):
        number, first = int(found[1]) - 1, names.inputs * names.hidden
        if 0 <= number < first:
            return f"{hidden}.weight", (number % names.inputs, number // names.inputs)
        number -= first
        if 0 <= number < names.hidden * outputs:
            return f"{output}.weight", (number % names.hidden, number // names.hidden)
        raise TrainingError(f"there is no {name}: this network has w1 to w{first + names.hidden * outputs}")
    if found := re.fullmatch(r"([iho])(\d+)\s*(?:->|→)\s*([ho])(\d+)", name):
        layer = hidden if found[3] == "h" else output
        if found[1] + found[3] not in ("ih", "ho"):
            raise TrainingError(f"there is no weight {name}: weights lead from i to h, and from h to o")
        first = names.inputs if layer == hidden else names.hidden
        return f"{layer}.weight", (
            _counted(name, found[1], int(found[2]), first),
            _counted(name, found[3], int(found[4]), names.hidden if layer == hidden else outputs),
        )
    if found := re.fullmatch(r"b_([ho])(\d+)", name):
        count = names.hidden if found[1] == "h" else outputs
        layer, at = hidden if found[1] == "h" else output, _counted(name, found[1], int(found[2]), count)
        if not np.ndim(parameters[f"{layer}.bias"]):
            raise TrainingError(f"{name}: the units share one bias here; ask for b{1 if layer == hidden else 2}")
        return f"{layer}.bias", (at,)
    if found := re.fullmatch(r"b([12])", name):
        own = f"{hidden if found[1] == '1' else output}.bias"
        return own, index or (0,) * np.ndim(parameters[own])
    if found := re.fullmatch(r"(?:(net|out)_)?([ho])(\d+)", name):
        layer, count = (hidden, names.hidden) if found[2] == "h" else (output, outputs)
        return f"{layer}.{found[1] or 'out'}", (_counted(name, found[2], int(found[3]), count),)
    return name, index


def _counted(name: str, letter: str, number: int, count: int) -> int:
    """Return the index of a unit that is counted from 1."""
    if not 1 <= number <= count:
        raise TrainingError(f"there is no {letter}{number} in {name!r}: this network has {letter}1 to {letter}{count}")
    return number - 1


LECTURE = re.compile(r"(?:w\d+|b[12]|b_[ho]\d+|(?:(?:net|out)_)?[ho]\d+|[iho]\d+\s*(?:->|→)\s*[ho]\d+)")


def is_lecture(of: str) -> bool:
    """Is something asked for in the lecture's names?"""
    return bool(LECTURE.fullmatch(of.partition("[")[0].strip().split(" ")[-1].removeprefix("∂E/∂")))
