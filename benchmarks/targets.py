"""What chainrule wants to reach: *pass*, what a hand-written study reached, and *stretch*; met or missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers import OURS

Found = Mapping[str, Any]
Measure = Callable[[Found], float | None]
"""From what was found about a workload to the number that is compared; None where nobody measured it."""


@dataclass(frozen=True)
class Target:
    """One line: what of a workload must be at least (or at most) how much."""

    workload: str
    grade: str
    what: str
    measure: Measure
    limit: float
    at_most: bool = False
    unit: str = "×"

    def verdict(self, found: Found) -> dict[str, Any]:
        """Return the measured number, and whether the target is met."""
        value = self.measure(found)
        met = None if value is None else (value <= self.limit if self.at_most else value >= self.limit)
        return {
            "workload": self.workload, "grade": self.grade, "what": self.what, "limit": self.limit,
            "at_most": self.at_most, "unit": self.unit, "value": value, "met": met,
        }  # fmt: skip


def best(found: Found, peer: str, form: str = "") -> float | None:
    """Return the highest rate of a library, of all its forms or of those whose name contains ``form``."""
    rates = [row["rate"] for row in found["forms"] if row["peer"] == peer and form in row["form"] and row["rate"]]
    return max(rates, default=None)


def over(peer: str, form: str = "") -> Measure:
    """Return how many times as fast as a library chainrule is."""

    def measure(found: Found) -> float | None:
        ours, other = best(found, OURS.name), best(found, peer, form)
        return ours / other if ours and other else None

    return measure


def over_all(*peers: str, form: str = "") -> Measure:
    """Return how many times as fast as the fastest of some libraries chainrule is."""

    def measure(found: Found) -> float | None:
        ratios = [ratio for peer in peers if (ratio := over(peer, form)(found)) is not None]
        return min(ratios, default=None)

    return measure


def share_of_peak(threads: int) -> Measure:
    """Return the share of the cores' peak that the matrix products of the steps make up."""

    def measure(found: Found) -> float | None:
        ours, peak = best(found, OURS.name), found["peak"].get(str(threads))
        return 100 * ours * found["flops"] / peak if ours and peak else None

    return measure


def time_of(form: str, scale: float) -> Measure:
    """Return the time of one unit of chainrule's work."""

    def measure(found: Found) -> float | None:
        rate = best(found, OURS.name, form)
        return scale / rate if rate else None

    return measure


def time_beside(peer: str) -> Measure:
    """Return chainrule's time as a share of another's."""

    def measure(found: Found) -> float | None:
        ratio = over(peer)(found)
        return 1 / ratio if ratio else None

    return measure


_MICROSECONDS = time_of("compile", 1e6)

TARGETS = (
    Target("a", "pass", "PyTorch eager", over("torch", "eager"), 5000),
    Target("a", "pass", "the best of JAX", over("jax"), 1.6),
    Target("a", "stretch", "straight-line C", over("c"), 1 / 1.1),
    Target("b", "pass", "fused PyTorch", over("torch", "fused"), 30),
    Target("b", "pass", "JAX scan", over("jax", "scan"), 1.8),
    Target("b", "stretch", "of the core's peak", share_of_peak(1), 85, unit="%"),
    Target("c", "pass", "fused PyTorch", over("torch", "fused"), 11),
    Target("c", "pass", "the best of JAX", over("jax"), 1.6),
    Target("c", "stretch", "of the core's peak", share_of_peak(1), 85, unit="%"),
    Target("d", "pass", "fused PyTorch", over("torch", "fused"), 1.8),
    Target("d", "pass", "the best of JAX", over("jax"), 1.3),
    Target("d", "stretch", "of two cores' peak", share_of_peak(2), 85, unit="%"),
    Target("e", "pass", "the best peer", over_all("torch", "jax"), 1.0),
    Target("e", "stretch", "of two cores' peak", share_of_peak(2), 90, unit="%"),
    Target("f", "pass", "the best vectorized peer", over_all("torch", "jax", form="vmap"), 2.5),
    Target("f", "pass", "scikit-learn in a loop", over("sklearn"), 150),
    Target("f", "stretch", "of two cores' peak", share_of_peak(2), 85, unit="%"),
    Target("g", "pass", "the best of PyTorch", over("torch"), 2.7),
    Target("g", "pass", "the best of JAX", over("jax"), 1.8),
    Target("g", "stretch", "the best of PyTorch", over("torch"), 4),
    Target("h-row", "pass", "compiled, one row", _MICROSECONDS, 10, at_most=True, unit="µs"),
    Target("h-row", "stretch", "compiled, one row", _MICROSECONDS, 3, at_most=True, unit="µs"),
    Target("h-million", "pass", "onnxruntime", over("onnxruntime"), 1.5),
    Target("h-million", "stretch", "onnxruntime", over("onnxruntime"), 3),
    *(
        Target(key, grade, "time of scikit-learn's", time_beside("sklearn"), limit, at_most=True)
        for key in ("i-warm", "i-cold")
        for grade, limit in (("pass", 0.8), ("stretch", 0.5))
    ),
)


def verdicts(found: Mapping[str, Found]) -> list[dict[str, Any]]:
    """Return every target of the workloads that were measured, with what was measured."""
    return [target.verdict(found[target.workload]) for target in TARGETS if target.workload in found]
