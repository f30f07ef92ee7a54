"""The container of a model file: safetensors with one JSON document in its header, and a SHA-256 over everything.

A model file is data: nothing in it is ever executed, evaluated, unpickled or imported by name. It is written beside
its place and moved there in one step, so that a reader never sees half a file and a failed save leaves the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ModelFileError


class Newer(ModelFileError):
    """A file that only a newer version can read: nothing is wrong with it."""


@dataclass(frozen=True)
class Kind:
    """What a file is: the name of its format in the header, the newest version that is read, and what it is called."""

    format: str
    version: int
    noun: str
    example: str


MODEL = Kind("chainrule-model", 1, "model", "model.chainrule")
_DOCUMENT, _DIGEST, _FORMAT, _VERSION = (
    "chainrule.document",
    "chainrule.sha256",
    "chainrule.format",
    "chainrule.version",
)
Arrays = Mapping[str, np.ndarray[Any, Any]]


def digest_of(document: str, arrays: Arrays, kind: Kind = MODEL) -> str:
    """Return the SHA-256 over the document and every array: names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    digest.update(f"{kind.format} {kind.version}\n{len(document.encode())}\n{document}\n".encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name!r} {array.dtype.name} {array.shape} {little.nbytes}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def write(path: str | PathLike[str], document: Mapping[str, Any], arrays: Arrays, kind: Kind = MODEL) -> None:
    """Write a document and arrays to a file, whole or not at all."""
    from safetensors.numpy import save

    target = Path(path)
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    digest = digest_of(text, arrays, kind)
    header = {_FORMAT: kind.format, _VERSION: str(kind.version), _DIGEST: digest, _DOCUMENT: text}
    data = _ordered(save({k: np.asarray(v, order="C") for k, v in arrays.items()}, metadata=header), header)
    temporary = None
    try:
        refuse_foreign(target, kind)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        if not target.parent.exists():
            raise ModelFileError(
                f"cannot write the {kind.noun} to {target}: there is no folder {target.parent}"
            ) from None
        raise ModelFileError(f"cannot write the {kind.noun} to {target}: {error.strerror or error}") from None
    finally:  # whatever stopped it, Ctrl-C too
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _ordered(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return safetensors bytes with the metadata in its own order: the library's differs from call to call."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = {**json.loads(data[8:end]), "__metadata__": metadata}
    text = json.dumps({"__metadata__": header.pop("__metadata__"), **header}, ensure_ascii=False, separators=(",", ":"))
    start = text.encode()
    start += b" " * (-len(start) % 8)  # so that the arrays are aligned
    return len(start).to_bytes(8, "little") + start + data[end:]


def _sync_folder(folder: Path) -> None:
    """Have the new name of a file on the disk too, where folders can be asked for that (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refuse_foreign(path: Path, kind: Kind = MODEL) -> None:
    """Raise ModelFileError where something that is no such file already stands: it would be lost."""
    if path.is_dir():
        raise ModelFileError(
            f"cannot write the {kind.noun} to {path}: it is a folder; give a file name, such as {kind.example}"
        )
    if path.exists() and path.stat().st_size > 0 and not _is_model(path):
        raise ModelFileError(
            f"{path} exists and is not a chainrule {kind.noun}; it is left as it is. Choose another file name"
        )


def _is_model(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4096)
    return _FORMAT.encode() in start or _DOCUMENT.encode() in start or _DIGEST.encode() in start


def read(path: str | PathLike[str], kind: Kind = MODEL) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return the document and the arrays of a file; raise ModelFileError for one that cannot be trusted."""
    from safetensors import SafetensorError, safe_open

    source = Path(path)
    if not source.exists():
        raise ModelFileError(f"there is no file {source}")
    if source.is_dir():
        raise ModelFileError(f"{source} is a folder, not a {kind.noun} file")
    if source.stat().st_size == 0:
        raise ModelFileError(f"{source} is empty; the {kind.noun} has to be saved again")
    try:
        with safe_open(str(source), framework="numpy") as file:
            header = file.metadata() or {}
            _check_header(header, source, kind)
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except ModelFileError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        if _is_model(source):
            raise ModelFileError(
                f"{source} is truncated or damaged ({error}); take it from a copy, or train again"
            ) from None
        raise ModelFileError(f"{source} is not a chainrule {kind.noun} file") from None
    text = header[_DOCUMENT]
    if digest_of(text, arrays, kind) != header[_DIGEST]:
        raise ModelFileError(
            f"{source} was changed or damaged after it was saved: its SHA-256 does not fit its content. "
            "Take it from a copy, or train again"
        )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelFileError(f"{source} holds a damaged document; train again") from None
    if not isinstance(document, dict):
        raise ModelFileError(f"{source} holds a damaged document; train again")
    return document, arrays


def _check_header(header: Mapping[str, str], source: Path, kind: Kind) -> None:
    if header.get(_FORMAT) != kind.format:
        raise ModelFileError(f"{source} is a safetensors file, but not a chainrule {kind.noun}")
    version = header.get(_VERSION, "")
    if not version.isdecimal():
        raise ModelFileError(f"{source} has the format version {version!r}, which is none; the file is damaged")
    if int(version) > kind.version:
        raise Newer(
            f"{source} was saved by a newer chainrule (format {version}, this one reads up to {kind.version}); "
            "upgrade: pip install --upgrade chainrule"
        )
    if int(version) < 1 or _DOCUMENT not in header or _DIGEST not in header:
        raise ModelFileError(f"{source} lacks a part of its header; the file is damaged")
