"""Every workload by chainrule and by each peer, in turn in one run: python -m benchmarks --help"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(
        _name, None
    )  # before NumPy is imported (by what follows: E402): what somebody tried out must not decide here

from rich.console import Console  # noqa: E402
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: E402

from benchmarks.measure import measure, peaks  # noqa: E402
from benchmarks.peers import PEERS  # noqa: E402
from benchmarks.table import WIDTH, legend, target_table, workload_table  # noqa: E402
from benchmarks.targets import verdicts  # noqa: E402
from benchmarks.workloads import WORKLOADS, chosen  # noqa: E402


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", metavar="a,b", help=f"workloads, of {', '.join(WORKLOADS)} (h and i mean both)")
    parser.add_argument("--peers", metavar="NAMES", help=f"peers, of {', '.join(PEERS)}, or none [default: all]")
    parser.add_argument("--rounds", type=int, help="rounds, of which the median counts [default: 5]")
    parser.add_argument("--seconds", type=float, help="seconds for each form in each round [default: 1]")
    parser.add_argument("--threads", type=int, default=2, help="threads at most [default: 2]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="a test of the benchmark itself, on tiny workloads")
    parser.add_argument(
        "--cpu", action="store_true", help="CPU time instead of the wall clock, on one thread: for a busy machine"
    )
    options = parser.parse_args(words)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.seconds is None:
        options.seconds = 0.01 if options.quick else 1.0
    if options.rounds < 1 or options.seconds <= 0 or options.threads < 1:
        parser.error("--rounds, --seconds and --threads must be greater than 0")
    names = list(PEERS) if options.peers is None else [n for n in options.peers.split(",") if n not in ("", "none")]
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"there is no peer {unknown[0]!r}; there are: {', '.join(PEERS)}")
    options.peers = names
    if options.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install '.[benchmarks]'")
    if missing := [file for file in (options.json, options.plot) if file and not file.absolute().parent.is_dir()]:
        parser.error(f"there is no folder {missing[0].parent} to write {missing[0].name} to")
    try:
        options.only = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    return options


def main() -> None:
    """Measure what was asked for, and show it."""
    options = arguments()
    threads = [1] if options.quick or options.cpu else sorted({1, options.threads})
    report: dict[str, Any] = {
        "machine": {"platform": platform.platform(), "processor": processor(), "cpus": os.cpu_count()},
        "python": platform.python_version(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "threads": max(threads),
        "clock": "CPU time" if options.cpu else "wall clock",
        "quick": options.quick,
        "workloads": {},
        "versions": {},
    }
    console = Console(width=WIDTH)
    with peaks(threads if any(WORKLOADS[key].flops for key in options.only) else []) as limits:
        for key in options.only:
            with progress(options.only.index(key), len(options.only)) as say:
                found = measure(
                    key, options.peers, options.rounds, options.seconds, threads, options.quick, options.cpu, limits,
                    say,
                )  # fmt: skip
            report["versions"] |= found.pop("versions")
            report["workloads"][key] = found
            report["targets"] = verdicts(report["workloads"])
            console.print(workload_table(key, found))  # at once, and kept: the next one may take minutes
            if options.json:
                text = json.dumps(report, indent=1, ensure_ascii=False)
                options.json.write_text(text + "\n", encoding="utf-8")
    console.print(target_table(report["targets"]))
    console.print(legend(report), style="dim", highlight=False)
    if options.plot:
        from benchmarks.plot import plot

        plot(report, options.plot)


@contextmanager
def progress(done: int, total: int) -> Iterator[Callable[[str], None]]:
    """Show what is being done, on standard error, as long as it is being done."""
    columns = (
        SpinnerColumn(),
        TextColumn(f"{done + 1} of {total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda text: bar.update(task, description=text)


def processor() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
