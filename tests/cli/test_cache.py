"""chainrule cache: what it shows, what it removes, and why it does not keep anything."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from chainrule.execute.native import cache

KEYS = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX modes")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.delenv("CHAINRULE_CACHE_MB", raising=False)
    return tmp_path / "kept"


def fits(text: str) -> str:
    for line in text.splitlines():
        assert len(line) <= 80, line
        assert line == line.rstrip()
        assert line.isprintable(), repr(line)
    return re.sub(r"\s+", " ", text).strip()


def fill() -> None:
    for key in KEYS:
        cache.store(key, bytes(52_000 - cache.HEADER))


def test_help(cli: Any) -> None:
    result = cli("cache", "--help")
    assert (result.code, result.err) == (0, "")
    fits(result.out)
    assert result.out.count("    chainrule cache") == 2
    assert set(re.findall(r"--[a-z]+", result.out.partition("Options:")[2])) == {
        "--clear", "--json", "--debug", "--help",
    }  # fmt: skip
    assert re.search(r"^  cache  +Show what is kept of compiled code, or remove it\.$", cli("--help").out, re.M)


def test_an_empty_cache(cli: Any, place: Path) -> None:
    result = cli("cache")
    assert (result.code, result.err) == (0, "")
    assert fits(result.out).endswith(" holds nothing, of at most 256 MB")
    assert not place.exists(), "looking makes nothing"
    assert re.search(r"removed +nothing was kept$", cli("cache", "--clear").out, re.M)


def test_what_is_kept_and_clearing_it(cli: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    monkeypatch.setenv("CHAINRULE_CACHE_MB", "1500")
    (place / "notes.txt").write_text("mine")
    text = fits(cli("cache").out)
    assert text.endswith(" holds 2 entries, 104 kB of at most 1.5 GB to remove it: chainrule cache --clear")
    result = cli("cache", "--clear")
    assert (result.code, result.err) == (0, "")
    assert fits(result.out).endswith("removed 2 files, 104 kB")
    assert [p.name for p in place.iterdir()] == ["notes.txt"]
    assert fits(cli("cache").out).endswith("holds nothing, of at most 1.5 GB")


def test_one_entry(cli: Any) -> None:
    cache.store(KEYS[0], b"")
    assert "holds 1 entry, 48 bytes of at most 256 MB" in fits(cli("cache").out)
    assert fits(cli("cache", "--clear").out).endswith("removed 1 file, 48 bytes")


def test_json(cli: Any, place: Path) -> None:
    fill()
    state = {"entries": 2, "bytes": 104_000, "limit": 256_000_000, "off": None, "read_only": False}
    assert cli("cache", "--json").json == {"folder": str(place), **state}
    state |= {"entries": 0, "bytes": 0, "removed": {"files": 2, "bytes": 104_000}}
    assert cli("cache", "--clear", "--json").json == {"folder": str(place), **state}


@pytest.mark.parametrize("more", [[], ["--clear"]])
def test_off(more: list[str], cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", "off")
    result = cli("cache", *more)
    assert (result.code, result.err) == (0, "")
    assert fits(result.out) == "off CHAINRULE_CACHE_DIR is 'off'; compiled code is not kept"
    assert cli("cache", "--json").json["off"] == "CHAINRULE_CACHE_DIR is 'off'"
    assert cli("cache", "--json").json["folder"] is None


@posix
def test_a_folder_that_is_not_trusted(cli: Any, place: Path) -> None:
    fill()
    place.chmod(0o777)
    result = cli("cache")
    assert result.code == 0
    said = "off the folder can be written by other users, who could put code there; chmod go-w would help; "
    assert fits(result.out).endswith(said + "compiled code is not kept")
    assert cli("cache", "--clear").code == 1, "it was asked to clear, and did not"
    assert len(list(place.iterdir())) == 2


def test_what_cannot_be_removed(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    result = cli("cache", "--clear")
    assert result.code == 1
    assert fits(result.out).endswith(
        "removed nothing error 2 entries, 104 kB could not be removed; see who may write in the folder"
    )


def test_a_folder_to_read_only(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    text = fits(cli("cache").out)
    assert "warning this user may not write in the folder: what is there is used, nothing is added" in text
    assert cli("cache", "--json").json["read_only"] is True


def test_wrong_usage(cli: Any) -> None:
    result = cli("cache", "--purge")
    assert (result.code, result.out) == (2, "")
    assert "No such option: --purge" in result.err
