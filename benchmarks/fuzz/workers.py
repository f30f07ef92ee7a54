"""Compares many graphs in several processes, a block of seeds at a time."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from .batch import Report, run_seeds, without_cache

BLOCK = 2500
"""At most so many graphs are compared by one process: what it compiled goes with it."""


def block(first: int, count: int, width: int, quick: bool, progress: str) -> Report:
    """Compare a block of seeds in a process of its own; the seed at work is noted, for the case of a crash."""
    without_cache()
    set_width(width)
    place = Path(progress, f"{first}")
    report = run_seeds(range(first, first + count), lambda seed: place.write_text(str(seed)), quick)
    place.unlink(missing_ok=True)
    if width:
        report.real = 0
    return report


def set_width(width: int) -> None:
    """Have code written for vectors of so many bytes, wider ones than the CPU has too: LLVM splits those.

    So the loops for AVX-512, whose last vectors are masked, are run on machines without it.
    """
    from chainrule.execute.native import engine

    if width:
        engine.host()["vector_bytes"] = width


def widths() -> list[int]:
    """Return the width of vectors for each block in turn: this machine's own (0), mostly."""
    from chainrule.execute.native import engine

    own = engine.host()["vector_bytes"]
    narrow, wide = (w for w in (16, 32, 64) if w != own)
    return [0, 0, wide, 0, 0, 0, narrow, 0]


def compare(graphs: int, seed: int, workers: int, quick: bool, turn: list[int]) -> tuple[Report, list[int]]:
    """Compare the graphs of seeds in blocks, each with the next width of vectors in turn.

    Returns the report, and the seeds that were at work when a process died.
    """
    report = Report()
    begun = time.monotonic()
    size = min(BLOCK, -(-graphs // workers))
    firsts = range(seed, seed + graphs, size)
    with TemporaryDirectory() as progress:
        with ProcessPoolExecutor(workers, get_context("spawn"), max_tasks_per_child=1) as pool:
            jobs = [
                pool.submit(block, first, min(size, seed + graphs - first), turn[i % len(turn)], quick, progress)
                for i, first in enumerate(firsts)
            ]
            for job in as_completed(jobs):
                try:
                    done = job.result()
                except BrokenProcessPool:  # all that are under way are lost with the one that died
                    continue
                report.add(done)
                for number, text in done.failures:
                    print(f"seed {number}: {text}", file=sys.stderr)
                pace = report.graphs / (time.monotonic() - begun)
                line = f"{report.graphs} of {graphs} graphs, {len(report.failures)} differ, {pace:.0f} a second"
                print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
        crashed = sorted(int(p.read_text()) for p in Path(progress).iterdir())
    return report, crashed
