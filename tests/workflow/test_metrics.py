"""Scores against scikit-learn's on the same predictions, and what is said where there is nothing to divide by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from chainrule.table import TargetEncoder
from chainrule.workflow import metrics
from chainrule.workflow.score import score_classes, score_numbers


def draw(seed: int, rows: int, classes: int, absent: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return true classes and predicted probabilities; rounded, so that scores are tied."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, rows)
    if absent is not None:
        truth[truth == absent] = (absent + 1) % classes
    logits = generator.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[truth]
    raw = np.exp(logits).round(1) + 0.1
    return truth, raw / raw.sum(axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 80), st.integers(3, 6))
def test_several_classes_agree_with_scikit_learn(seed: int, rows: int, classes: int) -> None:
    truth, p = draw(seed, rows, classes)
    if len(set(truth.tolist())) < classes:
        return
    predicted = p.argmax(axis=1)
    labels = list(range(classes))
    assert metrics.accuracy(truth, predicted) == pytest.approx(sk.accuracy_score(truth, predicted))
    assert metrics.log_loss(truth, p) == pytest.approx(sk.log_loss(truth, p, labels=labels))
    expected = sk.roc_auc_score(truth, p, multi_class="ovr", average="macro", labels=labels)
    assert metrics.auc_one_vs_rest(truth, p) == pytest.approx(expected)
    table = metrics.confusion(truth, predicted, classes)
    assert np.array_equal(table, sk.confusion_matrix(truth, predicted, labels=labels))
    precision, recall = metrics.precision_recall(table)
    theirs = sk.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=np.nan)
    assert [np.nan if v is None else v for v in precision] == pytest.approx(theirs[0].tolist(), nan_ok=True)
    assert [np.nan if v is None else v for v in recall] == pytest.approx(theirs[1].tolist(), nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 60))
def test_two_classes_agree_with_scikit_learn(seed: int, rows: int) -> None:
    truth, p = draw(seed, rows, 2)
    if len(set(truth.tolist())) < 2:
        return
    assert metrics.auc(truth == 1, p[:, 1]) == pytest.approx(sk.roc_auc_score(truth, p[:, 1]))
    assert metrics.auc_one_vs_rest(truth, p) == pytest.approx(sk.roc_auc_score(truth, p[:, 1]))
    assert metrics.log_loss(truth, p) == pytest.approx(sk.log_loss(truth, p))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 50))
def test_numbers_agree_with_scikit_learn(seed: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    truth, predicted = generator.normal(7, 3, rows), generator.normal(7, 3, rows)
    assert metrics.rmse(truth, predicted) == pytest.approx(sk.root_mean_squared_error(truth, predicted))
    assert metrics.mae(truth, predicted) == pytest.approx(sk.mean_absolute_error(truth, predicted))
    assert metrics.r2(truth, predicted) == pytest.approx(sk.r2_score(truth, predicted))


@pytest.mark.parametrize("unit", [1e-200, 1e-100, 1.0, 1e100, 1e200, 1e307])
def test_no_number_is_too_large_or_small_to_be_squared(unit: float) -> None:
    truth, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    assert metrics.rmse(truth * unit, predicted * unit) == pytest.approx(unit * metrics.rmse(truth, predicted))
    assert metrics.mae(truth * unit, predicted * unit) == pytest.approx(unit * 0.5)
    assert metrics.r2(truth * unit, predicted * unit) == pytest.approx(metrics.r2(truth, predicted))
    interval = metrics.bootstrap_rmse(truth * unit, predicted * unit)
    plain = metrics.bootstrap_rmse(truth, predicted)
    assert interval is not None
    assert plain is not None
    assert (interval.low, interval.high) == pytest.approx((unit * plain.low, unit * plain.high))


def test_an_absent_class_has_no_precision_recall_or_auc() -> None:
    truth, p = draw(3, 40, 4, absent=2)
    p[:, 2] = 0.001
    target = TargetEncoder("multiclass", "y", ("a", "b", "c", "d"))
    score = score_classes(target, truth, p, 0)
    assert score.support[2] == 0
    assert score.precision[2] is None
    assert score.recall[2] is None
    others = [metrics.auc(truth == k, p[:, k]) for k in (0, 1, 3)]
    assert score.auc == pytest.approx(np.mean([a for a in others if a is not None]))
    assert score.confusion[2] == [0, 0, 0, 0]


def test_an_absent_class_that_was_predicted_has_precision_0() -> None:
    precision, recall = metrics.precision_recall(np.array([[5, 1], [0, 0]]))
    assert precision == [1.0, 0.0]
    assert recall == [pytest.approx(5 / 6), None]


def test_one_class_only_has_no_auc() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4]])
    assert metrics.auc_one_vs_rest(np.array([0, 0]), p) is None
    assert metrics.auc_one_vs_rest(np.array([1, 1]), p) is None
    assert metrics.auc_one_vs_rest(np.array([1, 1]), np.full((2, 3), 1 / 3)) is None


def test_auc_counts_ties_half() -> None:
    assert metrics.auc(np.array([True, False]), np.array([0.5, 0.5])) == 0.5
    assert metrics.auc(np.array([True, True, False, False]), np.array([0.9, 0.5, 0.5, 0.1])) == 0.875


def test_a_sure_miss_is_not_infinitely_bad() -> None:
    assert metrics.log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(2.0**-52))


# Newcombe, Statistics in Medicine 17 (1998), table I, method 3
@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(hits: int, count: int, low: float, high: float) -> None:
    interval = metrics.wilson(hits / count, count)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_within_0_and_1() -> None:
    for count in (1, 2, 5, 1000):
        assert 0.0 <= metrics.wilson(0.0, count).low < 1e-15
        assert 1.0 - 1e-15 < metrics.wilson(1.0, count).high <= 1.0
        assert 0.0 < metrics.wilson(1.0, count).low < 1.0


def test_a_constant_truth_has_no_r2() -> None:
    assert metrics.r2(np.full(7, 0.1), np.arange(7.0)) is None
    assert metrics.r2(np.full(3, 4.0), np.full(3, 4.0)) is None


def test_the_bootstrap_interval() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=200)
    predicted = truth + generator.normal(size=200)
    interval = metrics.bootstrap_rmse(truth, predicted)
    assert interval is not None
    assert interval.low < metrics.rmse(truth, predicted) < interval.high
    # the standard error of a normal error's RMSE is 1/√(2n) = 0.05
    assert interval.high - interval.low == pytest.approx(4 * 0.05, rel=0.3)
    assert metrics.bootstrap_rmse(truth, predicted) == interval
    assert metrics.bootstrap_rmse(truth[:1], predicted[:1]) is None


def test_the_guess_is_scored_beside_the_model() -> None:
    target = TargetEncoder("binary", "y", ("no", "yes"))
    p = np.array([[0.2, 0.8], [0.7, 0.3], [0.1, 0.9], [0.4, 0.6]])
    score = score_classes(target, np.array([1, 0, 0, 0]), p, 0)
    assert (score.accuracy, score.guess, score.guess_class) == (0.5, 0.75, "no")
    numbers = score_numbers(np.array([1.0, 3.0]), np.array([1.0, 3.0]), 2.0)
    assert (numbers.rmse, numbers.guess, numbers.guess_value, numbers.r2) == (0.0, 1.0, 2.0, 1.0)
