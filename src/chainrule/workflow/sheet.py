"""The worked example as a sheet: items with a key, a formula and a value; exercises, and answers marked.

An exercise leaves some values blank, another sheet for each seed. Answers are marked by recomputing: a wrong one is
compared with what the usual mistakes would give, and the mistake is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, TrainingError
from chainrule.workflow.worked_example import LECTURE, Setup, WorkedExample, worked_example

HEADER = "chainrule-sheet"
BLANK = "________"
LARGEST = 1e6
TOLERANCE = 5e-4
"""An answer counts as right to within this share of its size, or half a unit of its last digit."""
DIGITS = 3
"""So many digits an answer must have at least; fewer say too little to be marked, or to tell a mistake by."""


@dataclass(frozen=True)
class Item:
    """One number of a sheet: its key (``net_h1``, ``dE/dw5``, ``w5+``), how it is written, formula and value."""

    key: str
    label: str
    formula: str
    value: float


@dataclass(frozen=True)
class Section:
    title: str
    items: tuple[Item, ...]


def sections(example: WorkedExample) -> list[Section]:
    """Return the example's numbers by section: forward, error, backward, the recursion of δ, update."""
    s, setup = example.first, example.setup
    o = s.values["output.out"][0]
    forward = []
    for letter, layer, given in (("h", "hidden1", "i"), ("o", "output", "h")):
        for unit in range(s.values[f"{layer}.net"].shape[1]):
            name = f"{letter}{unit + 1}"
            terms = [
                f"{weight} · {given if given == 'i' else 'out_h'}{place[1] + 1}"
                for weight, place in setup.places.items() if place[0] == f"{layer}.weight" and place[2] == unit
            ]  # fmt: skip
            net, out = float(s.values[f"{layer}.net"][0, unit]), float(s.values[f"{layer}.out"][0, unit])
            forward.append(Item(f"net_{name}", f"net_{name}", " + ".join([*terms, "bias"]), net))
            forward.append(Item(f"out_{name}", f"out_{name}", f"1 / (1 + e^−net_{name})", out))
    half = "½ " if setup.half else ""
    error = [
        Item(f"E_o{k + 1}", f"E_o{k + 1}", f"{half}(target_o{k + 1} − out_o{k + 1})²", float(value))
        for k, value in enumerate(s.errors)
    ]
    error.append(Item("E", "E_total", " + ".join(item.key for item in error), s.total))
    twice = "" if setup.half else "2 "
    plus = "" if setup.using == "old" else "⁺"

    def back(j: int) -> str:
        """How the output units' δ come back to a hidden unit: by the weights that lead there."""
        return " + ".join(
            f"δ_o{k + 1} · {w}{plus}"
            for k in range(len(o))
            for w, p in setup.places.items()
            if p == ("output.weight", j, k)
        )

    backward = []
    for weight, (parameter, i, j) in sorted(setup.places.items(), key=lambda p: (p[1][0] == "hidden1.weight", p[0])):
        if parameter == "output.weight":
            k = j + 1
            formula = f"{twice}(out_o{k} − target_o{k}) · out_o{k}(1 − out_o{k}) · out_h{i + 1}"
        else:
            formula = f"({back(j)}) · out_h{j + 1}(1 − out_h{j + 1}) · i{i + 1}"
        backward.append(Item(f"dE/d{weight}", f"∂E/∂{weight}", formula, s.weight(weight, "gradient")))
    recursion = [
        Item(f"delta_o{k}", f"δ_o{k}", f"{twice}(out_o{k} − target_o{k}) · out_o{k}(1 − out_o{k})", float(value))
        for k, value in enumerate(s.deltas["output.net"], 1)
    ]
    recursion += [
        Item(f"delta_h{j}", f"δ_h{j}", f"({back(j - 1)}) · out_h{j}(1 − out_h{j})", float(value))
        for j, value in enumerate(s.deltas["hidden1.net"], 1)
    ]
    update = [
        Item(f"{w}+", f"{w}⁺", f"{w} − {setup.learning_rate:g} · ∂E/∂{w}", s.weight(w, "after")) for w in setup.places
    ]
    return [
        Section("forward", tuple(forward)), Section("error", tuple(error)), Section("backward", tuple(backward)),
        Section("recursion", tuple(recursion)), Section("update", tuple(update)),
    ]  # fmt: skip


def own_numbers(seed: int, like: Setup = LECTURE) -> Setup:
    """Return the example with other inputs, targets, weights and biases, of two digits: one sheet for each seed."""
    rng = np.random.default_rng(seed)

    def draw(count: int, low: float, high: float) -> tuple[float, ...]:
        return tuple(round(float(v), 2) for v in rng.uniform(low, high, count))

    return replace(
        like, inputs=draw(len(like.inputs), 0.05, 0.95), targets=draw(len(like.targets), 0.05, 0.95),
        weights=draw(len(like.weights), -0.9, 0.9), biases=draw(len(like.biases), -0.5, 0.5),
    )  # fmt: skip


def blanks(seed: int, parts: Sequence[Section], share: float = 0.5) -> set[str]:
    """Return which values are left out: about half of each section, one at least."""
    rng = np.random.default_rng([seed, 1])
    chosen: set[str] = set()
    for section in parts:
        keys = [item.key for item in section.items]
        count = max(1, round(share * len(keys)))
        chosen |= {keys[i] for i in rng.choice(len(keys), count, replace=False)}
    return chosen


def header(setup: Setup, blank: set[str]) -> str:
    """Return what a sheet says about itself, from which its answers can be marked."""
    return f"{HEADER}: {json.dumps({'setup': asdict(setup), 'blank': sorted(blank)})}"


def read_file(path: Path) -> str:
    """Return a sheet's text."""
    if path.suffix.lower() in (".html", ".tex", ".pdf"):
        raise TrainingError(f"{path}: only .md sheets can be marked; write the exercise with --handout sheet.md")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TrainingError(f"{path} is no text; give the .md file of the sheet") from None
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror or error}") from None


def read_sheet(text: str) -> tuple[Setup, list[str], dict[str, str]]:
    """Return a sheet's setup, which values it asks for, and the answers that stand there."""
    found = re.search(rf"{HEADER}: (\{{.*?\}}\}}|\{{.*\}})\s*(?:-->)?\s*$", text, flags=re.M)
    if not found:
        raise TrainingError(f"this is no exercise sheet of chainrule: the line {HEADER!r} is missing")
    try:
        about = json.loads(found[1])
        numbers: dict[str, Any] = {
            k: tuple(map(float, v)) if isinstance(v, list) else v for k, v in about["setup"].items()
        }
        setup = Setup(**numbers)
        asked = [str(key) for key in about["blank"]]
        lists = (setup.inputs, setup.targets, setup.weights, setup.biases)
        sound = all(isinstance(v, tuple) and all(abs(x) <= LARGEST for x in v) for v in lists) and asked
        if not (sound and isinstance(setup.half, bool) and 0 < float(setup.learning_rate) <= LARGEST):
            raise ValueError("its numbers are not those of an exercise")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ChainruleError) as error:
        raise TrainingError(f"the sheet's line {HEADER!r} is damaged: {error}") from None
    answers = {}
    for line in text.splitlines():
        if match := re.match(r"^\W*`?(?P<key>[A-Za-z_]+[\w/]*\+?)`?\s*=\s*(?P<answer>[^|]*)", line.strip("| ")):
            answers[match["key"]] = match["answer"].strip().strip("*`_ ")
    return setup, asked, answers


@dataclass(frozen=True)
class Mark:
    """One answer, marked: what was given, what is right, and which mistake gives what was given."""

    key: str
    given: str
    right: float
    ok: bool
    mistake: str


def mark(text: str) -> list[Mark]:
    """Mark a sheet: every value that it asks for."""
    setup, asked, answers = read_sheet(text)
    items = {item.key: item for section in sections(worked_example(1, setup)) for item in section.items}
    wrong = {name: _values(worked_example(1, changed)) for name, changed in _mistakes(setup).items()}
    marks = []
    for key in asked:
        if key not in items:
            raise TrainingError(f"the sheet asks for {key!r}, which this example does not have")
        right, given = items[key].value, answers.get(key, "")
        answer = _number(given)
        ok = answer is not None and _close(answer, right)
        marks.append(Mark(key, given, right, ok, "" if ok else _likely(key, answer, right, setup, wrong, items)))
    return marks


_SPELLINGS = str.maketrans("−–—⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "----+0123456789")


def _number(text: str) -> tuple[float, int, float] | None:
    """Return an answer's number, how many digits it has (leading zeros are none), and half a unit of the last one."""
    plain = text.translate(_SPELLINGS).replace(" ", "").strip("≈~$")
    plain = re.sub(r"[×·*]10\^?([+-]?\d+)", r"e\1", plain)
    found = re.match(r"([+-]?)(\d*)(?:[.,](\d*))?(?:[eE]([+-]?\d{1,3}))?(?:\(.*\))?$", plain)
    if not found or not (found[2] or found[3]):
        return None
    whole, part, power = found[2] or "", found[3] or "", int(found[4] or 0)
    digits = len((whole + part).lstrip("0"))
    return float(f"{found[1]}{whole or 0}.{part or 0}e{power}"), digits, 0.5000001 * 10.0 ** (power - len(part))


def _close(answer: tuple[float, int, float], right: float) -> bool:
    """Is an answer right: in its own digits, of which there are at least three, or to within a small share?"""
    number, digits, half = answer
    if right == 0.0:
        return number == 0.0
    return digits >= DIGITS and abs(number - right) <= max(TOLERANCE * abs(right), half)


def _values(example: WorkedExample) -> dict[str, float]:
    return {item.key: item.value for section in sections(example) for item in section.items}


def _mistakes(setup: Setup) -> dict[str, Setup]:
    """Return the setups that usual mistakes amount to."""
    return {
        "the output weights were updated before they carried δ back": replace(setup, using="updated"),
        "the ½ was left out" if setup.half else "a ½ was put in": replace(setup, half=not setup.half),
        "the bias was left out": replace(setup, biases=(0.0,) * len(setup.biases)),
    }


def _likely(
    key: str, number: tuple[float, int, float] | None, right: float, setup: Setup,
    wrong: Mapping[str, Mapping[str, float]], items: Mapping[str, Item],
) -> str:  # fmt: skip
    """Return which mistake gives the answer."""
    if number is None:
        return "no number can be read here"
    if number[1] < DIGITS:
        good = abs(number[0] - right) <= number[2]
        return f"{'right as far as it goes: ' if good and number[1] else ''}give at least {DIGITS} digits"
    if _close(number, -right):
        return "the sign is turned"
    if key.endswith("+"):
        weight = float(setup.start()[setup.places[key[:-1]][0]][setup.places[key[:-1]][1:]])
        if _close(number, weight - items[f"dE/d{key[:-1]}"].value):
            same = _close(number, wrong["the ½ was left out"][key]) if setup.half else False
            return f"the learning rate was left out{', or the ½ in the error' if same else ''}"
    for name, values in wrong.items():
        if not np.isclose(values[key], right, rtol=1e-12) and _close(number, values[key]):
            return name
    if key.endswith("+"):
        weight = float(setup.start()[setup.places[key[:-1]][0]][setup.places[key[:-1]][1:]])
        if _close(number, weight + setup.learning_rate * items[f"dE/d{key[:-1]}"].value):
            return "the step was taken up the gradient: θ⁺ = θ − η · ∂E/∂θ"
    if found := _mean_for_sum(key, number, right, setup):
        return found
    if key.startswith("dE/dw") and setup.places[key[4:]][0] == "hidden1.weight":
        return _missing_path(number, right, setup, *setup.places[key[4:]][1:])
    if key.startswith("delta_h"):
        return _missing_path(number, right, setup, None, int(key.removeprefix("delta_h")) - 1)
    return ""


def _mean_for_sum(key: str, number: tuple[float, int, float], right: float, setup: Setup) -> str:
    """Is the answer that of the mean of the outputs' errors, in the place of their sum?"""
    count = len(setup.targets)
    averaged = right / count
    if key.endswith("+"):
        weight = float(setup.start()[setup.places[key[:-1]][0]][setup.places[key[:-1]][1:]])
        averaged = weight + (right - weight) / count
    if (
        count > 1
        and (key == "E" or key.startswith(("dE/", "delta_")) or key.endswith("+"))
        and _close(number, averaged)
    ):
        return f"the mean over the {count} outputs was taken: E is their sum"
    return ""


def _missing_path(number: tuple[float, int, float], right: float, setup: Setup, i: int | None, j: int) -> str:
    """Is the answer the derivative by way of one output alone? ``i`` is the input, None for the unit's own δ."""
    s = worked_example(1, setup).first
    given = 1.0 if i is None else setup.inputs[i]
    h, o = s.values["hidden1.out"][0], s.values["output.out"][0]
    delta = (1 if setup.half else 2) * (o - np.array(setup.targets)) * o * (1 - o)
    for k in range(len(o)):
        path = delta[k] * s.before["output.weight"][j, k] * h[j] * (1 - h[j]) * given
        if _close(number, float(path)):
            missing = ", ".join(f"o{m + 1}" for m in range(len(o)) if m != k)
            return f"a path is missing: the one through {missing}"
    slope = h[j] * (1 - h[j])
    if _close(number, float(right / slope)):
        return f"the factor out_h{j + 1}(1 − out_h{j + 1}) is missing"
    return ""


def marks_text(marks: Sequence[Mark]) -> str:
    """Return the marks line by line."""
    lines = []
    for m in marks:
        given = m.given or "(blank)"
        if m.ok:
            lines.append(f"  right   {m.key:<10} {given}")
        else:
            lines.append(f"  wrong   {m.key:<10} {given:<16} right is {m.right:.9g}".replace("-0.", "−0."))
            if m.mistake:
                lines.append(f"          {m.mistake}")
    right = sum(m.ok for m in marks)
    return "\n".join([*lines, f"{right} of {len(marks)} right"])
