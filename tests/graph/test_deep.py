"""Graphs of 20,000 nodes in a row: no pass may recurse."""

from __future__ import annotations

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.execute import REFERENCE
from chainrule.graph import Graph, check_graph, simplify

DEPTH = 20_000


def chain(x):
    for _ in range(DEPTH // 2):
        x = np.sin(x) - x
    return x


@pytest.fixture(scope="module")
def graph() -> Graph:
    return cr.make_graph(chain, 0.5)


def test_it_is_traced_checked_and_run(graph):
    assert len(check_graph(graph)) == DEPTH + 1
    x = 0.5
    for _ in range(DEPTH // 2):
        x = np.sin(x) - x
    assert REFERENCE.run(graph, [np.array(0.5)])[0] == x


def test_it_is_simplified(graph):
    simple, new_of = simplify(graph)
    assert len(simple) == len(new_of) == DEPTH + 1
    assert REFERENCE.run(simple, [np.array(0.5)])[0] == REFERENCE.run(graph, [np.array(0.5)])[0]

    def collapses(x):
        for _ in range(DEPTH // 2):
            x = np.negative(-x) * 1.0
        return x

    assert len(simplify(cr.make_graph(collapses, 0.5))[0]) == 1


def test_long_chains_of_views_collapse():
    def views(x):
        for i in range(DEPTH // 10):
            x = x.reshape((2, 3) if i % 2 else (3, 2))
        return x

    assert len(simplify(cr.make_graph(views, np.ones((2, 3))))[0]) <= 2


def test_it_is_differentiated():
    value, slope = cr.value_and_grad(chain)(0.5)
    x, expected = 0.5, 1.0
    for _ in range(DEPTH // 2):
        expected *= np.cos(x) - 1
        x = np.sin(x) - x
    assert value == x
    np.testing.assert_allclose(slope, expected, rtol=1e-9)


def test_it_is_stored_and_read(graph):
    text = json.dumps(graph.to_json())
    again = cr.graph_from_json(json.loads(text))
    assert len(again) == len(graph)
    assert REFERENCE.run(again, [np.array(0.5)])[0] == REFERENCE.run(graph, [np.array(0.5)])[0]


def test_it_is_shown(graph):
    assert len(str(graph).splitlines()) == DEPTH + 2


def test_a_value_of_many_uses():
    def fan(x):
        total = x
        for _ in range(2_000):
            total = total + x
        return total

    assert cr.grad(fan)(1.0) == 2_001


def test_it_is_collected_without_recursion():
    def drop():
        graph = cr.make_graph(chain, 0.5)
        assert len(graph) > DEPTH

    drop()
