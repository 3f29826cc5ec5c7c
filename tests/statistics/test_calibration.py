"""Calibration against closed forms and scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from lensaudit.evaluation import calibrate
from lensaudit.statistics import brier_score, calibration_error, expected_calibration_error, reliability


@pytest.fixture
def said() -> tuple[np.ndarray, np.ndarray]:
    """2 000 labels and probabilities that are too sure of themselves."""
    rng = np.random.default_rng(3)
    z = rng.normal(0, 2.5, 2000)
    return (rng.random(2000) < 1 / (1 + np.exp(-0.5 * z))).astype(int), 1 / (1 + np.exp(-z))


def test_closed_forms():
    # Two bins: 0.25 said of four images of which two are lenses, 0.75 of four that all are.
    labels, p = [1, 1, 0, 0, 1, 1, 1, 1], [0.25] * 4 + [0.75] * 4
    assert expected_calibration_error(labels, p, bins=2) == pytest.approx(0.25)  # |0.5 − 0.25| and |1 − 0.75|
    assert brier_score(labels, p) == pytest.approx((2 * 0.5625 + 2 * 0.0625 + 4 * 0.0625) / 8)
    assert brier_score([1, 0, 0, 0], [0.25] * 4) == pytest.approx(0.25 * 0.75)  # always the fraction: s (1 − s)
    first, second = reliability(labels, p, bins=2)
    assert (first.lenses.k, first.lenses.n, first.mean_p, first.lenses.value) == (2, 4, 0.25, 0.5)
    assert (second.lenses.k, second.lenses.n, second.mean_p, second.lenses.value) == (4, 4, 0.75, 1.0)


def test_as_scikit_learn(said):
    labels, p = said
    share, mean = calibration_curve(labels, p, n_bins=10)
    bins = [one for one in reliability(labels, p) if one.lenses.n]
    # rounding of sums in another order
    assert np.allclose([one.lenses.value for one in bins], share, rtol=1e-12)
    assert np.allclose([one.mean_p for one in bins], mean, rtol=1e-12)
    assert brier_score(labels, p) == pytest.approx(brier_score_loss(labels, p), rel=1e-12)
    slow = sum(one.lenses.n * abs(one.lenses.value - one.mean_p) for one in bins) / len(labels)
    assert expected_calibration_error(labels, p) == pytest.approx(slow, rel=1e-12)


def test_edges_of_bins_and_of_probability():
    bins = reliability([0, 1, 1], [0.0, 0.1, 1.0])
    assert [one.lenses.n for one in bins] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]  # 0.1 is the right edge of the first
    assert math.isnan(bins[1].lenses.value)
    assert math.isnan(bins[1].lenses.low)


def test_a_calibrated_finder_is_not_accused_and_one_too_sure_is(said):
    rng = np.random.default_rng(1)
    _, p = said
    fair = calibration_error((rng.random(len(p)) < p).astype(int), p, rng)
    assert fair.value < fair.by_chance
    assert fair.low == 0
    sure = calibration_error(*said, rng)
    assert sure.low > 0
    assert sure.by_chance < sure.value <= sure.high


def test_interval_holds_the_true_error():
    """Coverage of 60 sets of 600 images whose error is known from 400 000: 95 % less three standard deviations."""
    rng = np.random.default_rng(2)

    def drawn(n):
        z = rng.normal(0, 2, n)
        return 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-0.6 * z))

    p, right = drawn(400_000)
    truth = sum(abs((right - p)[(p > left) & (p <= left + 0.1)].sum()) for left in np.arange(10) / 10) / len(p)
    held = 0
    for _ in range(60):
        p, right = drawn(600)
        error = calibration_error((rng.random(600) < right).astype(int), p, rng, resamples=200)
        held += error.low <= truth <= error.high
    assert held >= 52


def test_what_cannot_be_measured_is_not_a_number_with_a_status():
    found = calibrate([-1, -1], [0.2, math.nan])
    assert math.isnan(found.ece.value)
    assert found.ece.n == 0
    assert found.brier.status == "no labelled images"
    assert found.to_json()["ece_by_chance"] is None


def test_unknown_and_unscored_images_are_left_out():
    found = calibrate([1, 0, -1, 1], [0.9, 0.2, 0.7, math.nan])
    assert found.brier.n == found.ece.n == 2
    assert found.brier.value == pytest.approx((0.01 + 0.04) / 2)


def test_same_seed_same_interval(said):
    assert calibrate(*said, seed=4).to_json() == calibrate(*said, seed=4).to_json()


def test_probabilities_outside_0_and_1_are_refused():
    with pytest.raises(ValueError, match="probabilities in"):
        brier_score([1, 0], [1.2, 0.1])
