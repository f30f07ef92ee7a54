"""chainrule example: all the numbers of the lecture's worked example, to nine digits, as text and as JSON."""

from __future__ import annotations

from typing import Any

import pytest

FORWARD = {
    "net_h1": "0.377500000", "out_h1": "0.593269992", "net_h2": "0.392500000", "out_h2": "0.596884378",
    "net_o1": "1.105905967", "out_o1": "0.751365070", "net_o2": "1.224921404", "out_o2": "0.772928465",
    "E_o1": "0.274811083", "E_o2": "0.023560026", "E_total": "0.298371109",
}  # fmt: skip
UPDATED = {
    "w1": "0.149780716", "w2": "0.199561432", "w3": "0.249751144", "w4": "0.299502287",
    "w5": "0.358916480", "w6": "0.408666186", "w7": "0.511301270", "w8": "0.561370121",
}  # fmt: skip


@pytest.fixture(scope="module")
def text(cli: Any) -> str:
    result = cli("example")
    assert result.code == 0
    assert result.err == ""
    return str(result.out)


@pytest.fixture(scope="module")
def data(cli: Any) -> Any:
    return cli("example", "--json").json


def value(text: str, name: str) -> str:
    """Return the last number of the line that gives a name."""
    line = next(line for line in text.splitlines() if line.strip().startswith(f"{name} ="))
    return line.rpartition(" = ")[2]


@pytest.mark.parametrize("name", FORWARD)
def test_forward(name: str, text: str) -> None:
    assert value(text, name) == FORWARD[name]


@pytest.mark.parametrize("name", UPDATED)
def test_updates(name: str, text: str) -> None:
    assert value(text, f"{name}⁺") == UPDATED[name]


def test_backward(text: str) -> None:
    assert "∂E/∂w5 = +0.74136507 × 0.186815602 × 0.593269992 = +0.082167041" in text
    assert "∂E/∂w7 = −0.21707153 × 0.175510053 × 0.593269992 = −0.022602540" in text
    assert "∂E/∂w1 = +0.03635031 × 0.241300709 × 0.05 = +0.000438568" in text
    assert "w7⁺ = 0.5 + 0.5 × 0.022602540 = 0.511301270" in text
    for i in range(1, 9):
        assert text.count(f"∂E/∂w{i} = ") == 1


def test_after(text: str) -> None:
    assert "after 1 step       E_total = 0.29102777369" in text
    assert "after 10000 steps  E_total = 3.51018" in text
    assert "out_o1 = 0.015913620   out_o2 = 0.984064274" in text  # .9840642735…


def test_the_copied_figures_are_called_a_slip(text: str) -> None:
    said = " ".join(text.split())
    assert "0.291027924 after one step and .015912196 / .984065734 after 10,000. Those come from a slip" in said


def test_it_fits_a_terminal_with_one_minus_sign(text: str) -> None:
    assert max(map(len, text.splitlines())) <= 80
    assert "-0." not in text


def test_json_agrees(data: Any) -> None:
    forward = data["forward"]
    names = {"net_h": "hidden1.net", "out_h": "hidden1.out", "net_o": "output.net", "out_o": "output.out"}
    for short, name in names.items():
        for unit in (1, 2):
            assert f"{forward[name][unit - 1]:.9f}" == FORWARD[f"{short}{unit}"]
    assert [f"{e:.9f}" for e in data["errors"]] == [FORWARD["E_o1"], FORWARD["E_o2"]]
    assert f"{data['total']:.9f}" == FORWARD["E_total"]
    assert {k: f"{v:.9f}" for k, v in data["updated"].items()} == UPDATED
    assert f"{data['gradient']['w1']:.12f}" == "0.000438567734"
    assert f"{data['gradient']['w5']:.9f}" == "0.082167041"
    assert f"{data['total_after_one_step']:.11f}" == "0.29102777369"
    assert data["steps"] == 10_000
    assert f"{data['outputs_after_steps'][0]:.9f}" == "0.015913620"
    assert f"{data['outputs_after_steps'][1]:.10f}".startswith("0.984064273")


def test_one_step(cli: Any) -> None:
    result = cli("example", "--steps", "1")
    assert "0.29102777369" in result.out
    assert "after 10000" not in result.out
    assert "Those come from a slip" in result.out
    data = cli("example", "--steps", "1", "--json").json
    assert data["total_after_steps"] == data["total_after_one_step"]
