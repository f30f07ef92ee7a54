"""Compiled code kept between processes: byte strings in one folder, found by a key of hexadecimal digits.

A file is a tag with its version, a SHA-256 over key and payload, and the payload. It is written beside its place and
moved there in one step, so whoever reads sees a whole file or none; what is damaged, foreign or of another version
counts as missing and is written anew. Nothing here ever raises for what it finds on a disk: where the cache cannot be
used it is bypassed, and ``summary().why`` says why.

What is loaded is executed. So the folder, and each file in it, must belong to the user who runs this process, and be
writable by nobody else. (A checksum finds damage, not malice.)

- ``CHAINRULE_CACHE_DIR``: the folder; ``off``, or nothing, switches the cache off.
- ``CHAINRULE_CACHE_MB``: how much it may hold, 256 MB by default. Beyond that the least recently used files go.
"""

from __future__ import annotations

import math
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

TAG = b"chainrule code 1"
HEADER = len(TAG) + 32
DEFAULT_MB = 256
_HOUR = 3600.0
_KEY = re.compile(r"[0-9a-f]{16,128}")
_ENTRY = re.compile(r"[0-9a-f]{16,128}\.code")
_PART = re.compile(r"\.[0-9a-f]{16,128}\.[0-9]+-[0-9a-f]+\.part")
# A link in the place of a file is not followed, and a named pipe is not waited for.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Removed(NamedTuple):
    """What was removed from the cache."""

    files: int
    bytes: int


@dataclass(frozen=True)
class Summary:
    """The state of the cache: its folder (None: it has none), what it holds, and why it is not used ('': it is)."""

    folder: Path | None
    entries: int
    bytes: int
    limit: int
    why: str
    read_only: bool = False


def folder() -> Path | None:
    """Return the folder of the cache, which need not exist yet; None where it is off or there is no home."""
    return _place()[0]


def load(key: str) -> bytes | None:
    """Return what was stored under a key, or None where that is missing, damaged, or not to be trusted."""
    _check_key(key)
    place, why = _usable()
    if place is None:
        _bypass(why)
        return None
    path = place / f"{key}.code"
    try:
        data, used = _read(path)
    except FileNotFoundError:
        return None
    except (OSError, MemoryError) as error:
        _bypass(f"{path.name} cannot be read ({error})")
        return None
    payload = memoryview(data)[HEADER:]
    if data[: len(TAG)] != TAG or data[len(TAG) : HEADER] != _checksum(key, payload):
        _bypass(f"{path.name} is damaged or of another version")
        return None
    if abs(time.time() - used) > _HOUR:  # when it was last used, to the hour: a write for each load would be too much
        with suppress(OSError):
            os.utime(path)
    return bytes(payload)


def store(key: str, payload: bytes) -> None:
    """Keep bytes under a key, instead of what was there; where that fails nothing changes, and no error is raised."""
    _check_key(key)
    place, why = _usable(make=True)
    if place is None:
        _bypass(why)
        return
    size, most = HEADER + len(payload), limit()
    if size > most:
        _bypass(f"{size} bytes are more than the limit of {most}")
        return
    part = place / f".{key}.{os.getpid()}-{os.urandom(6).hex()}.part"
    try:
        try:
            with open(os.open(part, _WRITE, 0o600), "wb") as file:
                file.write(TAG + _checksum(key, payload))
                file.write(payload)
            os.replace(part, place / f"{key}.code")
        except BaseException:  # Ctrl-C too
            with suppress(OSError):
                os.unlink(part)
            raise
    except (OSError, MemoryError) as error:
        _bypass(f"nothing can be stored ({error})")
        return
    _trim_now_and_then(place, size, most, keep=f"{key}.code")


def clear() -> Removed:
    """Remove all files of the cache, and no other file; return how many there were and their bytes."""
    place, why = _usable()
    if place is None:
        _bypass(why)
        return Removed(0, 0)
    return _remove(place, list(_files(place, _ENTRY, _PART)))


def summary() -> Summary:
    """Return the folder of the cache, what it holds, what it may hold, and why it is not used where it is not."""
    wanted, _ = _place()
    place, why = _usable()
    files = [] if place is None else list(_files(place, _ENTRY))
    closed = place is not None and place.exists() and not os.access(place, os.W_OK | os.X_OK)
    return Summary(wanted, len(files), sum(f.size for f in files), limit(), why, closed)


def limit() -> int:
    """Return how many bytes the cache may hold; what is not a number in ``CHAINRULE_CACHE_MB`` counts for nothing."""
    try:
        amount = float(os.environ.get("CHAINRULE_CACHE_MB", DEFAULT_MB))
    except ValueError:
        amount = DEFAULT_MB
    return int(1e6 * (amount if 0 <= amount < math.inf else DEFAULT_MB))


# --- which folder, and may it be trusted? -----------------------------------------------------------------------------


def _place() -> tuple[Path | None, str]:
    """Return the folder and '', or None and why there is none."""
    chosen = os.environ.get("CHAINRULE_CACHE_DIR")
    if chosen is not None:
        if chosen.strip().lower() in ("", "off"):
            return None, f"CHAINRULE_CACHE_DIR is {chosen!r}"
        return Path(os.path.abspath(os.path.expanduser(chosen))), ""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.join(_home(), "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # what its specification says of a relative one: as if it were not set
            base = os.path.join(_home(), ".cache")
    if not os.path.isabs(base):
        return None, "this user has no home folder; give a folder in CHAINRULE_CACHE_DIR"
    return Path(base, "chainrule"), ""


def _home() -> str:
    return "" if os.environ.get("HOME") == "" else os.path.expanduser("~")  # an empty one would be read as the root


def _usable(make: bool = False) -> tuple[Path | None, str]:
    """Return the folder where it may be read (or does not exist yet), or None and why not."""
    place, why = _place()
    if place is None:
        return None, why
    try:
        if make and not place.exists():
            _make(place)
        link, about = os.lstat(place), os.stat(place)
    except FileNotFoundError:
        return (None, "the folder cannot be made") if make else (place, "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return None, f"the folder cannot be used: {reason}"
    if not stat.S_ISDIR(about.st_mode):
        return None, "a file stands in the place of the folder"
    if stat.S_ISLNK(link.st_mode) and hasattr(os, "geteuid") and link.st_uid not in (0, os.geteuid()):
        return None, "the folder is a link that another user made"
    problem = _distrust(about)
    return (None, f"the folder {problem}") if problem else (place, "")


def _make(place: Path) -> None:
    """Make a folder, and those that it stands in, for this user alone."""
    if not place.parent.exists():
        _make(place.parent)
    with suppress(FileExistsError):
        os.mkdir(place, 0o700)


def _distrust(about: os.stat_result) -> str:
    """Say why what stands in a file or folder may be another user's code, or ''."""
    if not hasattr(os, "geteuid"):  # Windows: the folder of a user's local data is that user's by its access list
        return ""
    if about.st_uid != os.geteuid():
        return "belongs to another user, who could put code there"
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users, who could put code there; chmod go-w would help"
    return ""


# --- files ------------------------------------------------------------------------------------------------------------


class _File(NamedTuple):
    name: str
    size: int
    used: float


def is_key(text: str) -> bool:
    """Is this what a key looks like?"""
    return _KEY.fullmatch(text) is not None


def _check_key(key: str) -> None:
    if not is_key(key):
        raise ValueError(f"{key!r} is not a key: 16 to 128 of the digits 0-9a-f")


def _read(path: Path) -> tuple[bytes, float]:
    """Return a file's bytes, and when it was last used; raise OSError for one that is not to be trusted."""
    descriptor = os.open(path, _READ)
    try:
        about = os.fstat(descriptor)
        problem = "is no file" if not stat.S_ISREG(about.st_mode) else _distrust(about)
        if not problem and about.st_size > limit():
            problem = "is larger than the cache may be"
        if problem:
            raise OSError(f"it {problem}")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.readall(), about.st_mtime
    finally:
        os.close(descriptor)


def _checksum(key: str, payload: bytes | memoryview) -> bytes:
    state = sha256(b"%d:%b" % (len(key), key.encode()))
    state.update(payload)
    return state.digest()


def _files(place: Path, *patterns: re.Pattern[str]) -> Iterator[_File]:
    """Yield the cache's own files in a folder; what else stands there is nobody's business."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if any(p.fullmatch(entry.name) for p in patterns):
                with suppress(OSError):  # removed by another process meanwhile
                    about = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(about.st_mode):
                        yield _File(entry.name, about.st_size, about.st_mtime)


def _remove(place: Path, files: list[_File]) -> Removed:
    count = size = 0
    for file in files:
        with suppress(OSError):
            os.unlink(place / file.name)
            count, size = count + 1, size + file.size
    return Removed(count, size)


_since_trim: int | None = None


def _trim_now_and_then(place: Path, size: int, most: int, keep: str) -> None:
    """Look at the folder after the first store of a process, and then whenever a sixteenth of the limit was written."""
    global _since_trim
    if _since_trim is not None and _since_trim + size < most // 16:
        _since_trim += size
        return
    _since_trim = 0
    _trim(place, most, keep)


def _trim(place: Path, most: int, keep: str) -> None:
    """Remove parts left behind and, where the limit is passed, what was used least recently, to seven eighths of it."""
    now = time.time()
    _remove(place, [f for f in _files(place, _PART) if abs(now - f.used) > _HOUR])
    files = sorted(_files(place, _ENTRY), key=lambda f: (f.used, f.name))
    total = sum(f.size for f in files)
    if total <= most:
        return
    gone = []
    for file in files:
        if total <= most - most // 8:
            break
        if file.name != keep:
            gone.append(file)
            total -= file.size
    _remove(place, gone)


_said = False


def _bypass(why: str) -> None:
    """Say once a process, to who listens, that the cache was not used."""
    global _said
    if not _said:
        _said = True
        import logging  # 2 ms, which a cache that works need not pay

        logging.getLogger("chainrule").debug("the cache of compiled code in %s was bypassed: %s", _place()[0], why)
