"""Whole probes on finders whose effect is known in closed form, from the truth or from renders made apart."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.imaging import EUCLID
from lensaudit.probes import ProbeOptions, load_definition, run_probe
from lensaudit.probes.definition import Doses, Edits, Mode
from lensaudit.verdicts import BIAS, EQUIVALENT, NOT_ASSESSABLE, SELECTION

from .conftest import SEED, formula, rendered

N = 6
MORE = 12
"""Pairs where a verdict of bias is expected: so few as Holm's correction lets tell."""
pytestmark = pytest.mark.usefixtures("no_figures")

AXIS = (np.arange(200) - 99.5) * 0.1
X, Y = np.meshgrid(AXIS, AXIS)
RADIUS = np.hypot(X, Y)
CORE = np.sin(3 * np.arctan2(Y, X)) * ((RADIUS > 0.15) & (RADIUS < 0.55))
"""Three-fold moment where the PSF's pattern is strongest and arcs are not yet."""


def on_plain(name, **changes):
    """A built-in probe, asked of plain lenses: bright and in the middle, with the PSF at 0°."""
    changes |= {"modes": {"plain": Mode(populations={"lenses": "plain"})}, "default_mode": "plain"}
    return load_definition(name).model_copy(update=changes)


def run(definition, finder, out, tolerance=0.05, n=N):
    return run_probe(definition, finder, n, SEED, out, ProbeOptions(tolerance=tolerance))


def total(images):
    return images.sum((1, 2))


@pytest.fixture(scope="module")
def plain_arms():
    """Plain lenses in all arms of red-source, rendered apart from the probe."""
    return [rendered("red-source", index, "plain") for index in range(N)]


@pytest.fixture(scope="module")
def middle(plain_arms):
    """The median VIS flux, which half of the lenses exceed."""
    return float(np.median([arms[0].images["VIS"].sum(dtype=float) for arms in plain_arms]))


def test_a_red_source_is_nothing_to_a_finder_of_vis_flux(tmp_path, middle):
    finder = formula(lambda bands: total(bands["VIS"]) - middle, ("VIS", "H"))
    result = run(on_plain("red-source"), finder, tmp_path, tolerance=0.45)  # 6 pairs can acquit of so much
    assert len(result.findings) == 5
    for found in result.findings:
        assert 0 < found.control.k < N
        assert (found.gained, found.lost, found.p_value, found.verdict.state.beyond) == (0, 0, 1, False)
        # Light below 0.01 σ a pixel of any band is not drawn, so VIS gains faintest wings where H is brighter: at most
        # some 1e-5 of its flux.
        assert abs(found.logit_change.value) < 5e-5 * middle


def test_a_red_source_brightens_h_by_what_its_magnitudes_say(tmp_path, plain_arms):
    """Δlogit = Σ F_arc (10^(−0.4 Δm) − 1), with Δm = strength × (colour of the lens − colour of the source)."""
    result = run(on_plain("red-source"), formula(lambda bands: total(bands["H"]) - 60.0, ("VIS", "H")), tmp_path)
    control = [arms[0].truth.row for arms in plain_arms]
    flux = np.array([EUCLID.band("H").flux(row["mag_arc_H"]) for row in control])
    redder = np.array([row["colour_lens_VIS_H"] - row["colour_source_VIS_H"] for row in control])
    assert np.abs(redder).mean() > 0.3  # or there would be little to see
    for found in result.findings:
        expected = (flux * (10 ** (0.4 * found.dose * redder) - 1)).mean()
        # 1 %: photon noise grows with the arcs, and light below 0.01 σ a pixel is cut farther out where it is brighter.
        assert found.logit_change.value == pytest.approx(expected, rel=0.01)
        assert found.logit_change.low <= expected <= found.logit_change.high


def test_a_dimmed_source_costs_its_flux_and_is_no_accusation(tmp_path, plain_arms):
    finder = formula(lambda bands: total(bands["VIS"]) - 60.0)
    result = run(on_plain("arc-snr"), finder, tmp_path)
    control = [arms[0].truth.row for arms in plain_arms]
    flux = np.array([EUCLID.band("VIS").flux(row["mag_arc_VIS"]) for row in control])
    for found in result.findings:
        # 1 %: as above, of light that gets fainter
        assert found.logit_change.value == pytest.approx(-(flux * (1 - 10 ** (-0.4 * found.dose))).mean(), rel=0.01)
        assert found.gained == 0
        assert found.verdict.state is not BIAS


def test_a_finder_of_the_three_fold_moment_answers_to_the_psf_as_cos_3_phi(tmp_path):
    finder = formula(lambda bands: -0.5 * (bands["VIS"] * CORE).sum((1, 2)))
    result = run(on_plain("psf-rotation"), finder, tmp_path, n=MORE)
    noiseless = [
        [arm.noiseless["VIS"].astype(float) for arm in rendered("psf-rotation", k, "plain")] for k in range(MORE)
    ]
    moment = -0.5 * (np.array(noiseless) * CORE).sum((2, 3))  # (n, arms), the control first
    swing = (moment[:, 0] - moment[:, 2]).mean() / 2  # cos 3φ goes from 1 at 0° to −1 at 60°
    assert swing > 0.1
    for number, found in enumerate(result.findings, start=1):
        law = swing * (np.cos(np.radians(3 * found.dose)) - 1)
        exact = (moment[:, number] - moment[:, 0]).mean()
        assert found.logit_change.value == pytest.approx(exact, rel=0.02)  # photon noise follows the light
        # 5 % of the swing: on square pixels the ring is no circle, and galaxies are elliptical.
        assert found.logit_change.value == pytest.approx(law, abs=0.05 * 2 * swing)
    by_dose = {found.dose: found for found in result.findings}
    assert result.verdict.state is BIAS
    assert by_dose[60.0].verdict.state is by_dose[180.0].verdict.state is BIAS
    assert by_dose[60.0].lost >= 10
    assert by_dose[135.0].verdict.state is not BIAS  # cos 3φ = 0.7: the moment keeps its sign


def test_the_moment_of_another_order_does_not_see_the_turn(tmp_path):
    """The same rings and galaxies, four-fold: what the finder above saw was the PSF."""
    four = np.cos(4 * np.arctan2(Y, X)) * ((RADIUS > 0.15) & (RADIUS < 0.55))
    finder = formula(lambda bands: -0.5 * (bands["VIS"] * four).sum((1, 2)))
    result = run(on_plain("psf-rotation"), finder, tmp_path, n=2)
    three = np.array(
        [[(a.noiseless["VIS"] * CORE).sum() for a in rendered("psf-rotation", k, "plain")] for k in (0, 1)]
    )
    swing = 0.5 * np.abs(three[:, 0] - three[:, 2]).mean()
    assert max(abs(found.logit_change.value) for found in result.findings) < 0.1 * swing  # pixels are square


def test_a_finder_blind_to_orientation_shows_exactly_nothing(tmp_path):
    """Sorted pixels are the same numbers in the same order whichever way the image is turned."""

    def sorted_pixels(bands):
        flat = np.sort(bands["VIS"].reshape(len(bands["VIS"]), -1), axis=1)
        return flat[:, -500:].sum(1) - 20.0

    result = run(on_plain("orientation"), formula(sorted_pixels), tmp_path, tolerance=0.45, n=N)
    assert [found.dose for found in result.findings] == [1, 2, 3, 4, 5, 6, 7]
    for found in result.findings:
        assert (found.gained, found.lost, found.verdict.state) == (0, 0, EQUIVALENT)
        assert (found.logit_change.value, found.logit_change.low, found.logit_change.high) == (0, 0, 0)


def test_a_finder_of_up_minus_down_changes_sign_when_turned_over(tmp_path):
    def up_minus_down(bands):
        return bands["VIS"][:, 100:].sum((1, 2)) - bands["VIS"][:, :100].sum((1, 2))

    result = run(on_plain("orientation"), formula(up_minus_down), tmp_path, n=2)
    logit = _by_arm(result)
    for turned_over in (2, 6):  # a half turn; a mirror of the columns and a half turn, which mirrors the rows
        assert logit[turned_over] == pytest.approx(-logit[0], abs=1e-9)  # order of summation
    assert logit[4] == pytest.approx(logit[0], abs=1e-9)  # columns change places, rows do not


def _by_arm(result):
    arm = next(c.values for c in result.every_dose if c.name == "arm")
    logit = next(c.values for c in result.every_dose if c.name == "logit")
    return [logit[arm == number] for number in range(arm.max() + 1)]


def test_a_finder_of_noise_answers_to_the_noise_level_by_its_logarithm(tmp_path):
    def quiet(bands):
        sky = bands["VIS"][:, RADIUS > 9.0]
        away = np.median(np.abs(sky - np.median(sky, axis=1, keepdims=True)), axis=1)
        return -8.0 * np.log(away / (1.2 * 0.6745 * EUCLID.band("VIS").background_sigma))

    result = run(on_plain("noise-level"), formula(quiet), tmp_path, n=MORE)
    words = {}
    for found in result.findings:
        # 5 %: the wings of galaxies and their photon noise widen the distribution a little at every level.
        assert found.logit_change.value == pytest.approx(-8 * np.log(found.dose), rel=0.05)
        words[found.dose] = found.verdict.state
    assert words[1.5] == words[2.0] == words[3.0] == SELECTION  # a loss in a difficulty probe accuses nobody
    assert words[0.5] != SELECTION
    response = result.responses[0]
    # All lenses are found at 1 and none at 1.5: the broken line falls to −tolerance after a twentieth of the way.
    assert response.crossing == pytest.approx(1 + 0.05 * 0.5)
    assert (response.low, response.high, response.crossed) == (response.crossing, response.crossing, 1.0)


def test_identity_arms_are_bit_equal_and_show_exactly_nothing(tmp_path, middle):
    same = on_plain("compound", edits=Edits(), lens_rule=None, curves={}, published=None)
    result = run(same, formula(lambda bands: total(bands["VIS"]) - middle), tmp_path, tolerance=0.45)
    found = result.findings[0]
    assert 0 < found.control.k < N
    assert (found.recall_change.value, found.logit_change.value, found.logit_change.low, found.p_value) == (0, 0, 0, 1)
    assert result.verdict.state is NOT_ASSESSABLE  # of half of six lenses it could not be seen to lose 0.45
    assert (result.column("n_changed_pixels") == 0).all()


def test_an_edit_at_its_neutral_strength_is_the_control(tmp_path):
    """A dose on which the control stands is allowed, and shows nothing."""
    neutral = on_plain(
        "noise-level", doses=Doses(label="x", phrase="at {dose}", values=(1.0, 1.5), control=1.0), lens_rule=None
    )
    found = run(neutral, formula(lambda bands: bands["VIS"].std((1, 2))), tmp_path, n=2).findings
    assert found[0].logit_change.value == 0
    assert found[1].logit_change.value != 0
