"""The classifier test: folds by system, half where nothing differs, the closed form where Gaussians are shifted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from lensaudit.realism_gate.classifying import FOLDS, folds_of, told_apart


def test_no_system_is_in_two_folds_and_both_sets_are_in_all():
    rng = np.random.default_rng(0)
    systems = [f"host-{i % 42}" for i in range(100)]
    real = np.arange(100) < 30
    fold = folds_of(systems, real, rng)
    assert all(len({fold[i] for i in range(100) if systems[i] == one}) == 1 for one in set(systems))
    assert set(fold) == set(range(FOLDS))
    assert all(real[fold == k].any() and not real[fold == k].all() for k in range(FOLDS))


def test_single_cutouts_are_dealt_evenly():
    real = np.arange(130) < 23
    fold = folds_of([str(i) for i in range(130)], real, np.random.default_rng(1))
    for which in (real, ~real):
        counts = np.bincount(fold[which], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


def test_three_real_cutouts_make_three_folds():
    real = np.arange(50) < 3
    fold = folds_of([str(i) for i in range(50)], real, np.random.default_rng(1))
    assert sorted(fold[:3]) == [0, 1, 2]


def test_a_copy_in_the_other_set_does_not_help():
    """Every cutout is in both sets: a classifier that saw the twin of a test cutout would be wrong about it."""
    rng = np.random.default_rng(3)
    x = np.tile(rng.normal(size=(62, 40)), (2, 1))
    real = np.repeat([True, False], 62)
    fold = folds_of([str(i % 62) for i in range(124)], real, rng)
    found = told_apart(x, real, fold, linear=True)
    assert found.auroc == pytest.approx(0.5, abs=1e-9)  # twins get one score


def halves(seed: int, linear: bool) -> bool:
    rng = np.random.default_rng([17, seed])
    n = 30
    x, real = rng.normal(size=(2 * n, 4)), np.repeat([True, False], n)
    found = told_apart(x, real, folds_of([str(i) for i in range(2 * n)], real, rng), linear=linear)
    return found.low <= 0.5 <= found.high


def test_two_halves_of_one_set_cannot_be_told_apart():
    assert sum(halves(seed, linear=True) for seed in range(200)) >= binom.ppf(1e-4, 200, 0.95)


def test_trees_cannot_tell_two_halves_apart_either():
    assert sum(halves(seed, linear=False) for seed in range(15)) >= binom.ppf(1e-4, 15, 0.95)


@pytest.mark.parametrize("linear", [True, False])
def test_shifted_gaussians_have_the_closed_form(linear: bool):
    """The best classifier of two Gaussians d apart has AUROC Φ(d/√2), whatever their covariance."""
    rng = np.random.default_rng(8)
    n, shift = 800, 1.2
    x, real = rng.normal(size=(2 * n, 3)), np.repeat([True, False], n)
    x[real, 0] += shift
    if linear:
        x = x @ np.array([[1, 2, 0], [0, 1, 5], [0, 0, 3.0]])
    found = told_apart(x, real, folds_of([str(i) for i in range(2 * n)], real, rng), linear=linear)
    assert found.low <= norm.cdf(shift / math.sqrt(2)) <= found.high
    assert found.high - found.low < 0.1


def test_trees_take_what_does_not_exist():
    rng = np.random.default_rng(9)
    x, real = rng.normal(size=(120, 2)), np.repeat([True, False], 60)
    x[real, 1] = np.nan
    assert told_apart(x, real, folds_of([str(i) for i in range(120)], real, rng), linear=False).auroc == 1.0
