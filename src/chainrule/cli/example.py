"""The worked example as text and as JSON."""

from __future__ import annotations

from math import hypot
from textwrap import wrap
from typing import Any

from chainrule.workflow.worked_example import Setup, Step, WorkedExample

WIDTH = 80
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
BIASES = {
    "frozen": "Biases stay as they are.",
    "unit": "Each unit's bias is learned.",
    "tied": "Each layer's bias is learned.",
}


def example_text(example: WorkedExample) -> str:
    """Return the worked example line by line, nine digits, with every operand shown."""
    first, setup = example.first, example.setup
    text = [
        *_given(setup), "", *_forward(setup, first), "", *_backward(setup, first), "", *_recursion(setup, first), "",
        *_update(setup, first), "", *_after(example),
    ]  # fmt: skip
    return "\n".join(line for long in text for line in _fitting(long.replace("-0.", "−0.")))


def _fitting(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return wrap(line, WIDTH, subsequent_indent=indent, drop_whitespace=True) if len(line) > WIDTH else [line]


def _given(setup: Setup) -> list[str]:
    def side_by_side(name: str, numbers: Any) -> str:
        return "   ".join(f"{name}{i} = {number:g}" for i, number in enumerate(numbers, 1))

    def units(count: int, word: str) -> str:
        return f"{COUNTS[count]} {word}{'s' if count != 1 and word != 'hidden' else ''}"

    ends = [_arrow(setup, name) for name in setup.places]
    first = len(setup.inputs) * setup.hidden
    half = "half squared error" if setup.half else "squared error (without the ½)"
    lines = [
        f"The worked example: {units(len(setup.inputs), 'input')}, {units(setup.hidden, 'hidden')} and "
        f"{COUNTS[len(setup.targets)]} output unit{'s' if len(setup.targets) > 1 else ''}, sigmoid,",
        f"{half}, learning rate {setup.learning_rate:g}. {BIASES[setup.bias]}",
    ]
    if setup.using == "updated":
        lines.append("WRONG ON PURPOSE: hidden gradients use output weights that are updated already.")
    lines += ["", f"  inputs    {side_by_side('i', setup.inputs)}", f"  targets   {side_by_side('o', setup.targets)}"]
    for label, begin, end in (("weights", 0, first), ("", first, len(ends))):
        for row in range(begin, end, 4):
            here = label if row == begin else ""
            lines.append(f"  {here:<9} {'   '.join(ends[row : min(row + 4, end)])}")
    if len(setup.biases) == 2:
        hidden = ", ".join(f"h{u + 1}" for u in range(setup.hidden))
        output = ", ".join(f"o{k + 1}" for k in range(len(setup.targets)))
        lines.append(f"  biases    b1 = {setup.biases[0]:g} ({hidden})   b2 = {setup.biases[1]:g} ({output})")
    else:
        names = [*(f"h{u + 1}" for u in range(setup.hidden)), *(f"o{k + 1}" for k in range(len(setup.targets)))]
        lines.append("  biases    " + "   ".join(f"{n}: {b:g}" for n, b in zip(names, setup.biases, strict=True)))
    return lines


def _arrow(setup: Setup, name: str) -> str:
    parameter, row, column = setup.places[name]
    first, then = ("i", "h") if parameter == "hidden1.weight" else ("h", "o")
    return f"{name} {first}{row + 1}→{then}{column + 1}"


def _named(setup: Setup, parameter: str, row: int, column: int) -> str:
    return next(name for name, place in setup.places.items() if place == (parameter, row, column))


def _forward(setup: Setup, s: Step) -> list[str]:
    lines = ["forward   net = Σ weight · input + bias,   out = 1 / (1 + e^−net)"]
    h = s.values["hidden1.out"][0]
    layers = (("h", "hidden1", [f"{x:g}" for x in setup.inputs], setup.hidden),
              ("o", "output", [f"{x:.9f}" for x in h], len(setup.targets)))  # fmt: skip
    for letter, layer, given, count in layers:
        for unit in range(count):
            weights = [s.weight(_named(setup, f"{layer}.weight", i, unit)) for i in range(len(given))]
            terms = [f"{w:g}·{x}" for w, x in zip(weights, given, strict=True)]
            bias = float(s.before[f"{layer}.bias"][unit])
            net, out = s.values[f"{layer}.net"][0, unit], s.values[f"{layer}.out"][0, unit]
            lines.append(f"  net_{letter}{unit + 1} = {_sum([*terms, f'{bias:g}'])} = {net:.9f}")
            lines.append(f"  out_{letter}{unit + 1} = {out:.9f}")
    half = "½ " if setup.half else ""
    lines += ["", f"error     E = Σ {half}(target − out)²"]
    o = s.values["output.out"][0]
    for unit, target in enumerate(setup.targets):
        lines.append(f"  E_o{unit + 1} = {half}({target:g} − {o[unit]:.9f})² = {s.errors[unit]:.9f}")
    return [*lines, f"  E_total = {s.total:.9f}"]


def _sum(terms: list[str]) -> str:
    text = terms[0]
    for term in terms[1:]:
        text += f" − {term[1:]}" if term.startswith("-") else f" + {term}"
    return text


def _backward(setup: Setup, s: Step) -> list[str]:
    h, o = s.values["hidden1.out"][0], s.values["output.out"][0]
    twice = 1.0 if setup.half else 2.0
    error = [twice * (o[k] - target) for k, target in enumerate(setup.targets)]
    slope = [out * (1 - out) for out in o]
    lines = ["backward  ∂E/∂w = ∂E/∂out · ∂out/∂net · ∂net/∂w, for each output weight"]
    for name, (parameter, j, k) in setup.places.items():
        if parameter == "output.weight":
            product = f"{error[k]:+.8f} × {slope[k]:.9f} × {h[j]:.9f}"
            lines.append(f"  ∂E/∂{name} = {product} = {s.weight(name, 'gradient'):+.9f}")
    paths = COUNTS[len(setup.targets)]
    when = "after" if setup.using == "updated" else "before"
    reaches = f"on {paths} paths: add them" if len(setup.targets) > 1 else "on one path"
    lines += [
        "", f"          A hidden unit reaches the error {reaches}.",
        f"          ∂E/∂out_h = Σ over {', '.join(f'o{k + 1}' for k in range(len(o)))} of ∂E/∂net_o · w   "
        f"(w of {when} the update)",
    ]  # fmt: skip
    delta = [error[k] * slope[k] for k in range(len(o))]
    reach = []
    for j in range(setup.hidden):
        weights = [
            s.weight(_named(setup, "output.weight", j, k), "after" if setup.using == "updated" else "before")
            for k in range(len(o))
        ]
        total = sum(d * w for d, w in zip(delta, weights, strict=True))
        reach.append(total)
        digits = ".9g" if setup.using == "updated" else "g"
        terms = [f"{delta[0]:+.8f}·{weights[0]:{digits}}"]
        terms += [
            f"{'+' if d >= 0 else '−'} {abs(d):.8f}·{w:{digits}}" for d, w in zip(delta[1:], weights[1:], strict=True)
        ]
        lines.append(f"  ∂E/∂out_h{j + 1} = {' '.join(terms)} = {total:+.9f}")
    for name, (parameter, i, j) in setup.places.items():
        if parameter == "hidden1.weight":
            product = f"{reach[j]:+.8f} × {h[j] * (1 - h[j]):.9f} × {setup.inputs[i]:g}"
            lines.append(f"  ∂E/∂{name} = {product} = {s.weight(name, 'gradient'):+.9f}")
    return lines


def _recursion(setup: Setup, s: Step) -> list[str]:
    """The same, layer by layer: δ goes back through the transposed Jacobian of each layer."""
    outs, hidden = len(setup.targets), setup.hidden
    by = {
        "output.out": f"(∂E/∂out)ᵀ, 1 × {outs}",
        "output.net": f"diag(out(1 − out)), {outs} × {outs}",
        "hidden1.out": f"(∂net_o/∂out_h)ᵀ, {hidden} × {outs}",
        "hidden1.net": f"diag(out(1 − out)), {hidden} × {hidden}",
    }
    lines = ["recursion δ_l = (∂a_l+1/∂a_l)ᵀ · δ_l+1, from the error back, layer by layer"]
    lines += [f"  {'value':<7}{'units':>5}  {'norm of δ':<13}δ"]
    for name, delta in s.deltas.items():
        label = f"{name.rpartition('.')[2]}_{'o' if name.startswith('output') else 'h'}"
        numbers = "  ".join(f"{v:+.9f}" for v in delta)
        lines.append(f"  {label:<7}{len(delta):>5}  {hypot(*delta):<13.9f}{numbers}")
        lines.append(f"{'':29}by {by[name]}")
    first, last = len(setup.inputs) * hidden, len(setup.places)
    lines.append("  and the gradient of a layer's weights is its inputᵀ · δ of its net:")
    lines.append(f"  out_hᵀ · δ_net_o, {hidden} × {outs}: w{first + 1} to w{last}")
    lines.append(f"  iᵀ · δ_net_h, {len(setup.inputs)} × {hidden}: w1 to w{first}")
    return lines


def _update(setup: Setup, s: Step) -> list[str]:
    when = "all at once" if setup.using == "old" else "the output weights first: the mistake"
    lines = [f"update    w⁺ = w − η · ∂E/∂w,   η = {setup.learning_rate:g}, {when}"]

    def line(name: str, before: float, slope: float, after: float) -> None:
        sign, size = ("−", slope) if slope >= 0 else ("+", -slope)
        lines.append(f"  {name}⁺ = {before:g} {sign} {setup.learning_rate:g} × {size:.9f} = {after:.9f}")

    for name in setup.places:
        line(name, s.weight(name), s.weight(name, "gradient"), s.weight(name, "after"))
    if setup.bias != "frozen":
        for layer, short in (("hidden1", "h"), ("output", "o")):
            name = f"{layer}.bias"
            before, slope, after = (getattr(s, when)[name] for when in ("before", "gradient", "after"))
            if setup.bias == "tied":
                line("b1" if short == "h" else "b2", float(before[0]), float(slope.sum()), float(after[0]))
            else:
                for unit in range(len(before)):
                    line(f"b_{short}{unit + 1}", float(before[unit]), float(slope[unit]), float(after[unit]))
    return lines


def _after(example: WorkedExample) -> list[str]:
    lines = [f"after 1 step       E_total = {example.total_after:.11f}"]
    if example.steps > 1:
        lines.append(f"after {example.steps} steps  E_total = {example.total:.9g}")
        outs = "   ".join(f"out_o{k} = {value:.9f}" for k, value in enumerate(example.outputs, 1))
        lines.append(f"                   {outs}")
    if example.setup.is_lecture and example.steps in (1, 10_000):
        lines += [
            "",
            "Elsewhere you may read 0.291027924 after one step and .015912196 / .984065734",
            "after 10,000. Those come from a slip: hidden gradients computed with output",
            "weights that were already updated. All gradients belong to the old weights.",
        ]
    if example.setup.using == "updated":
        lines += [
            "",
            "This is the slip behind widely copied figures. All gradients belong to the old",
            "weights: leave out --using updated.",
        ]
    return lines


def example_json(example: WorkedExample) -> dict[str, Any]:
    """Return the worked example as JSON data."""
    first = example.first
    names = list(example.setup.places)
    return {
        "setup": {key: list(v) if isinstance(v, tuple) else v for key, v in vars(example.setup).items()},
        "forward": {k: v[0].tolist() for k, v in first.values.items()},
        "errors": first.errors.tolist(),
        "total": first.total,
        "gradient": {n: first.weight(n, "gradient") for n in names},
        "updated": {n: first.weight(n, "after") for n in names},
        "total_after_one_step": example.total_after,
        "steps": example.steps,
        "total_after_steps": example.total,
        "outputs_after_steps": example.outputs.tolist(),
    }
