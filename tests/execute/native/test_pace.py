"""Helpers are asked for where they make steps faster, as measured, and let alone where they do not."""

from __future__ import annotations

from chainrule.execute.native.pace import LONG_STEP, LOOK_AGAIN, Pace


def run(pace: Pace, turns: int, together: float, alone: float) -> list[bool]:
    """Let turns of 50 ms go by, with these seconds a step; returns who took part in each."""
    chosen = []
    for _ in range(turns):
        chosen.append(pace.together)
        each = together if pace.together else alone
        pace.learn(pace.together, max(1, round(0.05 / each)), max(0.05, each))
    return chosen


def test_both_ways_are_tried_and_the_faster_one_is_kept() -> None:
    assert run(Pace(), 12, together=20e-6, alone=30e-6) == [True, False, *[True] * 10]
    assert run(Pace(), 12, together=30e-6, alone=20e-6) == [True, *[False] * 11]


def test_the_other_way_is_tried_again_now_and_then() -> None:
    pace = Pace()
    assert run(pace, 10, together=90e-6, alone=30e-6)[-1] is False
    later = run(pace, 3 * LOOK_AGAIN, together=20e-6, alone=30e-6)  # the machine has become free
    assert later[-LOOK_AGAIN // 2 :].count(True) == LOOK_AGAIN // 2
    busy = run(pace, 3 * LOOK_AGAIN, together=90e-6, alone=30e-6)  # and busy again
    assert busy[-LOOK_AGAIN // 2 :].count(False) >= LOOK_AGAIN // 2 - 1


def test_long_steps_are_shared_without_a_trial() -> None:
    assert all(run(Pace(), 40, together=2 * LONG_STEP, alone=4 * LONG_STEP))


def test_a_turn_without_a_step_says_nothing() -> None:
    pace = Pace()
    pace.learn(True, 0, 0.05)
    pace.learn(True, 5, 0.0)
    assert pace.rates == {}
    assert pace.together
