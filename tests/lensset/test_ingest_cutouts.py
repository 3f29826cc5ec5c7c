"""Q1 multi-extension files and arbitrary FITS: crops, scales, coordinates, NaN, and every bad file."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fits_files import noise, sky_header, write_plane, write_q1

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest import (
    PixelPolicy,
    ingest,
    parse_band,
    parse_by_band,
    parse_duplicate,
    plan_euclid_q1,
    plan_fits,
)

SIZE = PixelPolicy(size_arcsec=20)  # 20 of 30 pixels at 1″


def test_q1_centre_crop_and_band_order(tmp_path):
    write_q1(tmp_path / "in" / "b.fits")
    write_q1(tmp_path / "in" / "a.fits", kind="BGSUB")
    s = ingest(plan_euclid_q1(tmp_path / "in", label="lens"), tmp_path / "out")
    assert (s.ids, s.bands, s.labels.tolist()) == (["a", "b"], ("VIS", "J", "Y", "H"), [1, 1])
    np.testing.assert_array_equal(s.images("VIS", 1)[0], noise(0, (30, 30))[5:25, 5:25])
    np.testing.assert_array_equal(s.images("J", 1)[0], noise(2, (30, 30))[5:25, 5:25])
    assert s.pixel_scale_arcsec["H"] == pytest.approx(1.0, rel=1e-6)
    assert s.header.bands[0].zero_point_mag == 24.6


def test_coordinates_follow_the_crop(tmp_path):
    path = write_q1(tmp_path / "a.fits")
    s = ingest(plan_euclid_q1(path), tmp_path / "out")
    before = WCS(fits.getheader(path, "VIS_FLUX")).pixel_to_world(5 + 3, 5 + 7)
    assert s.wcs(0, "VIS").pixel_to_world(3, 7).separation(before).arcsec < 1e-6  # cards hold 1e-12 degrees


def test_too_small_a_cutout_names_file_and_mend(tmp_path):
    write_q1(tmp_path / "in" / "big.fits")
    write_q1(tmp_path / "in" / "small.fits", (10, 10))
    with pytest.raises(DataError, match=r"10×10 pixels are too small, .*--size-arcsec 10"):
        ingest(plan_euclid_q1(tmp_path / "in"), tmp_path / "out")
    s = ingest(plan_euclid_q1(tmp_path / "in", policy=PixelPolicy(size_arcsec=10)), tmp_path / "ten")
    assert s.shape["VIS"] == (10, 10)


def test_pixel_scale_told_by_the_user_wins(tmp_path):
    path = write_q1(tmp_path / "a.fits")
    policy = PixelPolicy(size_arcsec=10, given_scale=parse_by_band("--pixel-scale", ["0.5", "J=1"], float))
    s = ingest(plan_euclid_q1(path, policy=policy), tmp_path / "out")
    assert s.shape == {"VIS": (20, 20), "J": (10, 10), "Y": (20, 20), "H": (20, 20)}
    with pytest.raises(UsageError, match="'K' is not one of"):
        plan_euclid_q1(path, policy=PixelPolicy(given_scale={"K": 1.0}))


def test_a_missing_extension_lists_those_there(tmp_path):
    path = write_q1(tmp_path / "a.fits", H=None)
    with pytest.raises(DataError, match="band H: no extension NIR_H_FLUX or NIR_H_BGSUB"):
        ingest(plan_euclid_q1(path), tmp_path / "out")
    assert ingest(plan_euclid_q1(path, bands=["VIS", "J"]), tmp_path / "two").bands == ("VIS", "J")


def holed(where: tuple[int, int] = (12, 12)) -> np.ndarray:
    pixels = noise(2, (30, 30))
    pixels[where] = np.nan
    pixels[0, 0] = np.inf  # outside the crop: nobody's business
    return pixels


@pytest.mark.parametrize("policy", ["fail", "zero", "median"])
def test_nan_policies(tmp_path, policy):
    path = write_q1(tmp_path / "a.fits", J=holed())
    plan = plan_euclid_q1(path, policy=PixelPolicy(nan=policy, size_arcsec=20))
    if policy == "fail":
        with pytest.raises(DataError, match=r"a\.fits: band J: 1 of 400 pixels are NaN; choose --nan zero"):
            ingest(plan, tmp_path / "out")
        return
    s = ingest(plan, tmp_path / "out")
    kept = holed()[5:25, 5:25]
    expected = 0 if policy == "zero" else np.median(kept[np.isfinite(kept)])
    assert s.images("J", 0)[0, 7, 7] == np.float32(expected)
    assert s.column("n_nan_J")[0] == 1
    assert s.column("n_nan_VIS")[0] == 0
    assert policy in s.header.source.pixels["nan"]


def test_unknown_policies_are_refused():
    with pytest.raises(UsageError, match="--nan 'mean' is not one of fail, zero, median"):
        PixelPolicy(nan="mean")
    with pytest.raises(UsageError, match="must be positive"):
        PixelPolicy(size_arcsec=-1)


BAD_BANDS = {
    "all NaN": (np.full((30, 30), np.nan, np.float32), "band Y: all 400 pixels are NaN"),
    "constant": (np.full((30, 30), 3, np.float32), r"band Y: all pixels have the same value \(3\)"),
    "zero": (np.zeros((30, 30), np.float32), r"band Y: all pixels have the same value \(0\)"),
    "three planes": (noise(1, (3, 90)).reshape(3, 9, 10), r"has shape \(3, 9, 10\), one 2-D image"),
    "one row": (noise(1, (1, 9))[0], r"holds no image \(its shape is \(9,\)\); name another extension, such as \["),
}


@pytest.mark.parametrize("harm", BAD_BANDS)
@pytest.mark.parametrize("nan", ["fail", "zero"])
def test_useless_bands_are_refused(tmp_path, harm, nan):
    pixels, said = BAD_BANDS[harm]
    path = write_q1(tmp_path / "a.fits", Y=pixels)
    with pytest.raises(DataError, match=said) as caught:
        ingest(plan_euclid_q1(path, policy=PixelPolicy(nan=nan, size_arcsec=20)), tmp_path / "out")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 100, 2880, 5000, 9000, 20000])
def test_truncated_files_are_refused(tmp_path, size):
    path = write_q1(tmp_path / "a.fits")
    data = path.read_bytes()
    assert size < len(data)
    path.write_bytes(data[:size])
    with pytest.raises(DataError) as caught:
        ingest(plan_euclid_q1(path), tmp_path / "out")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_is_no_fits(tmp_path):
    path = tmp_path / "a.fits"
    path.write_text("hello")
    with pytest.raises(DataError, match=r"a\.fits: is a text file, not a FITS file"):
        ingest(plan_euclid_q1(path), tmp_path / "out")


def test_places_without_files(tmp_path):
    with pytest.raises(UsageError, match=r"no \.fits file"):
        plan_euclid_q1(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        plan_euclid_q1(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="lens, non-lens, unknown"):
        plan_euclid_q1(write_q1(tmp_path / "a.fits"), label="maybe")


def test_generic_patterns_ids_and_extensions(tmp_path):
    for i, name in enumerate(("s1", "s2")):
        write_plane(tmp_path / f"{name}_vis.fits", noise(i), sky_header(0.1))
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(noise(10 + i, (4, 4)), sky_header(0.3), name="SCI")]
        fits.HDUList(hdus).writeto(tmp_path / f"{name}_j.fits")
    patterns = [parse_band("VIS=*_vis.fits"), parse_band("J=*_j.fits[SCI]")]
    catalogue = tmp_path / "c.csv"
    catalogue.write_text("id,label,theta_e_arcsec\ns1,1,1.2\n")
    s = ingest(plan_fits(tmp_path, patterns, catalogue=catalogue, instrument="hst"), tmp_path / "out")
    assert (s.ids, s.bands, s.instrument) == (["s1", "s2"], ("VIS", "J"), "hst")
    assert s.labels.tolist() == [1, -1]
    assert s.column("theta_e_arcsec")[0] == 1.2
    np.testing.assert_array_equal(s.images("J", 1)[0], noise(11, (4, 4)))
    assert s.pixel_scale_arcsec == pytest.approx({"VIS": 0.1, "J": 0.3}, rel=1e-6)


def test_one_band_duplicated_into_four(tmp_path):
    path = write_plane(tmp_path / "j0946.fits", noise(1).astype(np.float64))  # big-endian float64, no coordinates
    with pytest.raises(UsageError, match="give --pixel-scale VIS=ARCSEC"):
        ingest(plan_fits(path, [parse_band("VIS=[0]")]), tmp_path / "out")
    policy = PixelPolicy(given_scale=parse_by_band("--pixel-scale", ["0.05"], float))
    plan = plan_fits(path, [parse_band("VIS=[0]")], duplicate=dict([parse_duplicate("VIS:J,Y,H")]), policy=policy)
    s = ingest(plan, tmp_path / "out")
    assert s.bands == ("VIS", "J", "Y", "H")
    assert set(s.pixel_scale_arcsec.values()) == {0.05}
    for band in s.bands:
        np.testing.assert_array_equal(s.images(band, 0)[0], noise(1))
    assert s.images("VIS", 0).dtype.isnative
    assert s.header.source.copies == {"VIS": ["J", "Y", "H"]}


def test_a_scale_told_for_a_band_holds_for_its_copies(tmp_path):
    path = write_plane(tmp_path / "a.fits", noise(1))
    policy = PixelPolicy(given_scale={"VIS": 0.05, "J": 0.3})
    s = ingest(plan_fits(path, [parse_band("VIS=[0]")], duplicate={"VIS": ["J", "Y"]}, policy=policy), tmp_path / "out")
    assert s.pixel_scale_arcsec == {"VIS": 0.05, "J": 0.3, "Y": 0.05}


def test_systems_that_differ_are_refused(tmp_path):
    write_plane(tmp_path / "a.fits", noise(1), sky_header(0.1))
    write_plane(tmp_path / "b.fits", noise(2, (14, 12)), sky_header(0.1))
    plan = plan_fits(tmp_path, [parse_band("VIS=*.fits")])
    with pytest.raises(DataError, match="14×12 pixels, the set has 12×12"):
        ingest(plan, tmp_path / "out")
    write_plane(tmp_path / "b.fits", noise(2), sky_header(0.2))
    with pytest.raises(DataError, match=r"0\.2″ per pixel, the set has 0\.1″"):
        ingest(plan, tmp_path / "out2")
    header = sky_header(0.1)
    header["MAGZERO"] = 30.0
    write_plane(tmp_path / "b.fits", noise(2), header)
    with pytest.raises(DataError, match="zero point 30, the set has none"):
        ingest(plan, tmp_path / "out3")


@pytest.mark.parametrize("words", ["VIS", "VIS=", "=*.fits", "VIS=**/a.fits", "V/S=*.fits", "VIS=*.fits[1"])
def test_bad_band_words(words):
    with pytest.raises(UsageError, match="write NAME=PATTERN"):
        parse_band(words)


def test_other_bad_words(tmp_path):
    path = write_plane(tmp_path / "a.fits", noise(1))
    vis = parse_band("VIS=*.fits")
    with pytest.raises(UsageError, match="write BAND:COPY"):
        parse_duplicate("VIS")
    with pytest.raises(UsageError, match="write ARCSEC"):
        parse_by_band("--pixel-scale", ["wide"], float)
    with pytest.raises(UsageError, match="given twice"):
        plan_fits(tmp_path, [vis, vis])
    with pytest.raises(UsageError, match=r"no file matches \*_j\.fits \(band J\)"):
        plan_fits(tmp_path, [vis, parse_band("J=*_j.fits")])
    with pytest.raises(UsageError, match="'K' is not one of the bands VIS"):
        plan_fits(tmp_path, [vis], duplicate={"K": ["J"]})
    with pytest.raises(UsageError, match="band VIS is there already"):
        plan_fits(tmp_path, [vis], duplicate={"VIS": ["VIS"]})
    with pytest.raises(UsageError, match="is one file"):
        plan_fits(path, [vis])
    with pytest.raises(UsageError, match="give --band"):
        plan_fits(tmp_path, [])


def test_labels_of_the_catalogue_are_checked(tmp_path):
    path = write_plane(tmp_path / "a.fits", noise(1))
    (tmp_path / "c.csv").write_text("id,label\na,7\n")
    with pytest.raises(DataError, match="line 2: label is '7'; allowed: 1, true or lens"):
        plan_fits(path, [parse_band("VIS=[0]")], catalogue=tmp_path / "c.csv")
