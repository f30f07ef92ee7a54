"""What is read from repeats: errors that are large enough, laws, choices without luck, double descent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from chainrule.workflow.curve_reading import (
    STUDENT,
    Estimate,
    around,
    choose_among,
    double_descent,
    estimate,
    power_law,
)
from chainrule.workflow.curve_text import between, signed, with_error

RNG = np.random.default_rng(0)


def test_students_quantiles() -> None:
    wanted = [stats.t.ppf(0.975, degrees) for degrees in range(1, len(STUDENT) + 1)]
    np.testing.assert_allclose(STUDENT, wanted, atol=5e-5)
    assert around(0.0, 1.0, 1000).high == STUDENT[-1] > stats.t.ppf(0.975, 999)


def test_without_overlap_an_interval_is_the_usual_one() -> None:
    values = RNG.normal(2.0, 3.0, size=12)
    found = estimate(values, 0.0)
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean, found.error) == pytest.approx((values.mean(), stats.sem(values)))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)
    # Nadeau and Bengio: 1/R + n_test/n_training in the place of 1/R
    assert estimate(values, 0.25).error == pytest.approx(found.error * np.sqrt((1 / 12 + 0.25) * 12))


def test_the_interval_of_repeated_splits_covers_the_truth_where_the_usual_one_does_not() -> None:
    """The mean of held-out rows of repeated splits of 50 rows, against the population's: 0."""
    covered = {0.0: 0, 0.25: 0}
    for _ in range(400):
        rows = RNG.normal(size=50)
        means = np.array([rows[RNG.permutation(50)[:10]].mean() for _ in range(10)])
        for share in covered:
            e = estimate(means, share)
            covered[share] += e.low <= 0.0 <= e.high
    assert covered[0.0] < 340  # of 380 that it promises
    assert covered[0.25] > 372


def test_a_power_law_is_found_again() -> None:
    n = np.array([100, 200, 400, 800, 1600])
    curve, true = 0.3 + 4.0 * n**-0.5, 4.0 * (1600**-0.5 - 3200**-0.5)
    law = power_law(n, curve[:, None] + 1e-5 * RNG.normal(size=(5, 10)), 0.25)
    assert law is not None
    assert (law.points, law.rows) == (4, 3200)
    assert (law.a, law.b, law.c) == pytest.approx((0.3, 4.0, 0.5), rel=0.03)
    assert law.value == pytest.approx(0.3 + 4.0 * 3200**-0.5, abs=1e-4)
    covered = 0
    for _ in range(100):
        law = power_law(n, curve[:, None] + 0.003 * RNG.normal(size=(5, 10)), 0.0)
        assert law is not None
        covered += law.gain.low < true < law.gain.high
    assert covered >= 85


def test_where_no_power_law_fits_its_error_says_so() -> None:
    n = np.array([100, 200, 400, 800])
    steady = power_law(n, (4.0 * n**-0.5)[:, None] + 1e-4 * RNG.normal(size=(4, 8)), 0.25)
    sudden = power_law(n, np.array([1.0, 1.0, 1.0, 0.4])[:, None] + 1e-4 * RNG.normal(size=(4, 8)), 0.25)
    rising = power_law(n, np.array([1.0, 1.1, 1.2, 1.3])[:, None] + 1e-4 * RNG.normal(size=(4, 8)), 0.25)
    assert steady is not None
    assert sudden is not None
    assert rising is not None
    assert steady.gain.sign == 1
    assert sudden.gain.sign == 0
    assert rising.b == 0.0
    assert rising.gain.mean == 0.0
    assert power_law(n[:2], np.ones((2, 8)), 0.25) is None


def test_the_best_of_many_alike_settings_gains_nothing() -> None:
    """Picking the best of twenty noisy means and reading its own gain would promise one that is not there."""
    honest, naive = [], []
    for _ in range(300):
        present, losses = RNG.normal(size=8), RNG.normal(size=(20, 8))
        honest.append(choose_among(losses, present, range(20), 0.25).gain)
        naive.append(present.mean() - losses.mean(axis=1).min())
    assert abs(np.mean([e.mean for e in honest])) < 0.1
    assert np.mean(naive) > 0.5
    assert np.mean([e.sign > 0 for e in honest]) < 0.05


def test_a_setting_that_is_better_is_chosen_by_all() -> None:
    losses = np.array([3.0, 1.0, 2.0])[:, None] + 0.01 * RNG.normal(size=(3, 6))
    choice = choose_among(losses, losses[0], [1, 2], 0.25)
    assert (choice.place, choice.votes, choice.gain.sign) == (1, 6, 1)
    assert choice.gain.mean == pytest.approx(2.0, abs=0.05)
    assert choose_among(losses, losses[1], [0, 2], 0.25).gain.sign == -1


def test_double_descent_takes_a_rise_and_a_fall_beyond_noise() -> None:
    noise = 0.02 * RNG.normal(size=(6, 6))
    found = double_descent(np.array([1.0, 0.6, 1.2, 0.9, 0.5, 0.55])[:, None] + noise, 0.25)
    assert found is not None
    assert (found.valley, found.peak, found.beyond) == (1, 2, 4)
    assert found.rise.mean == pytest.approx(0.6, abs=0.05)
    assert found.fall.mean == pytest.approx(0.7, abs=0.05)
    for shape in ([1.0, 0.8, 0.6, 0.5, 0.45, 0.4], [1.0, 0.6, 0.5, 0.7, 0.9, 1.1]):
        assert double_descent(np.array(shape)[:, None] + noise, 0.25) is None
    assert double_descent(noise[:2], 0.25) is None


def test_noise_alone_is_no_double_descent() -> None:
    found = [double_descent(RNG.normal(size=(9, 8)), 0.25) is not None for _ in range(300)]
    assert np.mean(found) < 0.02


def test_numbers_with_their_errors() -> None:
    assert with_error(12.345, 0.678) == "12.35 ± 0.68"
    assert with_error(1234567.0, 8900.0) == "1234567 ± 8900"
    assert with_error(0.5, 0.0) == "0.5 ± 0"
    assert between(Estimate(-0.02, 0.01, -0.04, 0.0)) == "−0.040 to 0.000"
    assert between(Estimate(0.02, 0.01, 0.0, 0.04), -1.0) == "−0.040 to 0.000"
    assert signed("-0 to -0.001") == "0 to −0.001"
