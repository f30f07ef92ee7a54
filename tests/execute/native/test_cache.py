"""The cache of compiled code under attack: damage, other users, full disks, crashes, many processes; and its recipe."""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chainrule.execute.native import cache, recipe
from chainrule.execute.native.cache import HEADER, TAG, clear, folder, load, store, summary

KEY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX owners, modes, links and signals")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test, in a folder that does not exist yet."""
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "some" / "cache"))
    monkeypatch.delenv("CHAINRULE_CACHE_MB", raising=False)
    monkeypatch.setattr(cache, "_since_trim", None)
    monkeypatch.setattr(cache, "_said", False)
    return tmp_path / "some" / "cache"


def file_of(key: str = KEY) -> Path:
    here = folder()
    assert here is not None
    return here / f"{key}.code"


# --- what is stored is loaded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 4096, 100_000, 3_000_000])
def test_what_is_stored_is_loaded(size: int, place: Path) -> None:
    payload = random.Random(size).randbytes(size)
    assert load(KEY) is None
    assert not place.exists(), "a load makes nothing"
    store(KEY, payload)
    assert load(KEY) == payload
    assert load(OTHER) is None
    assert [p.name for p in place.iterdir()] == [f"{KEY}.code"]


@posix
def test_folder_and_files_are_of_this_user_alone(place: Path) -> None:
    old = os.umask(0)
    try:
        store(KEY, b"code")
    finally:
        os.umask(old)
    assert stat.S_IMODE(place.stat().st_mode) == stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file_of().stat().st_mode) == 0o600


def test_storing_again_replaces(place: Path) -> None:
    store(KEY, b"old")
    store(KEY, b"new")
    assert load(KEY) == b"new"
    assert summary().entries == 1


@pytest.mark.parametrize("key", ["", "short", "../../../etc/passwd", "A" * 32, KEY + "\n", KEY + "/x", "0" * 129])
def test_a_key_is_hexadecimal(key: str) -> None:
    for call in (load, lambda k: store(k, b"")):
        with pytest.raises(ValueError, match="is not a key: 16 to 128 of the digits 0-9a-f"):
            call(key)


# --- damage -----------------------------------------------------------------------------------------------------------


def is_missing_and_can_be_replaced() -> None:
    assert load(KEY) is None
    store(KEY, b"fresh code")
    assert load(KEY) == b"fresh code"


@pytest.mark.parametrize(
    "length",
    [0, 1, len(TAG) - 1, len(TAG), len(TAG) + 1, HEADER - 1, HEADER, HEADER + 1, HEADER + 500, HEADER + 999],
)
def test_a_truncated_file_is_missing(length: int) -> None:
    store(KEY, random.Random(1).randbytes(1000))
    os.truncate(file_of(), length)
    is_missing_and_can_be_replaced()


def test_a_flipped_bit_anywhere_is_seen() -> None:
    store(KEY, random.Random(2).randbytes(400))
    good = file_of().read_bytes()
    draw = random.Random(3)
    places = [*range(HEADER * 8), *(draw.randrange(HEADER * 8, len(good) * 8) for _ in range(300))]
    for bit in places:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        file_of().write_bytes(bad)
        assert load(KEY) is None, f"bit {bit}"
    file_of().write_bytes(good)
    assert load(KEY) is not None
    file_of().write_bytes(bytes(len(good)))  # what a file system may leave after the power failed
    is_missing_and_can_be_replaced()


@pytest.mark.parametrize(
    "change",
    [
        lambda good: good + b"\0",
        lambda good: good + good,
        lambda good: good[1:],
        lambda good: b"\x7fELF" + good,
        lambda good: b"chainrule code 0" + good[len(TAG) :],
        lambda good: b"not ours at all\n" * 100,
        lambda good: good[:HEADER] + good[HEADER:][::-1],
    ],
)
def test_other_content_is_missing(change: Callable[[bytes], bytes]) -> None:
    store(KEY, bytes(range(200)))
    file_of().write_bytes(change(file_of().read_bytes()))
    is_missing_and_can_be_replaced()


def test_an_entry_under_the_name_of_another_is_missing() -> None:
    store(OTHER, b"another graph's code")
    os.replace(file_of(OTHER), file_of(KEY))
    is_missing_and_can_be_replaced()


# --- what stands there is no file, or another user's ------------------------------------------------------------------


@posix
def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path: Path) -> None:
    store(KEY, b"code")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(file_of().read_bytes())
    file_of().unlink()
    file_of().symlink_to(elsewhere)
    is_missing_and_can_be_replaced()
    assert not file_of().is_symlink()
    assert elsewhere.read_bytes().endswith(b"code"), "the link was written through"
    file_of().unlink()
    os.mkfifo(file_of())
    is_missing_and_can_be_replaced()


def test_a_folder_in_the_place_of_a_file_is_left_alone() -> None:
    store(OTHER, b"code")
    file_of().mkdir()
    assert load(KEY) is None
    store(KEY, b"code")
    assert load(KEY) is None
    assert file_of().is_dir()
    assert summary().entries == 1
    assert clear().files == 1
    assert [p.name for p in file_of().parent.iterdir()] == [f"{KEY}.code"], "no part of a file is left"


@posix
def test_no_descriptor_is_left_open() -> None:
    store(KEY, b"code")
    (file_of().parent / f"{OTHER}.code").mkdir()
    before = os.dup(0)
    os.close(before)
    for _ in range(50):
        load(KEY)
        load(OTHER)
        store(OTHER, b"code")
    after = os.dup(0)
    os.close(after)
    assert after == before


@posix
def test_the_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store(KEY, b"code")
    with monkeypatch.context() as another:
        another.setattr(os, "geteuid", lambda: os.getuid() + 4321)
        assert load(KEY) is None
        store(OTHER, b"code")
        assert clear() == (0, 0)
        assert summary().why == "the folder belongs to another user, who could put code there"
    assert load(KEY) == b"code"
    assert load(OTHER) is None


@posix
@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(mode: int, place: Path) -> None:
    store(KEY, b"code")
    place.chmod(mode)
    assert load(KEY) is None
    store(OTHER, b"code")
    assert clear() == (0, 0)
    assert "can be written by other users" in summary().why
    assert summary().entries == 0
    place.chmod(0o755)
    assert load(KEY) == b"code"
    assert load(OTHER) is None
    assert summary().why == ""


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_missing(mode: int) -> None:
    store(KEY, b"code")
    file_of().chmod(mode)
    is_missing_and_can_be_replaced()


@posix
def test_a_file_of_another_user_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted while the folder was open to others, say."""
    store(KEY, b"code")
    real = os.fstat

    def planted(descriptor: int) -> Any:
        about = list(real(descriptor))
        about[stat.ST_UID] += 1
        return os.stat_result(about)

    monkeypatch.setattr(os, "fstat", planted)
    assert load(KEY) is None


@posix
def test_a_link_to_a_folder_is_followed_unless_another_user_made_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "large disk"
    target.mkdir(mode=0o700)
    place.parent.mkdir()
    place.symlink_to(target)
    store(KEY, b"code")
    assert load(KEY) == b"code"
    assert (target / f"{KEY}.code").exists()
    real = os.lstat

    def made_by_another(path: Any) -> Any:
        about = list(real(path))
        about[stat.ST_UID] = 4321
        return os.stat_result(about)

    monkeypatch.setattr(os, "lstat", made_by_another)
    assert load(KEY) is None
    assert summary().why == "the folder is a link that another user made"


# --- a disk that does not take it -------------------------------------------------------------------------------------


def fails(number: int) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("name", ["open", "replace", "mkdir", "stat"])
def test_a_failing_disk_is_bypassed(name: str, number: int, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    if name != "mkdir":
        store(OTHER, b"here already")
    with monkeypatch.context() as broken:
        broken.setattr(os, name, fails(number))
        store(KEY, b"code")
        assert load(KEY) is None
        clear()
        summary()
    assert load(KEY) is None
    if place.exists():
        assert {p.name for p in place.iterdir()} <= {f"{OTHER}.code"}, "a part of a file was left behind"
    store(KEY, b"code")
    assert load(KEY) == b"code"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_disk_that_is_full_while_writing(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    store(KEY, b"old")
    real = os.open

    def full(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            os.close(real(path, flags, mode))
            return real("/dev/full", os.O_WRONLY)
        return real(path, flags, mode)

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", full)
        for size in (10, 1_000_000):
            store(KEY, bytes(size))
    assert load(KEY) == b"old"
    assert [p.name for p in place.iterdir()] == [f"{KEY}.code"]


def test_ctrl_c_while_writing_leaves_nothing(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store(KEY, b"code")
    assert list(place.iterdir()) == []


@posix
def test_a_folder_without_write_permission(place: Path) -> None:
    store(KEY, b"code")
    place.chmod(0o500)
    try:
        store(OTHER, b"code")
        assert load(KEY) == b"code"
        if not os.access(place, os.W_OK):  # to root no folder is closed
            assert load(OTHER) is None
            assert summary().read_only
            assert clear() == (0, 0)
            assert summary().entries == 1
        place.chmod(0o000)
        load(KEY)
        summary()
    finally:
        place.chmod(0o700)
    assert not summary().read_only


@pytest.mark.parametrize("where", ["is a file", "under a file", "dangling link", "too long", "a loop"])
def test_a_folder_that_cannot_be(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("mine")
    target = {"is a file": blocked, "under a file": blocked / "x" / "y", "too long": tmp_path / ("x" * 5000)}.get(where)
    if target is None:
        target = tmp_path / "link"
        target.symlink_to(target if where == "a loop" else tmp_path / "nowhere" / "else")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(target))
    store(KEY, b"code")
    assert load(KEY) is None
    assert clear() == (0, 0)
    found = summary()
    assert (found.entries, found.bytes) == (0, 0)
    assert found.why.startswith(("the folder cannot be", "a file stands")) or where == "dangling link"
    assert blocked.read_text() == "mine"


def test_what_went_wrong_is_said_once_and_softly(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(os, "replace", fails(errno.ENOSPC))
    for _ in range(3):
        store(KEY, b"code")
    assert [(r.levelname, r.name) for r in caplog.records] == [("DEBUG", "chainrule")]
    assert "was bypassed: nothing can be stored ([Errno 28] No space left on device)" in caplog.text
    assert capsys.readouterr() == ("", "")


# --- crashes and many processes ---------------------------------------------------------------------------------------

STORE_FOREVER = """
import os, sys
from chainrule.execute.native.cache import store
print("go", flush=True)
for i in range(10**9):
    store({key!r}, bytes([i % 256]) * 2_000_000)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


@posix
def test_a_process_killed_while_it_writes_leaves_whole_files(place: Path) -> None:
    draw = random.Random(4)
    for _ in range(6):
        process = start(STORE_FOREVER.format(key=KEY))
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(draw.uniform(0.0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        found = load(KEY)
        assert found is None or (len(found) == 2_000_000 and len(set(found)) == 1)
        assert {p.name for p in place.glob("*")} <= {f"{KEY}.code", *(p.name for p in place.glob(".*.part"))}
    store(KEY, b"after all that")
    assert load(KEY) == b"after all that"


DIE_HALFWAY = """
import os, signal
from chainrule.execute.native import cache
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
cache.store({key!r}, b"never seen")
"""


@posix
def test_a_part_left_by_a_crash_is_removed_when_it_is_old(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(DIE_HALFWAY.format(key=KEY))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (part,) = place.iterdir()
    assert part.name.endswith(".part")
    assert load(KEY) is None
    store(OTHER, b"code")
    assert part.exists(), "it may be another process's that is still writing"
    os.utime(part, (time.time() - 4000,) * 2)
    monkeypatch.setattr(cache, "_since_trim", None)
    store(OTHER, b"code")
    assert [p.name for p in place.iterdir()] == [f"{OTHER}.code"]
    part.write_bytes(b"x")
    assert summary().entries == 1
    assert clear().files == 2, "clear removes parts of any age"


WORK = """
import hashlib, random, sys
from chainrule.execute.native.cache import load, store
def payload(i): return hashlib.sha256(b"%d" % i).digest() * (i * 7 % 400 + 1)
draw = random.Random(sys.argv[1])
order = list(range(200))
draw.shuffle(order)
hits = 0
for i in order:
    store(f"{i:032x}", payload(i))
    for j in draw.sample(range(200), 3):
        found = load(f"{j:032x}")
        hits += found is not None
        assert found is None or found == payload(j), j
assert all(load(f"{i:032x}") == payload(i) for i in range(200))
print(hits)
"""


def test_two_processes_at_once(place: Path) -> None:
    processes = [start(WORK, seed) for seed in ("one", "two")]
    said = [p.communicate()[0] for p in processes]
    assert [p.returncode for p in processes] == [0, 0]
    assert all(int(hits) > 100 for hits in said)
    assert summary().entries == 200
    assert not list(place.glob(".*"))


def test_one_process_clears_under_another(place: Path) -> None:
    process = start(STORE_FOREVER.format(key=KEY))
    assert process.stdout is not None
    process.stdout.readline()
    removed = 0
    while removed < 50 and process.poll() is None:
        removed += clear().files
    alive = process.poll() is None
    process.kill()
    process.communicate()
    assert alive, "the other process came to harm"


# --- the limit --------------------------------------------------------------------------------------------------------


@pytest.fixture
def old_entries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ten entries of 100 kB, the first used longest ago, in a cache of 1 MB."""
    monkeypatch.setenv("CHAINRULE_CACHE_MB", "2")
    keys = [f"{i:032x}" for i in range(10)]
    for age, key in enumerate(reversed(keys), start=2):
        store(key, bytes(100_000 - HEADER))
        os.utime(file_of(key), (time.time() - age * 86400,) * 2)
    monkeypatch.setenv("CHAINRULE_CACHE_MB", "1")
    monkeypatch.setattr(cache, "_since_trim", None)
    return keys


def test_least_recently_used_files_go_first(old_entries: list[str]) -> None:
    assert load(old_entries[0]) is not None  # the oldest, but now it was used
    store(KEY, bytes(100_000))
    left = {p.name.removesuffix(".code") for p in file_of().parent.iterdir()}
    assert left == {KEY, old_entries[0], *old_entries[4:]}
    assert summary().bytes <= 1_000_000 * 7 // 8


def test_what_was_just_stored_stays_whatever_the_clock_says(old_entries: list[str]) -> None:
    for key in old_entries:
        os.utime(file_of(key), (time.time() + 1e6,) * 2)
    store(KEY, bytes(100_000))
    assert load(KEY) is not None
    assert summary().bytes <= 1_000_000 * 7 // 8


def test_the_folder_is_looked_at_only_now_and_then(old_entries: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda *a: looks.append(1) or real(*a))
    for _ in range(50):
        load(old_entries[3])
    assert not looks, "a load never looks"
    for _ in range(60):
        store(KEY, bytes(1000))
    assert len(looks) == 2, "the first time, for parts and for entries"
    for _ in range(60):
        store(KEY, bytes(1000))
    assert len(looks) == 4, "a sixteenth of the limit later"


def test_a_load_is_noted_at_most_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    store(KEY, b"code")
    touched = []
    real = os.utime
    monkeypatch.setattr(os, "utime", lambda *a: touched.append(a) or real(*a))
    load(KEY)
    assert touched == []
    for shift in (-7200, 7200):  # a clock that was wrong once must not keep a file for ever
        real(file_of(), (time.time() + shift,) * 2)
        load(KEY)
        load(KEY)
    assert len(touched) == 2
    assert abs(file_of().stat().st_mtime - time.time()) < 60


def test_what_is_larger_than_the_limit_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    store(OTHER, b"code")
    monkeypatch.setenv("CHAINRULE_CACHE_MB", "0.01")
    store(KEY, bytes(20_000))
    assert load(KEY) is None
    assert load(OTHER) == b"code"


@pytest.mark.parametrize(
    ("text", "limit"),
    [("1", 10**6), ("0.5", 500_000), ("0", 0), ("lots", 256 * 10**6), ("-1", 256 * 10**6), ("inf", 256 * 10**6),
     ("nan", 256 * 10**6), ("", 256 * 10**6)],
)  # fmt: skip
def test_the_limit_in_force(text: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_MB", text)
    assert summary().limit == limit


def test_clear_removes_the_caches_files_and_no_other(place: Path) -> None:
    store(KEY, b"12345")
    store(OTHER, b"")
    mine = [place / "notes.txt", place / "x.code", place / f"{KEY}.code.bak", place / ".hidden.part"]
    for path in mine:
        path.write_text("mine")
    assert summary().entries == 2
    assert summary().bytes == 2 * HEADER + 5
    assert clear() == (2, 2 * HEADER + 5)
    assert sorted(place.iterdir()) == sorted(mine)
    assert clear() == (0, 0)


# --- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "off", "OFF", " off "])
def test_off(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", value)
    monkeypatch.chdir(tmp_path)
    store(KEY, b"code")
    assert load(KEY) is None
    assert folder() is None
    assert clear() == (0, 0)
    assert summary().why == f"CHAINRULE_CACHE_DIR is {value!r}"
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"HOME": "/h"}, "/h/.cache/chainrule"),
        ("linux", {"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/chainrule"),
        ("linux", {"HOME": "/h", "XDG_CACHE_HOME": "x"}, "/h/.cache/chainrule"),
        ("linux", {"HOME": "/h", "XDG_CACHE_HOME": ""}, "/h/.cache/chainrule"),
        ("darwin", {"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/Library/Caches/chainrule"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/chainrule"),
        ("win32", {"HOME": "/h"}, None),
        ("linux", {"HOME": ""}, None),
        ("linux", {"HOME": "relative"}, None),
        ("linux", {"HOME": "/h", "CHAINRULE_CACHE_DIR": "~/mine"}, "/h/mine"),
    ],
)
def test_folders_by_platform(
    platform: str, variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "CHAINRULE_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    found = folder()
    assert (None if found is None else found.as_posix()) == expected
    if expected is None:
        assert summary().why == "this user has no home folder; give a folder in CHAINRULE_CACHE_DIR"


# --- the recipe -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Iterator[Callable[..., bytes | None]]:
    """The recipe as a new process would find it."""

    def find(vector_bytes: int = 0) -> bytes | None:
        recipe._fixed.cache_clear()
        return recipe.recipe(vector_bytes)

    yield find
    recipe._fixed.cache_clear()


Fresh = Callable[..., bytes | None]


def test_a_recipe_is_the_same_in_every_process_and_loads_no_compiler() -> None:
    code = (
        "import sys; from chainrule.execute.native.recipe import recipe; r = recipe(); "
        "print(r.hex(), 'llvmlite' in sys.modules or 'importlib.metadata' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    found = recipe.recipe()
    assert found is not None
    assert len(found) == 20
    loads = "False" if sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64") else "True"
    assert said == [f"{found.hex()} {loads}\n"] * 2


def test_llvmlite_loaded_or_not_is_the_same_recipe(fresh: Fresh) -> None:
    before = fresh()
    import llvmlite.binding  # noqa: F401

    assert fresh() == before


def test_width_and_debug_flag_are_other_recipes(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_DEBUG", raising=False)
    found = {fresh(), fresh(16), fresh(32), fresh(64)}
    monkeypatch.setenv("CHAINRULE_DEBUG", "1")
    found.add(recipe.recipe())
    assert len(found) == 5


def test_versions_are_other_recipes(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {fresh()}
    monkeypatch.setattr(recipe, "__version__", "0.0.1")
    found.add(fresh())
    monkeypatch.setattr(recipe.np, "__version__", "9.9")
    found.add(fresh())
    assert len(found) == 3


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a few sources, in the place of chainrule's."""
    for room in ("calculus", "execute/native", "graph", "ops"):
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "one.py").write_text(f"# {room}")
        os.utime(tmp_path / room / "one.py", (time.time() - 100_000,) * 2)
    monkeypatch.setattr(recipe, "_PACKAGE", tmp_path)
    return tmp_path


def test_every_source_is_in_the_recipe(fresh: Fresh, package: Path) -> None:
    def change(path: Path, text: str) -> None:
        path.write_text(text)
        os.utime(path, (time.time() - 50_000,) * 2)

    found = [fresh()]
    for room in ("calculus", "execute/native", "graph", "ops"):
        change(package / room / "one.py", f"# {room}!")
        found.append(fresh())
    change(package / "ops" / "two.py", "")
    found.append(fresh())
    (package / "ops" / "two.py").rename(package / "graph" / "two.py")
    found.append(fresh())
    assert None not in found
    assert len(set(found)) == len(found)
    (package / "ops" / "notes.txt").write_text("no code")
    os.utime(package / "graph" / "two.py", (time.time() - 200_000,) * 2)
    assert fresh() == found[-1], "neither other files nor dates matter"


def test_a_source_edited_under_a_running_process_has_no_recipe(fresh: Fresh, package: Path) -> None:
    (package / "ops" / "one.py").write_text("# edited since")
    os.utime(package / "ops" / "one.py", (time.time() + 1,) * 2)
    assert fresh() is None


def test_without_sources_there_is_no_recipe(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recipe, "_PACKAGE", tmp_path / "an archive.zip")
    assert fresh() is None


def test_without_llvmlite_there_is_no_recipe(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "llvmlite", raising=False)
    monkeypatch.setattr(recipe.PathFinder, "find_spec", lambda name: None)
    assert fresh() is None


def test_another_llvmlite_is_another_recipe(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Spec:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.delitem(sys.modules, "llvmlite", raising=False)
    monkeypatch.setattr(recipe.PathFinder, "find_spec", lambda name: Spec)
    assert fresh() is None, "no library there"
    (tmp_path / "binding").mkdir()
    found = []
    for version, size in (("1", 10), ("2", 10), ("2", 11)):
        (tmp_path / "_version.py").write_text(f"version = {version!r}")
        (tmp_path / "binding" / "libllvmlite.so").write_bytes(bytes(size))
        found.append(fresh())
    assert len(set(found)) == 3
    assert None not in found


X86 = b"""processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Some Processor
stepping\t: 8
microcode\t: 0x2b000590
cpu MHz\t\t: 2000.000
flags\t\t: fpu sse2 avx2 fma avx512f
bogomips\t: 4000.00

processor\t: 1
"""
ARM = b"""processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd sve
CPU implementer\t: 0x41
CPU part\t: 0xd40
CPU revision\t: 1

processor\t: 1
Features\t: fp asimd sve
CPU implementer\t: 0x41
CPU part\t: 0xd41
CPU revision\t: 1
"""


@pytest.fixture
def cpu(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, bytes], bytes | None]:
    """The recipe on a machine of an architecture whose kernel says this of its CPU."""
    import builtins

    real = open

    def find(architecture: str, text: bytes) -> bytes | None:
        (tmp_path / "cpuinfo").write_bytes(text)
        machine = type("Uname", (), {"machine": architecture})
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(os, "uname", lambda: machine, raising=False)
        monkeypatch.setattr(
            builtins, "open",
            lambda path, *a, **k: real(tmp_path / "cpuinfo" if path == "/proc/cpuinfo" else path, *a, **k),
        )  # fmt: skip
        return fresh()

    return find


def test_another_cpu_is_another_recipe(cpu: Callable[[str, bytes], bytes | None]) -> None:
    here = cpu("x86_64", X86)
    others = [
        cpu("x86_64", X86.replace(b" avx512f", b"")),
        cpu("x86_64", X86.replace(b"model\t\t: 143", b"model\t\t: 144")),
        cpu("x86_64", X86.replace(b"Intel", b"Other")),
        cpu("aarch64", ARM),
        cpu("aarch64", ARM.replace(b"0xd41", b"0xd42")),
        cpu("aarch64", ARM.replace(b" sve", b"")),
    ]
    assert None not in (here, *others)
    assert len({here, *others}) == 7
    changing = X86.replace(b"2000.000", b"3141.592").replace(b"4000.00", b"4001.00").replace(b"0x2b000590", b"0x2c")
    assert cpu("x86_64", changing) == here, "clock rates change from one moment to the next"
    assert cpu("x86_64", X86 + X86 * 200) == here, "so many more processors of the same kind"


def test_an_unknown_kernel_is_asked_through_llvm(
    cpu: Callable[[str, bytes], bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chainrule.execute.native import engine

    asked = []
    monkeypatch.setattr(engine, "host", lambda: asked.append(1) or {"cpu": f"cpu{len(asked)}", "features": "+x"})
    found = [cpu("riscv64", X86), cpu("x86_64", b"nothing known\n\n"), cpu("x86_64", b"")]
    assert len(asked) == 3
    assert len(set(found)) == 3, "what LLVM says is in it"
