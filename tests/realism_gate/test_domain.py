"""Flags beyond the simulated domain: one in a hundred of the same kind, all of another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from lensaudit.realism_gate.domain import BEYOND, distances_from


def test_one_per_cent_of_the_simulated_lie_beyond():
    rng = np.random.default_rng(0)
    found = distances_from(rng.normal(size=(1000, 6)), rng.normal(size=(10, 6)), rng)
    assert (found.simulated > found.threshold).mean() <= BEYOND
    assert (found.simulated >= found.threshold).mean() >= BEYOND


def test_the_same_kind_is_flagged_as_often():
    flagged = 0
    for seed in range(20):
        rng = np.random.default_rng([2, seed])
        found = distances_from(rng.normal(size=(500, 5)), rng.normal(size=(100, 5)), rng)
        flagged += int((found.real > found.threshold).sum())
    low, high = binom.ppf([1e-4, 1 - 1e-4], 2000, BEYOND)
    assert 0.5 * low <= flagged <= 1.6 * high  # a threshold from 500 is itself uncertain by half


def test_distances_are_mahalanobis_s():
    rng = np.random.default_rng(3)
    mix = np.array([[1, 0.5], [0, 2.0]])
    point = np.array([[3.0, 1.0]])
    found = distances_from(rng.normal(size=(20_000, 2)) @ mix, point, rng)
    wanted = np.sqrt(point @ np.linalg.inv(mix.T @ mix) @ point.T)[0, 0]
    assert found.real[0] == pytest.approx(wanted, rel=0.02)  # of 20 000 points


def test_what_is_silent_on_the_simulated_and_speaks_on_a_real_one_is_far():
    rng = np.random.default_rng(4)
    simulated = rng.normal(size=(300, 4))
    simulated[:, 3] = 0.0
    odd = np.array([[0, 0, 0, 2.0], [0, 0, 0, 0]])
    found = distances_from(simulated, odd, rng)
    assert (found.real > found.threshold).tolist() == [True, False]


def test_more_features_than_cutouts_are_taken():
    rng = np.random.default_rng(5)
    found = distances_from(rng.normal(size=(10, 40)), rng.normal(size=(3, 40)), rng)
    assert np.isfinite(found.real).all()
    assert np.isfinite(found.threshold)
