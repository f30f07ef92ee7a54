"""The vocabulary of networks: layers, activations, initializers, losses; functions that build graphs, nothing else."""

from chainrule.nn import activations, initializers, losses
from chainrule.nn.activations import ACTIVATIONS, choose, get_activation, identity, relu, sigmoid, softmax, tanh
from chainrule.nn.config import LAYERS, from_config, to_config
from chainrule.nn.containers import Concatenate, Residual, Sequential
from chainrule.nn.dense import Dense, Scale
from chainrule.nn.dropout import Dropout
from chainrule.nn.embedding import Embedding
from chainrule.nn.features import Periodic, PiecewiseLinear
from chainrule.nn.function import FunctionNetwork, as_network
from chainrule.nn.initializers import INITIALIZERS, Constant, Normal, Orthogonal, TruncatedNormal, Uniform
from chainrule.nn.layer import Declaration, Layer, Parameter, as_input, as_target, input_type
from chainrule.nn.learned import ELU, Lambda, LeakyReLU, Parametric, PReLU
from chainrule.nn.losses import (
    LOSSES,
    Loss,
    binary_cross_entropy,
    get_loss,
    half_squared_error,
    loss_from,
    loss_numbers,
    softmax_cross_entropy,
    squared_error,
)  # fmt: skip
from chainrule.nn.normalization import BatchNorm, LayerNorm
from chainrule.nn.scope import Scope
from chainrule.nn.start import initialize_from_data
from chainrule.nn.torch_weights import from_torch, to_torch
from chainrule.nn.wrappers import Columns, Frozen, Rated

__all__ = [
    "ACTIVATIONS", "ELU", "INITIALIZERS", "LAYERS", "LOSSES", "BatchNorm", "Columns", "Concatenate", "Constant",
    "Declaration", "Dense", "Dropout", "Embedding", "Frozen", "FunctionNetwork", "Lambda", "Layer", "LayerNorm",
    "LeakyReLU", "Loss", "Normal", "Orthogonal", "PReLU", "Parameter", "Parametric", "Periodic", "PiecewiseLinear",
    "Rated", "Residual", "Scale", "Scope", "Sequential", "TruncatedNormal", "Uniform", "activations", "as_input",
    "as_network", "as_target", "binary_cross_entropy", "choose", "from_config", "from_torch", "get_activation",
    "get_loss", "half_squared_error", "identity", "initialize_from_data", "initializers", "input_type", "loss_from",
    "loss_numbers", "losses", "relu", "sigmoid", "softmax", "softmax_cross_entropy", "squared_error", "tanh",
    "to_config", "to_torch",
]  # fmt: skip
