"""PyTorch weights in and out: the ``state_dict`` of a matching ``torch.nn.Sequential``, as arrays by name.

===================  ======================================  ========================================================
layer                PyTorch module                          what differs
===================  ======================================  ========================================================
Dense                Linear (and a module of the activation) its weight is [out, in]: transposed
BatchNorm            BatchNorm1d                             weight, bias → gain, shift; its running values → state
LayerNorm            LayerNorm                               weight, bias → gain, shift
Embedding            Embedding                               one table: several columns read the same
PReLU                PReLU                                   one slope for all units becomes one for each
Dropout, Lambda      a module without parameters             only a number is left out
===================  ======================================  ========================================================

PyTorch is not imported, unless tensors are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import TraceError, TypeMismatch
from chainrule.nn.containers import Sequential
from chainrule.nn.dense import Dense
from chainrule.nn.embedding import Embedding
from chainrule.nn.layer import Layer, input_type
from chainrule.nn.learned import PReLU
from chainrule.nn.normalization import BatchNorm, LayerNorm
from chainrule.nn.tying import follow
from chainrule.nn.wrappers import Columns, Wrapper

Array = np.ndarray[Any, Any]

PARTS: Mapping[type[Layer], Mapping[str, str]] = {
    Dense: {"weight": "weight", "bias": "bias"},
    BatchNorm: {"gain": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"},
    LayerNorm: {"gain": "weight", "shift": "bias"},
    Embedding: {"weight": "weight"},
    PReLU: {"slope": "weight"},
}
"""What each layer's parameters and state are called in PyTorch."""
IGNORED = ("num_batches_tracked",)


@dataclass(frozen=True)
class _Module:
    """A layer that has a PyTorch module with parameters: its path here, and the module's number among all."""

    path: str
    layer: Layer
    number: str
    names: Mapping[str, str]

    def places(self) -> Iterator[tuple[str, str, bool]]:
        """Give (our full name, the module's name, whether it is transposed) of all that it holds."""
        for ours, theirs in self.names.items():
            yield (
                f"{self.path}.{ours}" if self.path else ours,
                theirs,
                isinstance(self.layer, Dense) and ours == "weight",
            )


def from_torch(
    state_dict: Mapping[str, Any], network: Layer, x: Any, *, names: Mapping[str, str] | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return (parameters, state) of a network from a PyTorch ``state_dict``, or a dict of arrays with its names.

    Modules and layers are matched in order; modules without parameters (Dropout, ReLU) only leave gaps in the numbers.
    ``names`` matches by name instead: ``{"hidden1": "fc1", "output": "head"}``, for all layers that have parameters.

    Args:
        state_dict: tensors or arrays; tensors of any device and float type are converted.
        network: a ``Sequential`` with the same layers, or a single layer.
        x: an input of the network, for its shapes: an array of rows, or a type.
        names: what each layer is called in the ``state_dict``.

    The running variance of PyTorch's BatchNorm is that of samples, n/(n − 1) times ours; it is taken as it is, since
    both estimate the same variance, and predictions are then the same. Momentum means the same in both.

    Raises:
        TraceError: where layers and modules do not match; it names the layer and both shapes.

    >>> import numpy as np, chainrule as cr
    >>> network = cr.nn.Sequential(cr.nn.Dense(2, activation="relu"), cr.nn.Dense(1))
    >>> state_dict = {
    ...     "0.weight": np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), "0.bias": np.zeros(2),
    ...     "2.weight": np.array([[1.0, -1.0]]), "2.bias": np.array([0.5]),
    ... }
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> parameters, state = cr.nn.from_torch(state_dict, network, x)
    >>> parameters["hidden1.weight"].shape, network(parameters, x).tolist()
    ((3, 2), [[5.5]])
    """
    declared = network.declare(input_type(x))
    arrays = {k: _as_array(v, k) for k, v in state_dict.items() if k.rpartition(".")[2] not in IGNORED}
    modules = list(_modules(network, "", declared.parameters))
    prefixes = _matched(modules, arrays, names)
    wanted = {k: p.shape for k, p in declared.parameters.items()} | {k: np.shape(v) for k, v in declared.state.items()}
    dtype = np.float32 if input_type(x).dtype == "f32" else np.float64
    found: dict[str, Array] = {}
    used: set[str] = set()
    for module, prefix in zip(modules, prefixes, strict=True):
        for ours, theirs, turned in module.places():
            key = f"{prefix}.{theirs}" if prefix else theirs
            source, again = _source(network, ours)
            if key not in arrays:
                raise TraceError(
                    f"the layer {module.path!r} needs {key!r}, which the state_dict lacks: {_listed(arrays)}"
                )
            used.add(key)
            value = arrays[key].T if turned else arrays[key]
            value = value.T if again else value
            if isinstance(module.layer, PReLU) and value.shape == (1,):
                value = np.full(wanted[source], value[0])
            if value.shape != wanted[source]:
                raise TypeMismatch(
                    f"the layer {module.path!r}: {ours!r} has the shape {wanted[source]}, and {key!r} of the "
                    f"state_dict {arrays[key].shape}{' (PyTorch keeps weights as [out, in])' if turned else ''}"
                )
            value = np.array(value, dtype)
            if source in found and not np.array_equal(found[source], value):
                raise TraceError(f"{ours!r} is tied to {source!r}, and the state_dict has other numbers for {key!r}")
            found[source] = value
    left = [k for k in arrays if k not in used]
    if left:
        raise TraceError(
            f"the state_dict has {left[0]!r}, of shape {arrays[left[0]].shape}, for which there is no layer"
        )
    missing = [k for k in wanted if k not in found]
    if missing:
        raise TraceError(f"the network's {missing[0]!r} has no counterpart in PyTorch; give it by hand")
    return {k: found[k] for k in declared.parameters}, {k: found[k] for k in declared.state}


def to_torch(
    network: Layer,
    parameters: Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    tensors: bool = False,
) -> dict[str, Any]:
    """Return the ``state_dict`` of the PyTorch ``Sequential`` that matches a network: arrays, or ``tensors``.

    Modules are counted from 0 as PyTorch does for ``Sequential(Linear, ReLU, Dropout, Linear)``: a Dense layer is one,
    and its activation another where it has one; a block within a block is ``"1.0.weight"``. ``names`` calls them
    otherwise, as in ``from_torch``. ``num_batches_tracked`` of BatchNorm1d is 0: it matters where momentum is None.

    >>> import numpy as np, chainrule as cr
    >>> network = cr.nn.Sequential(cr.nn.Dense(2, activation="relu"), cr.nn.Dropout(), cr.nn.Dense(1))
    >>> weights = cr.nn.to_torch(network, network.initialize(np.ones((1, 3))))
    >>> {name: value.shape for name, value in weights.items()}
    {'0.weight': (2, 3), '0.bias': (2,), '3.weight': (1, 2), '3.bias': (1,)}
    """
    given = {**parameters, **(state or {})}
    result: dict[str, Any] = {}
    modules = list(_modules(network, "", parameters))
    _check_names(modules, names)
    for module in modules:
        prefix = module.number if names is None else names[module.path]
        for ours, theirs, turned in module.places():
            source, again = _source(network, ours)
            if source not in given:
                what = "state=run.state" if theirs.startswith("running") else "its parameters"
                raise TraceError(f"the layer {module.path!r} needs {source!r}, which was not given; give {what}")
            value = np.asarray(given[source])
            value = value.T if turned != again else value
            result[f"{prefix}.{theirs}" if prefix else theirs] = np.array(value, order="C")
        if isinstance(module.layer, BatchNorm):
            result[f"{prefix}.{IGNORED[0]}" if prefix else IGNORED[0]] = np.array(0)
    if not tensors:
        return result
    import torch

    return {name: torch.from_numpy(value) for name, value in result.items()}


def _modules(layer: Layer, path: str, parameters: Mapping[str, Any], number: str = "") -> Iterator[_Module]:
    """Give the layers that have modules with parameters, in order, with the number of each."""
    wrapper = layer
    while isinstance(wrapper, Wrapper):
        if isinstance(wrapper, Columns):
            raise TraceError(f"the layer {path!r}, {wrapper}, has no counterpart in torch.nn.Sequential")
        wrapper = wrapper.inner
    bare = layer.bare()
    if isinstance(bare, Sequential):
        count = 0
        for name, inner in bare._named():
            at = f"{number}.{count}" if number else str(count)
            yield from _modules(inner, f"{path}.{name}" if path else name, parameters, at)
            count += 1 + _has_activation(inner.bare())
        return
    if isinstance(bare, Embedding) and isinstance(bare.categories, tuple) and len(bare.categories) > 1:
        raise TraceError(f"the layer {path!r} has a table for each column, which no module of PyTorch has")
    if type(bare) in PARTS:
        wanted = dict(PARTS[type(bare)])
        if isinstance(bare, Dense) and not bare.bias:
            del wanted["bias"]
        yield _Module(path, bare, number, wanted)
        if isinstance(bare, Dense) and isinstance(bare.activation, Layer):
            head, _, last = number.rpartition(".")
            after = str(int(last) + 1) if last else ""
            within = f"{path}.activation" if path else "activation"
            yield from _modules(bare.activation, within, parameters, f"{head}.{after}" if head else after)
        return
    if bare.children() or any(k.startswith(f"{path}.") or not path for k in parameters):
        raise TraceError(
            f"the layer {path or type(bare).__name__!r}, {bare}, has no counterpart in torch.nn.Sequential"
        )


def _has_activation(layer: Layer) -> bool:
    return isinstance(layer, Dense) and layer.activation != "identity"


def _source(network: Layer, name: str) -> tuple[str, bool]:
    """Return the parameter that is used under a name, through the ties of all blocks around it."""
    turned = False
    blocks: list[tuple[str, Sequential]] = []
    layer, path, rest = network.bare(), "", name
    while isinstance(layer, Sequential):
        blocks.append((path, layer))
        inner = next(((n, child) for n, child in layer.children().items() if rest.startswith(f"{n}.")), None)
        if inner is None:
            break
        path, rest, layer = f"{path}{inner[0]}.", rest.removeprefix(f"{inner[0]}."), inner[1]
    for start, block in reversed(blocks):
        found, transposed = follow(block.tie, name.removeprefix(start))
        name, turned = start + found, turned != transposed
    return name, turned


def _matched(modules: list[_Module], arrays: Mapping[str, Array], names: Mapping[str, str] | None) -> list[str]:
    """Return the prefix of the module that belongs to each layer."""
    _check_names(modules, names)
    if names is not None:
        return [names[module.path] for module in modules]
    prefixes = list(dict.fromkeys(key.rpartition(".")[0] for key in arrays))
    if all(part.isdecimal() for prefix in prefixes for part in prefix.split(".")):
        prefixes.sort(key=lambda prefix: [int(part) for part in prefix.split(".")])
    if len(prefixes) != len(modules):
        layers = ", ".join(f"{m.path} ({type(m.layer).__name__})" for m in modules) or "none"
        raise TraceError(
            f"the network has {len(modules)} layers with parameters: {layers}; the state_dict has {len(prefixes)} "
            f"modules: {_listed(arrays)}"
        )
    return prefixes


def _check_names(modules: list[_Module], names: Mapping[str, str] | None) -> None:
    paths = [module.path for module in modules]
    if names is not None and set(names) != set(paths):
        raise TraceError(f"names must have one entry for each layer with parameters: {', '.join(paths)}")


def _listed(arrays: Mapping[str, Array]) -> str:
    return ", ".join(f"{k} {v.shape}" for k, v in arrays.items()) or "nothing"


def _as_array(value: Any, name: str) -> Array:
    """Return a tensor or an array as an array; PyTorch need not be here to be read."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TraceError(f"the state_dict holds {array.dtype} under {name!r}, not numbers")
    return array
