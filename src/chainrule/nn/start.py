"""A start that is fitted to data: weights scaled until net inputs have deviation 1, biases where the data is."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError
from chainrule.nn.layer import Layer, as_input

Array = np.ndarray[Any, Any]
ROUNDING = 16.0
"""So many units in the last place of a layer's largest net input may be rounding: no unit is scaled up by them."""
SAMPLED = 5
"""So many net inputs are mixed into each bias."""


def initialize_from_data(network: Layer, x: Any, seed: int = 0, biases: bool = True) -> dict[str, Array]:
    """Return first parameters for which every net input of a dense layer has standard deviation 1 on the rows x.

    Layer by layer: the weights start as the layer says, and each unit's are divided by the standard deviation of its
    net input x W over the rows. Then its bias is minus a random convex mixture of 5 of these net inputs, so that its
    kink (of a relu, say) lies where rows are. A unit whose net input is constant is left as it is. For RealMLP:
    Holzmüller, Grinsztajn, Steinwart, arXiv 2407.04491.

    Args:
        network: a network of layers.
        x: rows of the training data; a thousand are enough.
        seed: of the first weights and of the mixtures.
        biases: whether biases are set, too; else they start as the layer says.

    >>> import numpy as np, chainrule as cr
    >>> x = np.random.default_rng(0).normal(size=(100, 3)) * [1.0, 10.0, 100.0]
    >>> network = cr.nn.Sequential(cr.nn.Dense(4, activation="relu"), cr.nn.Dense(1))
    >>> parameters = cr.nn.initialize_from_data(network, x)
    >>> network.activations(parameters, x)["hidden1.net"].std(axis=0).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    rows = as_input(x)
    if rows.ndim != 2 or len(rows) < 2 or not np.all(np.isfinite(rows)):
        raise TraceError(f"initialize_from_data takes at least two rows of finite numbers; x has shape {rows.shape}")
    parameters, state = network.initialize(rows, seed), network.initial_state(rows)
    base = ops.fold(ops.key(seed), ops.stream("initialize from data"))
    done: set[str] = set()
    while True:
        values = network.activations(parameters, rows, state=state)
        nets = (name for name in values if name.rpartition(".")[2] == "net")
        layers = (name.removesuffix("net") for name in nets)
        layer = next((n for n in layers if n not in done and f"{n}weight" in parameters), None)
        if layer is None:
            return parameters
        done.add(layer)
        weight, bias = f"{layer}weight", f"{layer}bias"
        net = values[f"{layer}net"] - parameters.get(bias, 0)
        deviation = (net - net[:1]).std(axis=0)  # of equal numbers exactly 0, whatever their size
        rounding = ROUNDING * np.finfo(net.dtype).eps * np.max(np.abs(net))
        moves = deviation > rounding
        scale = np.where(moves, deviation, 1).astype(net.dtype)
        parameters[weight] = parameters[weight] / scale
        if biases and bias in parameters:
            # Less its own mixture a constant would be nothing but rounding, which the next layer would take for data.
            mixed = -_mixtures(net / scale, ops.fold(base, ops.stream(layer)))
            parameters[bias] = np.where(moves, mixed, parameters[bias])


def _mixtures(net: Array, key: Any) -> Array:
    """Return a random convex mixture of some net inputs of each unit: shares are exponential numbers over their sum."""
    rows, units = net.shape
    chance = np.asarray(ops.uniform(key, (SAMPLED, units), "f64"))
    place = np.minimum((chance * rows).astype(np.int64), rows - 1)
    share = -np.log1p(-np.asarray(ops.uniform(ops.fold(key, np.uint32(1)), (SAMPLED, units), "f64")))
    share = share / np.maximum(share.sum(axis=0), 1e-300)
    return np.asarray((np.take_along_axis(net, place, axis=0) * share).sum(axis=0), net.dtype)
