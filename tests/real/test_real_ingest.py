"""Ingest of real Q1 lenses, SDSS J0946+1006 and Bologna challenge-1 images; skipped where they are not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.errors import DataError
from lensaudit.lensset.ingest import PixelPolicy, ingest, parse_band, plan_blf1, plan_euclid_q1, plan_fits

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at {REAL}; set LENSAUDIT_REAL_DATA")
Q1_LENSES = ("102020057_NEG582019329494705421", "102042913_NEG520471782290867053", "102159187_2646504448657919965")
Q1_SMALL = "102018665_NEG570040238507752998"


def test_q1_lenses_without_the_small_one(tmp_path):
    s = ingest(plan_euclid_q1(REAL / "euclid-q1", label="lens"), tmp_path / "out", skip_bad=True)
    assert tuple(s.ids) == Q1_LENSES
    assert s.header.source.skipped.count == 1
    assert s.shape == dict.fromkeys(("VIS", "J", "Y", "H"), (200, 200))
    assert s.pixel_scale_arcsec == dict.fromkeys(("VIS", "J", "Y", "H"), 0.1)
    zero_points = {band.name: band.zero_point_mag for band in s.header.bands}
    assert zero_points == {"VIS": 24.6, "J": 30.0, "Y": 29.8, "H": 29.9}
    for i, name in enumerate(Q1_LENSES):
        with fits.open(REAL / "euclid-q1" / f"{name}.fits") as hdus:
            for band, extension in (("VIS", "VIS_FLUX"), ("J", "NIR_J_FLUX"), ("Y", "NIR_Y_FLUX"), ("H", "NIR_H_FLUX")):
                np.testing.assert_array_equal(s.images(band, i)[0], hdus[extension].data[50:250, 50:250])
            before = WCS(hdus["VIS_FLUX"].header).pixel_to_world(150, 160)
        after = s.wcs(i, "VIS").pixel_to_world(100, 110)
        assert after.separation(before).arcsec < 1e-6  # header cards hold 1e-12 degrees


def test_the_small_q1_cutout_is_named_with_the_mend(tmp_path):
    with pytest.raises(DataError, match=rf"{Q1_SMALL}\.fits: band VIS: 100×100 pixels .*--size-arcsec 10"):
        ingest(plan_euclid_q1(REAL / "euclid-q1"), tmp_path / "out")


def test_all_q1_cutouts_at_ten_arcsec(tmp_path):
    s = ingest(plan_euclid_q1(REAL / "euclid-q1", policy=PixelPolicy(size_arcsec=10)), tmp_path / "out")
    assert s.ids[0] == Q1_SMALL
    with fits.open(REAL / "euclid-q1" / f"{Q1_SMALL}.fits") as hdus:
        np.testing.assert_array_equal(s.images("H", 0)[0], hdus["NIR_H_BGSUB"].data)


def test_challenge_1_space_images_keep_their_tiny_fluxes(tmp_path):
    s = ingest(plan_blf1(REAL / "blf-challenge1" / "space"), tmp_path / "out")
    assert s.ids == ["100002", "100004", "100008", "100013", "100019", "100023", "100045", "100053"]
    assert s.labels.tolist() == [1, 0, 1, 1, 1, 0, 0, 0]
    path = REAL / "blf-challenge1/space/nolens/imageEUC_VIS-100004.fits"
    np.testing.assert_array_equal(s.images("VIS", 1)[0], fits.getdata(path))
    assert s.pixel_scale_arcsec["VIS"] == pytest.approx(0.1, rel=1e-5)  # the header rounds its degrees
    assert 1e-14 < s.images("VIS", 1).std() < 1e-10


def test_challenge_1_ground_images(tmp_path):
    s = ingest(plan_blf1(REAL / "blf-challenge1" / "ground"), tmp_path / "out")
    assert (s.bands, s.shape["U"]) == (("R", "I", "G", "U"), (101, 101))
    assert s.labels.tolist() == [1, 1, 0, 0, 0, 1]
    assert s.pixel_scale_arcsec["R"] == pytest.approx(0.2, rel=1e-5)
    raw = fits.getdata(REAL / "blf-challenge1/ground/lens/Band2/imageSDSS_I-100002.fits")
    assert s.column("n_masked_I")[0] == (raw == 100).sum()
    np.testing.assert_array_equal(s.images("I", 0)[0], np.where(raw == 100, 0, raw))


def test_j0946_with_one_band_for_four(tmp_path):
    path = REAL / "slacs0946" / "data.fits"
    policy = PixelPolicy(given_scale={"*": 0.05})
    plan = plan_fits(path, [parse_band("VIS=[0]")], duplicate={"VIS": ["J", "Y", "H"]}, label="lens", policy=policy)
    s = ingest(plan, tmp_path / "out")
    assert s.bands == ("VIS", "J", "Y", "H")
    expected = fits.getdata(path).astype(np.float32)
    for band in s.bands:
        np.testing.assert_array_equal(s.images(band, 0)[0], expected)
