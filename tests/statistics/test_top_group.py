"""The highest against the rest: scipy, and the one-by-one AUROC of this package."""

import numpy as np
import pytest
from scipy import stats

from lensaudit.statistics import auroc, auroc_interval, top_groups


def _tables(n=300, k=4, c=3, seed=2):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, c))
    return y[:, :1] * np.linspace(-1, 1, k) + rng.normal(size=(n, k)), y


def _split(x, y, size):
    top = np.argsort(-x, kind="stable")[:size]
    return y[top], np.delete(y, top)


@pytest.mark.parametrize("tied", [False, True])
def test_every_pair_is_the_plain_comparison(tied):
    x, y = _tables()
    if tied:
        x, y = np.round(x, 1), np.round(y, 1)
    result = top_groups(x, y, fraction=0.1)
    for i in range(x.shape[1]):
        for j in range(y.shape[1]):
            top, rest = _split(x[:, i], y[:, j], 30)
            oracle = stats.mannwhitneyu(top, rest, use_continuity=False, method="asymptotic")
            assert result.auroc[i, j] == pytest.approx(auroc(top, rest), abs=1e-12)
            assert result.auroc[i, j] == pytest.approx(oracle.statistic / (30 * 270), abs=1e-12)
            assert result.p[i, j] == pytest.approx(oracle.pvalue, rel=1e-9)
            assert (result.low[i, j], result.high[i, j]) == pytest.approx(auroc_interval(top, rest), abs=1e-10)
    assert result.n.tolist() == [300] * 3
    assert result.n_top.tolist() == [30] * 3


def test_gaps_of_a_column_are_left_out_before_the_group_is_chosen():
    x, y = _tables()
    y[::2, 1] = np.nan
    result = top_groups(x, y)
    known = np.isfinite(y[:, 1])
    top, rest = _split(x[known, 3], y[known, 1], 10)
    assert result.auroc[3, 1] == pytest.approx(auroc(top, rest), abs=1e-12)
    assert result.n.tolist() == [300, 150, 300]
    assert result.n_top.tolist() == [15, 10, 15]


def test_a_liking_that_only_the_extremes_show_is_found():
    """Of 1000, the 50 highest all have a large quantity, and the rest do not care."""
    rng = np.random.default_rng(5)
    y = rng.uniform(size=(1000, 1))
    x = rng.uniform(size=(1000, 1))
    chosen = np.flatnonzero(y[:, 0] > 0.7)[:50]
    x[chosen] += 1
    result = top_groups(x, y)
    assert result.low[0, 0] > 0.75
    assert result.p[0, 0] < 1e-10


def test_complete_separation_is_not_certain():
    x = np.arange(40.0)[:, None]
    result = top_groups(np.hstack([x, -x]), x, fraction=0.25)
    assert result.auroc[:, 0].tolist() == [1, 0]
    assert (result.low[0, 0], result.high[0, 0]) == auroc_interval(x[30:, 0], x[:30, 0])
    assert (result.low[1, 0], result.high[1, 0]) == auroc_interval(x[:10, 0], x[10:, 0])


def test_what_cannot_be_compared_is_nan():
    x = np.stack([np.arange(30.0), np.ones(30)], axis=1)
    y = np.stack([np.arange(30.0), np.ones(30), np.full(30, np.nan), [*range(19), *[np.nan] * 11]], axis=1)
    result = top_groups(x, y)
    assert result.auroc[0, 0] == 1
    assert np.isnan(result.auroc[1]).all()
    assert np.isnan(result.auroc[0, 1:]).all()
    assert np.isnan(result.p[0, 1:]).all()
    assert result.n_top.tolist() == [10, 10, 0, 0]
    assert top_groups(x, y[:, :0]).auroc.shape == (2, 0)
    assert np.isnan(top_groups(x[:0], y[:0]).auroc).all()


def test_the_interval_covers_no_difference_as_often_as_it_says():
    rng = np.random.default_rng(3)
    result = top_groups(rng.normal(size=(600, 2000)), rng.normal(size=(600, 1)))
    covered = (result.low <= 0.5) & (result.high >= 0.5)
    # a group of 30; three standard errors of a share of 2000 are 0.015, the approximation is off by as much again
    assert covered.mean() == pytest.approx(0.95, abs=0.025)
    assert (result.p < 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        top_groups(np.ones((3, 1)), np.ones((4, 1)))
    with pytest.raises(ValueError, match="fraction"):
        top_groups(np.ones((3, 1)), np.ones((3, 1)), fraction=0.6)
