"""Random graphs on the native executor, compared node by node; what was found once; and the fuzzer itself.

``python -m benchmarks.fuzz --graphs 1000000`` is the long form.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.execute.native import engine
from chainrule.execute.native.loops import REGIONS
from chainrule.execute.native.schedule import ALIASES
from chainrule.execute.native.stages import HEAVY
from chainrule.graph import Graph, Rows, Type, check_graph, make_input
from chainrule.graph.store import graph_to_json
from chainrule.graph.types import DTYPES
from chainrule.ops import graph_from_json
from chainrule.ops.build import new_node
from chainrule.ops.record import TABLE

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")
ROOT = Path(__file__).parents[3]
FOUND = sorted((Path(__file__).parent / "found").glob("*.json"))
GRAPHS = 400 if os.environ.get("CHAINRULE_DEBUG", "") not in ("", "0") else 10_000
"""A debug build checks every address: it takes several times as long to compile."""
LEAST = 100
"""Each operation is compared at least so many times in a run of all graphs; each conversion at least once."""


@pytest.fixture(scope="module")
def fuzz() -> Iterator[Any]:
    """The fuzzer of benchmarks/, loaded by its path: benchmarks is not part of the package."""
    folder = ROOT / "benchmarks" / "fuzz"
    spec = importlib.util.spec_from_file_location(
        "chainrule_fuzz", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["chainrule_fuzz"] = module
    spec.loader.exec_module(module)
    for name in ("batch", "compare", "forms", "shrink", "store"):
        setattr(module, name, importlib.import_module(f"chainrule_fuzz.{name}"))
    yield module
    for name in [n for n in sys.modules if n.partition(".")[0] == "chainrule_fuzz"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def census() -> Counter[str]:
    """Compare 10,000 graphs (400 in a debug build) on all cores; returns how often each operation was compared."""
    command = [sys.executable, "-m", "benchmarks.fuzz", "--graphs", str(GRAPHS), "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert not report["failures"], done.stderr
    assert done.returncode == 0, done.stderr
    assert report["graphs"] == GRAPHS
    assert report["real"] >= GRAPHS // 3, "as users get them: this machine's vectors, the usual code generation"
    assert report["unsupported"] <= GRAPHS // 100, report["reasons"]
    assert report["refused"] <= GRAPHS // 100, report["reasons"]
    assert report["census"]["row by row"] >= GRAPHS // 20
    assert report["census"]["run by two threads"] >= GRAPHS // 20
    print(f"{report['graphs']} graphs, {report['nodes']} nodes")
    return Counter(report["census"])


def test_every_operation_that_native_code_has_was_compared(census: Counter[str]) -> None:
    native = {*ALIASES, *HEAVY, *REGIONS, "random_bits", *(op.name for op in TABLE.values() if op.lower)}
    assert native == set(TABLE), "the native executor takes every operation"
    compared: Counter[str] = Counter()
    for name, count in census.items():
        compared[name.split()[0]] += count
    print("\n".join(f"{name:20} {compared[name]}" for name in sorted(native)))
    least = LEAST * GRAPHS // 10_000
    assert {name: compared[name] for name in native if compared[name] < least} == {}


def test_every_dtype_was_compared(census: Counter[str]) -> None:
    """Each operation in both precisions, those of integers and anything in all their dtypes, every conversion."""
    if GRAPHS < 10_000:
        pytest.skip("a debug build compares too few graphs")
    floats, integers = ("f32", "f64"), ("i32", "i64", "u32", "u64")
    accepts = {"float": floats, "number": (*floats, *integers), "integer": integers, "any": tuple(DTYPES),
               "bits": (*integers, "bool"), "bool": ("bool",)}  # fmt: skip
    gives = {"random_bits": ("u32",), "fold": ("u32",), "argmax": ("i64",), "argsort": ("i64",), "isfinite": ("bool",),
             "scatter_add": accepts["number"], "where": accepts["any"]}  # fmt: skip
    comparisons = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
    wanted = {
        f"{op.name} {dtype}"
        for op in TABLE.values()
        for dtype in (("bool",) if op.name in comparisons else gives.get(op.name, accepts[op.accepts]))
        if op.kind != "region"
    }
    wanted |= {f"cast {a} to {b}" for a in DTYPES for b in DTYPES}
    wanted |= {f"{region} {dtype}" for region in REGIONS for dtype in floats}
    assert sorted(wanted - set(census)) == []


def test_every_width_of_vectors_gives_the_same_bits() -> None:
    """Also with vectors of 64 bytes on a machine that has none: LLVM splits them."""
    found: dict[int, dict[str, str]] = {}
    for width in (16, 32, 64):
        command = [
            sys.executable,
            "-m",
            "benchmarks.fuzz",
            "--graphs",
            str(min(GRAPHS // 10, 96)),
            "--seed",
            "50000",
            "--workers",
            "1",
        ]
        command += ["--width", str(width), "--quick", "--json", "--digests"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found[width] = json.loads(done.stdout)["digests"]
    assert len(found[16]) >= min(GRAPHS // 10, 96) - 4
    assert found[16] == found[32] == found[64]


@pytest.mark.parametrize("path", FOUND, ids=lambda p: p.stem)
def test_what_was_found_once_is_right(path: Path, fuzz: Any) -> None:
    case = fuzz.store.load(path)
    assert case.note, "a kept case says what was wrong"
    assert fuzz.batch.difference(case) == ""


def test_a_case_is_stored_as_it_is(fuzz: Any, tmp_path: Path) -> None:
    for seed in range(20):
        case = fuzz.make_case(seed)
        again = fuzz.store.load(fuzz.store.save(case, tmp_path))
        assert graph_to_json(again.graph) == graph_to_json(case.graph)
        assert [a.tobytes() for a in again.arrays] == [a.tobytes() for a in case.arrays]
        assert [a.shape for a in again.arrays] == [a.shape for a in case.arrays]


def test_the_same_seed_is_the_same_case(fuzz: Any) -> None:
    for seed in range(20):
        one, other = fuzz.make_case(seed), fuzz.make_case(seed)
        assert str(graph_to_json(one.graph)).count("op") == str(graph_to_json(other.graph)).count("op")
        assert [a.tobytes() for a in one.arrays] == [a.tobytes() for a in other.arrays]


# what the fuzzer must find: operations, nests and memory that are wrong on purpose


@pytest.fixture
def wrong_sqrt() -> Iterator[None]:
    """A reference whose square root of numbers from 1 on is 0.001 too large."""
    usual = TABLE["sqrt"].evaluate
    object.__setattr__(
        TABLE["sqrt"], "evaluate", lambda x: np.where(x >= 1, usual(x) + 0.001, usual(x)).astype(x.dtype)
    )
    yield
    object.__setattr__(TABLE["sqrt"], "evaluate", usual)


def test_a_wrong_operation_is_found_and_cut_down_to_itself(wrong_sqrt: None, fuzz: Any, tmp_path: Path) -> None:
    report = fuzz.run_seeds(range(192), quick=True)
    assert report.failures
    assert all("sqrt" in text for _, text in report.failures)
    seed, _ = report.failures[0]
    case = fuzz.shrink.shrink_seed(seed)
    assert [node.op.name for node in case.graph.nodes] == ["input", "sqrt"]
    assert all(d == 1 for d in case.arrays[0].shape)
    assert "sqrt" in case.note
    path = fuzz.store.save(case, tmp_path)
    assert path.name.startswith("sqrt-")
    assert "sqrt" in fuzz.batch.difference(fuzz.store.load(path))


def two_node_case(fuzz: Any, rows: int = 3) -> Any:
    x = make_input(Type("f32", (5, 7)), "x")
    y = new_node(TABLE["negative"], (new_node(TABLE["square"], (x,), {}),), {})
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    return fuzz.Case(check_graph(Graph((x,), (y,))), [values], rows)


def test_fusion_that_changes_bits_is_found(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.execute.native import nests

    case = two_node_case(fuzz)
    usual = nests._lowered

    def wrong(builder: Any, node: Any, operands: Any) -> Any:
        if node.op.name == "negative" and operands[0].name.startswith("%") and "fmul" in builder.f.lines[-1]:
            return builder.add(usual(builder, node, operands), builder.constant(1e-3, operands[0]))
        return usual(builder, node, operands)

    monkeypatch.setattr(nests, "_lowered", wrong)
    assert re.match(r"fused: negative\(0, 0\) is .*, by itself .*", fuzz.batch.difference(case))


def test_a_loop_that_runs_too_far_is_found(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes behind an output go to a margin that is looked at afterwards."""
    from chainrule.execute.native import compile

    monkeypatch.setenv("CHAINRULE_DEBUG", "0")  # a debug build would not let it happen
    case = two_node_case(fuzz)
    usual = compile.Call

    def longer(*arguments: Any, **more: Any) -> Any:
        call = usual(*arguments, **more)
        further = type(call.extent)(call.extent.fixed + 2)
        return usual(*(further if i == 2 else a for i, a in enumerate(arguments)), **more)

    monkeypatch.setattr(compile, "Call", longer)
    assert "memory beside an input or output was changed" in fuzz.batch.difference(case)


def test_a_part_of_a_loop_that_begins_too_late_is_found(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right as a whole, wrong as a piece that a thread would take."""
    from chainrule.execute.native import nests

    case = two_node_case(fuzz)
    usual = nests.columns

    def wrong(frame: Any, begin: str, end: str, lanes: int, body: Any, *more: Any) -> None:
        if begin == "%begin":
            late = frame.f.put(f"zext i1 {frame.f.put('icmp sgt i64 %begin, 0')} to i64")
            begin = frame.f.put(f"add i64 %begin, {late}")
        usual(frame, begin, end, lanes, body, *more)

    monkeypatch.setattr(nests, "columns", wrong)
    assert fuzz.batch.difference(case).startswith("run in pieces: negative")


def test_bits_that_depend_on_the_number_of_rows_are_found(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.execute.native import nests

    x = make_input(Type("f32", (Rows(1), 7)), "x")
    case = fuzz.Case(
        Graph((x,), (new_node(TABLE["square"], (x,), {}),)),
        [np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)], 9,
    )  # fmt: skip
    usual = nests._lowered

    def wrong(builder: Any, node: Any, operands: Any) -> Any:
        """Another rounding where there are fewer than 9 · 7 elements."""
        few = builder.f.put("icmp slt i64 %end, 63")
        scale = builder.f.put(f"select i1 {few}, float 0x3FF0000020000000, float 1.0")
        square = usual(builder, node, operands)
        if square.lanes > 1:
            one = builder.f.put(f"insertelement {square.type} poison, float {scale}, i32 0")
            zeros = f"<{square.lanes} x i32> zeroinitializer"
            scale = builder.f.put(f"shufflevector {square.type} {one}, {square.type} poison, {zeros}")
        return builder.multiply(square, type(square)(scale, square.dtype, square.lanes))

    monkeypatch.setattr(nests, "_lowered", wrong)
    assert re.match(r"(run in pieces|\d of 9 rows): square", fuzz.batch.difference(case))


def test_a_graph_reads_back_with_loops(fuzz: Any) -> None:
    seeds = (s for s in range(400) if any(n.op.kind == "region" for n in fuzz.make_case(s).graph.nodes))
    graph = fuzz.make_case(next(seeds)).graph
    assert graph_to_json(graph_from_json(graph_to_json(graph))) == graph_to_json(graph)
