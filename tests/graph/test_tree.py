"""Nested dicts, lists and tuples, taken apart and put together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import TraceError
from chainrule.graph import flatten, leaf_names, tree_map, unflatten

TREES = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.just("leaf")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=12,
)


class Pair(NamedTuple):
    weight: object
    bias: object


@given(TREES)
def test_unflatten_is_the_inverse_of_flatten(tree):
    leaves, structure = flatten(tree)
    assert structure.leaves == len(leaves) == len(leaf_names(structure, "x"))
    again = unflatten(structure, leaves)
    assert again == tree
    assert type(again) is type(tree)
    assert flatten(again)[1] == structure


@given(TREES)
def test_tree_map_changes_leaves_and_keeps_the_nesting(tree):
    mapped = tree_map(lambda leaf: (leaf,), tree)  # a leaf becomes a tuple: the nesting grows by one level
    leaves = flatten(tree)[0]
    assert flatten(mapped)[0] == leaves
    assert tree_map(lambda a, b: a, tree, tree) == tree


@given(TREES)
def test_leaf_names_are_distinct_paths(tree):
    names = leaf_names(flatten(tree)[1])
    dotless = not any("." in str(k) or k == "" or k.isdigit() for k in _keys(tree))
    assert not dotless or len(set(names)) == len(names)


def _keys(tree):
    if isinstance(tree, dict):
        return [*tree, *(k for v in tree.values() for k in _keys(v))]
    return [k for v in tree for k in _keys(v)] if isinstance(tree, list | tuple) else []


def test_dicts_flatten_in_sorted_order():
    assert flatten({"b": 1, "a": 2}) == flatten({"a": 2, "b": 1})
    assert flatten({"b": 1, "a": 2})[0] == [2, 1]


def test_named_tuples_stay_named_tuples():
    leaves, structure = flatten(Pair(1, [2, None]))
    assert leaves == [1, 2]
    again = unflatten(structure, leaves)
    assert isinstance(again, Pair)
    assert again == Pair(1, [2, None])
    assert flatten((1, [2, None]))[1] != structure


def test_arrays_are_leaves():
    array = np.zeros(3)
    leaves, structure = flatten({"a": array})
    assert leaves[0] is array
    assert str(structure) == "{'a': *}"


def test_structures_are_printed():
    assert str(flatten(({"a": 1, "b": [1, None]}, (1,), ()))[1]) == "({'a': *, 'b': [*, None]}, (*,), ())"


def test_leaf_names_read_like_the_code():
    structure = flatten({"hidden1.weight": 1, "layers": [2, (3,)]})[1]
    assert leaf_names(structure, "parameters") == [
        "parameters.hidden1.weight",
        "parameters.layers.0",
        "parameters.layers.1.0",
    ]
    assert leaf_names(flatten(1)[1]) == ["value"]
    assert leaf_names(flatten(None)[1], "x") == []


def test_errors():
    with pytest.raises(TraceError, match=r"2 leaves do not fill the structure \(\*,\)"):
        unflatten(flatten((1,))[1], [1, 2])
    with pytest.raises(TraceError, match=r"structures differ: \[\*\] and \(\*,\)"):
        tree_map(lambda a, b: a, [1], (1,))
    with pytest.raises(TraceError, match="the keys of a dict of arrays must be comparable"):
        flatten({1: 0, "a": 0})
