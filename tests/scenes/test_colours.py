"""Template colours against SkyPy's own photometry."""

import warnings

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

from lensaudit.errors import UsageError
from lensaudit.scenes import colours
from lensaudit.scenes.scene import EUCLID_SKY

BANDS = ("VIS", "Y", "J", "H", "g")
FILTERS = ["Euclid-VIS", "Euclid-Y", "Euclid-J", "Euclid-H", "lsst2016-g"]


@pytest.mark.parametrize(("spectrum", "z"), [("red", 0.3), ("red", 0.9), ("blue", 1.4), ("blue", 2.71)])
def test_magnitudes_agree_with_skypy(spectrum: str, z: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skypy.galaxies.spectrum import kcorrect
    mix = colours.draw_template_mix(spectrum, z, np.random.default_rng(3))
    cosmology = FlatLambdaCDM(H0=70.0, Om0=0.3, Tcmb0=0.0)
    theirs = kcorrect.apparent_magnitudes(mix[None], np.array([z]), FILTERS, cosmology)[0]
    rest = kcorrect.absolute_magnitudes(mix[None], "sdss2010-r")[0]
    ours = colours.apparent_magnitudes(mix, z, BANDS, band="VIS", magnitude=float(theirs[0]))
    # The table is linear between redshifts 0.033 apart: within a few hundredths of a magnitude where a break crosses.
    assert [ours[band] for band in BANDS] == pytest.approx(theirs, abs=0.03)
    assert colours.absolute_to_apparent(mix, z, 0.0, EUCLID_SKY) == pytest.approx(float(theirs[0] - rest), abs=0.03)


def test_red_galaxies_are_redder_than_blue_ones() -> None:
    rng = np.random.default_rng(0)

    def mean_colour(spectrum: str, limit: float | None) -> float:
        draws = [colours.draw_template_mix(spectrum, 1.0, rng, max_vis_h_mag=limit) for _ in range(100)]
        magnitudes = [colours.apparent_magnitudes(mix, 1.0, BANDS, band="VIS", magnitude=0.0) for mix in draws]
        return float(np.mean([-m["H"] for m in magnitudes]))

    assert mean_colour("red", None) > mean_colour("blue", None) + 0.5 > mean_colour("blue", 1.0) + 0.5


def test_unknown_spectrum_is_named() -> None:
    with pytest.raises(UsageError, match="'green' is not one of red, blue"):
        colours.draw_template_mix("green", 0.5, np.random.default_rng(0))
