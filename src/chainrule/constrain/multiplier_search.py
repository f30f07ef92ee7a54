"""MultiplierSearch: the λ ≥ 0 at which R(θ(λ)) is r, where R(θ(λ)) falls as λ rises."""

from __future__ import annotations

from math import exp, log

MOST = 60
"""So many λ are tried at most."""
FARTHEST = 10.0
"""λ moves by at most this factor where it is not known yet on which side the answer lies."""


class MultiplierSearch:
    """A root of log R(θ(λ)) − log r in log λ: nearly a straight line there, since R is nearly a power of λ.

    The next λ is where the line through the last two meets log r; once two enclose the answer, where the line through
    these two does, and an end that stays counts half from then on (the Illinois rule: Dowell and Jarratt 1971). Below
    ``least``, 0 is tried: where R(θ(0)) ≤ r the limit does not bind.

    Args:
        target: r.
        at: the first λ.
        least: where λ would go below that, 0 is tried.
        near: a relative difference of R from r that ends the search.
        apart: a relative width of the interval around the answer that ends it: R jumps there.
    """

    def __init__(self, target: float, at: float, least: float, near: float = 1e-6, apart: float = 1e-5) -> None:
        self.target, self.at, self.least, self.near, self.apart = target, at, least, near, apart
        self.low: tuple[float, float] | None = None
        self.high: tuple[float, float] | None = None
        self.last: tuple[float, float] | None = None
        self.slope = -1.0
        self.weights = [1.0, 1.0]
        self.tried = 0
        self.ended = False

    def again(self, near: float, apart: float) -> MultiplierSearch:
        """Return a search from here on with other ends: of what was seen it keeps the slope alone."""
        other = MultiplierSearch(self.target, self.at, self.least, near, apart)
        other.slope = self.slope
        return other

    @property
    def jump(self) -> str:
        """What there is to say where no λ reaches r: '' where one does."""
        reached = self.last is None or abs(self.last[1] - self.target) <= self.near * self.target
        if reached or self.low is None or self.high is None or self.low[1] - self.high[1] <= 1e-3 * self.target:
            return ""
        return f"no λ reaches r: at λ = {self.at:.6g}, R(θ(λ)) jumps from {self.low[1]:.4g} to {self.high[1]:.4g}"

    def saw(self, size: float) -> None:
        """Take the R(θ(λ)) of the λ that is at, and go on to the next."""
        self.tried += 1
        away = size - self.target
        before, self.last = self.last, (self.at, size)
        if before is not None and min(self.at, before[0]) > 0.0 and self.at != before[0] and size > 0.0 < before[1]:
            slope = (log(size) - log(before[1])) / (log(self.at) - log(before[0]))
            self.slope = slope if slope < -1e-3 else self.slope
        if away > 0.0:
            self.weights = [1.0, 0.5 * self.weights[1] if before is not None and before[1] > self.target else 1.0]
            self.low = self.last
        else:
            self.weights = [0.5 * self.weights[0] if before is not None and before[1] <= self.target else 1.0, 1.0]
            self.high = self.last
        closed = self.low is not None and self.high is not None and self.high[0] - self.low[0] <= (
            self.apart * self.high[0]
        )  # fmt: skip
        self.ended = (
            abs(away) <= self.near * self.target or (self.at == 0.0 and away <= 0.0) or closed or self.tried >= MOST
        )
        if not self.ended:
            self.at = self._next()

    def _next(self) -> float:
        if self.low is not None and self.high is not None:
            return self._between(self.low, self.high)
        at, size = self.last or (self.at, self.target)
        ratio = log(max(size, 1e-300) / self.target)
        step = min(max(ratio / -self.slope, -log(FARTHEST)), log(FARTHEST))
        step = step + (0.05 * step if abs(step) < 1.0 else 0.0)  # a little too far: two sides are worth more than one
        if at == 0.0:
            return self.least
        following = at * exp(step)
        return following if following >= self.least else 0.0

    def _between(self, low: tuple[float, float], high: tuple[float, float]) -> float:
        (a, over), (b, under) = low, high
        if a == 0.0 or under <= 0.0:
            return 0.5 * (a + b)
        over = self.weights[0] * log(over / self.target)
        under = self.weights[1] * log(self.target / under)
        share = over / (over + under) if over + under > 0.0 else 0.5
        return exp(log(a) + min(max(share, 0.02), 0.98) * (log(b) - log(a)))


__all__ = ["MultiplierSearch"]
