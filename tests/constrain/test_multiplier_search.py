"""The search for the λ at which R(θ(λ)) is r: powers, kinks, jumps, limits that do not bind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.constrain.multiplier_search import MultiplierSearch


def searched(size: Callable[[float], float], target: float, at: float, least: float = 1e-6) -> MultiplierSearch:
    search = MultiplierSearch(target, at, least)
    while not search.ended:
        search.saw(size(search.at))
    return search


def test_a_power_is_found_at_once() -> None:
    search = searched(lambda m: 3.0 * m**-1.7, 2.0, 0.01)
    assert search.at == pytest.approx((3.0 / 2.0) ** (1 / 1.7), rel=1e-5)
    assert search.tried <= 6
    assert search.jump == ""


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(0.3, 4.0), st.floats(-3.0, 3.0), st.floats(-4.0, 2.0), st.floats(0.05, 0.95))
def test_what_ridge_regression_does(power: float, shift: float, start: float, share: float) -> None:
    """R(λ) = Σ c/(λ + d)², as of a penalized quadratic: from any start, to any r below R(0)."""

    def size(m: float) -> float:
        return sum(c / (m * 10.0**shift + d) ** 2 for c, d in ((1.0, 0.1 * power), (2.0, power), (0.5, 10.0 * power)))

    target = share * size(0.0)
    search = searched(size, target, 10.0**start, 1e-4 * 10.0**start)
    assert size(search.at) == pytest.approx(target, rel=1e-4)
    assert search.tried <= 40
    assert search.jump == ""


def test_a_limit_that_does_not_bind_has_the_multiplier_0() -> None:
    search = searched(lambda m: 1.0 / (1.0 + m) ** 2, 2.0, 0.3)
    assert search.at == 0.0
    assert search.jump == ""


def test_a_jump_across_r_is_said() -> None:
    search = searched(lambda m: 5.0 - m if m < 0.7 else 1.0 - 0.1 * m, 2.0, 0.01)
    assert search.at == pytest.approx(0.7, rel=1e-4)
    assert search.jump.startswith("no λ reaches r: at λ = ")
    assert "jumps from 4.3 to 0.93" in search.jump
