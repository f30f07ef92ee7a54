"""The worked example as text and as JSON."""

from __future__ import annotations

from typing import Any

from chainrule.workflow.worked_example import BIASES, INPUTS, LEARNING_RATE, TARGETS, Step, WorkedExample


def example_text(example: WorkedExample) -> str:
    """Return the worked example line by line, nine digits, with every operand shown."""
    first = example.first
    text = "\n".join(
        [
            *_given(),
            "",
            *_forward(first),
            "",
            *_backward(first),
            "",
            *_update(first),
            "",
            *_after(example),
        ]
    )
    return text.replace("-0.", "−0.")


def _given() -> list[str]:
    return [
        "The worked example: two inputs, two hidden and two output units, sigmoid,",
        "half squared error, learning rate 0.5. Biases stay as they are.",
        "",
        f"  inputs    i1 = {INPUTS[0]:g}   i2 = {INPUTS[1]:g}",
        f"  targets   o1 = {TARGETS[0]:g}   o2 = {TARGETS[1]:g}",
        "  weights   w1 i1→h1   w2 i2→h1   w3 i1→h2   w4 i2→h2",
        "            w5 h1→o1   w6 h2→o1   w7 h1→o2   w8 h2→o2",
        f"  biases    b1 = {BIASES[0]:g} (h1, h2)   b2 = {BIASES[1]:g} (o1, o2)",
    ]


def _forward(s: Step) -> list[str]:
    w = s.weight
    lines = ["forward   net = Σ weight · input + bias,   out = 1 / (1 + e^−net)"]
    for unit, (a, b) in enumerate((("w1", "w2"), ("w3", "w4"))):
        net, out = s.values["hidden1.net"][0, unit], s.values["hidden1.out"][0, unit]
        text = f"{w(a):g}·{INPUTS[0]:g} + {w(b):g}·{INPUTS[1]:g} + {BIASES[0]:g}"
        lines.append(f"  net_h{unit + 1} = {text} = {net:.9f}")
        lines.append(f"  out_h{unit + 1} = {out:.9f}")
    h = s.values["hidden1.out"][0]
    for unit, (a, b) in enumerate((("w5", "w6"), ("w7", "w8"))):
        net, out = s.values["output.net"][0, unit], s.values["output.out"][0, unit]
        text = f"{w(a):g}·{h[0]:.9f} + {w(b):g}·{h[1]:.9f} + {BIASES[1]:g}"
        lines.append(f"  net_o{unit + 1} = {text} = {net:.9f}")
        lines.append(f"  out_o{unit + 1} = {out:.9f}")
    lines += ["", "error     E = Σ ½ (target − out)²"]
    o = s.values["output.out"][0]
    for unit in range(2):
        lines.append(f"  E_o{unit + 1} = ½ ({TARGETS[unit]:g} − {o[unit]:.9f})² = {s.errors[unit]:.9f}")
    return [*lines, f"  E_total = {s.total:.9f}"]


def _backward(s: Step) -> list[str]:
    h, o = s.values["hidden1.out"][0], s.values["output.out"][0]
    error = [o[k] - TARGETS[k] for k in range(2)]
    slope = [o[k] * (1 - o[k]) for k in range(2)]
    lines = ["backward  ∂E/∂w = ∂E/∂out · ∂out/∂net · ∂net/∂w, for each output weight"]
    for name, k, j in (("w5", 0, 0), ("w6", 0, 1), ("w7", 1, 0), ("w8", 1, 1)):
        product = f"{error[k]:+.8f} × {slope[k]:.9f} × {h[j]:.9f}"
        lines.append(f"  ∂E/∂{name} = {product} = {s.weight(name, 'gradient'):+.9f}")
    lines += ["", "          A hidden unit reaches the error on two paths: add them.",
              "          ∂E/∂out_h = Σ over o1, o2 of ∂E/∂net_o · w   (w of before the update)"]  # fmt: skip
    delta = [error[k] * slope[k] for k in range(2)]
    reach = []
    for j, (a, b) in enumerate((("w5", "w7"), ("w6", "w8"))):
        total = delta[0] * s.weight(a) + delta[1] * s.weight(b)
        reach.append(total)
        lines.append(
            f"  ∂E/∂out_h{j + 1} = {delta[0]:+.8f}·{s.weight(a):g} {'+' if delta[1] >= 0 else '−'} "
            f"{abs(delta[1]):.8f}·{s.weight(b):g} = {total:+.9f}"
        )
    for name, j, i in (("w1", 0, 0), ("w2", 0, 1), ("w3", 1, 0), ("w4", 1, 1)):
        product = f"{reach[j]:+.8f} × {h[j] * (1 - h[j]):.9f} × {INPUTS[i]:g}"
        lines.append(f"  ∂E/∂{name} = {product} = {s.weight(name, 'gradient'):+.9f}")
    return lines


def _update(s: Step) -> list[str]:
    lines = [f"update    w⁺ = w − η · ∂E/∂w,   η = {LEARNING_RATE:g}, all at once"]
    for i in range(1, 9):
        name = f"w{i}"
        before, slope, after = s.weight(name), s.weight(name, "gradient"), s.weight(name, "after")
        sign, size = ("−", slope) if slope >= 0 else ("+", -slope)
        lines.append(f"  {name}⁺ = {before:g} {sign} {LEARNING_RATE:g} × {size:.9f} = {after:.9f}")
    return lines


def _after(example: WorkedExample) -> list[str]:
    o1, o2 = example.outputs
    lines = [f"after 1 step       E_total = {example.total_after:.11f}"]
    if example.steps > 1:
        lines.append(f"after {example.steps} steps  E_total = {example.total:.9g}")
        lines.append(f"                   out_o1 = {o1:.9f}   out_o2 = {o2:.9f}")
    if example.steps in (1, 10_000):
        lines += [
            "",
            "Elsewhere you may read 0.291027924 after one step and .015912196 / .984065734",
            "after 10,000. Those come from a slip: hidden gradients computed with output",
            "weights that were already updated. All gradients belong to the old weights.",
        ]
    return lines


def example_json(example: WorkedExample) -> dict[str, Any]:
    """Return the worked example as JSON data."""
    first = example.first
    names = [f"w{i}" for i in range(1, 9)]
    return {
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
