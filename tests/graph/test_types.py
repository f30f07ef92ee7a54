"""Types: dtypes, shapes with n, and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import TypeMismatch
from chainrule.graph import Rows, Type, n, type_of
from chainrule.graph.types import (
    DTYPES,
    add_dims,
    dim_from_json,
    dim_to_json,
    dtype_name,
    resolve_dim,
    resolve_shape,
    size_of,
)

DIMS = st.one_of(st.integers(0, 2**40), st.builds(Rows, st.integers(1, 2**20)))


def test_types_are_printed_as_in_the_lecture():
    assert str(Type("f32", (3, 4))) == "f32[3,4]"
    assert str(Type("f64")) == "f64[]"
    assert str(Type("u32", (n, Rows(3), 2))) == "u32[n,3n,2]"
    assert str(n) == "n"


def test_types_know_their_rank_and_kind():
    kind = Type("f32", (n, 4))
    assert (kind.rank, kind.is_float, kind.is_symbolic) == (2, True, True)
    assert (Type("i64", (4,)).is_float, Type("i64", (4,)).is_symbolic) == (False, False)
    assert kind.with_shape((2,)) == Type("f32", (2,))
    assert kind.with_dtype("i32") == Type("i32", (n, 4))
    assert Type("f32", (Rows(1),)) == Type("f32", (n,)) != Type("f32", (Rows(2),))


def test_dtypes():
    for name, dtype in DTYPES.items():
        assert dtype_name(dtype) == dtype_name(name) == dtype_name(dtype.name) == name
        assert type_of(np.zeros((2, 3), dtype)) == Type(name, (2, 3))
    for bad in (np.float16, np.complex128, np.int8, "text", object, None.__class__):
        with pytest.raises(
            TypeMismatch, match=r"cannot be in a graph; convert to one of float32.*x\.astype\(np\.float64\)"
        ):
            dtype_name(bad)


def test_a_multiple_of_n_is_positive():
    for bad in (0, -1):
        with pytest.raises(TypeMismatch, match="positive multiple of n"):
            Rows(bad)


def test_sizes():
    assert size_of(()) == 1
    assert size_of((2, 3, 4)) == 24
    assert size_of((n, 4)) == Rows(4)
    assert size_of((3, Rows(2))) == Rows(6)
    assert size_of((n, 0)) == 0
    assert size_of((0, 5)) == 0
    with pytest.raises(TypeMismatch, match=r"the size of \[n,2n\] is not a multiple of n"):
        size_of((n, Rows(2)))


def test_sums_of_dimensions():
    assert add_dims([2, 3, 0]) == 5
    assert add_dims([n, Rows(2)]) == Rows(3)
    with pytest.raises(TypeMismatch, match="rows \\(n\\) and a fixed number do not mix"):
        add_dims([n, 1])


def test_resolving():
    assert resolve_shape((n, 4, Rows(3)), 5) == (5, 4, 15)
    assert resolve_dim(4, None) == 4
    assert resolve_dim(n, 0) == 0
    with pytest.raises(TypeMismatch, match="n is not known here"):
        resolve_dim(n, None)


@given(DIMS)
def test_dimensions_survive_json(dim):
    assert dim_from_json(dim_to_json(dim)) == dim
    assert type(dim_from_json(dim_to_json(dim))) is type(dim)


@given(
    st.lists(DIMS.filter(lambda d: isinstance(d, int) and d < 100), max_size=4), st.integers(1, 9), st.integers(0, 50)
)
def test_the_size_of_n_rows_is_the_size_of_the_resolved_shape(dims, multiple, rows):
    shape = (*dims, Rows(multiple))
    assert resolve_dim(size_of(shape), rows) == int(np.prod(resolve_shape(shape, rows), dtype=np.int64))


@pytest.mark.parametrize("bad", [-1, True, 1.5, None, "", "m", "-1n", "n2", "1.5n", [1], "0n", "²n"])
def test_what_is_no_dimension_is_refused(bad):
    with pytest.raises((TypeMismatch, ValueError)):
        dim_from_json(bad)
