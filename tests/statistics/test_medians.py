"""Medians of members against all: numpy's medians, scipy's bootstrap, and what happens where nobody is left."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lensaudit.statistics import bootstrap, median_shifts


def drawn(n: int = 301, seed: int = 3):
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.lognormal(size=n), rng.normal(size=n)])
    members = np.column_stack([values[:, 0] > 1, rng.random(n) < 0.4])
    return values, members


def test_medians_are_numpys():
    values, members = drawn()
    found = median_shifts(values, members, np.random.default_rng(0), resamples=20)
    assert found.everyone == pytest.approx(np.median(values, axis=0), abs=0)
    for group in range(2):
        assert found.members[group] == pytest.approx(np.median(values[members[:, group]], axis=0), abs=0)
    assert found.shift == pytest.approx(found.members - found.everyone, abs=0)
    assert found.n_members.tolist() == [[n, n] for n in members.sum(axis=0)]


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_medians_of_resamples_are_those_of_the_repeated_values(n):
    rng = np.random.default_rng(n)
    ordered, counts = np.sort(rng.normal(size=n)), rng.integers(0, 4, size=(50, n)).astype(np.int32)
    expected = [np.median(np.repeat(ordered, row)) if row.sum() else np.nan for row in counts]
    assert bootstrap._medians_of_sorted(ordered, counts) == pytest.approx(expected, nan_ok=True, abs=0)


def test_intervals_are_scipys():
    values, members = drawn()
    found = median_shifts(values, members, np.random.default_rng(1), resamples=4000)

    def shift(x, member):
        return np.median(x[member > 0]) - np.median(x)

    for column in range(2):
        data = (values[:, column], members[:, 1].astype(float))
        theirs = stats.bootstrap(
            data, shift, paired=True, vectorized=False, n_resamples=4000, method="percentile", rng=2
        ).confidence_interval
        ours = found.shift_low[1, column], found.shift_high[1, column]
        width = theirs.high - theirs.low
        assert ours == pytest.approx(theirs, abs=0.06 * width)  # two bootstraps of 4000 differ by 2 % of the width
        lone = stats.bootstrap((values[:, column],), np.median, n_resamples=4000, method="percentile", rng=2)
        span = lone.confidence_interval.high - lone.confidence_interval.low
        assert found.everyone_low[column] == pytest.approx(lone.confidence_interval.low, abs=0.06 * span)


def test_where_nothing_moves_the_interval_holds_zero_nineteen_times_of_twenty():
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(20):
        values, members = rng.normal(size=(300, 20)), rng.random((300, 1)) < 0.5
        found = median_shifts(values, members, rng, resamples=200)
        covered += ((found.shift_low <= 0) & (found.shift_high >= 0)).sum()
    assert 0.92 < covered / 400 < 0.98  # σ of the count is 1.1 %; 200 resamples


def test_what_has_no_value_is_left_out_for_that_quantity_alone():
    values, members = drawn()
    values[:40, 0], values[40:50, 0] = np.nan, -np.inf
    found = median_shifts(values, members, np.random.default_rng(0), resamples=20)
    assert found.n_everyone.tolist() == [251, 301]
    assert found.everyone[0] == np.median(values[50:, 0])
    assert found.members[1, 0] == np.median(values[50:, 0][members[50:, 1]])
    assert np.isfinite(found.everyone_low).all()


def test_nobody_is_nan_and_everybody_is_no_shift():
    values, _ = drawn()
    members = np.column_stack([np.zeros(301, bool), np.ones(301, bool)])
    found = median_shifts(values, members, np.random.default_rng(0), resamples=20)
    assert np.isnan([found.members[0], found.shift[0], found.shift_low[0], found.members_high[0]]).all()
    assert (found.shift[1], found.shift_low[1], found.shift_high[1]) == pytest.approx((0, 0, 0))
    empty = median_shifts(np.empty((0, 2)), np.empty((0, 1)), np.random.default_rng(0), resamples=5)
    assert np.isnan(empty.everyone).all()


def test_pieces_of_the_resamples_make_no_difference(monkeypatch):
    values, members = drawn()
    whole = median_shifts(values, members, np.random.default_rng(5), resamples=30)
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 700)
    parts = median_shifts(values, members, np.random.default_rng(5), resamples=30)
    assert (whole.shift_low == parts.shift_low).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="equally long"):
        median_shifts(np.ones((3, 1)), np.ones((2, 1)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 1"):
        median_shifts(np.ones((3, 1)), np.ones((3, 1)), np.random.default_rng(0), resamples=0)
