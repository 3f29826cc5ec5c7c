"""Recall against a truth column: every pair is counted once."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.probes.columns import recall_curve
from lensaudit.probes.finding import PairedScores
from lensaudit.statistics import wilson_interval


def test_each_pair_is_in_one_bin_or_outside():
    values = np.array([0.0, 0.4, 0.5, 0.99, 1.0, 2.0, np.nan, -1.0])
    control = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0])
    scores = PairedScores(control, -control, 0.5)
    curve = recall_curve("arcs", ("theta_e_arcsec", "θ_E"), values, scores, [0.0, 0.5, 1.0, 2.0])
    assert [(one.control.k, one.control.n) for one in curve.bins] == [(1, 2), (2, 2), (0, 1)]
    assert [(one.treated.k, one.treated.n) for one in curve.bins] == [(1, 2), (0, 2), (1, 1)]
    assert curve.outside == 3  # the upper edge, NaN and a negative value


def test_a_bin_of_hosts_used_again_has_their_interval():
    scores = PairedScores(np.ones(6), np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0]), 0.5, np.repeat(np.arange(3), 2))
    curve = recall_curve("hosts", ("x", "x"), np.array([0.0, 0.0, 0.0, 0.0, 0.5, 0.5]), scores, [0.0, 0.3, 1.0])
    assert curve.bins[0].treated.interval == pytest.approx(wilson_interval(2, 2))  # two hosts, of four pairs
    assert curve.bins[1].treated.interval == (0.0, 1.0)  # one host says nothing of others


def test_an_empty_bin_has_no_recall():
    curve = recall_curve("arcs", ("x", "x"), np.array([5.0]), PairedScores(np.ones(1), np.ones(1), 0.5), [0.0, 1.0])
    assert curve.bins[0].control.n == 0
    assert np.isnan(curve.bins[0].control.value)
