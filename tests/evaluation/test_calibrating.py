"""A calibration measured outside the fit: coverage of its intervals, folds and hold-out, weights, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.calibrating import Calibrated, CalibrationSettings, Reliability, calibrate_scores
from lensaudit.statistics import (
    auroc,
    bootstrap_interval,
    brier_score,
    expected_calibration_error,
    reliability,
    scaled_odds,
    weighted_calibration_error,
    weighted_reliability,
)

REPETITIONS = 500


def drawn(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels and log-odds that say too little: the true log-odds are 1.7 times as large, less 0.8."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    return (rng.random(n) < expit(1.7 * z - 0.8)).astype(int), z


@pytest.mark.parametrize("method", ["isotonic", "beta", "venn-abers"])
@pytest.mark.parametrize("holdout", [None, 0.5])
def test_reliability_is_better_afterwards_on_images_outside_the_fit(method, holdout):
    labels, z = drawn(3000)
    found, p = calibrate_scores(labels, z, None, CalibrationSettings(method, holdout=holdout))
    n = 3000 if holdout is None else 1500
    assert found.before.ece.n == found.after.ece.n == np.isfinite(p.p).sum() == n
    assert found.before.ece.low > 0.05
    assert found.after.ece.value < max(found.after.ece_by_chance, 0.03)  # Venn-Abers draws p towards the middle
    assert found.after.brier.value < found.before.brier.value
    assert f"{found.measured_on}".startswith("hold-out" if holdout else "cross-fitted in 5 parts")


def test_no_image_is_measured_by_a_fit_that_knew_it():
    """With labels of no meaning, a fit that knew its images would still find the lenses: those say nothing."""
    rng = np.random.default_rng(1)
    labels, z = rng.integers(0, 2, 400), rng.normal(size=400)
    found, p = calibrate_scores(labels, z, None, CalibrationSettings("isotonic", folds=10))
    assert abs(auroc(p.p[labels == 1], p.p[labels == 0]) - 0.5) < 0.1  # its standard error is 0.03
    own = found.calibrator.probabilities(z).p
    assert auroc(own[labels == 1], own[labels == 0]) > 0.5
    assert found.after.brier.value > brier_score(labels, own)


def test_with_a_holdout_what_is_measured_is_what_is_kept():
    labels, z = drawn(1000)
    found, p = calibrate_scores(labels, z, None, CalibrationSettings("beta", holdout=0.3, prevalence=0.01))
    held = np.isfinite(p.p)
    np.testing.assert_array_equal(found.calibrator.probabilities(z[held]).p, p.p[held])
    assert held.sum() == found.after.brier.n == 1000 - found.calibrator.n_lenses - found.calibrator.n_non_lenses


def test_probabilities_are_for_the_stated_prevalence():
    labels, z = drawn(1000)
    at_set, stated = (
        calibrate_scores(labels, z, None, CalibrationSettings("beta", prevalence=one))[0].calibrator
        for one in (None, 1e-3)
    )
    assert at_set.prevalence == at_set.fitted_fraction == labels.mean()
    shifted = scaled_odds(at_set.probabilities(z).p, labels.mean(), 1e-3)
    np.testing.assert_allclose(stated.probabilities(z).p, shifted, rtol=1e-12)
    np.testing.assert_allclose(stated.probabilities(z, labels.mean()).p, at_set.probabilities(z).p, rtol=1e-9)


def test_a_thinned_set_with_weights_has_the_full_set_s_figures():
    labels, z = drawn(20_000)
    rare = (labels == 0) & (z < 0)
    kept = ~rare | (np.random.default_rng(2).random(20_000) < 0.1)
    weights = np.where(rare, 10.0, 1.0)
    settings = CalibrationSettings("beta", inspected=(2000,))
    full = calibrate_scores(labels, z, None, settings)[0]
    thinned = calibrate_scores(labels[kept], z[kept], weights[kept], settings)[0]
    # 800 of 8000 such non-lenses are left, whose number scatters by 3.5 %
    assert thinned.calibrator.fitted_fraction == pytest.approx(full.calibrator.fitted_fraction, rel=0.03)
    assert thinned.before.ece.value == pytest.approx(full.before.ece.value, abs=0.01)
    assert thinned.before.brier.value == pytest.approx(full.before.brier.value, rel=0.03)
    assert thinned.top[0].completeness.value == pytest.approx(full.top[0].completeness.value, rel=0.03)
    assert thinned.top[0].images == pytest.approx(20_000, rel=0.03)
    ignored = calibrate_scores(labels[kept], z[kept], None, settings)[0]
    assert ignored.calibrator.fitted_fraction > 1.4 * full.calibrator.fitted_fraction


def test_weights_that_are_all_alike_change_nothing():
    labels, z = drawn(300)
    plain, weighted = (calibrate_scores(labels, z, one, CalibrationSettings())[0] for one in (None, np.full(300, 2.0)))
    np.testing.assert_allclose(weighted.after.ece.value, plain.after.ece.value, rtol=1e-12)
    assert [one.lenses.value for one in weighted.after.bins] == pytest.approx(
        [one.lenses.value for one in plain.after.bins], nan_ok=True
    )
    assert weighted.top[0].images == 600


def test_unweighted_figures_are_those_of_evaluate():
    labels, z = drawn(300)
    ours = Reliability.of(labels, expit(z), np.ones(300))
    assert ours.ece.value == pytest.approx(expected_calibration_error(labels, expit(z)), rel=1e-12)
    for mine, theirs in zip(ours.bins, reliability(labels, expit(z)), strict=True):
        assert (mine.lenses.low, mine.lenses.high) == pytest.approx(theirs.lenses.interval, nan_ok=True)


def test_intervals_cover_500_times():
    """Brier score, calibration error, and the fraction of lenses of a bin, against a million images alike."""
    labels, z = drawn(10**6, seed=99)
    p = expit(z)
    true = {"brier": brier_score(labels, p), "ece": expected_calibration_error(labels, p)}
    true["bin"] = labels[(p > 0.6) & (p <= 0.7)].mean()
    hits = dict.fromkeys(true, 0)
    for seed in range(REPETITIONS):
        y, new = drawn(400, seed)
        said, rng = expit(new), np.random.default_rng(seed)
        error = weighted_calibration_error(y, said, np.ones(400), rng, draws=200)
        ends = {"ece": (error.low, error.high)}
        ends["brier"] = bootstrap_interval([(said - y) ** 2], np.mean, rng, resamples=100)
        lenses = weighted_reliability(y, said, np.ones(400))[6].lenses
        ends["bin"] = (lenses.low, lenses.high)
        for name, (low, high) in ends.items():
            hits[name] += low <= true[name] <= high
    # percentiles of 100 resamples lie some 1 % too far inside; 93 % less what chance explains once in a thousand
    assert all(count >= binom.ppf(0.001, REPETITIONS, 0.93) for count in hits.values()), hits


def test_it_is_read_back():
    labels, z = drawn(200)
    for method in ("isotonic", "beta", "venn-abers"):
        found = calibrate_scores(labels, z, None, CalibrationSettings(method))[0]
        words = json.loads(json.dumps(found.to_json(), allow_nan=False))
        again = Calibrated.from_json(words)
        assert again.to_json() == words
        assert again.calibrator.map.method == method
        np.testing.assert_array_equal(again.calibrator.probabilities(z).p, found.calibrator.probabilities(z).p)


def test_the_same_seed_gives_the_same_numbers():
    labels, z = drawn(200)
    first, again, other = (
        calibrate_scores(labels, z, None, CalibrationSettings(seed=seed))[0].to_json() for seed in (4, 4, 5)
    )
    assert first == again != other


def test_unknown_and_unscored_images_are_left_out_and_counted():
    labels, z = drawn(200)
    labels[:3], z[3:5] = -1, np.nan
    found, p = calibrate_scores(labels, z, None, CalibrationSettings())
    assert (found.n_unlabelled, found.n_unscored, found.after.ece.n) == (3, 2, 195)
    assert np.isnan(p.p[:5]).all()
    assert np.isfinite(p.p[5:]).all()


def test_pictures_show_both_sides_and_few():
    labels, z = drawn(200)
    found = calibrate_scores(labels, z, None, CalibrationSettings(prevalence=0.001, survey=10**5))[0]
    words = [text.get_text() for text in found.plot().get_legend().get_texts()]
    assert [word.split(":")[0] for word in words] == ["every p right", "before", "after"]
    assert "grey: set too small" in found.plot_top().get_title(loc="left")
    assert "ECE" in found.after.plot().get_title(loc="left")


N = 60
SPLIT = np.arange(N) % 2


@pytest.mark.parametrize(
    ("labels", "weights", "line"),
    [
        (np.full(N, -1), None, "here: has no labelled image"),
        (np.ones(N, int), None, "here: has no non-lenses; a calibration needs at least 20 of each class"),
        (np.zeros(N, int), None, "here: has no lenses"),
        (np.arange(N) < 19, None, "here: has 19 lenses"),
        (SPLIT, np.r_[-1.0, np.ones(N - 1)], r"column w is -1 in row 1 \(1 of 60 labelled"),
        (SPLIT, np.r_[np.ones(N - 1), np.nan], "column w is nan in row 60"),
        (SPLIT, np.zeros(N), "column w is 0 for every labelled image"),
        (SPLIT, np.array(["a"] * N), "column w holds no numbers"),
        (SPLIT, np.where(SPLIT == 1, 1.0, 0.0), "here: has no non-lenses of a weight above 0"),
    ],
)
def test_a_wrong_set_is_one_line(labels, weights, line):
    with pytest.raises(DataError, match=line):
        calibrate_scores(np.asarray(labels, int), drawn(N)[1], weights, CalibrationSettings(), source=("here", "", "w"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"method": "platt"}, "--method platt is not known; allowed: isotonic, beta, venn-abers"),
        ({"prevalence": 0.0}, "--prevalence 0 is not a fraction"),
        ({"prevalence": 1.5}, "--prevalence 1.5 is not"),
        ({"prevalence": float("nan")}, "--prevalence nan is not"),
        ({"holdout": 1.0}, "--holdout 1 is not"),
        ({"fpr": 0.0}, "--fpr 0 is not"),
        ({"folds": 1}, "--folds 1: cross-fitting needs 2"),
        ({"inspected": (0,)}, "--inspect 0: give 1 or more"),
        ({"survey": 10, "inspected": (20,)}, "--survey 10: has fewer images than --inspect 20"),
    ],
)
def test_a_wrong_setting_is_one_line(words, line):
    with pytest.raises(UsageError, match=line):
        CalibrationSettings(**words)


def test_a_holdout_that_leaves_too_few_is_one_line():
    labels, z = drawn(60)
    with pytest.raises(DataError, match=r"set: .* leave .* to measure on .* give another --holdout, or --folds"):
        calibrate_scores(labels, z, None, CalibrationSettings(holdout=0.05))


def test_more_inspected_than_the_set_stands_for_is_one_line():
    labels, z = drawn(60)
    with pytest.raises(UsageError, match=r"--inspect 100: .* 60 images"):
        calibrate_scores(labels, z, None, CalibrationSettings(inspected=(100,)))
