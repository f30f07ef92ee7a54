"""Fuzz the native executor: random graphs, every node compared with the reference operation on native's own operands.

Comparing node by node finds the operation that is wrong; comparing whole chains would only measure how errors grow.

    python -m benchmarks.fuzz --graphs 1000000 [--seed 0] [--workers 2]
"""

from __future__ import annotations

from .batch import Report, run_seeds
from .make import Case, make_case

__all__ = ["Case", "Report", "make_case", "run_seeds"]
