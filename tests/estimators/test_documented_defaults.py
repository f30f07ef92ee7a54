"""The table of docs/estimators.md that says what "auto" becomes is what it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainrule.workflow.defaults import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"


def rows(kind: str) -> list[str]:
    """The table as it should stand in the page."""
    limits = [most for most, _ in SETTINGS[kind]]
    names = [f"up to {most:,} rows" for most in limits[:-1]] + ["more"]
    chosen = [found.to_dict() for _, found in SETTINGS[kind]]
    lines = [f"| {kind} | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    return lines + [f"| `{name}` | {' | '.join(str(each[name]) for each in chosen)} |" for name in chosen[0]]


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_the_page_says_what_auto_becomes(kind: str) -> None:
    assert "\n".join(rows(kind)) in PAGE.read_text(encoding="utf-8"), "\n".join(rows(kind))
