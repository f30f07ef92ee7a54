"""A network as plain data and back: only layers from the table below, never a name to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from chainrule.errors import ModelFileError, TraceError
from chainrule.nn.layer import Layer
from chainrule.nn.layers import BatchNorm, Dense, Dropout, Sequential

LAYERS: Mapping[str, type[Layer]] = {c.__name__: c for c in (Dense, Dropout, BatchNorm, Sequential)}


def to_config(layer: Any) -> dict[str, Any] | None:
    """Return a network as JSON data, or None where it holds a function or a class of the user's own."""
    if LAYERS.get(type(layer).__name__) is not type(layer):
        return None
    result: dict[str, Any] = {"layer": type(layer).__name__}
    for field in fields(layer):  # type: ignore[arg-type]  # every class in LAYERS is a dataclass
        value = getattr(layer, field.name)
        if field.name == "layers":
            value = [to_config(inner) for inner in value]
            if None in value:
                return None
        elif callable(value):
            return None
        result[field.name] = value.item() if isinstance(value, np.generic) else value
    return result


def from_config(config: Any) -> Layer:
    """Build a network from JSON data; raise ModelFileError for anything that is not one."""
    if not isinstance(config, dict) or not isinstance(config.get("layer"), str) or config["layer"] not in LAYERS:
        raise ModelFileError(f"the model holds a layer that this chainrule does not have: {config!r:.80}")
    kind = LAYERS[config["layer"]]
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # every class in LAYERS is a dataclass
    arguments = {k: v for k, v in config.items() if k != "layer"}
    if set(arguments) != known:
        raise ModelFileError(f"the model's layer {config['layer']} has other fields than this chainrule's")
    try:
        if kind is Sequential:
            return Sequential(*(from_config(inner) for inner in arguments["layers"]), name=arguments["name"])
        return kind(**arguments)
    except (TraceError, TypeError) as error:
        raise ModelFileError(f"the model's layer {config['layer']} cannot be built: {error}") from None
