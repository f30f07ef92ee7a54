"""chainrule: learning with neural networks, on one graph that is run, differentiated, compiled and explained.

Everything public is here, loaded when it is first used: ``import chainrule as cr`` costs no more than NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOM_OF = {
    "calculus": ("check_grad", "grad", "hessian", "jacobian", "jvp", "value_and_grad", "vjp"),
    "constrain": ("optimality",),
    "errors": ("ChainruleError",),
    "estimators": ("NetworkClassifier", "NetworkClassifierCV", "NetworkRegressor", "NetworkRegressorCV"),
    "execute": ("compile",),
    "explanation": ("diagnose", "explain"),
    "files": ("Model", "load", "save"),
    "learn": ("Objective", "fit"),
    "ops": ("graph_from_json", "iterate", "key", "make_graph", "scan"),
}
_ROOMS = (
    "calculus", "constrain", "errors", "estimators", "execute", "explanation", "files", "graph", "learn", "nn", "ops",
    "plot", "table", "workflow",
)  # fmt: skip
_PUBLIC = {name: room for room, names in _ROOM_OF.items() for name in names}

if TYPE_CHECKING:
    from chainrule import (
        calculus,
        constrain,
        errors,
        estimators,
        execute,
        explanation,
        files,
        graph,
        learn,
        nn,
        ops,
        plot,
        table,
        workflow,
    )
    from chainrule.calculus import check_grad, grad, hessian, jacobian, jvp, value_and_grad, vjp
    from chainrule.constrain import optimality
    from chainrule.errors import ChainruleError
    from chainrule.estimators import NetworkClassifier, NetworkClassifierCV, NetworkRegressor, NetworkRegressorCV
    from chainrule.execute import compile
    from chainrule.explanation import diagnose, explain
    from chainrule.files import Model, load, save
    from chainrule.learn import Objective, fit
    from chainrule.ops import graph_from_json, iterate, key, make_graph, scan

__all__ = [
    "ChainruleError",
    "Model",
    "NetworkClassifier",
    "NetworkClassifierCV",
    "NetworkRegressor",
    "NetworkRegressorCV",
    "Objective",
    "__version__",
    "calculus",
    "check_grad",
    "compile",
    "constrain",
    "diagnose",
    "errors",
    "estimators",
    "execute",
    "explain",
    "explanation",
    "files",
    "fit",
    "grad",
    "graph",
    "graph_from_json",
    "hessian",
    "iterate",
    "jacobian",
    "jvp",
    "key",
    "learn",
    "load",
    "make_graph",
    "nn",
    "ops",
    "optimality",
    "plot",
    "save",
    "scan",
    "table",
    "value_and_grad",
    "vjp",
    "workflow",
]


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
