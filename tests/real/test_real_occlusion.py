"""Occlusion of the published OU-200 and OU-66 on real lenses; skipped where the files are not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.explaining import Explainer, Request, chosen_systems, explain_systems, occlusion
from lensaudit.finders import Finder, load_recipe, read_published
from lensaudit.lensset.ingest import PixelPolicy, ingest, parse_band, plan_euclid_q1, plan_fits

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at {REAL}; set LENSAUDIT_REAL_DATA")
LENS = "102159187_2646504448657919965"
OCCLUSION = Request(("occlusion",), "log-odds")
FLOAT32 = 2e-6  # rounding of float32 activations, carried to a probability


def published(name: str, file: str) -> Finder:
    return read_published(REAL / "wilde2022" / file, load_recipe(name))


@pytest.fixture(scope="module")
def q1(tmp_path_factory):
    plan = plan_euclid_q1(REAL / "euclid-q1", label="lens")
    return ingest(plan, tmp_path_factory.mktemp("q1") / "set", skip_bad=True)


def test_ou200_on_a_q1_lens_equals_captum_and_the_arc_speaks_for_it(q1):
    finder, cutout = published("ou200", "OU_200_Weights.pt"), q1.cutouts([q1.index_of(LENS)])
    ours = occlusion(finder, cutout)
    assert ours.p_lens[0] == pytest.approx(0.97502, abs=1e-4)  # the table of the real data's README
    assert not ours.patches.fallbacks
    assert ours.patches.note == ""
    coarse = [-occlusion(finder, cutout, patch=25, engine=engine).patches.p_lost[0] for engine in ("exact", "captum")]
    np.testing.assert_allclose(*coarse, rtol=0, atol=FLOAT32)
    delta = -ours.patches.p_lost[0]
    lowest = np.array(np.unravel_index(delta.argmin(), delta.shape))
    assert np.hypot(*(lowest - 99.5)) < 20  # pixels of 0.1″: on the ring of 1″ in the middle, not the field
    assert delta.min() < -0.1


@pytest.mark.parametrize(("name", "file"), [("ou200", "OU_200_Weights.pt"), ("ou66", "OU_66_Weights.pt")])
def test_published_finders_position_by_position(name, file, q1):
    finder, cutout = published(name, file), q1.cutouts([0])
    result = occlusion(finder, cutout)
    delta, patch = -result.patches.p_lost[0], result.patches.patch
    image = finder.preprocess(cutout)
    rng = np.random.default_rng(3)
    strongest = np.argsort(-np.abs(delta).ravel())[:3]
    places = [divmod(int(flat), result.size) for flat in [*strongest, *rng.integers(0, result.size**2, 4)]]
    with torch.inference_mode():
        base = float(finder.logit(image)[0].double().sigmoid())
        for y, x in places:
            top, left = y // patch * patch, x // patch * patch
            hidden = image.clone()
            hidden[:, :, top : top + patch, left : left + patch] = 0
            plain = float(finder.logit(hidden)[0].double().sigmoid()) - base
            assert delta[y, x] == pytest.approx(plain, abs=FLOAT32)


def test_files_of_a_q1_lens_lie_on_the_sky_of_its_fits(q1, tmp_path):
    explainer = Explainer(published("ou66", "OU_66_Weights.pt"), patch=6)
    (files,) = explain_systems(explainer, OCCLUSION, q1, chosen_systems(q1, [LENS], None, False), tmp_path)
    with fits.open(REAL / "euclid-q1" / f"{LENS}.fits") as original, fits.open(files.fits) as ours:
        centre = WCS(original["VIS_FLUX"].header).pixel_to_world(149.5, 149.5)
        again = WCS(ours[1].header).pixel_to_world(32.5, 32.5)
        assert centre.separation(again).arcsec < 1e-3
        assert ours[0].header["OBJECT"] == LENS
    assert files.png.stat().st_size > 20_000


def test_sdss_j0946_with_one_band_for_four_is_a_lens_by_its_arcs(tmp_path):
    """F814W for all four bands, as the paper does for missing bands; the brighter arc lies 1.4″ from the middle."""
    policy = PixelPolicy(given_scale={"*": 0.05})
    plan = plan_fits(
        REAL / "slacs0946" / "data.fits",
        [parse_band("VIS=data.fits")],
        duplicate={"VIS": ["J", "Y", "H"]},
        label="lens",
        policy=policy,
    )
    j0946 = ingest(plan, tmp_path / "set")  # 14.05″ wide
    explainer = Explainer(published("ou200", "OU_200_Weights.pt").for_field(14.05))
    (files,) = explain_systems(explainer, OCCLUSION, j0946, [0], tmp_path / "maps")
    result = files.results[0]
    delta = -result.patches.p_lost[0]
    assert result.p_lens[0] > explainer.finder.recipe.threshold
    lowest = np.array(np.unravel_index(delta.argmin(), delta.shape))
    arcsec = np.hypot(*(lowest - 99.5)) * 281 / 200 * 0.05
    assert 0.7 < arcsec < 2.5
    assert fits.getheader(files.fits)["FIELD"] == 14.05
