"""Recall maps and thresholds: hand-counted cells, a closed form, empty cells, marks, what is left out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from lensaudit.errors import UsageError
from lensaudit.evaluation.selection import Axis, Threshold, recall_map
from lensaudit.evaluation.selection.parameters import ARC_SNR, EINSTEIN_RADIUS, Classes

X, Y = Axis(EINSTEIN_RADIUS, (0.0, 1.0, 2.0)), Axis(ARC_SNR, (0.0, 10.0, 20.0))


def test_cells_counted_by_hand():
    """Lower edges belong to a cell, the last upper edge too."""
    theta = [0.5, 0.5, 1.0, 2.0, 0.2, 2.1, 0.5, np.nan, 0.5]
    snr = [5.0, 10.0, 5.0, 20.0, 9.9, 5.0, -1.0, 5.0, np.nan]
    found = [True, False, True, True, False, True, True, True, False]
    one = recall_map(theta, snr, found, X, Y)
    assert one.n.tolist() == [[2, 1], [1, 1]]
    assert one.k.tolist() == [[1, 1], [0, 1]]
    assert one.recall.tolist() == [[0.5, 1.0], [0.0, 1.0]]
    assert (one.n_missing, one.n_outside) == (2, 2)
    assert [(c["x_from"], c["y_from"], c["n"]) for c in one.cells()] == [(0, 0, 2), (1, 0, 1), (0, 10, 1), (1, 10, 1)]


def test_an_empty_cell_has_no_recall_and_is_marked():
    one = recall_map([0.5] * 3, [5.0] * 3, [True] * 3, X, Y)
    assert one.n[1, 1] == 0
    assert math.isnan(one.recall[1, 1])
    assert math.isnan(one.low[1, 1])
    assert one.few.all()


@pytest.mark.parametrize(("n", "few"), [(99, True), (100, False)])
def test_fewer_than_a_hundred_are_marked(n, few):
    one = recall_map(np.full(n, 0.5), np.full(n, 5.0), np.ones(n), X, Y)
    assert bool(one.few[0, 0]) is few


def test_a_score_of_one_column_gives_recall_in_closed_form():
    """p = θ_E / 4: at p ≥ 0.3 all from θ_E = 1.2 on are found, so (2 − 1.2) of the cell from 1 to 2."""
    theta = (np.arange(4000) + 0.5) / 2000
    one = recall_map(theta, np.tile([5.0, 15.0], 2000), theta / 4 >= 0.3, X, Y)
    assert one.recall.tolist() == [[0.0, 0.8], [0.0, 0.8]]


def test_intervals_are_scipys():
    rng = np.random.default_rng(1)
    one = recall_map(rng.uniform(0, 2, 500), rng.uniform(0, 20, 500), rng.random(500) < 0.7, X, Y)
    for cell in one.cells():
        theirs = binomtest(cell["k"], cell["n"]).proportion_ci(method="wilson")
        assert (cell["low"], cell["high"]) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="equally long"):
        recall_map([1.0], [1.0, 2.0], [True], X, Y)
    with pytest.raises(ValueError, match="rising"):
        Axis(ARC_SNR, (1.0, 1.0))


def classes(lenses, others):
    return Classes(*(np.asarray(part, float) for part in (lenses, lenses, others, others)))


def test_a_threshold_on_p_takes_its_own_value():
    one = classes([0.5, 0.4, 0.9], [0.5, 0.1]).cut(Threshold(0.5))
    assert one is not None
    assert one.found.tolist() == [True, False, True]
    assert (one.cut.recall.k, one.cut.false_positives.k, one.cut.false_positives.n) == (2, 1, 2)


def test_a_false_positive_rate_lies_above_the_first_non_lens_too_many():
    """Of ten non-lenses 0 … 0.9, 20 % are two: above 0.7."""
    one = classes([0.7, 0.71, 0.95], np.arange(10) / 10).cut(Threshold(0.2, "fpr"))
    assert one is not None
    assert one.cut.false_positives.k == 2
    assert one.found.tolist() == [False, True, True]
    assert one.cut.note == ""


def test_a_rate_that_allows_nobody_is_said():
    one = classes([0.95], np.arange(10) / 10).cut(Threshold(0.01, "fpr"))
    assert one is not None
    assert one.cut.false_positives.k == 0
    assert "10 non-lenses are too few" in one.cut.note


def test_without_non_lenses_there_is_no_rate():
    assert classes([0.5], []).cut(Threshold(0.1, "fpr")) is None
    assert math.isnan(classes([0.5], []).cut(Threshold(0.1)).cut.false_positives.value)


def test_a_threshold_outside_zero_and_one_is_refused():
    with pytest.raises(UsageError, match="between 0 and 1"):
        Threshold(1.5, "fpr")


def test_json_of_a_map_is_plain():
    words = recall_map([0.5] * 3, [5.0] * 3, [True] * 3, X, Y).to_json()
    json.dumps(words)
    assert words["x"]["edges"] == [0.0, 1.0, 2.0]
    assert np.sum(words["n"]) == 3
