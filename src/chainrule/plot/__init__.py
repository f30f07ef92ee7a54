"""Pictures, by matplotlib (``pip install 'chainrule[plot]'``). Each returns a Figure, and changes nothing else."""

from chainrule.plot.curves import check, gradients, history, sweep
from chainrule.plot.landscape import landscape
from chainrule.plot.learning import learning_curve
from chainrule.plot.network import graph, jacobian
from chainrule.plot.regularization import path

__all__ = [
    "check", "gradients", "graph", "history", "jacobian", "landscape", "learning_curve", "path", "sweep",
]  # fmt: skip
