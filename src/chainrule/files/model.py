"""Model: a trained network as it is saved and loaded, with what turns a table into its inputs, if it came from one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import __version__
from chainrule.errors import ChainruleError, ModelFileError
from chainrule.files import container
from chainrule.graph import Graph, Rows, Type
from chainrule.graph.node import result_types
from chainrule.graph.types import dim_from_json, dim_to_json
from chainrule.learn import Objective, Predictor, Run
from chainrule.nn import LOSSES, Layer, from_config, loss_from, loss_numbers, to_config
from chainrule.ops import graph_from_json
from chainrule.table import TableEncoder, TargetEncoder

Array = np.ndarray[Any, Any]
MOST_ELEMENTS = 2**31
"""No value of a stored graph is larger, for one row: a network on a table has nothing near it."""


@dataclass(eq=False, repr=False)
class Model:
    """A trained network: predicts, and tells what it was trained on and how.

    ``network`` is None where the network was a function of the user's own: its graph predicts all the same. ``table``
    and ``target`` are there for a model that was trained from a table.
    """

    predictor: Predictor
    network: Layer | None = None
    loss: str = ""
    loss_numbers: dict[str, float] | None = None
    parameters: Any = None
    state: Any = None
    history: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    table: TableEncoder | None = None
    target: TargetEncoder | None = None

    def __repr__(self) -> str:
        what = f"of {self.target.column!r} ({self.target.kind})" if self.target is not None else f"on {self.loss}"
        count = sum(np.size(v) for v in self.predictor.arrays)
        return f"<model {what}: {self.predictor.input} in, {count} numbers learned>"

    @classmethod
    def from_run(cls, run: Run, **more: Any) -> Model:
        """Return what is worth keeping of a run."""
        about = {
            "status": run.status,
            "message": run.message,
            "steps": run.steps,
            "best_epoch": run.best_epoch,
            "seed": run.seed,
            "optimizer": type(run.optimizer).__name__,
            "settings": dict(run.settings),
        }
        return cls(
            predictor=run.predictor,
            network=run.objective.network,
            loss=run.objective.loss.name,
            loss_numbers=loss_numbers(run.objective.loss),
            parameters=run.parameters,
            state=run.state,
            history=run.history,
            about={**about, **more.pop("about", {})},
            **more,
        )

    @property
    def objective(self) -> Objective:
        """The network and the loss it was trained on, where both can be told from the file.

        Constraints and penalties of a training on a table are added by ``cr.workflow.objective_of``.
        """
        if self.network is None or self.loss_numbers is None:
            raise ModelFileError("this model was trained with a network or loss of one's own, which a file cannot hold")
        return Objective(self.network, loss_from(self.loss, self.loss_numbers))

    def predict(self, x: Any) -> Array:
        """Return predictions for an array of rows; for a table, use ``chainrule.workflow.predict``."""
        return self.predictor.predict(x)

    def output(self, x: Any) -> Array:
        """Return the network's outputs for an array of rows."""
        return self.predictor.output(x)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file, whole or not at all."""
        save(self, path)


def save(model: Any, path: str | PathLike[str]) -> None:
    """Save a run or a model to a file: data only, written whole or not at all.

    The format is safetensors, with a JSON document (graph, network, history) in its header and a SHA-256 over both.
    Raises ModelFileError where the file cannot be written, or where a file that is no chainrule model stands there.

    >>> import tempfile, os, numpy as np, chainrule as cr
    >>> objective = cr.Objective(cr.nn.Dense(1), loss="squared_error")
    >>> run = cr.fit(objective, (np.ones((4, 2)), np.ones(4)), epochs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "m.chainrule")
    ...     cr.save(run, path)
    ...     bool(np.all(cr.load(path).predict(np.ones((1, 2))) == run.predict(np.ones((1, 2)))))
    True
    """
    if isinstance(model, Run):
        model = Model.from_run(model)
    if not isinstance(model, Model):
        raise ModelFileError(f"only a run or a model can be saved, not a {type(model).__name__}")
    predictor = model.predictor
    if len(set(predictor.names)) != len(predictor.names):
        raise ModelFileError("two parameters of the network have the same path; rename one of them")
    document = {
        "chainrule": __version__,
        "graph": predictor.graph.to_json(),
        "arrays": list(predictor.names),
        "input": [predictor.input.dtype, *(dim_to_json(d) for d in predictor.input.shape)],
        "network": None if model.network is None else to_config(model.network),
        "loss": model.loss,
        "loss_numbers": model.loss_numbers,
        "history": _plain(model.history),
        "about": _plain(model.about),
        "table": None if model.table is None else model.table.to_json(),
        "target": None if model.target is None else model.target.to_json(),
    }
    container.write(path, document, dict(zip(predictor.names, predictor.arrays, strict=True)))


def _plain(value: Any) -> Any:
    """Return a value as JSON data; a number that is not finite becomes None, since JSON has none."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def load(path: str | PathLike[str]) -> Model:
    """Load a model file; raise ModelFileError for one that is damaged, changed, foreign or newer than this version."""
    document, arrays = container.read(path)
    try:
        return _model(document, arrays, Path(path))
    except ModelFileError:
        raise
    except (
        ChainruleError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ModelFileError(f"{path} cannot be read as a model: {error}") from error


def _model(document: dict[str, Any], arrays: dict[str, Array], path: Path) -> Model:
    graph = graph_from_json(document["graph"])
    names = tuple(document["arrays"])
    if set(names) != set(arrays) or len(names) != len(arrays):
        raise ModelFileError(f"{path}: the arrays in the file are not those that its graph needs")
    dtype, *dims = document["input"]
    kind = Type(dtype, tuple(dim_from_json(d) for d in dims))
    if not kind.shape or not isinstance(kind.shape[0], Rows):
        raise ModelFileError(f"{path}: its input {kind} has no rows")
    values = tuple(arrays[name] for name in names)
    expected = [i.type for i in graph.inputs]
    found = [
        Type(t.dtype, v.shape) for t, v in zip(expected, values, strict=False) if t.is_float and v.dtype == _numpy(t)
    ]
    if (
        graph.takes is None
        or graph.gives is None
        or graph.gives.keys != ("output", "prediction")
        or len(graph.outputs) != 2
    ):
        raise ModelFileError(f"{path}: its graph does not predict")
    if [*found, kind] != expected:
        raise ModelFileError(f"{path}: the arrays do not have the types that the graph takes")
    _check_sizes(graph, path)
    for name, value in zip(names, values, strict=True):
        if not np.all(np.isfinite(value)):
            raise ModelFileError(f"{path}: {name} holds NaN or Inf, so it could predict nothing; train again")
    parameters, state = _named(names, values, "parameters"), _named(names, values, "state")
    network = None if document["network"] is None else _network(document["network"], kind, parameters, state, path)
    model = Model(
        predictor=Predictor(graph, values, kind, names),
        network=network,
        loss=str(document["loss"]),
        loss_numbers=_numbers_of_loss(document),
        parameters=parameters,
        state=state,
        history=list(document["history"]),
        about=dict(document["about"]),
        table=None if document["table"] is None else TableEncoder.from_json(document["table"]),
        target=None if document["target"] is None else TargetEncoder.from_json(document["target"]),
    )
    _check_table(model, path)
    return model


def _network(config: Any, kind: Type, parameters: Mapping[str, Array], state: Mapping[str, Array], path: Path) -> Layer:
    try:
        network = from_config(config)
        declared = network.declare(kind)
    except (ModelFileError, MemoryError) as error:
        raise ModelFileError(f"{path}: {error}") from None
    needs = {k: p.shape for k, p in declared.parameters.items()} | {k: np.shape(s) for k, s in declared.state.items()}
    if needs != {k: v.shape for k, v in {**parameters, **state}.items()}:
        raise ModelFileError(f"{path}: its network does not fit its parameters")
    return network


def _numbers_of_loss(document: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the numbers of the loss; files of version 0.1 have none, and their losses need none."""
    name = str(document["loss"])
    if name not in LOSSES:  # one of the user's own, or of a later version: the graph predicts all the same
        return None
    numbers: dict[str, float] | None = document.get("loss_numbers", LOSSES[name].numbers())
    if numbers is not None:
        loss_from(name, numbers)
    return numbers


def _check_sizes(graph: Graph, path: Path) -> None:
    """Refuse a graph that a few bytes make huge: it would fill the memory when it predicts."""
    for node in graph.nodes:
        for kind in result_types(node):
            size = math.prod(d.multiple if isinstance(d, Rows) else d for d in kind.shape)
            if size > MOST_ELEMENTS:
                raise ModelFileError(f"{path}: its graph has a value {kind}, which is too large to be computed")
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph):
                _check_sizes(attribute, path)


def _check_table(model: Model, path: Path) -> None:
    """Refuse a file whose encoders do not fit its graph."""
    table, target, predictor = model.table, model.target, model.predictor
    if (table is None) != (target is None):
        raise ModelFileError(f"{path}: it has an encoder of its table or of its target, but not both")
    if table is None or target is None:
        return
    if predictor.input.shape[1:] != (table.width,):
        raise ModelFileError(f"{path}: its graph takes {predictor.input}, its table has {table.width} columns")
    count = len(target.classes)
    widths = {1} if target.kind == "regression" else {1, 2} if count == 2 else {count}
    prediction = predictor.graph.outputs[1].type
    if prediction.rank != 2 or prediction.shape[0] != Rows() or prediction.shape[1] not in widths:
        raise ModelFileError(f"{path}: its graph predicts {prediction}, which does not fit its target")
    guess = model.about.get("guess")
    known = guess in range(count) if count else isinstance(guess, int | float) and math.isfinite(guess)
    if not known or isinstance(guess, bool):
        raise ModelFileError(f"{path}: it lacks the best guess without a model, which scores are compared with")


def _numpy(kind: Type) -> Any:
    return np.dtype(np.float32 if kind.dtype == "f32" else np.float64)


def _named(names: tuple[str, ...], values: tuple[Array, ...], prefix: str) -> dict[str, Array]:
    start = f"{prefix}."
    return {n.removeprefix(start): v for n, v in zip(names, values, strict=True) if n.startswith(start)}
