"""A network as plain data and back: only layers and parts from the tables below, never a name to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from chainrule.errors import ModelFileError, TraceError
from chainrule.nn.containers import Concatenate, Residual, Sequential
from chainrule.nn.dense import Dense, Scale
from chainrule.nn.dropout import Dropout
from chainrule.nn.embedding import Embedding
from chainrule.nn.features import Periodic, PiecewiseLinear
from chainrule.nn.initializers import Constant, Normal, Orthogonal, TruncatedNormal, Uniform
from chainrule.nn.layer import Layer
from chainrule.nn.learned import ELU, Lambda, LeakyReLU, Parametric, PReLU
from chainrule.nn.normalization import BatchNorm, LayerNorm
from chainrule.nn.wrappers import Columns, Frozen, Passing, Rated

LAYERS: Mapping[str, type[Layer]] = {
    c.__name__: c
    for c in (
        Dense, Dropout, BatchNorm, Sequential, Scale, LayerNorm, Embedding, Periodic, PiecewiseLinear, Residual,
        Concatenate, Columns, Passing, Frozen, Rated, PReLU, Parametric, LeakyReLU, ELU, Lambda,
    )
}  # fmt: skip
PARTS: Mapping[str, type[Any]] = {c.__name__: c for c in (Constant, Uniform, Normal, TruncatedNormal, Orthogonal)}
DEEPEST = 100
"""Layers within layers: no network has so many."""


class _Own(Exception):
    """Something is a function or a class of the user's own."""


def to_config(layer: Any) -> dict[str, Any] | None:
    """Return a network as JSON data, or None where it holds a function or a class of the user's own."""
    try:
        if LAYERS.get(type(layer).__name__) is not type(layer):
            return None
        result: dict[str, Any] = _to_data(layer)
    except _Own:
        return None
    return result


def _to_data(value: Any) -> Any:
    """Layers and parts are told apart by their key, so are slices and mappings; a list is a list."""
    tables: tuple[tuple[str, Mapping[str, type[Any]]], ...] = (("layer", LAYERS), ("part", PARTS))
    for key, table in tables:
        if table.get(type(value).__name__) is type(value):
            names = [field.name for field in fields(value)]
            return {key: type(value).__name__, **{name: _to_data(getattr(value, name)) for name in names}}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, slice):
        return {"slice": [_to_data(v) for v in (value.start, value.stop, value.step)]}
    if isinstance(value, Mapping):
        return {"names": {str(k): _to_data(v) for k, v in value.items()}}
    if isinstance(value, list | tuple):
        return [_to_data(v) for v in value]
    raise _Own


def from_config(config: Any) -> Layer:
    """Build a network from JSON data; raise ModelFileError for anything that is not one."""
    return _layer(config, 0)


def _layer(config: Any, depth: int) -> Layer:
    if not isinstance(config, dict) or not isinstance(config.get("layer"), str) or config["layer"] not in LAYERS:
        raise ModelFileError(f"the model holds a layer that this chainrule does not have: {config!r:.80}")
    made: Layer = _make("layer", LAYERS[config["layer"]], config, depth)
    return made


def _make(what: str, kind: Any, config: dict[str, Any], depth: int) -> Any:
    if depth > DEEPEST:
        raise ModelFileError(f"the model holds layers within layers, more than {DEEPEST} deep")
    arguments = {k: v for k, v in config.items() if k != what}
    known = {field.name for field in fields(kind)}
    added: dict[str, Any] = {"tie": {"names": {}}} if kind is Sequential else {}  # files of version 0.1 have none
    arguments = {**{k: v for k, v in added.items() if k not in arguments}, **arguments}
    if set(arguments) != known:
        raise ModelFileError(f"the model's {what} {kind.__name__} has other fields than this chainrule's")
    try:
        layers = arguments.pop("layers", None)
        if layers is not None and not isinstance(layers, list):
            raise TraceError("its layers are not a list")
        inner = None if layers is None else [_layer(layer, depth + 1) for layer in layers]
        given = {k: _from_data(v, depth + 1) for k, v in arguments.items()}
        return kind(**given) if inner is None else kind(*inner, **given)
    except (TraceError, TypeError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"the model's {what} {kind.__name__} cannot be built: {error}") from None


def _from_data(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        if "layer" in value:
            return _layer(value, depth)
        if "part" in value:
            if not isinstance(value["part"], str) or value["part"] not in PARTS:
                raise ModelFileError(f"the model holds a part that this chainrule does not have: {value!r:.80}")
            return _make("part", PARTS[value["part"]], value, depth)
        if set(value) == {"slice"} and isinstance(value["slice"], list) and len(value["slice"]) == 3:
            parts = value["slice"]
            if all(p is None or (isinstance(p, int) and not isinstance(p, bool)) for p in parts):
                return slice(*parts)
        if set(value) == {"names"} and isinstance(value["names"], dict):
            return value["names"]
        raise ModelFileError(f"the model's network holds what is no part of one: {value!r:.80}")
    if isinstance(value, list):
        return [_from_data(v, depth + 1) for v in value]
    return value
