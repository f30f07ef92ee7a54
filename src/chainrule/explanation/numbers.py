"""Numbers in print: nine digits, a true minus sign."""

from __future__ import annotations


def short(value: float, digits: int = 9) -> str:
    """Return a number with as few digits as it has, at most so many: 0.5, 0.149780716."""
    return f"{value:.{digits}g}".replace("-", "−")


def signed(value: float, digits: int = 9, apart: bool = False) -> str:
    """Return a number with its sign, which may stand apart: + 0.5."""
    text = f"{abs(value):.{digits}g}".replace("-", "−")
    sign = "−" if value < 0 else "+"
    return f"{sign} {text}" if apart else f"{sign}{text}"


def factor(value: float) -> str:
    """Return a factor of a product in ten characters: 0.18681560, −2.5000e−07."""
    text = f"{value:.8f}" if 1e-4 <= abs(value) < 100 or value == 0 else f"{value:.4e}"
    return text.replace("-", "−")


def percent(share: float) -> str:
    """Return a share of the whole: 3 %, 99.4 %."""
    return f"{100 * share:.3g} %"
