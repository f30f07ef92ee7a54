"""chainrule: learning with neural networks, on one graph that is run, differentiated, compiled and explained.

Everything public is here, loaded when it is first used: ``import chainrule as cr`` costs no more than NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "grad": "calculus",
    "value_and_grad": "calculus",
    "vjp": "calculus",
    "jvp": "calculus",
    "jacobian": "calculus",
    "hessian": "calculus",
    "check_grad": "calculus",
    "make_graph": "ops",
    "graph_from_json": "ops",
    "scan": "ops",
    "iterate": "ops",
    "key": "ops",
    "Objective": "learn",
    "fit": "learn",
    "load": "files",
    "Model": "files",
    "save": "files",
    "ChainruleError": "errors",
}
_ROOMS = ("calculus", "errors", "execute", "files", "graph", "learn", "nn", "ops", "table", "workflow")

__all__ = ["__version__", *_PUBLIC, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(f"chainrule.{_PUBLIC[name]}"), name)
    elif name in _ROOMS:
        value = import_module(f"chainrule.{name}")
    else:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from chainrule import calculus, errors, execute, files, graph, learn, nn, ops, table, workflow
    from chainrule.calculus import check_grad, grad, hessian, jacobian, jvp, value_and_grad, vjp
    from chainrule.errors import ChainruleError
    from chainrule.files import Model, load, save
    from chainrule.learn import Objective, fit
    from chainrule.ops import graph_from_json, iterate, key, make_graph, scan
