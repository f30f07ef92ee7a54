"""Derivatives of plain Python functions, by the chain rule on a graph."""

import numpy as np

import chainrule as cr

# d/dx sin(x²/2) = x · cos(x²/2)
f = lambda x: np.sin(0.5 * x**2)  # noqa: E731
print("f'(1.3)   =", cr.grad(f)(1.3), "  by hand:", 1.3 * np.cos(1.3**2 / 2))
print("f'''(1.3) =", cr.grad(cr.grad(cr.grad(f)))(1.3))

# A function from three numbers to two has a Jacobian of two rows and three columns: rows are outputs.
g = lambda x: np.stack([x[0] * x[1], np.exp(x[2])])  # noqa: E731
x = np.array([2.0, 3.0, 0.0])
jacobian = cr.jacobian(g)(x)
print("Jacobian\n", jacobian)

# The chain rule: dz/dx = Jᵀ dz/dy, for z = y₁² + y₂
y, pullback = cr.vjp(g, x)
dz_dy = np.array([2 * y[0], 1.0])
print("Jᵀ dz/dy =", jacobian.T @ dz_dy, "  pulled back:", pullback(dz_dy))

# Derivatives nest without being confused: d/dx of x · (d/dy of (x + y) at y = x) is 1.
print("nested    =", cr.grad(lambda x: x * cr.grad(lambda y: x + y)(x))(2.0))

# Through a loop: a hidden state fed back to itself, and the gradient by its weight.
inputs = np.array([0.5, -0.2, 0.1])
state = lambda w: cr.scan(lambda h, v: (np.tanh(w * h + v), h), 0.0, inputs)[0]  # noqa: E731
print(cr.check_grad(state, np.array(0.7)))

# The graph behind it, one operation a line.
print(cr.make_graph(cr.grad(f), 1.3))
