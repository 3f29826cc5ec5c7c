"""Rank correlations against scipy, and the interval against its promise."""

import numpy as np
import pytest
from scipy import stats

from lensaudit.statistics import spearman


def _tables(n=60, k=5, c=4, seed=1):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, c))
    x = y[:, :1] * np.linspace(-2, 2, k) + rng.normal(size=(n, k))
    return x, y


def test_rho_and_p_are_scipys_for_every_pair():
    x, y = _tables()
    x[:, 1] = np.round(x[:, 1])  # ties
    y[:, 2] = np.round(y[:, 2])
    result = spearman(x, y)
    for i in range(x.shape[1]):
        for j in range(y.shape[1]):
            oracle = stats.spearmanr(x[:, i], y[:, j])
            assert result.rho[i, j] == pytest.approx(oracle.statistic, abs=1e-13)  # float64 sums of 60 terms
            assert result.p[i, j] == pytest.approx(oracle.pvalue, rel=1e-9)
    assert result.n.tolist() == [60] * 4


def test_gaps_of_a_column_are_left_out_for_that_column_alone():
    x, y = _tables()
    y[::3, 1] = np.nan
    y[5, 3] = np.inf
    result = spearman(x.astype(np.float32), y)
    known = np.isfinite(y[:, 1])
    oracle = stats.spearmanr(x.astype(np.float32)[known, 0], y[known, 1])
    assert result.rho[0, 1] == pytest.approx(oracle.statistic, abs=1e-13)
    assert result.p[0, 1] == pytest.approx(oracle.pvalue, rel=1e-9)
    assert result.n.tolist() == [60, 40, 60, 59]
    assert result.rho[0, 0] == pytest.approx(stats.spearmanr(x[:, 0].astype(np.float32), y[:, 0]).statistic, abs=1e-13)


def test_interval_is_bonett_and_wright_by_hand():
    x, y = np.arange(8.0)[:, None], np.array([0, 2, 1, 3, 5, 4, 7, 6.0])[:, None]
    result = spearman(x, y)
    rho = 1 - 6 * 6 / (8 * 63)  # Σd² = 6
    half = 1.959964 * np.sqrt((1 + rho**2 / 2) / 5)
    assert result.rho[0, 0] == pytest.approx(rho, abs=1e-15)
    assert result.low[0, 0] == pytest.approx(np.tanh(np.arctanh(rho) - half), abs=1e-6)
    assert result.high[0, 0] == pytest.approx(np.tanh(np.arctanh(rho) + half), abs=1e-6)


@pytest.mark.parametrize("pearson", [0.0, 0.4, -0.8])
def test_interval_covers_the_truth_as_often_as_it_says(pearson):
    rng = np.random.default_rng(7)
    n, trials = 80, 3000
    y = rng.normal(size=(n, trials))
    x = pearson * y + np.sqrt(1 - pearson**2) * rng.normal(size=(n, trials))
    truth = 6 / np.pi * np.arcsin(pearson / 2)  # Spearman's ρ of a bivariate normal
    covered = []
    for t in range(trials):
        result = spearman(x[:, t : t + 1], y[:, t : t + 1])
        covered.append(result.low[0, 0] <= truth <= result.high[0, 0])
    # three standard errors of a share of 3000 are 0.012; the approximation itself is off by less than 0.01
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_what_cannot_be_correlated_is_nan_and_what_is_perfect_is_certain():
    x = np.stack([np.ones(6), np.arange(6.0), -np.arange(6.0)], axis=1)
    y = np.stack([np.arange(6.0), np.full(6, 2.0), np.full(6, np.nan), [0, 1, 2, *[np.nan] * 3]], axis=1)
    result = spearman(x, y)
    assert np.isnan(result.rho[0]).all()
    assert np.isnan(result.rho[:, 1:]).all()  # constant, empty, and three pairs only
    assert np.isnan(result.p[:, 1:]).all()
    assert result.n.tolist() == [6, 6, 0, 3]
    for ends in (result.rho, result.low, result.high):
        np.testing.assert_allclose(ends[1:, 0], [1, -1], rtol=0, atol=1e-12)  # rounding of the ranks' lengths
    np.testing.assert_allclose(result.p[1:, 0], 0, rtol=0, atol=1e-20)


def test_a_wider_confidence_gives_a_wider_interval_and_nothing_gives_nothing():
    x, y = _tables()
    assert (spearman(x, y, 0.99).high > spearman(x, y).high).all()
    assert spearman(x, y[:, :0]).rho.shape == (5, 0)


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        spearman(np.ones((3, 1)), np.ones((4, 1)))
    with pytest.raises(ValueError, match="finite"):
        spearman([[np.nan]] * 5, np.ones((5, 1)))
