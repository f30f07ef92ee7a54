"""The command: ``python -m benchmarks.fuzz --graphs 1000000``. Exits with 1 where a difference was found."""

from __future__ import annotations

import argparse
import json
import os
import sys

from chainrule.execute.threads import cpu_count

from .batch import Report
from .shrink import shrink_seed
from .store import FOUND, save
from .workers import compare, widths


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--graphs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=cpu_count())
    parser.add_argument("--quick", action="store_true", help="every second fused graph at level 0 of code generation")
    parser.add_argument("--width", type=int, choices=(16, 32, 64), help="bytes of a vector; else several in turn")
    parser.add_argument("--digests", action="store_true", help="have digests of all results in the JSON")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--census", action="store_true", help="print how often each operation was compared")
    parser.add_argument("--keep", action="store_true", help=f"shrink what is found and keep it in {FOUND}")
    arguments = parser.parse_args()
    if arguments.graphs < 1 or arguments.workers < 1 or arguments.seed < 0:
        parser.error("--graphs and --workers must be at least 1, --seed at least 0")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the reference's BLAS: each worker has one core
    turn = [arguments.width] if arguments.width else widths()
    report, crashed = compare(
        arguments.graphs, arguments.seed, arguments.workers, arguments.quick, turn
    )  # fmt: skip
    if arguments.keep:
        for seed, _ in report.failures:
            print(f"seed {seed}: kept as {save(shrink_seed(seed))}")
    if arguments.json:
        digests = report.digests if arguments.digests else {}
        print(json.dumps({**vars(report), "digests": digests, "crashed": crashed}))
    else:
        show(report, crashed, arguments.census)
    sys.exit(bool(report.failures or report.graphs < arguments.graphs))


def show(report: Report, crashed: list[int], census: bool) -> None:
    if census:
        width = max(map(len, report.census), default=0)
        for name, count in sorted(report.census.items()):
            print(f"{name:{width}} {count:>9}")
    for reason, count in report.reasons.most_common(5):
        print(f"{count} times: {reason[:150]}")
    for seed in crashed:
        print(f"the process died at seed {seed} or was stopped there")
    print(
        f"{report.graphs} graphs of {report.nodes / max(report.graphs, 1):.0f} nodes on average, {report.real} of them "
        f"as users get them; {report.unsupported} that the native executor does not take, "
        f"{report.refused} whose values both executors refuse; {len(report.failures)} with a difference"
    )


if __name__ == "__main__":
    main()
