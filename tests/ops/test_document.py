"""docs/operations.md is what the records say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.ops import TABLE
from chainrule.ops.document import EXAMPLES, page

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_is_written_from_the_records() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "write it again: python -m chainrule.ops > docs/operations.md"
    printed = subprocess.run([sys.executable, "-m", "chainrule.ops"], capture_output=True, check=True)
    assert printed.stdout.decode("utf-8").replace("\r\n", "\n") == written


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_operation_has_an_entry(name: str) -> None:
    op = TABLE[name]
    entry = page().split(f"\n### `{name}(")[1].split("\n### ")[0]
    assert "- formula: $" in entry
    assert op.because.split()[0] in entry
    assert not op.kinks or op.kinks.split()[0] in entry
    assert not op.operands or entry.count("- derivative: ") == (1 if op.variadic else len(op.operands))


def test_examples_are_of_operations_that_are_not_elementwise() -> None:
    others = {name for name, op in TABLE.items() if op.kind not in ("elementwise", "region")}
    assert set(EXAMPLES) == others


def test_lines_are_short_but_for_formulas() -> None:
    for line in page().splitlines():
        assert len(line) <= 120 or "$" in line, line


def test_some_derivatives_are_the_known_ones() -> None:
    text = page()
    for line in (
        r"- derivative: $\bar{x} = \bar{y} \cdot \cos x$",
        r"- derivative: $\bar{a} = \bar{y}b^{\top}$",
        r"- derivative: $\bar{x} = \sum_{s \ge t} \bar{y}_s$",
        r"- derivative: $\bar{b} = a^{-\top} \bar{y}$",
    ):
        assert line in text
