"""The worked example's numbers, as the workflow gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.cli.example import example_text
from chainrule.errors import TrainingError
from chainrule.workflow import Setup, worked_example


def test_the_numbers() -> None:
    example = worked_example()
    first = example.first
    assert first.total == pytest.approx(0.298371109, abs=5e-10)
    assert first.errors.tolist() == pytest.approx([0.274811083, 0.023560026], abs=5e-10)
    updated = [first.weight(f"w{i}", "after") for i in range(1, 9)]
    expected = [0.149780716, 0.199561432, 0.249751144, 0.299502287, 0.358916480, 0.408666186, 0.511301270, 0.561370121]
    assert updated == pytest.approx(expected, abs=6e-10)
    assert example.total_after == pytest.approx(0.29102777369, abs=5e-12)
    assert example.total_after != pytest.approx(0.291027924, abs=1e-8)
    assert example.outputs.tolist() == pytest.approx([0.015913620, 0.9840642735], abs=5e-10)
    assert first.weight("w5", "gradient") == pytest.approx(0.082167041, abs=5e-10)
    assert first.weight("w1", "gradient") == pytest.approx(0.000438567734, abs=5e-13)


def test_biases_stay() -> None:
    first = worked_example(1).first
    assert first.after["hidden1.bias"].tolist() == [0.35, 0.35]
    assert first.after["output.bias"].tolist() == [0.6, 0.6]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps(steps: int) -> None:
    example = worked_example(steps)
    assert example.steps == steps
    assert example.total <= example.total_after
    assert (example.total == pytest.approx(example.total_after)) == (steps == 1)


def numbers(example: Any) -> tuple[str, str, str]:
    return f"{example.total_after:.9f}", *(f"{out:.9f}" for out in example.outputs)


def test_the_famous_mistake_gives_the_figures_that_are_copied() -> None:
    assert numbers(worked_example(10_000, Setup(using="updated"))) == ("0.291027924", "0.015912196", "0.984065734")
    first = worked_example(1, Setup(using="updated")).first
    right = worked_example(1).first
    for name in ("w5", "w6", "w7", "w8"):  # output weights are the same either way
        assert first.weight(name, "after") == right.weight(name, "after")
    for name in ("w1", "w2", "w3", "w4"):
        assert first.weight(name, "gradient") != right.weight(name, "gradient")


@pytest.mark.parametrize(("bias", "total"), [("frozen", ".291027774"), ("unit", ".280471447"), ("tied", ".285750887")])
def test_what_becomes_of_the_biases(bias: Any, total: str) -> None:
    assert f"{worked_example(1, Setup(bias=bias)).total_after:.9f}".lstrip("0") == total


def test_without_the_half_the_gradient_is_twice_as_large() -> None:
    half, whole = worked_example(1).first, worked_example(1, Setup(half=False)).first
    assert whole.total == pytest.approx(2 * half.total, rel=1e-12)
    for name in half.places:
        assert whole.weight(name, "gradient") == pytest.approx(2 * half.weight(name, "gradient"), rel=1e-12)


SETUPS = [
    Setup((1.0, 0.5, -0.2), (0.3,), tuple(np.linspace(-0.5, 0.9, 12)), (0.1, -0.2), 0.3),
    Setup((0.4,), (0.1, 0.8, 0.3), (0.2, -0.4, 0.6, 0.1), (0.1, 0.2, 0.3, 0.4), bias="unit"),
    Setup((0.4, 0.2), (0.9,), (0.2, -0.4, 0.6, 0.1, 0.3, -0.7), bias="tied", half=False),
]


@pytest.mark.parametrize("setup", SETUPS, ids=["3-3-1", "1-1-3", "2-2-1"])
def test_numbers_of_ones_own_against_finite_differences(setup: Setup) -> None:
    """Computed here with plain NumPy, from w1, w2, … as they are numbered."""

    def total(weights: Any) -> float:
        inputs, outputs, hidden = len(setup.inputs), len(setup.targets), setup.hidden
        first = np.reshape(weights[: inputs * hidden], (hidden, inputs))
        second = np.reshape(weights[inputs * hidden :], (outputs, hidden))
        one, two = setup.start()["hidden1.bias"], setup.start()["output.bias"]
        h = 1 / (1 + np.exp(-(first @ setup.inputs + one)))
        o = 1 / (1 + np.exp(-(second @ h + two)))
        return float((0.5 if setup.half else 1) * np.sum((np.array(setup.targets) - o) ** 2))

    example = worked_example(1, setup)
    assert example.first.total == pytest.approx(total(setup.weights), rel=1e-12)
    for number in range(len(setup.weights)):
        moved = [np.array(setup.weights) + h * np.eye(len(setup.weights))[number] for h in (1e-5, -1e-5)]
        slope = (total(moved[0]) - total(moved[1])) / 2e-5
        assert example.first.weight(f"w{number + 1}", "gradient") == pytest.approx(slope, rel=1e-6, abs=1e-10)
    text = example_text(example)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert f"w{len(setup.weights)}⁺" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"weights": (1.0, 2.0, 3.0)}, r"3 weights for 2 inputs and 2 targets: .* give 4, 8, 12"),
        ({"biases": (1.0, 2.0, 3.0)}, "3 biases: give 2, one a layer, or 4, one a unit"),
        ({"inputs": ()}, "at least one input"),
        ({"inputs": (float("nan"), 1.0)}, "inputs has a number that is not finite"),
        ({"learning_rate": 0.0}, "must be greater than 0"), ({"bias": "loose"}, "bias is 'loose'"),
        ({"biases": (0.1,) * 4, "bias": "tied"}, "tied biases are one a layer"),
        ({"inputs": (1.0,) * 10, "weights": (0.1,) * 12}, "layers of at most 9 units"),
    ],
)  # fmt: skip
def test_setups_that_make_no_example(more: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Setup(**more)


def test_the_mistake_is_named_in_print() -> None:
    text = example_text(worked_example(2, Setup(using="updated")))
    assert "WRONG ON PURPOSE" in text
    assert "(w of after the update)" in text
    assert "leave out --using updated" in text
