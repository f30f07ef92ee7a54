"""Whether helpers are worth having: how fast the steps go with them and without, as it was last seen.

Sharing a kernel of a few microseconds pays where a second core is really there, and costs where it is not: other work,
or another virtual machine, may have it. That cannot be known, only measured, and it changes while a run goes on. The
bits of a run do not depend on it.
"""

from __future__ import annotations

LONG_STEP = 2e-3
"""A step of so many seconds is shared out in any case: its kernels are long, and trying it alone would be dear."""
LOOK_AGAIN = 16
"""After so many turns the other way is tried for one turn: a machine that was busy may be free by now."""
CLEARLY = 1.03
"""So many times as fast the other way must have been, to be chosen: noise alone should not change it."""


class Pace:
    """The rates of steps together and alone, and which of them is next."""

    def __init__(self) -> None:
        self.rates: dict[bool, float] = {}
        self.together = True
        self._turns = 0

    def learn(self, together: bool, steps: int, seconds: float) -> None:
        """Note how fast a turn went, and choose for the next one."""
        if steps < 1 or seconds <= 0:
            return
        self.rates[together] = steps / seconds
        self._turns += 1
        if seconds / steps >= LONG_STEP and together:
            return
        other = self.rates.get(not together)
        change = other is None or self._turns % LOOK_AGAIN == 0 or other > self.rates[together] * CLEARLY
        self.together = together != change
