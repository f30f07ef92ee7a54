"""Compares the graphs of many seeds: compiled a batch at a time, then run one by one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from chainrule.errors import ChainruleError

from .compare import Comparison, Difference, Refusal
from .forms import Forms, link_together
from .make import Case, make_case

BATCH = 48


@dataclass
class Report:
    """What was compared and what was found; the reports of parts add up."""

    graphs: int = 0
    real: int = 0
    """So many were compared as users get them: on the machine's own width of vectors, at the usual level of code."""
    nodes: int = 0
    unsupported: int = 0
    refused: int = 0
    census: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)
    """By seed, a digest of what native code computed: the same on every width of vectors."""

    def add(self, other: Report) -> None:
        self.graphs += other.graphs
        self.real += other.real
        self.nodes += other.nodes
        self.unsupported += other.unsupported
        self.refused += other.refused
        self.census.update(other.census)
        self.reasons.update(other.reasons)
        self.failures += other.failures
        self.digests.update(other.digests)


def run_seeds(seeds: Iterable[int], before: Callable[[int], Any] = lambda seed: None, quick: bool = False) -> Report:
    """Compare the graphs of seeds; ``before`` is called with each seed before its native code runs.

    With ``quick`` the fused form of every second graph is compiled at level 0.
    """
    report = Report()
    todo = list(seeds)
    for start in range(0, len(todo), BATCH):
        _run_batch([(s, make_case(s)) for s in todo[start : start + BATCH]], report, before, quick)
    return report


def _run_batch(
    cases: list[tuple[int, Case]], report: Report, before: Callable[[int], Any], quick: bool
) -> None:  # fmt: skip
    ready: list[tuple[int, Case, Forms]] = []
    for seed, case in cases:
        before(seed)
        report.graphs += 1
        report.nodes += len(case.graph.nodes)
        try:
            ready.append((seed, case, Forms(case.graph)))
        except ChainruleError as error:
            if "use executor='reference'" in str(error):
                report.unsupported += 1
                report.reasons[str(error)] += 1
            else:
                report.failures.append((seed, f"not compiled: {error}"))
        except Exception as error:  # a compiler that breaks is a finding, and the others go on
            report.failures.append((seed, f"not compiled: {type(error).__name__}: {error}"))
    late = [form for seed, _, forms in ready if quick and seed % 2 for form in forms.late]
    try:
        link_together([form for _, _, forms in ready for form in forms.every if not any(form is f for f in late)])
        link_together(late, level=0)
    except RuntimeError:  # what LLVM refuses: found out one by one
        ready = [r for r in ready if _links(*r, report)]
    for seed, case, forms in ready:
        before(seed)
        try:
            found = difference(case, forms, report, seed)
        except Exception as error:
            error.add_note(f"the fuzzer itself failed at seed {seed}")
            raise
        if found:
            report.failures.append((seed, found))
        report.real += not (quick and seed % 2)


def _links(seed: int, case: Case, forms: Forms, report: Report) -> bool:
    try:
        link_together(forms.every)
    except RuntimeError as error:
        report.failures.append((seed, f"LLVM refuses the code: {str(error)[:200]}"))
        return False
    return True


def difference(case: Case, forms: Forms | None = None, report: Report | None = None, seed: int = 0) -> str:
    """Return what native code does wrong in a case, or ''."""
    if forms is None:
        forms = Forms(case.graph)
        link_together(forms.every)
    comparison = Comparison(case, forms, report.census if report else None)
    try:
        comparison.run()
    except Difference as found:
        return str(found)
    except Refusal as why:
        if report:
            report.refused += 1
            report.reasons[str(why)] += 1
    if report:
        report.digests[seed] = comparison.digest
    return ""


def without_cache() -> None:
    """Keep compiled code in this process alone: storing what is never asked for again would only cost time."""
    os.environ["CHAINRULE_CACHE_DIR"] = "off"
