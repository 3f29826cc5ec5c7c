"""Pairs of finders against tables counted by hand, and the ranking."""

import numpy as np
import pytest
from scipy.special import expit

from lensaudit.comparing.pairs import Told, pairs_of, ranking_of
from lensaudit.statistics import auroc, holm, mcnemar_exact
from tests.comparing.made_up import areas, logits, row

LABELS = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])


def told(name: str, logit: list[float], threshold: float = 0.5) -> Told:
    z = np.array(logit, float)
    return Told(name, expit(z), z, threshold)


def test_mcnemar_as_counted_by_hand():
    a = told("a", [4, 3, 2, 1, -1, -1, -2, -3, -4, 5])  # wrong on the fifth and the last
    b = told("b", [-1, -2, -3, 6, 7, -1, -2, -3, -4, -5])  # wrong on the first three
    [pair] = pairs_of(LABELS, [a, b], seed=0)
    own = pair.own
    # right: a on images 0-3 and 5-8, b on 3, 4 and 5-9
    assert (own.both, own.a_alone, own.b_alone, own.neither) == (5, 3, 2, 0)
    assert own.p == 1.0  # 3 against 2 of 5: both tails of the binomial together are 1
    # at FPR 1 % of five non-lenses none may be called: a's highest non-lens is 5, b's −1
    fpr = pair.fpr
    assert (fpr.both, fpr.a_alone, fpr.b_alone, fpr.neither, fpr.n) == (0, 0, 2, 3, 5)
    assert fpr.p == 0.5  # 2 of 2
    assert pair.auroc.difference == pytest.approx(auroc(a.logit[:5], a.logit[5:]) - auroc(b.logit[:5], b.logit[5:]))


def test_thresholds_are_each_finders_own():
    logit = [1.0, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]  # p above one half everywhere
    [pair] = pairs_of(LABELS, [told("low", logit), told("high", logit, threshold=0.7)], seed=0)
    assert (pair.own.a_alone, pair.own.b_alone, pair.own.both) == (0, 5, 5)
    assert pair.own.p == 0.0625  # 2 × 2⁻⁵


def test_holm_goes_over_all_pairs_of_a_comparison():
    labels, found = logits(("a", "b", "c"), 200)
    pairs = pairs_of(labels, [told(name, list(z)) for name, z in found.items()], seed=0)
    assert [(pair.a, pair.b) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for name in ("own", "fpr", "auroc"):
        tests = [getattr(pair, name) for pair in pairs]
        assert np.allclose([one.p_holm for one in tests], holm([one.p for one in tests]))
    for name in ("own", "fpr"):
        for pair in pairs:
            one = getattr(pair, name)
            assert one.p == mcnemar_exact(one.a_alone, one.b_alone)


def test_ranking_says_who_cannot_be_told_apart():
    labels, found = logits(("first", "second", "same"), 400)  # the last ranks as the one before it does
    pairs = pairs_of(labels, [told(name, list(z)) for name, z in found.items()], seed=0)
    ranking = ranking_of(areas([row(name, labels, z) for name, z in found.items()]), pairs)
    assert [(one.place, one.finder) for one in ranking] == [(1, "first"), (2, "same"), (3, "second")]
    assert [one.not_told_from for one in ranking] == [(), ("second",), ("same",)]


def test_a_pair_turned_is_that_of_the_other_first():
    a, b = told("a", [4, 3, 2, 1, -1, -1, -2, -3, -4, 5]), told("b", [-1, -2, -3, 6, 7, -1, -2, -3, -4, -5])
    [pair] = pairs_of(LABELS, [a, b], seed=0)
    [other] = pairs_of(LABELS, [b, a], seed=0)
    turned = pair.turned()
    assert (turned.own, turned.fpr) == (other.own, other.fpr)
    assert (turned.auroc.difference, turned.auroc.p) == pytest.approx((other.auroc.difference, other.auroc.p))
    assert turned.auroc.low <= turned.auroc.difference <= turned.auroc.high


def test_one_finder_or_one_class_has_no_pairs():
    one = told("a", list(range(10)))
    assert pairs_of(LABELS, [one], seed=0) == ()
    assert pairs_of(np.ones(10, int), [one, told("b", list(range(10)))], seed=0) == ()
    labels, found = logits(("a", "b"), 60)
    assert ranking_of(areas([row("a", labels, found["a"])]), [])[0].not_told_from is None
