"""Calibration maps against their libraries, a known truth and each other; weights, prior shift."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.calibration_fit import METHODS, Sample
from lensaudit.finders import with_prior
from lensaudit.statistics import BetaMap, Calibrator, IsotonicMap, VennAbersMap, scaled_odds


def drawn(n: int, seed: int = 3, slope: float = 1.7, offset: float = -0.8) -> Sample:
    """Log-odds whose true p(lens) is a logistic function of them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    y = (rng.random(n) < expit(slope * z + offset)).astype(float)
    return Sample(y, z, np.ones(n))


GRID = np.linspace(-4, 4, 81)


@pytest.mark.parametrize(("method", "allowed"), [("isotonic", 0.06), ("beta", 0.02), ("venn-abers", 0.06)])
def test_a_known_truth_is_found(method, allowed):
    """Of 20 000 scores; a step of isotonic regression has some n^(1/3) noise, a fit of three numbers n^(1/2)."""
    found = METHODS[method](drawn(20_000)).of(GRID)
    assert np.abs(found.p - expit(1.7 * GRID - 0.8)).max() < allowed
    assert (np.diff(found.p) >= -1e-12).all()  # rounding


def test_beta_holds_the_identity_and_finds_it():
    np.testing.assert_allclose(BetaMap(1, 1, 0).of(GRID).p, expit(GRID), rtol=1e-12)  # float64
    found = METHODS["beta"](drawn(50_000, slope=1, offset=0))
    assert isinstance(found, BetaMap)
    # standard errors of slopes and offset of so many scores are some 0.02
    assert (found.a, found.b, found.c) == pytest.approx((1, 1, 0), abs=0.08)


def test_beta_is_the_library_s():
    from betacal import BetaCalibration

    sample = drawn(400)
    weights = np.random.default_rng(1).uniform(0.2, 3, 400)
    with warnings.catch_warnings():
        theirs = BetaCalibration("abm").fit(expit(sample.z), sample.y, sample_weight=weights)
    ours = METHODS["beta"](Sample(sample.y, sample.z, weights))
    np.testing.assert_allclose(ours.of(GRID).p, theirs.predict(expit(GRID)), rtol=1e-9)  # another order of terms


@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_is_scikit_learn_s(weighted):
    sample = drawn(300)
    sample = Sample(
        sample.y, np.round(sample.z, 1), np.random.default_rng(1).uniform(0.2, 3, 300) if weighted else sample.w
    )
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    theirs.fit(sample.z, sample.y, sample_weight=sample.w)
    beyond = np.r_[-30.0, GRID, 30.0, sample.z]
    np.testing.assert_allclose(METHODS["isotonic"](sample).of(beyond).p, theirs.predict(beyond), atol=1e-15)


def test_venn_abers_is_the_library_s_with_fewer_numbers():
    from venn_abers import calc_p0p1, calc_probs

    sample = drawn(300)
    z = np.round(sample.z, 1)
    at = np.r_[-30.0, GRID, 30.0, z]
    with np.errstate(all="ignore"):
        p0, p1, scores = calc_p0p1(np.stack([-z, z], axis=1), sample.y)
        p, ends = calc_probs(p0, p1, scores, np.stack([-at, at], axis=1))
    ours = METHODS["venn-abers"](Sample(sample.y, z, sample.w))
    assert isinstance(ours, VennAbersMap)
    found = ours.of(at)
    np.testing.assert_array_equal(np.stack([found.p, found.low, found.high]), np.stack([p[:, 1], *ends.T]))
    assert len(ours.scores) < len(scores)


def test_venn_abers_contains_the_rate_on_average():
    """The mean of the one end lies below, that of the other above the rate of the same images: its guarantee."""
    low, high, rate = [], [], []
    for seed in range(200):
        found = METHODS["venn-abers"](drawn(60, seed)).of((new := drawn(200, 1000 + seed)).z)
        low.append(found.low.mean())
        high.append(found.high.mean())
        rate.append(new.y.mean())
        assert (found.low <= found.high).all()
        assert ((found.low <= found.p) & (found.p <= found.high)).all()
    scatter = np.std(rate) / np.sqrt(len(rate))
    assert np.mean(low) < np.mean(rate) - 3 * scatter
    assert np.mean(high) > np.mean(rate) + 3 * scatter


@pytest.mark.parametrize("method", ["isotonic", "beta"])
def test_a_thinned_set_with_weights_gives_the_full_set_s_curve(method):
    """One in ten of the non-lenses below 0 is kept, with weight 10; without weights the curve would be another."""
    full = drawn(40_000)
    kept = (full.y == 1) | (full.z > 0) | (np.random.default_rng(5).random(len(full.y)) < 0.1)
    weights = np.where((full.y == 1) | (full.z > 0), 1.0, 10.0)
    thinned, whole = Sample(full.y[kept], full.z[kept], weights[kept]), METHODS[method](full).of(GRID).p
    assert np.abs(METHODS[method](thinned).of(GRID).p - whole).max() < 0.05
    ignored = Sample(thinned.y, thinned.z, np.ones(len(thinned.y)))
    assert np.abs(METHODS[method](ignored).of(GRID).p - whole).max() > 0.15


def test_the_prior_shift_is_bayes_theorem():
    """Of Gaussian scores the posterior at any fraction of lenses is known."""
    z = np.linspace(-3, 4, 50)

    def posterior(fraction: float) -> np.ndarray:
        return expit(2 * z - 2 + logit(fraction))  # N(2, 1) against N(0, 1): a log-likelihood ratio of 2 z − 2

    np.testing.assert_allclose(scaled_odds(posterior(0.4), 0.4, 0.001), posterior(0.001), rtol=1e-12)
    np.testing.assert_allclose(
        scaled_odds(posterior(0.4), 0.4, 0.001), with_prior(posterior(0.4), 0.001, 0.4), rtol=1e-12
    )
    np.testing.assert_array_equal(scaled_odds([0.0, 1.0], 0.3, 1e-4), [0, 1])


def test_a_calibrator_shifts_all_three_and_leaves_nan():
    calibrator = Calibrator(METHODS["venn-abers"](drawn(200)), 0.4, 0.01, 80, 120)
    found, at_set = calibrator.probabilities([-1.0, np.nan, 1.0]), calibrator.probabilities([-1.0, np.nan, 1.0], 0.4)
    for name in ("p", "low", "high"):
        assert np.isnan(getattr(found, name)[1])
        np.testing.assert_allclose(getattr(found, name), scaled_odds(getattr(at_set, name), 0.4, 0.01), rtol=1e-12)
    assert (found.p[[0, 2]] < at_set.p[[0, 2]]).all()


FRESH = """
import warnings
import numpy as np
import scipy.sparse  # whose own filter is its own
from lensaudit.evaluation.calibration_fit import METHODS, Sample
y, z = np.arange(80) % 2, np.random.default_rng(1).normal(size=80) + np.arange(80) % 2
before = np.geterr(), list(warnings.filters)
for name, fit in METHODS.items():
    fit(Sample(y.astype(float), z, np.ones(80)))
    assert (np.geterr(), list(warnings.filters)) == before, name
"""


def test_libraries_change_nothing_for_others():
    """venn_abers silences numpy when it is imported, betacal all of Python's warnings when it fits, both for good."""
    ran = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_what_cannot_be_fitted_is_one_line():
    sample = drawn(200)
    with pytest.raises(UsageError, match=r"^--method venn-abers: takes no sampling weights.*isotonic or beta"):
        METHODS["venn-abers"](Sample(sample.y, sample.z, np.linspace(1, 2, 200)))
    with pytest.raises(DataError, match="lenses do not score above non-lenses"):
        METHODS["beta"](Sample(1 - sample.y, sample.z, sample.w))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (Calibrator(IsotonicMap(np.array([1.0, 0.0]), np.array([0.0, 1.0])), 0.5, 0.1, 1, 1), "scores do not rise"),
        (Calibrator(IsotonicMap(np.array([0.0, 1.0]), np.array([0.5, 0.1])), 0.5, 0.1, 1, 1), "do not rise within"),
        (Calibrator(IsotonicMap(np.array([0.0, 1.0]), np.array([0.5])), 0.5, 0.1, 1, 1), "do not go with"),
        (Calibrator(IsotonicMap(np.array([]), np.array([])), 0.5, 0.1, 1, 1), "do not go with"),
        (
            Calibrator(VennAbersMap(np.array([0.0]), np.array([0.0, 0.2]), np.array([0.2, 1.2])), 0.5, 0.1, 1, 1),
            "do not rise",
        ),
        (Calibrator(BetaMap(-1, 1, 0), 0.5, 0.1, 1, 1), "do not make a map that rises"),
        (Calibrator(BetaMap(1, 1, 0), 0.5, 1.0, 1, 1), "prevalence 1 is not between"),
    ],
)
def test_what_is_no_calibration_says_so(wrong, complaint):
    assert complaint in wrong.complaint


def test_what_is_one_has_no_complaint():
    for fit in METHODS.values():
        assert Calibrator(fit(drawn(100)), 0.4, 0.01, 40, 60).complaint == ""
