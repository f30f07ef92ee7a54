"""Measuring one workload: start every form, compare the losses, then take turns, round by round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers import OURS, PEAK, PEERS, Peer
from benchmarks.session import Worker, WorkerDied
from benchmarks.workloads import WORKLOADS, Workload, smaller, stand_ins

CLOSE = 0.9
"""Of a form on one thread and on two, the slower one takes part in the rounds if it is at least so fast."""


@dataclass
class Form:
    """A form of a library on so many threads, and what was found about it."""

    peer: Peer
    name: str
    threads: int
    worker: Worker
    first: float = 0.0
    result: list[float] = field(default_factory=list)
    trial: float = 0.0
    rates: list[float] = field(default_factory=list)
    problem: str = ""

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Return the worker's answer; what goes wrong is kept, and the form takes no further part."""
        try:
            answer = self.worker.ask(do, self.name, **more)
        except WorkerDied as error:
            answer = {"error": str(error)}
        self.problem = answer.get("error", "")
        return answer


def measure(
    key: str,
    peers: Sequence[str],
    rounds: int,
    seconds: float,
    threads: Sequence[int],
    quick: bool,
    cpu: bool,
    peaks: Sequence[Form],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Return everything that was found about a workload, ready for JSON."""
    work = smaller(WORKLOADS[key]) if quick else WORKLOADS[key]
    workers: list[Worker] = []
    missing = stand_ins(work)
    try:
        forms = _start(work, peers, threads, quick, cpu, workers, missing, say)
        _compare(work, forms)
        _choose(forms, min(seconds, 0.5), say)
        for peak in peaks:
            peak.rates = []
        for number in range(rounds):
            for form in [*forms, *(peaks if work.flops else [])]:
                if not form.problem:
                    say(f"{key}: round {number + 1} of {rounds}, {form.peer.name} {form.name}")
                    form.rates.append(form.ask("rate", seconds=seconds).get("rate", 0.0))
        return _found(work, forms, peaks, missing, workers)
    finally:
        for worker in workers:
            worker.close()


@contextmanager
def peaks(threads: Sequence[int]) -> Iterator[list[Form]]:
    """Workers that measure the cores' peak, for all workloads."""
    workers: list[Worker] = []
    try:
        workers.extend(Worker(PEAK, "a", count, quick=True, cpu=False) for count in threads)
        forms = [Form(PEAK, worker.forms[0], worker.threads, worker) for worker in workers]
        for form in forms:
            form.ask("start")
        yield forms
    finally:
        for worker in workers:
            worker.close()


def _start(
    work: Workload,
    peers: Sequence[str],
    threads: Sequence[int],
    quick: bool,
    cpu: bool,
    workers: list[Worker],
    missing: dict[str, str],
    say: Callable[[str], None],
) -> list[Form]:
    """Start a worker for each library and number of threads, and every form in it."""
    forms: list[Form] = []
    for peer in (OURS, *(PEERS[name] for name in peers)):
        if work.kind not in peer.kinds:
            continue
        if needed := peer.missing():
            missing[peer.name] = f"{needed} is not installed"
            continue
        for count in threads[-1:] if work.kind == "process" else threads:
            say(f"{work.key}: starting {peer.name}, threads {count}")
            try:
                worker = Worker(peer, work.key, count, quick, cpu)
            except WorkerDied as error:
                missing[peer.name] = str(error)
                continue
            workers.append(worker)
            for name in worker.forms:
                say(f"{work.key}: starting {peer.name} {name}, threads {count}")
                form = Form(peer, name, count, worker)
                answer = form.ask("start")
                form.first, form.result = answer.get("first", 0.0), answer.get("result", [])
                forms.append(form)
    return forms


def _compare(work: Workload, forms: Sequence[Form]) -> None:
    """A form whose loss is not that of chainrule does not do the same work: it takes no part, and that is said."""
    ours = next((form for form in forms if form.peer is OURS and not form.problem), None)
    for form in forms:
        if form.problem or ours is None:
            continue
        apart = difference(form.result, ours.result)
        if not apart <= work.tolerance:
            form.problem = f"the loss differs by {apart:.1e} (allowed: {work.tolerance:.0e})"


def difference(result: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest difference between two results, relative to the other's largest value."""
    if len(result) != len(other):
        return float("inf")
    a, b = np.asarray(result), np.asarray(other)
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def _choose(forms: list[Form], seconds: float, say: Callable[[str], None]) -> None:
    """Try each form for a moment; where the number of threads makes a clear difference, drop the slower one."""
    usable = [form for form in forms if not form.problem]
    again = Counter((form.peer, form.name) for form in usable)
    for form in usable:
        if again[form.peer, form.name] > 1:
            say(f"trying {form.peer.name} {form.name}, threads {form.threads}")
            form.trial = form.ask("rate", seconds=seconds).get("rate", 0.0)
    for form in usable:
        best = max(f.trial for f in usable if (f.peer, f.name) == (form.peer, form.name))
        if form.trial < CLOSE * best:
            forms.remove(form)


def _found(
    work: Workload,
    forms: Sequence[Form],
    peaks: Sequence[Form],
    missing: dict[str, str],
    workers: Sequence[Worker],
) -> dict[str, Any]:
    """Put it together: of each form, the number of threads with the better median."""
    ours = next((form.result for form in forms if form.peer is OURS and not form.problem), [])
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for form in forms:
        rate = median(form.rates) if form.rates and not form.problem else 0.0
        row: dict[str, Any] = {
            "peer": form.peer.name,
            "form": form.name,
            "threads": form.threads,
            "rate": rate,
            "rates": form.rates,
            "first_seconds": form.first,
            "difference": difference(form.result, ours) if form.result and ours else None,
            "problem": form.problem,
        }
        known = rows.get((form.peer.name, form.name))
        if known is None or rate > known["rate"]:
            rows[form.peer.name, form.name] = row
    best = max((row["rate"] for row in rows.values() if row["peer"] == OURS.name), default=0.0)
    for row in rows.values():
        row["ratio"] = best / row["rate"] if row["rate"] else None
    return {
        "title": work.title,
        "unit": work.unit,
        "flops": work.flops,
        "tolerance": work.tolerance,
        "forms": list(rows.values()),
        "missing": missing,
        "peak": {str(form.threads): median(form.rates) for form in peaks if form.rates and work.flops},
        "versions": {worker.peer.name: worker.version for worker in workers},
    }
