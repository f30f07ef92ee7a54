"""What a constraint costs: a native training step with a projection beside one without, on workload (d).

python -m benchmarks.constraints [--workload d] [--rounds 15] [--only NAME]

Steps of both runs are taken in turns, so that whatever else the machine does meets both; the ratio is that of the
fastest rounds, and beside it that of the time that the processor worked. Every limit binds: a projection that has
nothing to do is cheaper. Whether a goal is met is told by the processor's time: of the two it is the one that other
work on the machine changes less.
"""

from __future__ import annotations

import argparse
from time import perf_counter, process_time
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.workloads import WORKLOADS, Workload, smaller
from chainrule import constrain as ct
from chainrule.learn.preparing import prepare

SGD, ADAM = cr.learn.SGD(0.01), cr.learn.Adam(1e-3)
# name, set (of a radius that binds), optimizer, most that it may cost
CASES: tuple[tuple[str, Any, Any, float | None], ...] = (
    ("L2Ball, Euclidean", ct.L2Ball(15.0), SGD, 0.05),
    ("Box", ct.Box(-0.05, 0.05), ADAM, 0.05),
    ("LInfBall", ct.LInfBall(0.05), ADAM, 0.05),
    ("MaxNorm, Euclidean", ct.MaxNorm(0.5), SGD, 0.05),
    ("NonNegative", ct.NonNegative(), ADAM, 0.05),
    ("L2Ball, Adam's metric", ct.L2Ball(15.0), ADAM, 0.20),
    ("MaxNorm, Adam's metric", ct.MaxNorm(0.5), ADAM, None),
    ("L1Ball, Euclidean", ct.L1Ball(2000.0), SGD, None),
    ("L1Ball, Adam's metric", ct.L1Ball(2000.0), ADAM, None),
    ("penalty SquaredL2", 1e-4 * ct.SquaredL2(), ADAM, None),
    ("penalty L1", 1e-5 * ct.L1(), ADAM, None),
)


def job_of(work: Workload, member: Any, optimizer: Any) -> Any:
    """Return a prepared training of the workload's network, under a set or a penalty or none."""
    x, y = work.make(work)
    layers = [cr.nn.Dense(w, activation=work.activation) for w in work.shape[1:-1]]
    network = cr.nn.Sequential(*layers, cr.nn.Dense(work.shape[-1]))
    parts = {} if member is None else {"subject_to" if hasattr(member, "project") else "penalty": [member]}
    objective = cr.Objective(network, work.loss, **parts)
    return prepare(objective, (x, y), optimizer=optimizer, epochs=10_000, batch_size=work.batch, seed=1)


def advance(job: Any, steps: int) -> tuple[float, float]:
    """Take so many steps on one thread; return the seconds of one, and those that the processor worked."""
    loop = job.loop
    begun, worked = perf_counter(), process_time()
    job.executor.advance(
        job.program, job.plan, loop, job.arrays, job.training, None, until=loop.step + steps, threads=1
    )
    return (perf_counter() - begun) / steps, (process_time() - worked) / steps


def measured(work: Workload, member: Any, optimizer: Any, rounds: int, steps: int) -> tuple[float, float, float]:
    """Return the seconds of a step without, the share that the constraint adds, and that of the processor's time."""
    jobs = [job_of(work, None, optimizer), job_of(work, member, optimizer)]
    for job in jobs:
        advance(job, max(steps, 3))
    times = np.array([[advance(job, steps) for job in jobs] for _ in range(rounds)])  # round, job, clock
    least = times.min(axis=0)
    shares = least[1] / least[0] - 1.0
    return float(least[0, 0]), float(shares[0]), float(shares[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="d", choices=[k for k, w in WORKLOADS.items() if w.kind == "train"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true", help="the same code on a small network")
    options = parser.parse_args()
    work = smaller(WORKLOADS[options.workload]) if options.quick else WORKLOADS[options.workload]
    print(
        f"({work.key}) {'-'.join(map(str, work.shape))}, batch {work.batch}; {options.rounds} rounds of {options.steps}"
    )
    for name, member, optimizer, most in CASES:
        if options.only not in name:
            continue
        step, share, middle = measured(work, member, optimizer, options.rounds, options.steps)
        verdict = "" if most is None else f"  at most {most:.0%}: {'yes' if middle <= most else 'NO'}"
        print(
            f"{name:24} step {step * 1e3:7.3f} ms  {share:+7.1%}  (processor time {middle:+7.1%}){verdict}", flush=True
        )


if __name__ == "__main__":
    main()
