"""Recall against a truth column: every pair is counted once."""

from __future__ import annotations

import numpy as np

from lensaudit.probes.columns import recall_curve
from lensaudit.probes.finding import PairedScores


def test_each_pair_is_in_one_bin_or_outside():
    values = np.array([0.0, 0.4, 0.5, 0.99, 1.0, 2.0, np.nan, -1.0])
    control = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0])
    scores = PairedScores(control, -control, 0.5)
    curve = recall_curve("arcs", ("theta_e_arcsec", "θ_E"), values, scores, [0.0, 0.5, 1.0, 2.0])
    assert [(one.control.k, one.control.n) for one in curve.bins] == [(1, 2), (2, 2), (0, 1)]
    assert [(one.treated.k, one.treated.n) for one in curve.bins] == [(1, 2), (0, 2), (1, 1)]
    assert curve.outside == 3  # the upper edge, NaN and a negative value


def test_an_empty_bin_has_no_recall():
    curve = recall_curve("arcs", ("x", "x"), np.array([5.0]), PairedScores(np.ones(1), np.ones(1), 0.5), [0.0, 1.0])
    assert curve.bins[0].control.n == 0
    assert np.isnan(curve.bins[0].control.value)
