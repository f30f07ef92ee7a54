"""How long `import chainrule` takes beyond NumPy's own import: medians of fresh processes, in turn in one run."""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 15
CODE = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
FORMS = {
    "numpy alone": "import numpy",
    "numpy, then chainrule": "import numpy; import chainrule",
    "numpy, then chainrule and its calculus": "import numpy; import chainrule as cr; cr.grad(lambda x: x * x)(1.0)",
    "numpy, then chainrule and fit": "import numpy; import chainrule as cr; cr.fit; cr.nn.Dense; cr.learn.Adam",
}


def once(code: str) -> float:
    """Return the seconds that one fresh process measures."""
    result = subprocess.run([sys.executable, "-c", CODE.format(code)], capture_output=True, text=True, check=True)
    return float(result.stdout)


def main() -> None:
    """Measure every form in turn, round by round, and print medians."""
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(ROUNDS):
        for name, code in FORMS.items():
            times[name].append(once(code))
    base = statistics.median(times["numpy alone"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:40} {1000 * middle:7.1f} ms   beyond NumPy {1000 * (middle - base):+7.1f} ms")


if __name__ == "__main__":
    main()
