"""Cases as files: a graph, its values and the number of rows, to be run again by a test."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

from chainrule.graph.store import array_from_json, array_to_json
from chainrule.ops import graph_from_json

from .make import Case

FOUND = Path(__file__).parents[2] / "tests" / "execute" / "native" / "found"


def save(case: Case, folder: Path = FOUND) -> Path:
    """Write a case, under a name made of its last operation and its content; return the file."""
    document = {
        "note": case.note,
        "rows": case.rows,
        "graph": case.graph.to_json(),
        "arrays": [array_to_json(a) for a in case.arrays],
    }
    text = json.dumps(document, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{case.graph.outputs[-1].op.name}-{blake2b(text.encode(), digest_size=4).hexdigest()}.json"
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def load(path: Path) -> Case:
    """Read a case back."""
    document = json.loads(path.read_text(encoding="utf-8"))
    arrays = [array_from_json(a) for a in document["arrays"]]
    return Case(graph_from_json(document["graph"]), arrays, document["rows"], document["note"])
