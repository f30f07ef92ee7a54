"""Writing is whole or not at all, and never over something that is not a model."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from chainrule.errors import ModelFileError
from chainrule.files import Model, load, save


class Full:
    """A disk that fills up while a file is written."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        file = self.real(*arguments, **more)
        write = file.write

        def half(data: bytes) -> int:
            write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        file.write = half
        return file


def stop(error: BaseException) -> Any:
    def raising(*arguments: Any, **more: Any) -> Any:
        raise error

    return raising


@pytest.mark.parametrize("old", [True, False], ids=["over an old model", "new"])
@pytest.mark.parametrize("where", ["replace", "fsync", "chmod"])
def test_a_failure_leaves_the_old_file(
    where: str, old: bool, dense_run: Any, table_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.chainrule"
    if old:
        path.write_bytes(table_bytes)
    monkeypatch.setattr(os, where, stop(OSError(5, "Input/output error")))
    with pytest.raises(ModelFileError, match=r"cannot write the model to .*m\.chainrule: Input/output error"):
        save(dense_run, path)
    assert [p.name for p in tmp_path.iterdir()] == (["m.chainrule"] if old else [])
    if old:
        assert path.read_bytes() == table_bytes


def test_a_full_disk(dense_run: Any, table_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.chainrule"
    path.write_bytes(table_bytes)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", Full(tempfile.NamedTemporaryFile))
    with pytest.raises(ModelFileError, match="No space left on device"):
        save(dense_run, path)
    assert path.read_bytes() == table_bytes
    assert [p.name for p in tmp_path.iterdir()] == ["m.chainrule"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()], ids=["Ctrl-C", "memory"])
def test_what_is_no_file_error_cleans_up_too(
    error: BaseException, dense_run: Any, table_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.chainrule"
    path.write_bytes(table_bytes)
    monkeypatch.setattr(os, "fsync", stop(error))
    with pytest.raises(type(error)):
        save(dense_run, path)
    assert path.read_bytes() == table_bytes
    assert [p.name for p in tmp_path.iterdir()] == ["m.chainrule"]


def test_a_model_replaces_a_model(dense_run: Any, dense_bytes: bytes, table_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.chainrule"
    path.write_bytes(table_bytes)
    save(dense_run, path)
    assert path.read_bytes() == dense_bytes
    assert [p.name for p in tmp_path.iterdir()] == ["m.chainrule"]


def test_an_empty_file_may_be_filled(dense_run: Any, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.touch()
    save(dense_run, path)
    assert isinstance(load(path), Model)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x89PNG\r\n", bytes(10), b"\x08\0\0\0\0\0\0\0{}      "])
def test_what_is_no_model_is_not_lost(content: bytes, dense_run: Any, tmp_path: Path) -> None:
    path = tmp_path / "thesis.csv"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"thesis\.csv exists and is not a chainrule model; it is left as it is"):
        save(dense_run, path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.csv"]


def test_a_damaged_model_may_be_replaced(dense_run: Any, dense_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(dense_bytes[: len(dense_bytes) // 2])
    save(dense_run, path)
    assert path.read_bytes() == dense_bytes


def test_a_folder_is_no_place(dense_run: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"it is a folder; give a file name, such as model\.chainrule"):
        save(dense_run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist(dense_run: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot write the model to .*: there is no folder .*nowhere"):
        save(dense_run, tmp_path / "nowhere" / "m")


def test_a_name_that_is_too_long(dense_run: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot write the model to .*File name too long"):
        save(dense_run, tmp_path / ("m" * 300))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(dense_run: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ModelFileError, match=r"cannot write the model to .*: Permission denied"):
        save(dense_run, tmp_path / "m")
    tmp_path.chmod(0o700)


def test_a_folder_that_refuses(dense_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", stop(PermissionError(13, "Permission denied")))
    with pytest.raises(ModelFileError, match=r"cannot write the model to .*m: Permission denied"):
        save(dense_run, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read(tmp_path: Path, dense_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors

    (tmp_path / "m").write_bytes(dense_bytes)
    monkeypatch.setattr(safetensors, "safe_open", stop(PermissionError(13, "Permission denied")))
    with pytest.raises(ModelFileError, match="Permission denied"):
        load(tmp_path / "m")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_it_as_any_file(dense_run: Any, tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        save(dense_run, tmp_path / "m")
    finally:
        os.umask(old)
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o644


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, chainrule as cr; x = np.arange(12.0).reshape(6, 2) / 9;"
        "net = cr.nn.Sequential(cr.nn.Dense(3, activation='tanh'), cr.nn.Dropout(0.2), cr.nn.Dense(1));"
        "cr.fit(cr.Objective(net, loss='squared_error'), (x, x[:, :1]), epochs=2, batch_size=4).save(sys.argv[1])"
    )
    for name, seed in (("a", "1"), ("b", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True, env=environment)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
