"""Recall along a property: bins, intervals, and the test that all bins share one rate."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from lensaudit.report.performance import (
    AXES,
    PERMUTATIONS,
    axes_of,
    bin_edges,
    heterogeneity,
    rates_by_kind,
    recall_along,
)
from lensaudit.report.schema import MIN_BIN, Rate
from lensaudit.statistics import Proportion


def exact_p(n: list[int], k: list[int]) -> float:
    """Permutation p-value by going through every table with the same margins; shares no code with the package."""
    total, found = sum(n), sum(k)

    def chi2(table: tuple[int, ...]) -> float:
        return sum(
            (x - m * found / total) ** 2 / (m * found / total * (1 - found / total))
            for x, m in zip(table, n, strict=True)
        )

    observed, p = chi2(tuple(k)), 0.0
    for table in itertools.product(*(range(m + 1) for m in n)):
        if sum(table) == found and chi2(table) >= observed - 1e-9:
            p += math.prod(math.comb(m, x) for x, m in zip(table, n, strict=True)) / math.comb(total, found)
    return p


@pytest.mark.parametrize(("n", "k"), [([20, 20], [4, 12]), ([20, 25, 30], [10, 11, 13]), ([20, 22], [10, 11])])
def test_the_permutation_test_is_the_exact_one(n: list[int], k: list[int]):
    groups = [Proportion.of(b, a) for a, b in zip(n, k, strict=True)]
    p, exact = heterogeneity(groups, np.random.default_rng(1)), exact_p(n, k)
    assert p is not None
    spread = math.sqrt(exact * (1 - exact) / PERMUTATIONS)
    assert abs(p - exact) < 4 * spread + 1 / PERMUTATIONS  # 4 standard errors of the draws, and the +1 of the estimate


def test_nothing_to_compare_gives_no_p_or_one():
    rng = np.random.default_rng(0)
    assert heterogeneity([Proportion.of(3, 30)], rng) is None
    assert heterogeneity([Proportion.of(0, 30), Proportion.of(0, 40)], rng) == 1.0


def test_p_values_are_uniform_where_nothing_is_planted():
    rng, small = np.random.default_rng(3), 0
    for _ in range(200):
        k = rng.binomial([40, 30, 50], 0.6)
        p = heterogeneity([Proportion.of(int(x), n) for n, x in zip((40, 30, 50), k, strict=True)], rng)
        small += p is not None and p < 0.1
    assert 6 <= small <= 36  # binomial(200, 0.1): 20 ± 16 is more than three standard deviations


@pytest.mark.parametrize("n", [0, 1, 30, 200, 5000])
def test_bins_hold_everything_and_have_readable_edges(n: int):
    values = np.random.default_rng(n).lognormal(3, 0.8, n)
    edges = bin_edges(values)
    assert np.all(np.diff(edges) > 0)
    if n:
        assert edges[0] <= values.min()
        assert values.max() <= edges[-1]
    assert all(len(f"{edge:.10g}") <= 6 for edge in edges)


def test_bins_of_two_hundred_hold_enough():
    values = np.random.default_rng(2).uniform(0.3, 2.8, 200)
    counts = np.histogram(values, bin_edges(values))[0]
    assert counts.sum() == 200
    assert np.sum(counts < MIN_BIN) <= 2  # edges are rounded, so one bin may fall a little short


def test_equal_values_make_one_bin():
    edges = bin_edges(np.full(100, 22.5))
    assert list(edges) == [22.0, 23.0]


def test_every_lens_is_counted_once():
    rng = np.random.default_rng(4)
    values, found = rng.normal(24, 1, 300), rng.random(300) < 0.4
    values[:17] = np.nan
    curve = recall_along(values, found, AXES[2], rng)
    assert curve.n == 283
    assert curve.n_missing == 17
    assert sum(b.n for b in curve.bins) == 283
    assert sum(b.k for b in curve.bins) == int(found[17:].sum())
    for one in curve.bins:
        inside = (values >= one.start) & (values < one.end if one is not curve.bins[-1] else values <= one.end)
        assert one.n == int(inside.sum())
        assert one.low <= one.value <= one.high


def test_no_values_make_no_bins():
    curve = recall_along(np.full(5, np.nan), np.ones(5, bool), AXES[0], np.random.default_rng(0))
    assert curve.bins == ()
    assert curve.p is None


def test_rates_by_kind():
    kinds = np.array(["spiral"] * 30 + ["merger"] * 10)
    called = np.arange(40) < 12
    table = rates_by_kind(kinds, called, np.random.default_rng(0))
    assert [(row.kind, row.k, row.n, row.few) for row in table.rows] == [
        ("spiral", 12, 30, False),
        ("merger", 0, 10, True),
    ]
    assert table.p is None  # only one kind is large enough to be tested


def test_an_empty_group_has_no_rate():
    assert Rate.among(np.empty(0, bool)).to_json() == {
        "k": 0,
        "n": 0,
        "low": None,
        "high": None,
        "confidence": 0.95,
        "value": None,
        "few": True,
    }


def test_axes_are_in_the_bands_of_the_set():
    def of(bands: tuple[str, ...], *columns: str) -> list[str]:
        values = {"label": np.ones(3), **{name: np.ones(3) for name in columns}}
        some = SimpleNamespace(bands=bands, columns=tuple(values), column=values.__getitem__)
        return [axis.label for axis in axes_of(some, np.ones(3, bool))[2:]]

    assert of(("VIS", "H"), "mag_source_VIS") == [AXES[2].label, AXES[3].label]
    hsc = of(("g", "r", "i", "z", "y"), "mag_source_g", "colour_lens_g_y", "colour_source_g_y")
    assert hsc == ["Source magnitude, g, unlensed", "Source colour g − y"]
    assert of(("g", "r", "i")) == ["Source magnitude, g, unlensed", "Source colour g − i"]
