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
MOST_PLACES = 200
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
    example = worked_example(1, setup)
    items = {item.key: item for section in sections(example) for item in section.items}
    wrong = {name: _values(worked_example(1, changed)) for name, changed in _mistakes(setup).items()}
    marks = []
    for key in asked:
        if key not in items:
            raise TrainingError(f"the sheet asks for {key!r}, which this example does not have")
        right, given = items[key].value, answers.get(key, "")
        answer = _number(given)
        mistake = _likely(key, answer, right, example, wrong, items)
        ok = answer is not None and not mistake and _close(answer, right, _measured_from(key, setup))
        marks.append(Mark(key, given, right, ok, mistake))
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
    if len(whole) + abs(power) > MOST_PLACES:
        return None
    digits = len((whole + part).lstrip("0"))
    return float(f"{found[1]}{whole or 0}.{part or 0}e{power}"), digits, 0.5000001 * 10.0 ** (power - len(part))


def _close(answer: tuple[float, int, float], right: float, start: float = 0.0) -> bool:
    """Is an answer right: in its own digits, of which there are enough, or to within a small share?

    ``start`` is the weight that an updated one began as: it is the step that must be right.
    """
    number, _, half = answer
    if right == 0.0:
        return number == 0.0
    return _enough(answer, right, start) and abs(number - right) <= max(TOLERANCE * abs(right - start), half)


def _enough(answer: tuple[float, int, float], right: float, start: float = 0.0) -> bool:
    """Does an answer have enough digits to be marked? Those of an updated weight must show its step."""
    _, digits, half = answer
    return digits >= DIGITS and (not start or half <= STEP_SHOWN * abs(right - start))


def _measured_from(key: str, setup: Setup) -> float:
    """Return what an updated weight began as, 0 for other values."""
    return _before(key, setup) if key.endswith("+") else 0.0


def _before(key: str, setup: Setup) -> float:
    parameter, *place = setup.places[key[:-1]]
    return float(setup.start()[parameter][tuple(place)])


STEP_SHOWN = 0.1
"""Half a unit of an updated weight's last digit may be so much of its step at most."""


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
    key: str, number: tuple[float, int, float] | None, right: float, example: WorkedExample,
    wrong: Mapping[str, Mapping[str, float]], items: Mapping[str, Item],
) -> str:  # fmt: skip
    """Return which mistake gives the answer."""
    if number is None:
        return "no number can be read here"
    start = _measured_from(key, example.setup)
    near = _close(number, right, start)
    if start and number[0] == start != right:
        return "this is the old weight: no step was taken"
    if not _enough(number, right, start):
        good = abs(number[0] - right) <= number[2]
        many = f"at least {DIGITS} digits"
        if start and right != start:
            places = max(int(np.ceil(-np.log10(2 * STEP_SHOWN * abs(right - start)))), 1)
            many = f"{places} places after the point, so that the step shows"
        return f"{'right as far as it goes: ' if good and number[1] else ''}give {many}"
    for name, value in _named_mistakes(key, right, example, wrong, items):
        nearer = not near or abs(number[0] - value) < 0.1 * abs(number[0] - right)
        if nearer and not np.isclose(value, right, rtol=1e-12) and _close(number, value, start):
            return name
    return ""


def _named_mistakes(
    key: str, right: float, example: WorkedExample, wrong: Mapping[str, Mapping[str, float]], items: Mapping[str, Item]
) -> list[tuple[str, float]]:
    """Return what each usual mistake would give, the likeliest first."""
    setup = example.setup
    found: list[tuple[str, float]] = []
    if key.endswith("+"):
        found += _of_update(key, right, setup, wrong, items)
    else:
        found.append(("the sign is turned", -right))
    found += [(name, values[key]) for name, values in wrong.items()]
    found += [*_mean_for_sum(key, right, setup), *_without_own_bias(key, right, setup)]
    if key.startswith(("dE/dw", "delta_h")):
        found += _factor_missing(key, right, example, items)
    return found


def _of_update(
    key: str, right: float, setup: Setup, wrong: Mapping[str, Mapping[str, float]], items: Mapping[str, Item]
) -> list[tuple[str, float]]:
    before, slope = _before(key, setup), items[f"dE/d{key[:-1]}"].value
    alone, rate = before - slope, setup.learning_rate
    same = setup.half and np.isclose(wrong["the ½ was left out"][key], alone, rtol=1e-9)
    return [
        (f"the learning rate was left out{', or the ½ in the error' if same else ''}", alone),
        ("the step was taken up the gradient: θ⁺ = θ − η · ∂E/∂θ", before + rate * slope),
        ("this is the step; the new weight is the old one minus it", rate * slope),
        ("this is the step; the new weight is the old one minus it", -rate * slope),
        ("this is the gradient; the new weight is w − η · ∂E/∂w", slope),
        ("the sign is turned", -right),
    ]


def _without_own_bias(key: str, right: float, setup: Setup) -> list[tuple[str, float]]:
    """What a unit gives where its own bias is left out, all before it being right."""
    found = re.fullmatch(r"(net|out)_([ho])(\d+)", key)
    if not found:
        return []
    bias = setup.start()["hidden1.bias" if found[2] == "h" else "output.bias"][int(found[3]) - 1]
    net = right if found[1] == "net" else float(np.log(right / (1 - right)))
    without = net - float(bias)
    return [("the bias was left out", without if found[1] == "net" else 1 / (1 + float(np.exp(-without))))]


def _mean_for_sum(key: str, right: float, setup: Setup) -> list[tuple[str, float]]:
    """What the mean of the outputs' errors gives, in the place of their sum."""
    count = len(setup.targets)
    if count == 1 or not (key == "E" or key.startswith(("dE/", "delta_")) or key.endswith("+")):
        return []
    start = _measured_from(key, setup)
    return [(f"the mean over the {count} outputs was taken: E is their sum", start + (right - start) / count)]


def _factor_missing(
    key: str, right: float, example: WorkedExample, items: Mapping[str, Item]
) -> list[tuple[str, float]]:
    """What a derivative is where one of its factors is left out, or one of its paths."""
    setup, s = example.setup, example.first
    h, o = s.values["hidden1.out"][0], s.values["output.out"][0]
    if key.startswith("dE/dw"):
        parameter, i, j = setup.places[key[4:]]
        if parameter == "output.weight":
            return [
                (f"the factor out_h{i + 1} is missing", items[f"delta_o{j + 1}"].value),
                (f"the factor out_o{j + 1}(1 − out_o{j + 1}) is missing", right / (o[j] * (1 - o[j]))),
            ]
        given, found = setup.inputs[i], [(f"the factor i{i + 1} is missing", items[f"delta_h{j + 1}"].value)]
    else:
        j, given, found = int(key.removeprefix("delta_h")) - 1, 1.0, []
    slope = h[j] * (1 - h[j])
    delta = s.deltas["output.net"]
    for k in range(len(o) if len(o) > 1 else 0):
        missing = ", ".join(f"o{m + 1}" for m in range(len(o)) if m != k)
        path = float(delta[k] * s.before["output.weight"][j, k] * slope * given)
        found.append((f"a path is missing: the one through {missing}", path))
    return [*found, (f"the factor out_h{j + 1}(1 − out_h{j + 1}) is missing", float(right / slope))]


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
