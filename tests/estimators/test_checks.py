"""scikit-learn's own checks of estimators, every one of the installed version, for both estimators."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from chainrule import NetworkClassifier, NetworkRegressor


@parametrize_with_checks([NetworkClassifier(), NetworkRegressor()])
def test_check(estimator: Any, check: Any) -> None:
    if "array_api" in getattr(check.func, "__name__", ""):
        pytest.skip("these run below, in a process that has SciPy's array API switched on, which this one has not")
    check(estimator)


def test_checks_that_need_the_array_api() -> None:
    code = (
        "from sklearn.utils.estimator_checks import check_estimator\n"
        "from chainrule import NetworkClassifier, NetworkRegressor\n"
        "for estimator in NetworkClassifier(), NetworkRegressor():\n"
        "    results = check_estimator(estimator, on_fail='warn', on_skip=None)\n"
        "    for result in results:\n"
        "        print(result['status'], result['check_name'], result['exception'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "SCIPY_ARRAY_API": "1"},
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert len(lines) > 100
    assert all(line.startswith("passed ") for line in lines), [line for line in lines if not line.startswith("passed")]
    assert sum("array_api" in line for line in lines) == 2
