"""A file with a valid digest but hostile content: refused, nothing executed, nothing huge, nothing imported by name."""

from __future__ import annotations

import ast
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import chainrule.files
from chainrule.errors import ModelFileError
from chainrule.files import container, load

Edit = Callable[[dict[str, Any], dict[str, Any]], Any]


def node_of(document: dict[str, Any], op: str) -> dict[str, Any]:
    found: dict[str, Any] = next(n for n in document["graph"]["nodes"] if n["op"] == op)
    return found


def put(*path: Any, value: Any) -> Edit:
    def edit(document: dict[str, Any], arrays: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return edit


def drop(*path: Any) -> Edit:
    def edit(document: dict[str, Any], arrays: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return edit


def swap_operands(document: dict[str, Any], arrays: dict[str, Any]) -> None:
    node_of(document, "matmul")["operands"].reverse()


def later_operand(document: dict[str, Any], arrays: dict[str, Any]) -> None:
    node = node_of(document, "matmul")
    node["operands"][0] = node["id"] + 1


def nested(depth: int) -> dict[str, Any]:
    network: dict[str, Any] = {"layer": "Dense", "units": 3, "activation": "relu", "bias": True}
    network |= {"initializer": None, "name": None}
    for _ in range(depth):
        network = {"layer": "Sequential", "layers": [network], "name": None}
    return network


NORM = {"layer": "BatchNorm", "momentum": 0.1, "epsilon": 1e-5, "name": None}
W = "parameters.hidden1.weight"

HOSTILE: dict[str, tuple[Edit, str]] = {
    # the graph
    "unknown op": (put("graph", "nodes", 0, "op", value="os.system"), "does not have: 'os.system'"),
    "op is a list": (put("graph", "nodes", 0, "op", value=["exp"]), "damaged"),
    "python name as op": (put("graph", "nodes", 0, "op", value="__import__"), "does not have: '__import__'"),
    "unknown graph version": (put("graph", "version", value=99), "version 99"),
    "foreign graph": (put("graph", "format", value="onnx"), "not a stored chainrule graph"),
    "no graph": (drop("graph"), "graph"),
    "graph is a text": (put("graph", value="exp(x)"), "not a stored chainrule graph"),
    "wrong type": (lambda d, a: node_of(d, "matmul").update(types=[["f32", "n", 77]]), "types that its operands"),
    "unknown dtype": (lambda d, a: node_of(d, "matmul").update(types=[["object", 1]]), "'object' is not a dtype"),
    "negative shape": (lambda d, a: node_of(d, "matmul").update(types=[["f32", -4]]), "-4 is not a dimension"),
    "operands out of order": (later_operand, "does not come before it"),
    "operand is negative": (lambda d, a: node_of(d, "matmul").update(operands=[-1, 0]), "does not come before it"),
    "operand is true": (lambda d, a: node_of(d, "matmul").update(operands=[True, True]), "does not come before it"),
    "operands swapped": (swap_operands, "damaged"),
    "too few operands": (lambda d, a: node_of(d, "matmul").update(operands=[0]), "damaged"),
    "ids out of order": (put("graph", "nodes", 1, "id", value=7), "node 1 has id 7"),
    "unknown attribute kind": (
        put("graph", "nodes", 0, "attributes", value={"x": {"code": "print(1)"}}), "'code' is not a kind of attribute"
    ),
    "attribute nobody asked for": (lambda d, a: node_of(d, "matmul").update(attributes={"x": 1}), "damaged"),
    "no outputs": (put("graph", "outputs", value=[]), ""),
    "other outputs": (put("graph", "gives", "keys", value=["a", "b"]), "does not predict"),
    "three outputs": (lambda d, a: d["graph"]["outputs"].append(0), "does not"),
    "gives is nothing": (put("graph", "gives", value=None), "does not predict"),
    "takes is nothing": (put("graph", "takes", value=None), "does not predict"),
    # the arrays
    "missing array": (lambda d, a: a.pop(W), "arrays in the file are not those that its graph needs"),
    "array too many": (lambda d, a: a.update(x=np.ones(1)), "arrays in the file are not those that its graph needs"),
    "array of another shape": (lambda d, a: a.update({W: a[W].T.copy()}), "do not have the types that the graph takes"),
    "array of another dtype": (lambda d, a: a.update({W: a[W].astype(np.float64)}), "do not have the types"),
    "array of integers": (lambda d, a: a.update({W: a[W].astype(np.int32)}), "do not have the types"),
    "array twice": (lambda d, a: d["arrays"].append(d["arrays"][0]), "arrays in the file are not those"),
    "array names are lists": (put("arrays", value=[[1], [2]]), "cannot be read as a model"),
    # the input
    "input without rows": (put("input", value=["f32", 4, 4]), "has no rows"),
    "input of another width": (put("input", value=["f32", "n", 99]), "do not have the types that the graph takes"),
    "input of letters": (put("input", value=["f32", "m"]), "'m' is not a dimension"),
    "input is a number": (put("input", value=3), "cannot be read as a model"),
    # the network
    "unknown layer": (put("network", "layer", value="subprocess.Popen"), "a layer that this chainrule does not have"),
    "unknown inner layer": (put("network", "layers", 0, "layer", value="Eval"), "a layer that this chainrule does not"),
    "layer by list": (put("network", "layer", value=["Dense"]), "a layer that this chainrule does not have"),
    "field nobody asked for": (put("network", "layers", 0, "code", value="1"), "other fields than this chainrule's"),
    "unknown activation": (put("network", "layers", 0, "activation", value="os.system"), "os.system"),
    "unknown initializer": (put("network", "layers", 0, "units", value=-1), "units is -1"),
    "more units": (put("network", "layers", 0, "units", value=9), "its network does not fit its parameters"),
    "huge layer": (put("network", "layers", 0, "units", value=10**12), "its network does not fit its parameters"),
    "state nobody has": (
        lambda d, a: d["network"]["layers"].append(NORM),
        "its network does not fit its parameters",
    ),
    "network is a text": (put("network", value="Dense"), "a layer that this chainrule does not have"),
    # the encoders
    "unknown column kind": (put("table", "columns", 0, "kind", value="lambda"), "no kind of column 'lambda'"),
    "scale of 0": (put("table", "columns", 0, "scale", value=0.0), "must be positive"),
    "a column fewer": (lambda d, a: d["table"]["columns"].pop(), "its table has 1 column"),
    "table only": (put("target", value=None), "but not both"),
    "target only": (put("table", value=None), "but not both"),
    "a class fewer": (put("target", "classes", value=["large", "middle"]), "does not fit its target"),
    "classes that are lists": (put("target", "classes", value=[["a"], ["b"], ["c"]]), "classes"),
    "a target of numbers": (
        put("target", value={"format": "chainrule.target", "version": 1, "kind": "regression", "column": "y",
                             "mean": 0.0, "std": 1.0, "low": 0.0, "high": 1.0}), "does not fit its target"
    ),
    "newer table": (put("table", "version", value=99), "Update chainrule to read it"),
    "guess beyond the classes": (put("about", "guess", value=3), "lacks the best guess"),
    "guess is a text": (put("about", "guess", value="large"), "lacks the best guess"),
    "no guess": (drop("about", "guess"), "lacks the best guess"),
    # the rest
    "history is a number": (put("history", value=3), "cannot be read as a model"),
    "about is a list": (put("about", value=[1, 2]), "cannot be read as a model"),
    "no about": (drop("about"), "'about'"),
    "no loss": (drop("loss"), "'loss'"),
    "deep network": (lambda d, a: d.update(network=nested(100)), "its network does not fit its parameters"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_content_is_refused(kind: str, rewrite: Callable[..., Path]) -> None:
    edit, message = HOSTILE[kind]
    path = rewrite(edit)
    container.read(path)  # the digest is valid: it is the content that is refused
    before = set(sys.modules)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert set(sys.modules) <= before


def test_nothing_changed_is_accepted(rewrite: Callable[..., Path]) -> None:
    assert load(rewrite(lambda document, arrays: None)).target is not None


def signed(path: Path, text: str) -> Path:
    """Write a file whose document is any text, with a valid digest."""
    from safetensors.numpy import save

    header = {"chainrule.format": container.MODEL.format, "chainrule.version": "1", "chainrule.document": text}
    header["chainrule.sha256"] = container.digest_of(text, {"w": np.ones(1)})
    path.write_bytes(save({"w": np.ones(1)}, metadata=header))
    return path


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '"text"', "[" * 100_000, '{"a":' * 50_000, "1" + "0" * 10_000, "{'a': 1}"],
    ids=["empty", "open", "list", "number", "null", "text", "deep list", "deep dict", "long number", "not json"],
)
def test_documents_that_are_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds a damaged document; train again"):
        load(signed(tmp_path / "m", text))


def test_a_document_without_anything(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read as a model"):
        load(signed(tmp_path / "m", "{}"))


def test_deep_nesting_inside_a_document(tmp_path: Path, table_bytes: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(table_bytes)
    document, _ = container.read(path)
    for name in ("graph", "network", "table", "target", "about", "history"):
        # whether the JSON reader or what reads its result gives up, it is a ModelFileError
        text = json.dumps({**document, name: "HERE"}).replace('"HERE"', '{"layers":[' * 300 + "]}" * 300)
        with pytest.raises(ModelFileError):
            load(signed(path, text))


def replaced(value: Any, old: int, new: int) -> Any:
    """Return a document with one number in the place of another, wherever it stands."""
    if isinstance(value, dict):
        return {k: replaced(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [replaced(v, old, new) for v in value]
    return new if value == old and type(value) is int else value


def test_a_small_file_cannot_ask_for_a_huge_value(tmp_path: Path) -> None:
    import chainrule as cr
    from chainrule.files import Model, save
    from chainrule.ops import broadcast_to, sum_

    def network(parameters: Any, x: Any) -> Any:
        wide = broadcast_to(parameters["w"], (71, 73))
        return x * sum_(wide)

    x = np.ones((4, 1))
    run = cr.fit(cr.Objective(network, loss="squared_error"), (x, x), parameters={"w": np.ones(())}, epochs=1)
    path = tmp_path / "m"
    save(Model.from_run(run), path)
    document, arrays = container.read(path)
    document["graph"]["nodes"] = replaced(document["graph"]["nodes"], 71, 10**12)
    assert "1000000000000" in json.dumps(document["graph"])
    path.unlink()
    container.write(path, document, arrays)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=r"its graph has a value f64\[1000000000000,73\], which is too large"):
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_huge_stored_constant_does_not_fit_its_bytes(tmp_path: Path) -> None:
    from chainrule.graph.store import array_from_json

    with pytest.raises(ValueError, match="reshape"):
        array_from_json({"dtype": "f32", "shape": [10**9, 10**6], "data": ""})


FORBIDDEN = {"eval", "exec", "compile", "__import__", "getattr", "import_module", "loads_pickle", "unpickle"}


def test_the_source_of_this_room_executes_nothing() -> None:
    folder = Path(chainrule.files.__file__).parent
    sources = [*folder.glob("*.py"), folder.parent / "graph" / "store.py", folder.parent / "nn" / "config.py"]
    assert len(sources) >= 5
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]}
            assert not names & {"pickle", "marshal", "shelve", "importlib", "runpy", "dill", "joblib", "ctypes"}, source
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                allowed = {"getattr"} if source.name == "config.py" else set()  # a layer's own fields, written not read
                assert node.func.id not in FORBIDDEN - allowed, f"{source}: {node.func.id}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"import_module", "__reduce__", "allow_pickle"}, source
            if isinstance(node, ast.keyword):
                assert node.arg != "allow_pickle", source


def test_loading_does_not_run_python_of_the_file(rewrite: Callable[..., Path], capsys: pytest.CaptureFixture) -> None:
    code = "__import__('builtins').print('executed')"

    def edit(document: dict[str, Any], arrays: dict[str, Any]) -> None:
        document["about"] |= {"source": code, "why": code}
        document["chainrule"] = code
        document["loss"] = code

    model = load(rewrite(edit))
    assert model.about["why"] == code
    with pytest.raises(ModelFileError, match="which a file cannot hold"):
        _ = model.objective
    assert capsys.readouterr().out == ""


def test_parameters_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    run = cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (np.ones((4, 2)), np.ones(4)), epochs=1)
    path = tmp_path / "m.chainrule"
    run.save(path)
    document, arrays = container.read(path)
    arrays["parameters.weight"][0] = np.nan
    container.write(path, document, arrays)
    with pytest.raises(ModelFileError, match=r"parameters\.weight holds NaN or Inf"):
        cr.load(path)


def test_an_input_without_a_label_and_a_truth_value_for_a_number_are_refused(tmp_path: Path) -> None:
    run = cr.fit(cr.Objective(cr.nn.Dense(2), "squared_error"), (np.ones((4, 2)), np.ones((4, 2))), epochs=1)
    path = tmp_path / "m.chainrule"
    run.save(path)
    document, arrays = container.read(path)
    nodes = document["graph"]["nodes"]
    label = next(node for node in nodes if node["op"] == "input")["attributes"].pop("label")
    container.write(path, document, arrays)
    with pytest.raises(ModelFileError):
        cr.load(path)
    next(node for node in nodes if node["op"] == "input")["attributes"]["label"] = label
    shaped = next(
        node for node in nodes if any("tuple" in v for v in node["attributes"].values() if isinstance(v, dict))
    )
    key = next(k for k, v in shaped["attributes"].items() if isinstance(v, dict) and "tuple" in v)
    shaped["attributes"][key]["tuple"][-1] = True
    container.write(path, document, arrays)
    with pytest.raises(ModelFileError):
        cr.load(path)
