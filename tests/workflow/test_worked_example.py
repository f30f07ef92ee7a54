"""The worked example's numbers, as the workflow gives them."""

from __future__ import annotations

import pytest

from chainrule.workflow import worked_example


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
