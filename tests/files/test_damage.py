"""A file that is damaged, cut, foreign or newer is refused, and says so: never a silent wrong model."""

from __future__ import annotations

import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_tensors

import chainrule as cr
from chainrule.errors import ModelFileError
from chainrule.files import load


def refused(path: Path, data: bytes) -> str:
    """Return the message with which bytes are refused; fail for a model, a warning or any other error."""
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def positions(data: bytes, count: int) -> list[int]:
    """Return positions all over a file, with all of its first bytes and last ones."""
    inside = np.linspace(0, len(data) - 1, count).astype(int).tolist()
    return sorted({*range(16), *inside, *range(len(data) - 8, len(data))})


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("kind", ["dense_bytes", "table_bytes"])
def test_every_flipped_byte_is_found(kind: str, flip: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind)
    for place in positions(data, 120):
        changed = bytearray(data)
        changed[place] ^= flip
        refused(tmp_path / "m", bytes(changed))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage") / "m"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_replaced_bytes_are_found_or_change_nothing(place: Path, table_bytes: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(table_bytes) - 1))
    new = data.draw(st.binary(min_size=1, max_size=12))
    changed = table_bytes[:start] + new + table_bytes[start + len(new) :]
    place.write_bytes(table_bytes)
    before = load(place)
    place.write_bytes(changed)
    try:
        after = load(place)
    except ModelFileError:
        return
    # only spaces that pad the header may be otherwise
    x = np.ones((2, before.predictor.input.shape[1]), np.float32)  # type: ignore[arg-type]
    assert before.predict(x).tobytes() == after.predict(x).tobytes()
    assert (before.table, before.target, before.about) == (after.table, after.target, after.about)


def test_every_cut_is_found(table_bytes: bytes, tmp_path: Path) -> None:
    for length in positions(table_bytes, 200):
        refused(tmp_path / "m", table_bytes[:length])
    assert "truncated or damaged" in refused(tmp_path / "m", table_bytes[:-1])
    assert "truncated or damaged" in refused(tmp_path / "m", table_bytes[: len(table_bytes) // 2])


@pytest.mark.parametrize("more", [b"\0", b"more", b"\n" * 4096])
def test_what_is_added_is_found(table_bytes: bytes, more: bytes, tmp_path: Path) -> None:
    assert "truncated or damaged" in refused(tmp_path / "m", table_bytes + more)
    refused(tmp_path / "m", more + table_bytes)


def test_a_changed_weight_says_what_happened(dense_bytes: bytes, tmp_path: Path) -> None:
    message = refused(tmp_path / "m", dense_bytes[:-4] + struct.pack("<f", 1.5))
    assert "was changed or damaged after it was saved: its SHA-256 does not fit its content" in message
    assert "Take it from a copy, or train again" in message


def zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", "{}")
    return path.read_bytes()


class Trap:
    """Unpickled, it would raise: nothing in a model file may be unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a model file was unpickled",))


FOREIGN: dict[str, Callable[[Path], bytes]] = {
    "csv": lambda path: b"a,b\n1,2\n" * 20,
    "short": lambda path: b"a",
    "png": lambda path: b"\x89PNG\r\n\x1a\n" + bytes(200),
    "zip": zipped,
    "pickle": lambda path: pickle.dumps(Trap()),
    "zeros": lambda path: bytes(1000),
    "text": lambda path: ("größe" * 100).encode(),
    "json": lambda path: b'{"chainrule": 1}',
    "huge header": lambda path: struct.pack("<Q", 2**63) + b"{}",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_told_apart(kind: str, tmp_path: Path) -> None:
    assert "is not a chainrule model file" in refused(tmp_path / "m", FOREIGN[kind](tmp_path / "other"))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"chainrule.format": "chainrule-graph"}])
def test_safetensors_of_others(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    data = save_tensors({"w": np.ones(3, np.float32)}, metadata=metadata)
    assert "is a safetensors file, but not a chainrule model" in refused(tmp_path / "m", data)


def test_empty_absent_and_folder(tmp_path: Path) -> None:
    assert "is empty; the model has to be saved again" in refused(tmp_path / "m", b"")
    with pytest.raises(ModelFileError, match=r"there is no file .*nothing\.chainrule"):
        cr.load(tmp_path / "nothing.chainrule")
    with pytest.raises(ModelFileError, match="is a folder, not a model file"):
        cr.load(tmp_path)


def with_header(data: bytes, change: dict[str, str | None]) -> bytes:
    """Change the metadata of a safetensors file and leave all else as it is."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = {**header["__metadata__"], **change}
    header["__metadata__"] = {k: v for k, v in metadata.items() if v is not None}
    text = json.dumps(header, ensure_ascii=False).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def test_the_header_can_be_written_again(table_bytes: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(with_header(table_bytes, {}))
    assert load(tmp_path / "m").loss == "softmax_cross_entropy"  # so that the next tests test what they say


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chainrule.version": "99"}, "saved by a newer chainrule .format 99, this one reads up to 1.; upgrade: pip"),
        ({"chainrule.version": "one"}, "has the format version 'one', which is none; the file is damaged"),
        ({"chainrule.version": "-1"}, "has the format version '-1', which is none"),
        ({"chainrule.version": "0"}, "lacks a part of its header"),
        ({"chainrule.version": None}, "has the format version '', which is none"),
        ({"chainrule.version": "9" * 10_000}, "damaged"),
        ({"chainrule.document": None}, "lacks a part of its header; the file is damaged"),
        ({"chainrule.sha256": None}, "lacks a part of its header; the file is damaged"),
        ({"chainrule.sha256": "0" * 64}, "its SHA-256 does not fit its content"),
        ({"chainrule.document": "{}"}, "its SHA-256 does not fit its content"),
        ({"chainrule.format": None}, "not a chainrule model"),
    ],
)
def test_changed_headers(change: dict[str, str | None], message: str, table_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(with_header(table_bytes, change))
    with pytest.raises(ModelFileError, match=message):
        load(path)


def test_two_arrays_cannot_trade_names(dense_bytes: bytes, tmp_path: Path) -> None:
    first, second = b'"parameters.hidden1.bias"', b'"parameters.output.bias"'
    assert first in dense_bytes
    assert second in dense_bytes
    traded = dense_bytes.replace(b'"parameters.hidden1.weight"', b'"parameters.hidden2.weight"')
    refused(tmp_path / "m", traded)


def test_a_good_file_gives_no_warning(table_bytes: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(table_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path / "m").target is not None
