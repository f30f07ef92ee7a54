"""The Cholesky factor and triangular systems: values, derivatives through them, and what they refuse."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ExecutionError, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import Type, n


def definite(size: int, seed: int = 0) -> Any:
    x = np.random.default_rng(seed).normal(size=(size, size))
    return x @ x.T + np.eye(size)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 30])
def test_a_triangular_system_is_solved(size: int) -> None:
    rng = np.random.default_rng(size)
    a = rng.normal(size=(size, size)) * 0.2 + 2 * np.eye(size)  # what stands above the diagonal must not be read
    x = rng.normal(size=(size, 3))
    for transposed in (False, True):
        matrix = np.tril(a).T if transposed else np.tril(a)
        solved = cr.ops.solve_triangular(a, matrix @ x, transposed=transposed)
        np.testing.assert_allclose(solved, x, rtol=1e-10, atol=1e-10)  # the condition number is below 1e4


def test_the_upper_triangle_is_not_read() -> None:
    a = definite(3)
    changed = a + np.triu(np.full((3, 3), 9.0), 1)
    np.testing.assert_array_equal(cr.ops.cholesky(changed), np.linalg.cholesky(a))
    gradient = cr.grad(lambda a: np.sum(np.linalg.cholesky(a)))(changed)
    np.testing.assert_array_equal(np.triu(gradient, 1), 0)


def log_density(covariance: Any, x: Any) -> Any:
    """The logarithm of a normal density without its constant: −½ xᵀΣ⁻¹x − ½ log det Σ."""
    factor = np.linalg.cholesky(covariance)
    white = cr.ops.solve_triangular(factor, x)
    diagonal = np.sum(factor * np.eye(4), axis=1)
    return -0.5 * np.sum(white * white) - np.sum(np.log(diagonal))


def test_the_gradient_of_a_normal_density() -> None:
    """By the symmetric matrix it is ½(Σ⁻¹xxᵀΣ⁻¹ − Σ⁻¹); the lower triangle holds both halves of each pair."""
    covariance, x = definite(4), np.array([[0.3], [-1.0], [0.5], [2.0]])
    inverse = np.linalg.inv(covariance)
    by_symmetric = 0.5 * (inverse @ x @ x.T @ inverse - inverse)
    gradient = cr.grad(lambda a: log_density(a, x))(covariance)
    np.testing.assert_allclose(gradient, np.tril(2 * by_symmetric) - np.diag(np.diag(by_symmetric)), rtol=1e-11)
    np.testing.assert_allclose(cr.grad(lambda b: log_density(covariance, b))(x), -inverse @ x, rtol=1e-11)


def test_derivatives_of_the_first_and_second_order() -> None:
    x = np.array([[0.3], [-1.0], [0.5], [2.0]])
    assert cr.check_grad(lambda a: log_density(a, x), definite(4))
    weights = np.random.default_rng(2).uniform(0.5, 1.5, (4, 4))
    gradient = cr.grad(lambda a: log_density(a, x))
    assert cr.check_grad(lambda a: np.sum(weights * gradient(a)), definite(4))


@pytest.mark.parametrize("bad", [np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros((2, 2)), -np.eye(2)])
def test_a_matrix_that_is_not_definite_is_refused(bad: Any) -> None:
    message = re.escape("cholesky: the matrix a[2,2] is not positive definite, so it has no Cholesky factor.")
    with pytest.raises(ExecutionError, match=message):
        cr.ops.cholesky(bad)
    graph = cr.make_graph(lambda a: np.linalg.cholesky(a), bad)
    with pytest.raises(ExecutionError, match=rf"{message} .* \(made at .*test_library\.py:\d+"):
        REFERENCE.run(graph, [bad])


def test_nan_goes_on_as_nan() -> None:
    assert np.isnan(cr.ops.cholesky(np.array([[1.0, 0.0], [np.nan, 1.0]]))[1, 1])


def test_a_singular_system_is_refused() -> None:
    a = np.array([[1.0, 0.0], [5.0, 0.0]])
    with pytest.raises(ExecutionError, match=r"the triangular matrix a\[2,2\] has a 0 on its diagonal"):
        cr.ops.solve_triangular(a, np.ones((2, 1)))


F64 = Type("f64", (3, 3))


@pytest.mark.parametrize(
    ("function", "types", "message"),
    [
        (
            lambda a: np.linalg.cholesky(a),
            (Type("f64", (2, 3)),),
            "cholesky: a is f64[2,3]; it must be a square matrix",
        ),
        (lambda a: np.linalg.cholesky(a), (Type("f64", (2, 3, 3)),), "it must be a square matrix of a known size"),
        (lambda a: np.linalg.cholesky(a), (Type("f64", (n, n)),), "cholesky: a is f64[n,n]; it must be a square"),
        (lambda a: np.linalg.cholesky(a), (Type("i64", (3, 3)),), "cholesky: a is i64[3,3]; it takes f32 or f64"),
        (lambda a, b: cr.ops.solve_triangular(a, b), (F64, Type("f64", (3,))), "b must have two axes, (n,m)"),
        (lambda a, b: cr.ops.solve_triangular(a, b), (F64, Type("f64", (2, 1))), "with as many rows as a"),
        (lambda a, b: cr.ops.solve_triangular(a, b), (F64, Type("f32", (3, 1))), "b is f32[3,1]; convert one of them"),
    ],
)
def test_wrong_operands_are_named(function: Any, types: tuple[Type, ...], message: str) -> None:
    with pytest.raises(TypeMismatch, match=re.escape(message)):
        cr.make_graph(function, *types)


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(TypeMismatch, match=r"cholesky: a is float64\[2,3\]; it must be a square matrix"):
        cr.ops.cholesky(np.ones((2, 3)))
    with pytest.raises(TypeMismatch, match=r"b is float64\[3\]; b must have two axes"):
        cr.ops.solve_triangular(np.eye(3), np.ones(3))
