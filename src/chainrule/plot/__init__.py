"""Pictures, by matplotlib (``pip install 'chainrule[plot]'``). Each returns a Figure, and changes nothing else."""

from chainrule.plot.curves import check, gradients, history, sweep
from chainrule.plot.learning import learning_curve
from chainrule.plot.network import graph, jacobian

__all__ = ["check", "gradients", "graph", "history", "jacobian", "learning_curve", "sweep"]
