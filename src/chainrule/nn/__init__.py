"""The vocabulary of networks: layers, activations, initializers, losses; functions that build graphs, nothing else."""

from chainrule.nn.activations import ACTIVATIONS, choose, get_activation, identity, relu, sigmoid, softmax, tanh
from chainrule.nn.config import from_config, to_config
from chainrule.nn.function import FunctionNetwork, as_network
from chainrule.nn.initializers import INITIALIZERS
from chainrule.nn.layer import Declaration, Layer, Parameter, as_input, as_target, input_type
from chainrule.nn.layers import BatchNorm, Dense, Dropout, Sequential
from chainrule.nn.losses import (
    LOSSES,
    Loss,
    binary_cross_entropy,
    get_loss,
    half_squared_error,
    softmax_cross_entropy,
    squared_error,
)  # fmt: skip
from chainrule.nn.scope import Scope

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "LOSSES",
    "BatchNorm",
    "Declaration",
    "Dense",
    "Dropout",
    "FunctionNetwork",
    "Layer",
    "Loss",
    "Parameter",
    "Scope",
    "Sequential",
    "as_input",
    "as_network",
    "as_target",
    "binary_cross_entropy",
    "choose",
    "from_config",
    "get_activation",
    "get_loss",
    "half_squared_error",
    "identity",
    "input_type",
    "relu",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
    "tanh",
    "to_config",
]  # fmt: skip
