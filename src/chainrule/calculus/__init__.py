"""The chain rule: derivatives as graphs of the same operations."""

from chainrule.calculus.check import GradientCheck, check_grad
from chainrule.calculus.functions import grad, hessian, jacobian, jvp, value_and_grad, vjp
from chainrule.calculus.reverse import backward

__all__ = ["GradientCheck", "backward", "check_grad", "grad", "hessian", "jacobian", "jvp", "value_and_grad", "vjp"]
