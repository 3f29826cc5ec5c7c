"""Explanations of the published OU-200 on real lenses; skipped where the files are not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lensaudit.explaining import FOR_ANY, explain
from lensaudit.explaining.maps import SHOWN_FROM, reached
from lensaudit.finders import load_recipe, read_published

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at {REAL}; set LENSAUDIT_REAL_DATA")


@pytest.fixture(scope="module")
def j0946():
    """The finder, the cutout with F814W for all four bands, and the distance of each finder pixel from the middle."""
    finder = read_published(REAL / "wilde2022" / "OU_200_Weights.pt", load_recipe("ou200")).for_field(14.05)
    image = fits.getdata(REAL / "slacs0946" / "data.fits").astype(np.float32)
    rows, columns = np.mgrid[:200, :200] - 99.5
    return finder, dict.fromkeys(finder.recipe.bands, image[None]), np.hypot(rows, columns) * 14.05 / 200


@pytest.mark.parametrize("method", ["guided-backprop", "guided-gradcam", "input-x-gradient", "deeplift"])
def test_what_speaks_for_j0946_lies_on_its_rings(j0946, method):
    """Its rings lie 1.4″ and 2.1″ from the middle (Gavazzi et al. 2008); the annulus is 6 % of the image."""
    finder, cutout, radius = j0946
    positive = np.maximum(explain(finder, cutout, method).maps[0], 0)
    annulus = (radius > 0.9) & (radius < 2.5)
    assert annulus.mean() < 0.09
    assert positive[annulus].sum() / positive.sum() > 0.5


def test_guided_gradcam_shows_the_brightest_arc_as_in_the_paper(j0946):
    """Wilde et al. 2022, Section 5.6: it "mainly selects the brightest lensing arc"."""
    finder, cutout, radius = j0946
    shown = reached(explain(finder, cutout, "guided-gradcam"), SHOWN_FROM)
    assert 0 < shown.mean() < 0.01
    assert ((radius > 0.9) & (radius < 2.5))[shown].mean() > 0.9


@pytest.mark.parametrize("method", FOR_ANY)
def test_every_method_explains_a_real_lens(j0946, method):
    finder, cutout, _ = j0946
    result = explain(finder, cutout, method)
    assert result.p_lens[0] == pytest.approx(0.968, abs=5e-4)
    assert np.isfinite(result.maps).all()
    assert np.abs(result.maps).max() > 0
