"""The cache of compiled code under attack, end to end: whatever is in it, a new process trains to the same bits."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainrule.execute.native import cache, engine
from chainrule.execute.native.cache import HEADER, TAG

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")
PATIENCE = 90
HAS_IMAGES = sys.platform == "linux" and os.uname().machine == "x86_64"

TRAIN = """
import hashlib, os, shutil, sys, numpy as np, chainrule as cr
rng = np.random.default_rng(0)
x, y = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60)
def train(activation="relu"):
    network = cr.nn.Sequential(cr.nn.Dense(33, activation=activation), cr.nn.Dense(3))
    run = cr.fit(cr.Objective(network, "softmax_cross_entropy"), (x, y), epochs=2, batch_size=32)
    return hashlib.sha256(b"".join(v.tobytes() for v in (*run.parameters.values(), run.predict(x)))).hexdigest()
"""
SAY = "print(train(), 'llvmlite' in sys.modules)"


def start(code: str, folder: Path | str | None, **more: Any) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("CHAINRULE_CACHE_DIR", "XDG_CACHE_HOME")}
    environment |= more.pop("environment", {})
    if folder is not None:
        environment["CHAINRULE_CACHE_DIR"] = str(folder)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", TRAIN + code], env=environment, text=True, **pipes, **more)


def said(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert errors == ""
    return out.strip()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the code of one training, and the bits to which it trains."""
    folder = tmp_path_factory.mktemp("filled") / "cache"
    bits, compiled = said(start(SAY, folder)).split()
    assert compiled == "True"
    return folder, bits


@pytest.fixture
def folder(filled: tuple[Path, str], tmp_path: Path) -> Path:
    copy = tmp_path / "cache"
    shutil.copytree(filled[0], copy)
    return copy


def entries(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.code"))}


def sealed(key: str, payload: bytes) -> bytes:
    """An entry with a right checksum, whatever is in it."""
    return TAG + cache._checksum(key, payload) + payload


def test_a_folder_that_nobody_harmed_is_used(filled: tuple[Path, str]) -> None:
    bits, compiled = said(start(SAY, filled[0])).split()
    assert bits == filled[1]
    assert compiled == str(not HAS_IMAGES), "code that was stored needs no compiler"


def by_entry(change: Callable[[str, bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for key, data in entries(folder).items():
            (folder / f"{key}.code").write_bytes(change(key, data))

    return spoil


def flipped(key: str, data: bytes) -> bytes:
    place = random.Random(key).randrange(len(data))
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def headed(key: str, data: bytes, change: Callable[[Any], Any]) -> bytes:
    """Change what stands in an entry's JSON head, where it has one; its checksum is right again."""
    payload = data[HEADER:]
    start = 8 + int.from_bytes(payload[:8], "little")
    try:
        head = json.loads(payload[8:start])
    except ValueError:
        return data
    written = json.dumps(change(head)).encode()
    return sealed(key, len(written).to_bytes(8, "little") + written + payload[start:])


def swapped(folder: Path) -> None:
    """Every entry has the payload of another one, under a right checksum."""
    found = entries(folder)
    keys = list(found)
    for key, other in zip(keys, [*keys[1:], keys[0]], strict=True):
        (folder / f"{key}.code").write_bytes(sealed(key, found[other][HEADER:]))


def beyond(head: Any) -> Any:
    """Functions and cells that lie outside the code."""
    tables = head[2] if len(head) == 3 and isinstance(head[2], list) and len(head[2]) == 2 else None
    if tables and isinstance(tables[0], dict):
        return [head[0], head[1], [dict.fromkeys(tables[0], 10**9), {"memcpy": -16}]]
    return head


def foreign_objects(folder: Path) -> None:
    """Object files where images should be: of no kind, cut off, and without the functions."""
    good = engine.to_object("define i64 @stranger() {\nentry:\n  ret i64 7\n}\n")
    bodies = [b"\x7fELF" + bytes(100), good[: len(good) // 2], good, b"MZ" + bytes(300)]
    for number, (key, data) in enumerate(entries(folder).items()):
        payload = data[HEADER:]
        start = 8 + int.from_bytes(payload[:8], "little")
        try:
            head = json.loads(payload[8:start])
        except ValueError:
            continue
        if len(head) == 3 and isinstance(head[2], list) and len(head[2]) == 2:
            written = json.dumps([head[0], head[1], None]).encode()
            body = bodies[number % len(bodies)]
            content = sealed(key, len(written).to_bytes(8, "little") + written + body)
            (folder / f"{key}.code").write_bytes(content)


HARM: dict[str, Callable[[Path], None]] = {
    "cut in half": by_entry(lambda key, data: data[: len(data) // 2]),
    "empty": by_entry(lambda key, data: b""),
    "a bit flipped": by_entry(flipped),
    "zeros": by_entry(lambda key, data: bytes(len(data))),
    "of an older version": by_entry(lambda key, data: b"chainrule code 0" + data[len(TAG) :]),
    "sealed noise": by_entry(lambda key, data: sealed(key, random.Random(key).randbytes(len(data)))),
    "sealed nothing": by_entry(lambda key, data: sealed(key, b"")),
    "sealed and cut": by_entry(lambda key, data: sealed(key, data[HEADER : HEADER + 200])),
    "sealed, other JSON": by_entry(lambda key, data: headed(key, data, lambda head: {"no": [head]})),
    "sealed, names that are numbers": by_entry(lambda key, data: headed(key, data, lambda head: [7, head, [1, 2]])),
    "sealed, places beyond the code": by_entry(lambda key, data: headed(key, data, beyond)),
    "sealed, of another entry": swapped,
    "sealed, foreign objects": foreign_objects,
    "can be written by all": lambda folder: folder.chmod(0o777),
    "is gone": shutil.rmtree,
}


@pytest.mark.parametrize("harm", HARM)
def test_harm_is_made_good(harm: str, folder: Path, filled: tuple[Path, str]) -> None:
    before = entries(folder)
    HARM[harm](folder)
    bits, _ = said(start(SAY, folder)).split()
    assert bits == filled[1]
    if harm == "can be written by all":
        assert entries(folder) == before, "nothing was read or written there"
        return
    assert entries(folder) == before, "and the next process finds it whole"


def test_a_link_to_a_folder_of_ones_own_is_followed(folder: Path, filled: tuple[Path, str], tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert said(start(SAY, link)).split() == [filled[1], str(not HAS_IMAGES)]


@pytest.mark.parametrize("home", ["", "/dev/null", "relative"])
def test_without_a_home_there_is_no_cache_and_the_same_bits(
    home: str, filled: tuple[Path, str], tmp_path: Path
) -> None:
    process = start(SAY, None, environment={"HOME": home}, cwd=tmp_path)
    assert said(process).split()[0] == filled[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/sys, where nobody can write")
def test_a_folder_in_which_nothing_can_be_written(filled: tuple[Path, str]) -> None:
    assert said(start(SAY, "/sys/chainrule/cache")).split()[0] == filled[1]


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
@pytest.mark.parametrize("size", [0, 5000])
def test_a_disk_that_takes_no_more(size: int, tmp_path: Path, filled: tuple[Path, str]) -> None:
    """As with a quota: a file may have so many bytes, and then writing fails."""

    import resource

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    folder = tmp_path / "cache"
    assert said(start(SAY, folder, preexec_fn=limited)).split()[0] == filled[1]
    assert not list(folder.glob(".*")), "no part of a file is left"
    assert all(len(data) <= size for data in entries(folder).values())
    assert said(start(SAY, folder)).split()[0] == filled[1]


def test_a_folder_that_is_removed_and_replaced_by_a_file_while_a_process_uses_it(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    code = f"""
folder = {str(folder)!r}
first = train(), train("tanh")
shutil.rmtree(folder)
assert (train(), train("tanh")) == first
train("sigmoid")
shutil.rmtree(folder)
open(folder, "w").close()
assert (train(), train("tanh")) == first
train(lambda v: np.sin(v))
print(first[0] != first[1])
"""
    assert said(start(code, folder)) == "True"


def test_where_memory_cannot_be_made_executable_by_us_llvm_links(tmp_path: Path, filled: tuple[Path, str]) -> None:
    folder = tmp_path / "cache"
    code = """
from chainrule.execute.native import link
def refused(*_):
    raise OSError("memory may not be executed here")
link.place = refused
"""
    assert said(start(code + SAY, folder)).split() == [filled[1], "True"]
    assert said(start(code + SAY, folder)).split() == [filled[1], "True"], "object files were stored"
    assert said(start(code + SAY, filled[0])).split() == [filled[1], "True"], "images were stored, and are of no use"


def test_two_processes_fill_an_empty_folder_at_once(tmp_path: Path, filled: tuple[Path, str]) -> None:
    folder = tmp_path / "cache"
    processes = [start(SAY, folder) for _ in range(2)]
    assert [said(p).split()[0] for p in processes] == [filled[1]] * 2
    assert said(start(SAY, folder)).split() == [filled[1], str(not HAS_IMAGES)]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_process_killed_at_any_moment_leaves_a_folder_that_works(tmp_path: Path, filled: tuple[Path, str]) -> None:
    folder = tmp_path / "cache"
    draw = random.Random(0)
    for _ in range(4):
        process = start("print('go', flush=True)\n" + SAY, folder)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(draw.uniform(0.1, 0.8))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert said(start(SAY, folder)).split()[0] == filled[1]
    assert said(start(SAY, folder)).split() == [filled[1], str(not HAS_IMAGES)]
