"""Where the loss leaves the tolerance: broken lines by hand, on both sides of the control."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lensaudit.probes import Arm
from lensaudit.probes.collect import Answers
from lensaudit.probes.columns import PHYSICAL_COLUMNS, Sample
from lensaudit.probes.response import _crossing, response

NAN = float("nan")


@pytest.mark.parametrize(
    ("doses", "change", "tolerance", "control", "expected"),
    [
        # From 0 at the control to −0.1 at 1: −0.05 half way.
        ([1.0, 2.0], [-0.1, -0.2], 0.05, 0.0, 0.5),
        # −0.02 at 1, −0.12 at 2: −0.05 after 3/10 of the way between.
        ([1.0, 2.0], [-0.02, -0.12], 0.05, 0.0, 1.3),
        # A gain first: the line falls from +0.1 at 1 to −0.1 at 2, through −0.05 at 1.75.
        ([1.0, 2.0], [0.1, -0.1], 0.05, 0.0, 1.75),
        # Exactly at the tolerance is not beyond it.
        ([1.0, 2.0], [-0.05, -0.05], 0.05, 0.0, NAN),
        # The first crossing counts, not a recovery behind it.
        ([1.0, 2.0, 3.0], [-0.1, 0.0, -0.1], 0.05, 0.0, 0.5),
        # Doses may stand in any order.
        ([2.0, 1.0], [-0.2, -0.1], 0.05, 0.0, 0.5),
        # Falling doses: an Einstein radius from 1.4″ down to 0.8″ loses 0.2, so 0.05 a quarter of the way down.
        ([0.4, 0.8, 2.0], [-0.5, -0.2, 0.0], 0.05, 1.4, 1.4 - 0.25 * 0.6),
        # Both sides lose: the nearer crossing. −0.1 at −1 crosses at −0.5; −0.4 at +1 at +0.125.
        ([-1.0, 1.0], [-0.1, -0.4], 0.05, 0.0, 0.125),
        ([-1.0, 1.0], [-0.4, -0.1], 0.05, 0.0, -0.125),
        # One side only: the line on the other is not drawn across the control.
        ([-1.0, 1.0], [-0.1, 0.3], 0.05, 0.0, -0.5),
        # No control on the axis: between doses, or the first one that has lost.
        ([1.0, 2.0], [0.0, -0.1], 0.05, None, 1.5),
        ([1.0, 2.0], [-0.1, -0.2], 0.05, None, 1.0),
        # A dose on the control itself says nothing.
        ([0.0, 1.0], [0.0, -0.1], 0.05, 0.0, 0.5),
    ],
)
def test_crossings_by_hand(doses, change, tolerance, control, expected):
    found = _crossing(np.array(doses), np.array(change), tolerance, control)
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        # The nearer side of the control: −.1 crosses half way, −.4 after an eighth, −.2 after a quarter.
        (0.0, [0.125, -0.125, -0.5, NAN, 0.25]),
        # No control: a first dose that has lost, or 5/8 of the way from +.2 to −.2.
        (None, [-1.0, -1.0, -1.0, NAN, 0.25]),
    ],
)
def test_the_crossings_of_many_lines_by_hand(control, expected):
    """All resamples are walked together, each as it would be alone."""
    changes = np.array([[-0.1, -0.4], [-0.4, -0.1], [-0.1, 0.3], [0.0, -0.05], [0.2, -0.2]])
    found = _crossing(np.array([-1.0, 1.0]), changes, 0.05, control)
    np.testing.assert_allclose(found, expected)


def sample(found, doses, groups=None):
    """A sample in which arm a finds the systems where found[a] is true; the control first."""
    logit = np.where(np.array(found), 2.0, -2.0)
    arms = (Arm(()), *(Arm((), dose) for dose in doses))
    truth = {name: np.tile(np.arange(len(arms), dtype=float)[:, None], logit.shape[1]) for name in PHYSICAL_COLUMNS}
    asked = Answers(logit, np.zeros(logit.shape, dtype=int), truth)
    asking = SimpleNamespace(arms=arms, source=SimpleNamespace(groups=groups))
    return Sample("lenses", asking, asked, 0.5, np.ones(logit.shape, dtype=bool))


def kept(share, n=100):
    return np.arange(n) < round(share * n)


def test_response_of_a_sample_by_hand():
    found = [kept(1.0), kept(0.98), kept(0.88)]
    one = response(sample(found, (1.0, 2.0)), 0.05, 0.0, np.random.default_rng(0))
    assert one.crossing == pytest.approx(1.3)
    assert one.low < 1.3 < one.high
    assert one.crossed == pytest.approx(1.0, abs=0.03)  # 12 ± 3 losses of 100 are hardly ever fewer than 5
    assert one.truth["theta_e_arcsec"] == (0.0, 1.0, 2.0)


def test_the_interval_of_a_crossing_draws_hosts_where_they_have_several_pairs(monkeypatch):
    """Six hosts of 20: one loses 12 of its pairs at the last dose. Without it, one draw in three, none is lost."""
    monkeypatch.setattr("lensaudit.probes.response.RESAMPLES", 300)
    found = [np.ones(120, bool), np.ones(120, bool), np.arange(120) >= 12]
    hosts = np.repeat(np.arange(6), 20)
    pairs, over_hosts = (
        response(sample(found, (1.0, 2.0), groups), 0.05, 0.0, np.random.default_rng(0)) for groups in (None, hosts)
    )
    assert over_hosts.crossing == pairs.crossing == pytest.approx(1.5)
    assert pairs.crossed > 0.95
    assert over_hosts.crossed == pytest.approx(1 - (5 / 6) ** 6, abs=0.09)  # three standard errors of 300 draws
    assert (np.isfinite(pairs.high), np.isnan(over_hosts.high)) == (True, True)


def test_an_interval_is_open_on_the_side_on_which_the_sample_crosses(monkeypatch):
    """Of 6 % lost where 5 % are tolerated, a third of the resamples never crosses: those lie beyond the last dose."""
    monkeypatch.setattr("lensaudit.probes.response.RESAMPLES", 200)
    lossy, same = kept(0.94), kept(1.0)
    right = response(sample([same, same, lossy], (-1.0, 1.0)), 0.05, 0.0, np.random.default_rng(0))
    left = response(sample([same, lossy, same], (-1.0, 1.0)), 0.05, 0.0, np.random.default_rng(0))
    assert 0.3 < right.crossed < 0.9
    assert 0 < right.low < 1
    assert np.isnan(right.high)
    assert np.isnan(left.low)
    assert -1 < left.high < 0


def test_no_crossing_has_no_interval():
    one = response(sample([kept(1.0)] * 3, (1.0, 2.0)), 0.05, 0.0, np.random.default_rng(0))
    assert np.isnan([one.crossing, one.low, one.high]).all()
    assert one.crossed == 0


def test_a_single_dose_has_no_response():
    assert response(sample([kept(1.0), kept(0.5)], (1.0,)), 0.05, 0.0, np.random.default_rng(0)) is None
