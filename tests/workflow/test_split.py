"""The split: every row in one part, class by class, from a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import TrainingError
from chainrule.workflow.split import split_rows


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 300), st.integers(0, 5), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 2**64 - 1))
def test_no_row_is_in_two_parts(count: int, classes: int, validation: float, test: float, seed: int) -> None:
    labels = None if classes == 0 else np.random.default_rng(seed).integers(0, classes, count)
    try:
        split = split_rows(count, labels, validation, test, seed)
    except TrainingError as error:
        assert "too few" in str(error)  # noqa: PT017  (both ends are right, depending on what was drawn)
        return
    rows = np.concatenate([split.training, split.validation, split.test])
    assert sorted(rows.tolist()) == list(range(count))
    assert abs(len(split.test) - test * count) <= max(classes, 1)
    if labels is not None:
        assert set(labels[split.training]) == set(labels)
    if test == 0:
        assert len(split.test) == 0
    if validation == 0:
        assert len(split.validation) == 0


def test_every_part_has_every_class_in_its_share() -> None:
    labels = np.repeat([0, 1, 2], [300, 100, 20])
    split = split_rows(420, labels, 0.25, 0.2, 0)
    assert np.bincount(labels[split.test]).tolist() == [60, 20, 4]
    assert np.bincount(labels[split.validation]).tolist() == [60, 20, 4]
    assert np.bincount(labels[split.training]).tolist() == [180, 60, 12]


def test_a_class_with_one_row_goes_to_training() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [2])
    for seed in range(10):
        split = split_rows(41, labels, 0.3, 0.3, seed)
        assert 40 in split.training


def test_many_small_classes_together_give_their_share() -> None:
    labels = np.repeat(np.arange(50), 3)
    split = split_rows(150, labels, 0.2, 0.2, 0)
    assert len(split.test) == 30
    assert len(split.validation) == 24
    assert set(labels[split.training]) == set(range(50))


def test_the_seed_decides() -> None:
    labels = np.arange(100) % 3
    first, again, other = (split_rows(100, labels, 0.2, 0.2, seed) for seed in (1, 1, 2))
    for part in ("training", "validation", "test"):
        assert np.array_equal(getattr(first, part), getattr(again, part))
        assert not np.array_equal(getattr(first, part), getattr(other, part))


def test_the_split_is_random_not_the_order_of_the_file() -> None:
    split = split_rows(1000, None, 0.2, 0.2, 0)
    assert len(split.test) == 200
    assert 400 < split.test.mean() < 600
    assert not np.array_equal(np.diff(split.test), np.ones(199))


@pytest.mark.parametrize("share", [1.0, 1.5, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["test", "validation"])
def test_shares_that_are_none(name: str, share: float) -> None:
    shares = {"test": 0.2, "validation": 0.2, name: share}
    with pytest.raises(TrainingError, match=f"the {name} share is .*; it must be at least 0 and less than 1, for inst"):
        split_rows(100, None, shares["validation"], shares["test"], 0)


def test_too_few_rows() -> None:
    with pytest.raises(TrainingError, match=r"2 rows with a label, too few for a test share of 0\.2: .*--test 0"):
        split_rows(2, None, 0.2, 0.2, 0)
    with pytest.raises(TrainingError, match=r"3 rows with a label, too few for a validation share of 0\.2"):
        split_rows(3, None, 0.2, 0.3, 0)
    with pytest.raises(
        TrainingError, match="the table has 1 row with a label, which leaves 1 for training; at least two are needed"
    ):
        split_rows(1, None, 0.0, 0.0, 0)
    with pytest.raises(TrainingError, match="at least two are needed"):
        split_rows(3, None, 0.5, 0.4, 0)
