"""What the documentation shows is run: doctests of every module, the code blocks of every page, and every example."""

from __future__ import annotations

import doctest
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import chainrule

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(chainrule.__path__, "chainrule.") if not m.name.endswith("__main__")
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    results = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_there_are_doctests() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in MODULES for t in finder.find(import_module(name)) if t.examples]
    assert len(found) >= 20


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    scope: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec", dont_inherit=True), scope)
    assert blocks or page.name in ("tables.md", "quality.md"), f"{page.name} shows no code"


SHOWN = [page for page in PAGES if "```text\n" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", SHOWN, ids=lambda p: p.name)
def test_what_code_blocks_print_is_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A block of text right after one of Python is what that prints; differences behind the check's e are rounding."""

    def compared(text: str) -> list[str]:
        lines = re.sub(r"relative difference [\d.e-]+", "relative difference", text).splitlines()
        return [line.rstrip() for line in lines if "central difference" not in line]

    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    scope: dict[str, object] = {"__name__": "page"}
    for block, shown in re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", text, flags=re.M | re.S):
        exec(compile(block, page.name, "exec", dont_inherit=True), scope)
        printed = capsys.readouterr().out
        if shown:
            assert compared(printed) == compared(shown)


BLOCKS = re.compile(r"^```(?:sh|console)\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", flags=re.M | re.S)
COMMANDS = [
    (page.name, line.removeprefix("$ ").partition("  #")[0].rstrip(), block[2] if len(lines) == 1 else None)
    for page in PAGES
    for block in BLOCKS.finditer(page.read_text(encoding="utf-8"))
    for lines in [block[1].splitlines()]
    for line in lines
]
OTHER = ("pip install", "python -m benchmarks")
"""Run elsewhere: the first by .ci/run, the benchmarks, in a short form, by tests/test_benchmarks.py."""


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages speak of: a table with labels, one without, one to test on, a model."""
    folder = tmp_path_factory.mktemp("desk")
    header, *rows = (ROOT / "examples/penguins.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("species,")
    tables = {"people": rows, "test": rows[::3], "new": rows[1::3]}
    for name, part in tables.items():
        titles, lines = ["id", header.replace("species", "income")], [f"{i},{row}" for i, row in enumerate(part)]
        if name == "new":
            titles, lines = ["id", header.partition(",")[2]], [
                f"{i},{row.partition(',')[2]}" for i, row in enumerate(part)
            ]  # fmt: skip
        (folder / f"{name}.csv").write_text("\n".join([",".join(titles), *lines, ""]), encoding="utf-8")
    (folder / "examples").mkdir()
    for place in (folder / "penguins.csv", folder / "examples/penguins.csv"):
        place.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    run_command(folder, "chainrule train people.csv --target income --epochs 5")
    return folder


def run_command(folder: Path, command: str) -> str:
    """Run a command line of chainrule in a folder; what it prints on the terminal's output is returned."""
    first, *arguments = shlex.split(command)
    assert first == "chainrule"
    done = subprocess.run([sys.executable, "-m", "chainrule", *arguments], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_command_of_the_pages_runs_and_prints_what_they_say(desk: Path) -> None:
    ran = 0
    for page, command, shown in COMMANDS:
        if command.startswith(OTHER):
            continue
        if page in ("explain.md", "lecture.md") and command.startswith("chainrule check-answers sheet.md"):
            (desk / "sheet.md").write_text((desk / "sheet-solution.md").read_text(encoding="utf-8"), encoding="utf-8")
        elif "--handout" in command:
            command += " --force"
        printed = run_command(desk, command)
        ran += 1
        if shown is not None:
            parts = re.split(r"^…\n", shown, flags=re.M)  # … stands for lines left out
            pattern = r"(?:.*\n)*".join(re.escape(part) for part in parts)
            assert re.fullmatch(pattern, printed), f"{page}: {command}\n{printed}"
    assert ran >= 15


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_examples_run(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_first_two_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    assert first is not None
    assert first.group(1).splitlines() == [
        "pip install . && chainrule train examples/penguins.csv --target species",
        "pip install '.[test]' && pytest",
    ]


def test_readme_report_is_what_train_prints(tmp_path: Path) -> None:
    """The report in the README is that of the command, but for the seconds it took."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(.*?)^```", text, flags=re.M | re.S)
    assert shown is not None
    command = [sys.executable, "-m", "chainrule", "train", str(ROOT / "examples/penguins.csv"), "--target", "species"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    def timeless(report: str) -> str:
        return re.sub(r"\s+", " ", re.sub(r"[\d.]+\s+s\b", "… s", report)).strip()

    # The last digits of a training run differ between BLAS builds: the lines that do not depend on them are compared.
    for line in ("table", "target", "rows", "network"):
        pattern = rf"^{line} .*?(?=^\w|\Z)"
        there = re.search(pattern, shown.group(1), flags=re.M | re.S)
        here = re.search(pattern, result.stdout, flags=re.M | re.S)
        assert there is not None
        assert here is not None
        assert timeless(there.group()) == timeless(here.group())


def test_pages_link_to_files_that_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
