"""Loops: scan and iterate, traced and eager, differentiated once and twice."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NotDifferentiable, TraceError, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import Graph, Type, check_graph, n, simplify
from chainrule.ops import TABLE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import autograd
    import autograd.numpy as anp

XS = np.array([0.3, -0.7, 1.1, 0.2, -0.4])
W = np.array([[0.5, -0.3], [0.2, 0.8]])
H0 = np.array([0.1, -0.2])


def run(function: Any, *arrays: Any) -> Any:
    """Trace, check and run; simplified, and stored and read back, the graph gives the same bits."""
    graph = cr.make_graph(function, *arrays)
    check_graph(graph)
    values = [np.asarray(a) for leaf in arrays for a in cr.graph.flatten(leaf)[0]]
    results = REFERENCE.run(graph, values)
    text = json.dumps(graph.to_json())
    read = cr.graph_from_json(json.loads(text))
    assert json.dumps(read.to_json()) == text
    for again in (REFERENCE.run_prepared(graph, values), REFERENCE.run(read, values)):
        assert [np.asarray(a).tobytes() for a in results] == [np.asarray(a).tobytes() for a in again]
    return cr.graph.unflatten(graph.gives, results)


def same(a: Any, b: Any) -> None:
    (mine, structure), (theirs, other) = cr.graph.flatten(a), cr.graph.flatten(b)
    assert structure == other
    for x, y in zip(mine, theirs, strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(x, y)


LOOPS = {
    "sum": (lambda s, xs: cr.scan(lambda c, x: (c + x, c * x), s, xs), (0.5, XS)),
    "reverse": (lambda s, xs: cr.scan(lambda c, x: (c * x + 1, c), s, xs, reverse=True), (0.5, XS)),
    "no y": (lambda s, xs: cr.scan(lambda c, x: (np.sin(c) + x, None), s, xs), (0.5, XS)),
    "no carry": (lambda xs: cr.scan(lambda c, x: (None, x * x), None, xs), (XS,)),
    "no sequence": (lambda s: cr.scan(lambda c, _: (np.sin(c), c), s, length=4), (0.5,)),
    "one trip": (lambda s, xs: cr.scan(lambda c, x: (c + x, c), s, xs), (0.5, XS[:1])),
    "dict carry": (
        lambda s, xs: cr.scan(lambda c, x: ({"a": c["b"], "b": c["a"] * x}, [c["a"], x]), s, xs),
        ({"a": np.array(1.0), "b": np.array(2.0)}, XS),
    ),
    "nested sequences": (
        lambda s, xs: cr.scan(lambda c, x: (c + x["u"] * x["v"], (c, x["u"])), s, xs),
        (0.0, {"u": XS, "v": XS[::-1].copy()}),
    ),
    "vectors": (lambda h, xs: cr.scan(lambda h, x: (np.tanh(h * x), h), h, xs), (H0, XS)),
    "a sequence of rows": (lambda h, xs: cr.scan(lambda h, x: (np.tanh(h + x), h), h, xs), (H0, W)),
    "integer carry": (
        lambda s, xs: cr.scan(lambda c, x: ((c[0] + 1, c[1] * x), c[0]), (0, s), xs),
        (1.0, XS),
    ),
    "y that is constant": (lambda s, xs: cr.scan(lambda c, x: (c, 1.0), s, xs), (0.5, XS)),
    "body of a constant": (lambda s, xs: cr.scan(lambda c, x: (c * np.array(2.0), x), s, xs), (0.5, XS)),
}


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_scan_traced_equals_eager(name):
    function, arguments = LOOPS[name]
    same(run(function, *arguments), function(*arguments))


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_scan_gradient_and_second_order(name):
    function, arguments = LOOPS[name]

    def total(*values: Any) -> Any:
        result = 0.0
        for i, leaf in enumerate(cr.graph.flatten(function(*values))[0]):
            if not hasattr(leaf, "type") or leaf.type.is_float:
                result = result + np.sum(np.sin(leaf + 0.1 * i))
        return result

    check = cr.check_grad(total, *arguments)
    assert check, str(check)
    numbers = tuple(range(len(arguments)))

    def slope(*values: Any) -> Any:
        leaves = cr.graph.flatten(cr.grad(total, numbers)(*values))[0]
        return sum(np.sum(np.cos(leaf) * (i + 1)) for i, leaf in enumerate(leaves))

    check = cr.check_grad(slope, *arguments)
    assert check, str(check)


def rnn(parameters: Any, xs: Any, numpy: Any, loop: Any) -> Any:
    weight, h0, scale = parameters["W"], parameters["h0"], parameters["scale"]
    last, outs = loop(lambda h, x: (numpy.tanh(weight @ h + scale * x),) * 2, h0, xs)
    return numpy.sum(last**2) + numpy.sum(outs * outs)


def unrolled(body: Any, start: Any, xs: Any) -> Any:
    outs = []
    for x in xs:
        start, y = body(start, x)
        outs.append(y)
    return start, anp.stack(outs)


PARAMETERS = {"W": W, "h0": H0, "scale": np.array(0.7)}


def test_a_recurrent_network_against_autograd():
    """The weights are read from outside the body: their derivative gathers over the trips."""
    mine = cr.grad(lambda p: rnn(p, XS, np, cr.scan))(PARAMETERS)
    judge = autograd.grad(lambda p: rnn(p, XS, anp, unrolled))(PARAMETERS)
    for name, gradient in mine.items():
        np.testing.assert_allclose(gradient, judge[name], rtol=1e-13)
    np.testing.assert_allclose(
        cr.grad(lambda xs: rnn(PARAMETERS, xs, np, cr.scan))(XS),
        autograd.grad(lambda xs: rnn(PARAMETERS, xs, anp, unrolled))(XS),
        rtol=1e-13,
    )


def test_second_order_of_a_recurrent_network_against_autograd():
    def by_weight(numpy: Any, loop: Any) -> Any:
        return lambda weight: rnn({**PARAMETERS, "W": weight}, XS, numpy, loop)

    mine = cr.hessian(by_weight(np, cr.scan))(W)
    judge = autograd.hessian(by_weight(anp, unrolled))(W)
    np.testing.assert_allclose(mine, judge, rtol=1e-11, atol=1e-13)


def test_scan_reads_outer_values_used_several_times():
    def function(a, xs):
        b = a * a
        last, ys = cr.scan(lambda c, x: (c * b + x * a, a), a, xs)
        return last + np.sum(ys) + b

    def plain(a, xs):
        c, ys = a, 0.0
        for x in xs:
            c, ys = c * a * a + x * a, ys + a
        return c + ys + a * a

    assert run(function, 0.8, XS) == plain(0.8, XS)
    np.testing.assert_allclose(
        [cr.grad(function)(0.8, XS), cr.grad(cr.grad(function))(0.8, XS)],
        [autograd.grad(plain)(0.8, XS), autograd.grad(autograd.grad(plain))(0.8, XS)],
        rtol=1e-13,
    )


def test_scan_over_n_rows_inside():
    """The trips are fixed in number; the values of a trip may have n rows."""
    kind = Type("f64", (n, 3))
    graph = cr.make_graph(lambda x: cr.scan(lambda c, _: (np.sin(c), np.sum(c, axis=1)), x, length=2), kind)
    assert [str(o.type) for o in graph.outputs] == ["f64[n,3]", "f64[2,n]"]
    for rows in (1, 4):
        x = np.random.default_rng(rows).normal(size=(rows, 3))
        last, sums = REFERENCE.run(graph, [x])
        np.testing.assert_array_equal(last, np.sin(np.sin(x)))
        np.testing.assert_array_equal(sums, [x.sum(axis=1), np.sin(x).sum(axis=1)])
    gradient = cr.make_graph(
        cr.grad(lambda x: np.sum(cr.scan(lambda c, _: (np.sin(c), None), x, length=2)[0])), Type("f64", (n,))
    )
    x = np.array([0.3, 0.9, -2.0])
    np.testing.assert_allclose(REFERENCE.run(gradient, [x])[0], np.cos(np.sin(x)) * np.cos(x), rtol=1e-15)


def test_zero_trips_leave_the_carry_and_give_empty_results():
    function = lambda s, xs: cr.scan(lambda c, x: (c + x, (c, x > 0)), s, xs)  # noqa: E731
    empty = np.zeros(0)
    same(run(function, 0.5, empty), function(0.5, empty))
    last, (ys, positive) = function(0.5, empty)
    assert (last, ys.shape, ys.dtype, positive.dtype) == (0.5, (0,), np.float64, np.bool_)
    slope = cr.grad(lambda s: function(s, empty)[0] * 3 + np.sum(function(s, empty)[1][0]))(0.5)
    assert slope == 3.0


def test_a_scan_inside_a_scan():
    def function(a, xs):
        def outer(total, x):
            inner, steps = cr.scan(lambda c, y: (np.sin(c * y + a) + x, c), total, xs[:3])
            return inner, np.sum(steps) * a

        return cr.scan(outer, a, xs)

    def plain(a, xs):
        c, ys = a, []
        for x in xs:
            total = 0.0
            for y in xs[:3]:
                total = total + c
                c = anp.sin(c * y + a) + x
            ys.append(total * a)
        return c + anp.sum(anp.stack(ys))

    def mine(a, xs):
        last, ys = function(a, xs)
        return last + np.sum(ys)

    np.testing.assert_allclose(run(mine, 0.4, XS), plain(0.4, XS), rtol=1e-15)
    for number in (0, 1):
        np.testing.assert_allclose(
            cr.grad(mine, number)(0.4, XS), autograd.grad(plain, number)(0.4, XS), rtol=1e-12, atol=1e-14
        )
    np.testing.assert_allclose(
        cr.grad(cr.grad(mine))(0.4, XS), autograd.grad(autograd.grad(plain))(0.4, XS), rtol=1e-11
    )


def test_a_gradient_inside_a_scan():
    """Gradient descent is a scan whose body differentiates; its end can be differentiated by the learning rate."""

    def descend(rate, x):
        loss = lambda x: np.sum(np.sin(x) * x)  # noqa: E731
        return np.sum(cr.scan(lambda x, _: (x - rate * cr.grad(loss)(x), None), x, length=3)[0])

    check = cr.check_grad(descend, 0.1, np.array([0.5, 1.2]))
    assert check, str(check)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, xs: cr.scan(lambda c, x: c + x, s, xs), TraceError, r"the body must return a pair: \(carry, y\)"),
        (lambda s, xs: cr.scan(lambda c, x: (c, x, x), s, xs), TraceError, "the body must return a pair"),
        (
            lambda s, xs: cr.scan(lambda c, x: ((c, c), x), s, xs),
            TraceError,
            r"starts as \* and the body returns \(\*, \*\)",
        ),
        (
            lambda s, xs: cr.scan(lambda c, x: ({"b": c["a"]}, x), {"a": s}, xs),
            TraceError,
            r"starts as \{'a': \*\} and the body returns \{'b': \*\}",
        ),
        (
            lambda s, xs: cr.scan(lambda c, x: (c * np.ones(2), x), s, xs),
            TypeMismatch,
            r"scan: the body turns the carry \(f64\[\]\) into \(f64\[2\]\) \(at .*test_regions.py:\d+",
        ),
        (
            lambda s, xs: cr.scan(lambda c, x: (c.astype("f32"), x), s, xs),
            TypeMismatch,
            r"the body turns the carry \(f64\[\]\) into \(f32\[\]\)",
        ),
        (lambda s, xs: cr.scan(lambda c, x: (c, x), s, s), TypeMismatch, "a sequence is a single number"),
        (lambda s, xs: cr.scan(lambda c, x: (c, x), s, (xs, xs[:2])), TypeMismatch, "one fixed number of trips"),
        (lambda s, xs: cr.scan(lambda c, x: (c, x), s, xs, length=3), TypeMismatch, "one fixed number of trips"),
        (lambda s, xs: cr.scan(lambda c, x: (c, None), s), TypeMismatch, "one fixed number of trips, not none"),
        (lambda s, xs: cr.scan(lambda c, x: (c, float(x)), s, xs), TraceError, "cannot become a Python float"),
    ],
)
def test_wrong_scans_give_clear_errors(call, error, message):
    with pytest.raises(error, match=message):
        cr.make_graph(call, 0.5, XS)
    with pytest.raises(error, match=message):
        call(np.float64(0.5), XS)


def test_scan_over_rows_of_unknown_number_is_refused():
    with pytest.raises(TypeMismatch, match="one fixed number of trips"):
        cr.make_graph(lambda xs: cr.scan(lambda c, x: (c + x, None), 0.0, xs)[0], Type("f64", (n,)))


def test_a_changed_body_is_found_by_check_graph():
    graph = cr.make_graph(lambda s, xs: cr.scan(lambda c, x: (c + x, c), s, xs), 0.5, XS)
    (loop,) = [node for node in graph.nodes if node.op.kind == "region"]
    loop.attributes = {**loop.attributes, "length": 4}
    with pytest.raises(cr.errors.GraphError, match=r"a sequence is f64\[5\]; its first axis must have the length 4"):
        check_graph(graph)
    loop.attributes = {**loop.attributes, "length": 5, "body": Graph(loop.attributes["body"].inputs[:1], ())}
    with pytest.raises(cr.errors.GraphError, match=r"its body takes \(f64\[\]\), it is given \(f64\[\], f64\[\]\)"):
        check_graph(graph)


def test_regions_are_shown_and_simplified():
    graph = cr.make_graph(lambda s, xs: cr.scan(lambda c, x: (c * 1 + x, c), s, xs), 0.5, XS)
    text = str(graph)
    assert "scan length=5 carries=1 sequences=1 reverse=False s xs : f64[], f64[5]" in text
    assert "body:\n" in text
    assert "multiply" in text
    simple, _ = simplify(graph)
    assert "multiply" not in str(simple)
    assert "multiply" in str(graph)
    same(REFERENCE.run(simple, [np.array(0.5), XS]), REFERENCE.run(graph, [np.array(0.5), XS]))


def test_region_rules_are_not_called_by_hand():
    with pytest.raises(TraceError, match="differentiated by chainrule"):
        TABLE["scan"].pullback["values"](None, None)


# --- iterate ------------------------------------------------------------------------------------------------------


def newton(a: Any, implicit: Any = None, at_most: int = 50) -> Any:
    """The square root of a, by Newton's method; with y² = a, dy = da/(2y)."""
    return cr.iterate(
        1.0,
        lambda x, a: 0.5 * (x + a / x),
        lambda x, a: abs(x * x - a) <= 1e-15 * a,
        at_most,
        given=(a,),
        implicit=implicit,
    )


def by_root(g: Any, y: Any, a: Any) -> Any:
    return g / (2 * y)


def test_iterate_finds_a_root_traced_and_eager():
    root, converged = run(lambda a: newton(a), 2.0)
    assert abs(float(root) - np.sqrt(2.0)) < 4e-16
    assert bool(converged)
    eager, converged = newton(2.0)
    assert (float(eager), bool(converged)) == (float(root), True)


def test_iterate_reports_that_it_did_not_converge():
    for at_most, expected in ((1, False), (2, False), (10, True)):
        for root, converged in (run(lambda a, k=at_most: newton(a, at_most=k), 2.0), newton(2.0, at_most=at_most)):
            assert bool(converged) is expected
            assert bool(abs(float(root) - np.sqrt(2)) < 1e-12) is expected


def test_iterate_that_has_converged_at_the_start_does_nothing():
    root, converged = run(lambda a: cr.iterate(a, lambda x: x + 1, lambda x: x > 0, 3), 2.0)
    assert (float(root), bool(converged)) == (2.0, True)


def test_iterate_is_differentiated_by_its_rule():
    root = lambda a: newton(a, by_root)[0]  # noqa: E731
    for a in (0.5, 2.0, 9.0):
        np.testing.assert_allclose(cr.grad(root)(a), 0.5 / np.sqrt(a), rtol=1e-14)
        np.testing.assert_allclose(cr.grad(cr.grad(root))(a), -0.25 * a**-1.5, rtol=1e-13)
        np.testing.assert_allclose(cr.grad(cr.grad(cr.grad(root)))(a), 0.375 * a**-2.5, rtol=1e-12)
    check = cr.check_grad(lambda a: np.sin(root(a * a)) * a, 1.3)
    assert check, str(check)


def test_iterate_without_a_rule_says_what_to_do():
    with pytest.raises(NotDifferentiable, match=r"pass given=\(…\) and implicit=… \(made at .*test_regions.py:\d+"):
        cr.grad(lambda a: newton(a)[0])(2.0)

    def reads_from_outside(a):
        return cr.iterate(1.0, lambda x: 0.5 * (x + a / x), lambda x: abs(x * x - a) < 1e-12, 50)[0]

    assert abs(run(reads_from_outside, 2.0) - np.sqrt(2)) < 1e-12
    with pytest.raises(NotDifferentiable, match=r"given=\(…\)"):
        cr.grad(reads_from_outside)(2.0)


def test_the_start_of_iterate_has_the_derivative_zero():
    def function(start):
        return cr.iterate(start, lambda x: 0.5 * (x + 2.0 / x), lambda x: abs(x * x - 2.0) < 1e-12, 50)[0]

    assert cr.grad(function)(1.3) == 0.0


def test_iterate_with_a_nested_state_and_two_given_values():
    def solve(a, b):
        state, converged = cr.iterate(
            {"x": 1.0, "count": 0},
            lambda s, a, b: {"x": 0.5 * (s["x"] + a * b / s["x"]), "count": s["count"] + 1},
            lambda s, a, b: abs(s["x"] * s["x"] - a * b) < 1e-13,
            60,
            given=(a, b),
            implicit=lambda g, s, a, b: (g["x"] * b / (2 * s["x"]), g["x"] * a / (2 * s["x"])),
        )
        return state["x"] * 2, state["count"], converged

    root, count, converged = run(solve, 2.0, 3.0)
    np.testing.assert_allclose(root, 2 * np.sqrt(6), rtol=1e-14)
    assert converged
    assert 3 < count < 9
    np.testing.assert_allclose(cr.grad(lambda a, b: solve(a, b)[0], (0, 1))(2.0, 3.0), (np.sqrt(1.5), np.sqrt(2 / 3)))


def test_iterate_inside_a_scan():
    def function(xs):
        return np.sum(cr.scan(lambda c, x: (c + newton(x, by_root)[0], c), 0.0, xs)[1])

    xs = np.array([0.5, 2.0, 3.0])
    np.testing.assert_allclose(run(function, xs), np.sum(np.cumsum(np.sqrt(xs))[:-1]), rtol=1e-14)
    np.testing.assert_allclose(cr.grad(function)(xs), [2, 1, 0] * (0.5 / np.sqrt(xs)), rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda a: cr.iterate(a, lambda x: (x, x), lambda x: x > 0, 5),
            TraceError,
            r"state is \* and the body returns",
        ),
        (
            lambda a: cr.iterate(a, lambda x: x > 0, lambda x: x > 0, 5),
            TypeMismatch,
            r"\(f64\[\]\) into \(bool\[\]\)",
        ),
        (lambda a: cr.iterate(a, lambda x: x, lambda x: x, 5), TypeMismatch, "until must return one truth value"),
        (lambda a: cr.iterate(a, lambda x: x, lambda x: (x > 0, x > 1), 5), TypeMismatch, "one truth value"),
        (lambda a: cr.iterate(a, lambda x: x, lambda x: x > 0, 0), TypeMismatch, "at_most is 0; it must be at least 1"),
        (
            lambda a: cr.iterate(a, lambda x, b: x, lambda x, b: x > 0, 5, given=(a,), implicit=lambda g, y, b: (g, g)),
            TraceError,
            r"the implicit rule returns \(f64\[\], f64\[\]\), one derivative for each given value \(f64\[\]\) is",
        ),
        (
            lambda a: cr.iterate(a, lambda x, b: x, lambda x, b: x > 0, 5, given=(a,), implicit=lambda g, y, b: g * a),
            TraceError,
            r"the implicit rule reads traced values from outside; pass them through given=\(…\)",
        ),
    ],
)
def test_wrong_iterations_give_clear_errors(call, error, message):
    with pytest.raises(error, match=message):
        cr.make_graph(call, 2.0)
