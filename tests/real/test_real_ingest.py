"""Ingest of real Q1 lenses, SDSS J0946+1006 and Bologna challenge-1 images; skipped where they are not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import center_of_mass

from lensaudit.errors import DataError
from lensaudit.lensset.ingest import PixelPolicy, ingest, parse_band, plan_blf1, plan_euclid_q1, plan_fits, plan_npz
from lensaudit.lensset.ingest.survey import ready_psf

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


@pytest.mark.parametrize(("band", "name"), [("VIS", "VIS"), ("J", "NIR_J"), ("Y", "NIR_Y"), ("H", "NIR_H")])
def test_q1_noise_and_psf_are_those_of_the_files(tmp_path, band, name):
    plan = plan_euclid_q1(REAL / "euclid-q1", bands=[band], policy=PixelPolicy(size_arcsec=10))
    s = ingest(plan, tmp_path / "out")
    assert s.ids[0] == Q1_SMALL
    for i, file in enumerate(s.ids):
        with fits.open(REAL / "euclid-q1" / f"{file}.fits") as hdus:
            whole, stamp = hdus[f"{name}_RMS"].data, hdus[f"{name}_PSF"].data.astype(float)
        first = (whole.shape[0] - 100) // 2
        crop = whole[first : first + 100, first : first + 100]
        weightless = crop >= 1e15
        assert s.column(f"n_no_rms_{band}")[i] == weightless.sum()
        rms = s.rms(band, i)[0]
        np.testing.assert_array_equal(rms[~weightless], crop[~weightless])
        assert np.isinf(rms[weightless]).all()
        psf = s.psf(band, i)[0]
        np.testing.assert_array_equal(psf, (stamp / stamp.sum()).astype(np.float32))
        assert psf.sum(dtype=float) == pytest.approx(1, abs=1e-6)  # float32
        assert np.hypot(*(np.array(center_of_mass(psf)) - len(psf) // 2)) < 0.5


def test_hsc_cosmos_archives(tmp_path):
    file = REAL / "hsc-cosmos" / "hsc_cosmos_35.npz"
    told = PixelPolicy(given_scale={"*": 0.168}, given_zero_point={"*": 27.0})
    s = ingest(plan_npz([file], policy=told), tmp_path / "out")
    with np.load(file, allow_pickle=False) as given:
        for b, band in enumerate("grizy"):
            np.testing.assert_array_equal(s.images(band, 0)[0], given["images"][b])
            np.testing.assert_allclose(s.rms(band, 0)[0] ** 2, given["variance"][b], rtol=1e-6)  # float32
            np.testing.assert_allclose(s.psf(band, 0)[0], given["psfs"][b], atol=1e-8)  # float32 of .07 at the peak
    assert any("--mask-bits" in note for note in s.header.source.notes)  # most of its bits say "detected"


def test_j0946_with_one_psf_and_noise(tmp_path):
    folder = REAL / "slacs0946"
    words = [("data.fits", "image"), ("psf.fits", "psf"), ("noise_map.fits", "rms")]
    patterns = [parse_band(f"VIS={file}", what) for file, what in words]
    s = ingest(plan_fits(folder, patterns, policy=PixelPolicy(given_scale={"*": 0.05})), tmp_path / "out")
    np.testing.assert_array_equal(s.rms("VIS", 0)[0], fits.getdata(folder / "noise_map.fits").astype(np.float32))
    assert s.psf("VIS", 0).shape == (1, 21, 21)


def test_even_hst_psfs_become_odd():
    with fits.open(REAL / "hst-galaxies" / "AEGIS_F606w_PSF_images_01.fits") as hdus:
        psf = ready_psf(hdus[0].data, "it")
    assert psf.pixels.shape == (21, 21)
    np.testing.assert_allclose(center_of_mass(psf.pixels), (10, 10), atol=0.01)  # edges that were moved out


def test_arcs_of_hsc_mocks_are_no_psfs(tmp_path):
    """Extensions 2, 4, 6 and 8 hold the painted arcs alone, whatever is said of them."""
    patterns = [parse_band("g=*.fits[1]"), parse_band("g=[2]", "psf")]
    plan = plan_fits(REAL / "hsc-lenses", patterns, policy=PixelPolicy(given_scale={"*": 0.168}))
    with pytest.raises(DataError, match=r"lens_1\.fits: band g: PSF: extension 2: the PSF's"):
        ingest(plan, tmp_path / "out")
