"""The chain rule, on plain functions: what the lecture states, and what nesting must not confuse."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import NotDifferentiable, TraceError, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import Type, check_graph, n, simplify

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import autograd
    import autograd.numpy as anp

POINTS = [-2.3, -1.0, 0.0, 0.4, 1.3, 3.0]


def lecture(x):
    """3 → 2: y₁ = x₁·x₂ + sin x₃, y₂ = x₁²·exp(x₂/2) − x₃."""
    return np.stack([x[0] * x[1] + np.sin(x[2]), x[0] ** 2 * np.exp(0.5 * x[1]) - x[2]])


def lecture_jacobian(x):
    return np.array(
        [
            [x[1], x[0], np.cos(x[2])],
            [2 * x[0] * np.exp(0.5 * x[1]), 0.5 * x[0] ** 2 * np.exp(0.5 * x[1]), -1.0],
        ]
    )


X3 = np.array([1.2, -0.7, 0.4])


@pytest.mark.parametrize("x", POINTS)
def test_the_first_example(x):
    """d/dx sin(x²/2) = x·cos(x²/2)."""
    f = lambda x: np.sin(0.5 * x**2)  # noqa: E731
    value, slope = cr.value_and_grad(f)(x)
    assert value == np.sin(0.5 * x**2)
    np.testing.assert_allclose(slope, x * np.cos(x**2 / 2), rtol=2e-16, atol=0)
    np.testing.assert_allclose(
        cr.grad(cr.grad(f))(x), np.cos(x**2 / 2) - x**2 * np.sin(x**2 / 2), rtol=1e-14, atol=1e-15
    )
    third = -3 * x * np.sin(x**2 / 2) - x**3 * np.cos(x**2 / 2)
    np.testing.assert_allclose(cr.grad(cr.grad(cr.grad(f)))(x), third, rtol=1e-13, atol=1e-15)


def test_third_and_fourth_derivatives_of_powers_and_exp():
    f = lambda x: x**5  # noqa: E731
    for order, expected in enumerate([2.0**5, 5 * 2.0**4, 20 * 2.0**3, 60 * 2.0**2, 120 * 2.0, 120.0, 0.0]):
        g = f
        for _ in range(order):
            g = cr.grad(g)
        np.testing.assert_allclose(float(g(np.float64(2.0))), expected, rtol=1e-14)
    g = np.exp
    for _ in range(4):
        g = cr.grad(g)
    assert g(0.7) == np.exp(0.7)


def test_the_jacobian_of_a_function_from_three_to_two():
    jacobian = cr.jacobian(lecture)(X3)
    assert jacobian.shape == (2, 3)
    np.testing.assert_allclose(jacobian, lecture_jacobian(X3), rtol=1e-15)


def test_the_chain_rule_is_a_product_with_the_transposed_jacobian():
    """dz/dx = Jᵀ dz/dy."""
    z = lambda y: y[0] ** 2 + 3.0 * y[0] * y[1]  # noqa: E731
    dz_dy = cr.grad(z)(lecture(X3))
    dz_dx = cr.grad(lambda x: z(lecture(x)))(X3)
    np.testing.assert_allclose(dz_dx, cr.jacobian(lecture)(X3).T @ dz_dy, rtol=1e-14)
    value, pullback = cr.vjp(lecture, X3)
    np.testing.assert_array_equal(value, lecture(X3))
    np.testing.assert_allclose(pullback(dz_dy), dz_dx, rtol=1e-14)


def test_jacobians_have_the_axes_of_the_output_and_then_of_the_argument():
    x = np.random.default_rng(0).normal(size=(2, 3))
    f = lambda x: np.sin(x).T @ np.array([1.0, 2.0])  # noqa: E731
    jacobian = cr.jacobian(f)(x)
    assert jacobian.shape == (3, 2, 3)
    expected = np.zeros((3, 2, 3))
    for column in range(3):
        expected[column, :, column] = np.cos(x[:, column]) * [1, 2]
    np.testing.assert_allclose(jacobian, expected, rtol=1e-15)
    assert cr.jacobian(np.sin)(0.3) == np.cos(0.3)
    assert cr.jacobian(lambda x: x[:0])(np.ones(3)).shape == (0, 3)
    inner = cr.jacobian(lambda p: p["a"] * np.sum(p["b"]))({"a": np.ones(2), "b": np.full(3, 2.0)})
    np.testing.assert_array_equal(inner["a"], 6 * np.eye(2))
    np.testing.assert_array_equal(inner["b"], np.ones((2, 3)))


# --- nesting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", POINTS)
def test_perturbations_are_not_confused(x):
    """d/dx (x · d/dy (x + y)) = 1: the inner derivative is by y alone."""
    assert cr.grad(lambda x: x * cr.grad(lambda y: x + y)(x))(x) == 1.0
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y)(2.0))(x) == 2 * x
    assert cr.grad(lambda x: x * cr.grad(lambda y: y * y * x)(x))(x) == pytest.approx(6 * x**2, rel=1e-15, abs=0)
    assert cr.jvp(lambda x: x * cr.jvp(lambda y: x + y, (x,), (1.0,))[1], (x,), (1.0,))[1] == 1.0
    assert cr.grad(lambda x: x * cr.jvp(lambda y: x + y, (x,), (1.0,))[1])(x) == 1.0
    assert cr.jvp(lambda x: x * cr.grad(lambda y: x + y)(x), (x,), (1.0,))[1] == 1.0


def test_closures_over_traced_values_are_constants_to_the_inner_derivative():
    def f(x):
        captured = np.exp(x)
        inner = cr.grad(lambda y: captured * y**2)
        return inner(3.0) * x  # 6·eˣ·x

    np.testing.assert_allclose(cr.grad(f)(0.5), 6 * np.exp(0.5) * 1.5, rtol=1e-15)
    np.testing.assert_allclose(cr.grad(cr.grad(f))(0.5), 6 * np.exp(0.5) * 2.5, rtol=1e-15)


def test_an_inner_derivative_that_only_reads_outer_values():
    assert cr.grad(lambda x: cr.grad(lambda y: x * x)(5.0) + x)(3.0) == 1.0
    assert cr.grad(lambda x: cr.grad(lambda y: y * 2)(5.0) * x)(3.0) == 2.0


def test_a_derivative_inside_a_graph_is_part_of_it():
    graph = cr.make_graph(lambda x: cr.grad(np.sin)(x) * x, 1.0)
    check_graph(graph)
    assert not graph.free
    assert "cos" in str(graph)
    assert REFERENCE.run(graph, [np.array(0.3)])[0] == np.cos(0.3) * 0.3


def test_a_gradient_of_n_rows_is_traced_once_for_all_numbers_of_rows():
    loss = lambda w, x: np.mean((x @ w) ** 2)  # noqa: E731
    graph = check_graph(cr.make_graph(cr.grad(loss), np.ones(2), Type("f64", (n, 2))))
    w = np.array([0.3, -0.5])
    for rows in (1, 3, 8):
        x = np.random.default_rng(rows).normal(size=(rows, 2))
        np.testing.assert_allclose(REFERENCE.run(graph, [w, x])[0], 2 * x.T @ (x @ w) / rows, rtol=1e-13)
        np.testing.assert_array_equal(REFERENCE.run(graph, [w, x])[0], cr.grad(loss)(w, x))


def test_a_leaked_traced_value_gives_a_clear_error():
    leaked: list[Any] = []

    def leaky(inner):
        leaked.append(inner)
        return inner * 2

    assert cr.grad(leaky)(1.0) == 2.0
    message = (
        "a traced value leaked out of its function: 'inner', an argument of the function at .* in leaky is read by"
    )
    graph = cr.make_graph(lambda y: y * leaked[0], 3.0)
    with pytest.raises(TraceError, match=message):
        REFERENCE.run(graph, [3.0])
    with pytest.raises(TraceError, match=message):
        cr.check_grad(lambda y: y * leaked[0], 3.0)
    with pytest.raises(TraceError, match=message):
        cr.grad(lambda y: y * leaked[0])(3.0)


# --- arguments -----------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: Any
    b: Any


def test_gradients_have_the_nesting_of_their_argument():
    def f(p):
        return np.sum(p["w"] ** 2) * p["rest"][0] + p["rest"][1][0] * p["pair"].b + 0 * p["pair"].a

    argument = {"w": np.array([1.0, 2.0]), "rest": [3.0, (4.0,)], "pair": Pair(5.0, 6.0)}
    gradient = cr.grad(f)(argument)
    assert list(gradient) == ["pair", "rest", "w"]
    np.testing.assert_array_equal(gradient["w"], [6, 12])
    assert gradient["rest"] == [5.0, (6.0,)]
    assert gradient["pair"] == Pair(0.0, 4.0)
    assert isinstance(gradient["pair"], Pair)
    assert cr.grad(lambda p: p[0] * 2.0 if p[1] is None else p[0])((3.0, None)) == (2.0, None)


def test_argnums():
    f = lambda x, y, z: x * y**2 + z["a"]  # noqa: E731
    arguments = (2.0, 3.0, {"a": 4.0})
    assert cr.grad(f)(*arguments) == 9.0
    assert cr.grad(f, 1)(*arguments) == 12.0
    assert cr.grad(f, argnums=2)(*arguments) == {"a": 1.0}
    assert cr.grad(f, (1, 0))(*arguments) == (12.0, 9.0)
    assert cr.grad(f, [2])(*arguments) == ({"a": 1.0},)
    value, slopes = cr.value_and_grad(f, (0, 1))(*arguments)
    assert (value, slopes) == (22.0, (9.0, 12.0))
    assert cr.jacobian(lambda x, y: x * y, 1)(np.ones(2), np.array([3.0, 4.0])).tolist() == [[1, 0], [0, 1]]
    for bad in (3, -1):
        with pytest.raises(TypeMismatch, match=rf"grad: argnums is {bad}, the function was given 3 arguments"):
            cr.grad(f, bad)(*arguments)


def test_python_integers_are_numbers_and_integer_arrays_are_not():
    assert cr.grad(lambda x: x**2)(3) == 6.0
    assert cr.grad(lambda p: p["a"] * p["b"])({"a": 3, "b": 2.0}) == {"a": 2.0, "b": 3.0}
    assert cr.hessian(lambda x: x**3)(2) == 12.0
    message = r"grad: argument 0 is i64\[2\]; a derivative needs floats: integers are constants.*x\.astype\(float\)"
    with pytest.raises(TypeMismatch, match=message):
        cr.grad(lambda x: np.sum(x * 1))(np.array([1, 2]))
    with pytest.raises(TypeMismatch, match=r"grad: argument 1\.w is bool\[\]"):
        cr.grad(lambda x, p: x, 1)(1.0, {"w": np.array(True)})
    with pytest.raises(TypeMismatch, match=r"jacobian: argument 0 is i64\[1\]"):
        cr.jacobian(lambda x: x)(np.array([1]))
    with pytest.raises(TypeMismatch, match=r"vjp: argument 0 is i64"):
        cr.vjp(lambda x: x, np.array([1]))
    # by another argument, integers are welcome
    assert cr.grad(lambda x, i: np.sum(x[i] ** 2))(np.ones(3), np.array([0, 0])).tolist() == [4, 0, 0]


def test_derivatives_have_the_dtype_of_their_argument():
    for dtype in (np.float32, np.float64):
        x = np.array([0.5, 1.5], dtype)
        assert cr.grad(lambda x: np.sum(np.exp(x) * 2))(x).dtype == dtype
        assert cr.jacobian(lambda x: x * 2)(x).dtype == dtype
        assert cr.hessian(lambda x: np.sum(x**3))(x).dtype == dtype
        assert cr.jvp(np.sin, (x,), (x,))[1].dtype == dtype
        assert cr.vjp(np.sin, x)[1](x).dtype == dtype
    assert cr.grad(lambda x: np.sum(x.astype("f64") ** 2))(np.float32(1.5)) == np.float32(3.0)
    assert cr.grad(lambda x: np.sum(x.astype("f64") ** 2))(np.float32(1.5)).dtype == np.float32


def test_results_are_fresh_and_writable():
    x = np.ones(3)
    gradient = cr.grad(np.sum)(x)
    gradient[0] = 5.0
    assert x.tolist() == [1, 1, 1]
    value, pullback = cr.vjp(lambda x: x, x)
    value[0] = 7.0
    assert x.tolist() == [1, 1, 1]
    pulled = pullback(x)
    pulled[0] = 7.0
    assert x.tolist() == [1, 1, 1]


def test_what_has_no_one_scalar_output_says_what_to_use():
    for function, gives in [(lambda x: x * 2, r"f64\[3\]"), (lambda x: np.sum(x, keepdims=True), r"f64\[1\]")]:
        with pytest.raises(
            TraceError, match=rf"one scalar output, this function returns {gives}; use cr\.jacobian, or make"
        ):
            cr.grad(function)(np.ones(3))
    with pytest.raises(TraceError, match=r"returns \(\*, \*\); use cr\.jacobian"):
        cr.grad(lambda x: (x, x))(1.0)
    with pytest.raises(TraceError, match=r"returns None; use cr\.jacobian"):
        cr.grad(lambda x: None)(1.0)
    with pytest.raises(TraceError, match=r"returns bool\[\]: integers have no derivative"):
        cr.grad(lambda x: x > 0)(1.0)
    with pytest.raises(TraceError, match=r"jacobian needs one output array, this function returns \{'a': \*\}"):
        cr.jacobian(lambda x: {"a": x})(1.0)
    with pytest.raises(TraceError, match=r"jacobian needs a float output, this function returns i64\[\]"):
        cr.jacobian(lambda x: x.astype("i64"))(1.0)
    with pytest.raises(TraceError, match=r"jacobian: the output is f64\[n\]; its number of elements is not known"):
        cr.make_graph(cr.jacobian(lambda x: x * 2), Type("f64", (n,)))


def test_where_nothing_is_connected_the_gradient_is_zero():
    assert cr.grad(lambda x: 3.0)(2.0) == 0.0
    gradient = cr.grad(lambda p: np.sum(p["a"]))({"a": np.ones(2), "b": np.ones((2, 3), np.float32)})
    assert gradient["b"].tobytes() == np.zeros((2, 3), np.float32).tobytes()
    assert cr.grad(lambda x: cr.ops.stop_gradient(x) * x)(3.0) == 3.0
    assert cr.grad(lambda x: np.floor(x))(1.5) == 0.0
    assert cr.grad(lambda x: x.astype("i64").astype("f64"))(1.5) == 0.0
    assert cr.jacobian(lambda x: np.ones(2))(np.ones(3)).tolist() == np.zeros((2, 3)).tolist()
    assert cr.hessian(lambda x: np.sum(3 * x))(np.ones(2)).tolist() == [[0, 0], [0, 0]]
    value, change = cr.jvp(lambda x: np.ones(2), (1.0,), (1.0,))
    assert (value.tolist(), change.tolist()) == ([1, 1], [0, 0])


def test_not_differentiable_operations_that_are_not_on_the_way_do_not_matter():
    masked = lambda x: np.sum(np.where((x > 0) & (x < 2), x * x, 0.0))  # noqa: E731
    np.testing.assert_array_equal(cr.grad(masked)(np.array([-1.0, 1.0, 3.0])), [0, 2, 0])
    with pytest.raises(NotDifferentiable):
        cr.grad(lambda x: cr.iterate(0.0, lambda s, a: s + a, lambda s, a: s > 3, 9, given=(x,))[0])(1.0)


def test_functions_keep_their_names():
    def energy(x):
        """The energy."""
        return x

    for derived in (cr.grad(energy), cr.value_and_grad(energy), cr.jacobian(energy)):
        assert derived.__name__ == "energy"
        assert derived.__doc__ == "The energy."


# --- vjp, jvp, hessian ---------------------------------------------------------------------------------------------


def smooth(p):
    hidden = np.tanh(p["w"] @ p["x"] + p["b"])
    return {"out": hidden * p["x"][:2], "norm": np.sqrt(1.0 + np.sum(hidden**2))}


RNG = np.random.default_rng(7)
P = {"w": RNG.normal(size=(2, 3)), "x": RNG.normal(size=3), "b": RNG.normal(size=2)}
V = {"w": RNG.normal(size=(2, 3)), "x": RNG.normal(size=3), "b": RNG.normal(size=2)}


def test_jvp_against_differences_and_vjp():
    value, change = cr.jvp(smooth, (P,), (V,))
    ahead = {k: P[k] + 1e-5 * V[k] for k in P}
    behind = {k: P[k] - 1e-5 * V[k] for k in P}
    np.testing.assert_array_equal(value["out"], smooth(P)["out"])
    g = {"out": np.array([0.3, -1.1]), "norm": np.array(0.7)}
    for name in ("out", "norm"):
        numeric = (smooth(ahead)[name] - smooth(behind)[name]) / 2e-5
        np.testing.assert_allclose(change[name], numeric, rtol=1e-8, atol=1e-9)
    _, pullback = cr.vjp(smooth, P)
    pulled = pullback(g)
    # ⟨g, J v⟩ = ⟨Jᵀ g, v⟩
    left = sum(np.sum(g[k] * change[k]) for k in g)
    right = sum(np.sum(pulled[k] * V[k]) for k in P)
    np.testing.assert_allclose(left, right, rtol=1e-13)


def test_jvp_and_vjp_are_linear():
    _, pullback = cr.vjp(lecture, X3)
    a, b = np.array([0.3, -2.0]), np.array([1.5, 0.25])
    np.testing.assert_allclose(pullback(2 * a + b), 2 * pullback(a) + pullback(b), rtol=1e-14)
    push = lambda v: cr.jvp(lecture, (X3,), (v,))[1]  # noqa: E731
    np.testing.assert_allclose(push(X3 * 3), 3 * push(X3), rtol=1e-14)
    np.testing.assert_allclose(np.stack([push(e) for e in np.eye(3)], axis=1), lecture_jacobian(X3), rtol=1e-14)
    assert pullback(np.zeros(2)).tolist() == [0, 0, 0]


def test_jvp_of_several_arguments_and_vjp_of_several():
    f = lambda x, y: x * np.sin(y)  # noqa: E731
    value, change = cr.jvp(f, (2.0, 0.5), (1.0, -1.0))
    np.testing.assert_allclose([value, change], [2 * np.sin(0.5), np.sin(0.5) - 2 * np.cos(0.5)], rtol=1e-15)
    _, pullback = cr.vjp(f, 2.0, 0.5)
    np.testing.assert_allclose(pullback(3.0), (3 * np.sin(0.5), 6 * np.cos(0.5)), rtol=1e-15)


def test_vjp_and_jvp_nest():
    second = cr.grad(lambda x: cr.vjp(np.sin, x)[1](1.0))
    np.testing.assert_allclose(second(0.3), -np.sin(0.3), rtol=1e-15)
    second = cr.jvp(lambda x: cr.jvp(np.sin, (x,), (1.0,))[1], (0.3,), (1.0,))[1]
    np.testing.assert_allclose(second, -np.sin(0.3), rtol=1e-15)
    np.testing.assert_allclose(cr.grad(lambda v: cr.jvp(np.sin, (0.3,), (v,))[1])(5.0), np.cos(0.3), rtol=1e-15)


def test_wrong_directions_and_cotangents():
    _, pullback = cr.vjp(lecture, X3)
    with pytest.raises(TypeMismatch, match=r"the pullback takes f64\[2\], it was given an array of shape \(3,\)"):
        pullback(np.ones(3))
    with pytest.raises(TypeMismatch, match=r"the pullback takes \*, .* it was given \(\*, \*\)"):
        pullback((1.0, 2.0))
    with pytest.raises(TypeMismatch, match=r"jvp takes f64\[3\], it was given an array of shape \(2,\)"):
        cr.jvp(lecture, (X3,), (np.ones(2),))
    with pytest.raises(TypeMismatch, match=r"the directions are .*, the arguments .*; they must match"):
        cr.jvp(lecture, (X3,), (X3, X3))
    with pytest.raises(TypeMismatch, match=r"jvp takes f64\[\], it was given f32\[\]"):
        cr.make_graph(lambda v: cr.jvp(np.sin, (1.0,), (v,))[1], np.float32(1))


def energy(numpy):
    def function(x):
        return numpy.sum(numpy.exp(x[:-1] * x[1:])) + numpy.sum(numpy.sin(x)) ** 2 + x[0] * x[-1] ** 3

    return function


def test_hessian_is_symmetric_and_autograds():
    x = RNG.normal(size=4)
    hessian = cr.hessian(energy(np))(x)
    assert hessian.shape == (4, 4)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(hessian, autograd.hessian(energy(anp))(x), rtol=1e-13, atol=1e-14)
    third = cr.jacobian(cr.hessian(energy(np)))(x)
    assert third.shape == (4, 4, 4)
    np.testing.assert_allclose(third, np.transpose(third, (2, 0, 1)), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(third, autograd.jacobian(autograd.hessian(energy(anp)))(x), rtol=1e-12, atol=1e-12)


def network(numpy):
    def loss(p, x, y):
        hidden = numpy.tanh(numpy.dot(x, p["w1"]) + p["b1"])
        scores = numpy.dot(hidden, p["w2"]) + p["b2"]
        return numpy.mean((scores - y) ** 2) + 0.01 * (numpy.sum(p["w1"] ** 2) + numpy.sum(numpy.abs(p["w2"])))

    return loss


def test_a_network_against_autograd():
    parameters = {
        "w1": RNG.normal(size=(3, 4)),
        "b1": RNG.normal(size=4),
        "w2": RNG.normal(size=(4, 2)),
        "b2": np.zeros(2),
    }
    x, y = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))
    mine = cr.grad(network(np))(parameters, x, y)
    judge = autograd.grad(network(anp))(parameters, x, y)
    for name in parameters:
        np.testing.assert_allclose(mine[name], judge[name], rtol=1e-12, atol=1e-14)


# --- random compositions -------------------------------------------------------------------------------------------

SMOOTH_UNARY = {
    "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "sigmoid": cr.ops.sigmoid, "softplus": cr.ops.softplus,
    "square": np.square, "half": lambda x: 0.5 * x, "negative": lambda x: -x, "transpose": lambda x: x.T.T,
    "roll": lambda x: np.concatenate([x[1:], x[:1]]), "rows": lambda x: x[np.array([2, 0, 0])],
    "center": lambda x: x - np.mean(x, axis=0), "softmax": lambda x: cr.ops.softmax(x, axis=1),
    "logsumexp": lambda x: x * cr.ops.logsumexp(x, axis=0),
}  # fmt: skip
SMOOTH_BINARY = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (2.0 + b * b), "matmul": lambda a, b: 0.3 * (a @ b.T)[:, :2],
}  # fmt: skip


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_random_compositions_against_differences(data):
    plan = []
    for step in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            plan.append((data.draw(st.sampled_from(sorted(SMOOTH_UNARY))), data.draw(st.integers(0, step + 1))))
        else:
            plan.append(
                (
                    data.draw(st.sampled_from(sorted(SMOOTH_BINARY))),
                    data.draw(st.integers(0, step + 1)),
                    data.draw(st.integers(0, step + 1)),
                )
            )

    def function(x, y):
        pool = [x, y]
        for name, *places in plan:
            operation = SMOOTH_UNARY[name] if len(places) == 1 else SMOOTH_BINARY[name]
            pool.append(operation(*(pool[p] for p in places)))
        return np.mean(np.sin(pool[-1])) + np.mean(np.sin(pool[-2]))

    seed = data.draw(st.integers(0, 100))
    x, y = np.random.default_rng(seed).uniform(-1, 1, (2, 3, 2))
    check = cr.check_grad(function, x, y)
    assert check, f"{plan}: {check}"
    graph = cr.make_graph(cr.grad(function, (0, 1)), x, y)
    simple, _ = simplify(check_graph(graph))
    for mine, theirs in zip(REFERENCE.run(graph, [x, y]), REFERENCE.run(check_graph(simple), [x, y]), strict=True):
        assert mine.tobytes() == theirs.tobytes()
