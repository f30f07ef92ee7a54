"""What all tests share: compiled code is kept in a folder of their own, and goes when they end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_compiled_code() -> Iterator[None]:
    before = os.environ.get("CHAINRULE_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHAINRULE_CACHE_DIR"] = folder
        yield
        if before is None:
            del os.environ["CHAINRULE_CACHE_DIR"]
        else:
            os.environ["CHAINRULE_CACHE_DIR"] = before
