"""The house: who may import whom, what is loaded when, and what the package promises as a whole."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import chainrule

PACKAGE = Path(chainrule.__file__).parent
ROOT = Path(__file__).parents[1]

# Each room and the rooms it stands on; what those stand on comes with them.
STANDS_ON = {
    "errors": set(),
    "graph": {"errors"},
    "ops": {"graph"},
    "execute": {"ops"},
    "calculus": {"execute"},  # a derivative that is called with numbers is computed by the reference
    "nn": {"ops"},
    "learn": {"calculus", "nn"},
    "constrain": {"learn"},
    "explanation": {"constrain"},
    "table": {"errors"},
    "files": {"learn", "table"},
    "workflow": {"explanation", "files"},
    "plot": {"workflow"},
    "estimators": {"workflow"},
    "cli": {"plot", "estimators"},
}
# A run can be asked to save itself, and to keep checkpoints: calls from a lower floor to a higher one, made when they
# are asked for.
DOORS = {("learn/run.py", "files"), ("learn/checkpoints.py", "files")}
ONLY_IMPORTERS = {
    "llvmlite": "execute/native",
    "matplotlib": "plot",
    "jax": "execute/xla",
    "typer": "cli",
    "polars": "table workflow",
    "sklearn": "estimators",
}


def allowed(room: str) -> set[str]:
    below = set(STANDS_ON[room])
    for other in STANDS_ON[room]:
        below |= allowed(other)
    return below


def imports(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{a.name}" if node.module == "chainrule" else str(node.module) for a in node.names}
    return found


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    name = str(path.relative_to(PACKAGE))
    room = name.split("/")[0]
    for module in imports(path):
        if module.startswith("chainrule."):
            other = module.split(".")[1]
            if other == "__version__" or other == room or (name, other) in DOORS:
                continue
            assert other in allowed(room), f"{name} imports {module}, which {room} does not stand on"
        for library, rooms in ONLY_IMPORTERS.items():
            if module.split(".")[0] == library:
                assert any(name.startswith(r) for r in rooms.split()), f"{name} imports {library}"


def test_every_room_is_in_the_table() -> None:
    assert {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"} | {"errors"} == set(STANDS_ON)


def loaded_after(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


HEAVY = {
    "sklearn",
    "llvmlite",
    "matplotlib",
    "polars",
    "narwhals",
    "rich",
    "typer",
    "safetensors",
    "pandas",
    "scipy",
    "jax",
}


def test_import_loads_nothing_heavy() -> None:
    assert not loaded_after("import chainrule") & (HEAVY | {"numpy"})


@pytest.mark.parametrize("executor", ["reference", "native"])
def test_training_on_arrays_loads_nothing_heavy(executor: str) -> None:
    code = (
        "import numpy as np, chainrule as cr\n"
        "objective = cr.Objective(cr.nn.Dense(1), 'squared_error')\n"
        f"run = cr.fit(objective, (np.ones((4, 2)), np.ones(4)), epochs=2, executor={executor!r})\n"
        "run.predict(np.ones((1, 2)))"
    )
    loaded = loaded_after(code)
    assert "numpy" in loaded
    assert loaded & HEAVY <= ({"llvmlite"} if executor == "native" else set())  # not even that, if code is stored


def test_public_names_exist() -> None:
    for name in chainrule.__all__:
        assert getattr(chainrule, name) is not None
    assert set(chainrule.__all__) <= set(dir(chainrule))
    with pytest.raises(AttributeError, match="no attribute 'gradd'"):
        chainrule.gradd  # noqa: B018


def test_all_lists_every_lazy_name() -> None:
    assert {*chainrule._PUBLIC, *chainrule._ROOMS, "__version__"} == set(chainrule.__all__)
    for name, room in chainrule._PUBLIC.items():
        assert hasattr(import_module(f"chainrule.{room}"), name)


def test_version_and_typing_marker() -> None:
    assert version("chainrule") == chainrule.__version__
    assert (PACKAGE / "py.typed").exists()


def test_nothing_in_the_package_can_run_code_from_data() -> None:
    """No eval, exec, pickle or import by a computed name outside the table of lazy rooms."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "__import__", "compile"), path
                assert node.func.id != "import_module" or path == PACKAGE / "__init__.py", path
        assert not {m.split(".")[0] for m in imports(path)} & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}, (
            path
        )


def test_errors_have_one_root() -> None:
    from chainrule import errors

    kinds = [v for v in vars(errors).values() if isinstance(v, type)]
    assert len(kinds) > 5
    assert all(issubclass(kind, errors.ChainruleError) for kind in kinds)
    drawn = errors.__doc__ or ""
    assert all(kind.__name__ in drawn for kind in kinds)
