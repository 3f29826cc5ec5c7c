"""The ROC curve of the page against counting."""

from __future__ import annotations

import numpy as np

from lensaudit.report.roc_curve import MOST_POINTS, roc_block


def counted(lenses: np.ndarray, others: np.ndarray, alarms: int) -> float:
    """Highest recall with at most `alarms` non-lenses at or above the threshold, by trying every threshold."""
    best = 0.0
    for threshold in [*lenses, np.inf]:
        if np.sum(others >= threshold) <= alarms:
            best = max(best, float(np.mean(lenses >= threshold)))
    return best


def test_the_curve_is_what_counting_gives():
    rng = np.random.default_rng(0)
    lenses, others = np.round(rng.normal(1, 1, 40), 1), np.round(rng.normal(0, 1, 30), 1)  # rounded: ties between both
    roc = roc_block(lenses, others, rng)
    assert roc is not None
    assert roc["fpr"][0] == 0
    assert (roc["fpr"][-1], roc["tpr"][-1]) == (1, 1)
    for fpr, tpr in zip(roc["fpr"], roc["tpr"], strict=True):
        assert tpr == counted(lenses, others, round(fpr * 30))


def test_the_band_covers_another_draw_about_as_often_as_it_says():
    rng, inside = np.random.default_rng(1), []
    for _ in range(25):
        lenses, others = rng.uniform(0.5, 1.5, 150), rng.uniform(0, 1, 150)
        roc = roc_block(lenses, others, rng)
        assert roc is not None
        at = 45  # 30 % false positives: threshold 0.7, where 80 % of the lenses lie above
        true = 0.8
        inside.append(roc["low"][at] <= true <= roc["high"][at])
    assert np.mean(inside) > 0.8  # 95 % nominal; a percentile band of 150 is a little narrow


def test_many_points_are_thinned_but_keep_both_ends():
    rng = np.random.default_rng(2)
    roc = roc_block(rng.normal(1, 1, 500), rng.normal(0, 1, 5000), rng)
    assert roc is not None
    assert len(roc["fpr"]) <= MOST_POINTS + 1
    assert roc["fpr"][:3] == [0, 1 / 5000, 2 / 5000]
    assert roc["fpr"][-1] == 1


def test_one_class_has_no_curve():
    assert roc_block(np.ones(3), np.empty(0), np.random.default_rng(0)) is None
