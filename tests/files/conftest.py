"""Models that the tests of this room save, load and damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.files import Model, container, save
from chainrule.workflow import TrainOptions, train


def rows(dtype: Any = np.float32) -> tuple[Any, Any]:
    x = np.random.default_rng(3).normal(size=(24, 3)).astype(dtype)
    return x, (x[:, :1] ** 2 + x[:, 1:2]).astype(dtype)


@pytest.fixture(scope="session")
def dense_run() -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(4, activation="tanh"), cr.nn.Dense(1))
    return cr.fit(cr.Objective(network, loss="squared_error"), rows(), epochs=3, batch_size=8)


@pytest.fixture(scope="session")
def table_model() -> Model:
    generator = np.random.default_rng(5)
    size = generator.normal(size=40)
    frame = {
        "size": size.tolist(),
        "color": [("red", "green", "blue", None)[i % 4] for i in range(40)],
        "kind": [("small", "middle", "large")[int(np.digitize(s, [-0.5, 0.5]))] for s in size],
    }
    return train(frame, "kind", TrainOptions(hidden=(4,), epochs=3)).model


@pytest.fixture(scope="session")
def dense_bytes(dense_run: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("dense") / "m.chainrule"
    save(dense_run, path)
    return path.read_bytes()


@pytest.fixture(scope="session")
def table_bytes(table_model: Model, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("table") / "m.chainrule"
    save(table_model, path)
    return path.read_bytes()


@pytest.fixture
def rewrite(tmp_path: Path, table_bytes: bytes) -> Callable[..., Path]:
    """Return a function that changes the document and arrays of a model file and signs them with a valid digest."""

    def change(edit: Callable[[dict[str, Any], dict[str, Any]], Any], data: bytes = table_bytes) -> Path:
        path = tmp_path / "hostile.chainrule"
        path.write_bytes(data)
        document, arrays = container.read(path)
        edit(document, arrays)
        path.unlink()
        container.write(path, document, arrays)
        return path

    return change
