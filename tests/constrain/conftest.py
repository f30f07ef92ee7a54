"""The benchmarks hold the comparison with CVXPY, which the tests take a sample of: they lie beside the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
