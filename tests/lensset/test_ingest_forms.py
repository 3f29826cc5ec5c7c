"""How people keep cutouts: a file per band, folders of objects, cubes, sentinels, other zero points, rounded scales."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fits_files import noise, sky_header, write_plane

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest import (
    PixelPolicy,
    ingest,
    parse_band,
    parse_by_band,
    parse_masked,
    plan_fits,
    remarks,
    skipped_lines,
)

TOLD = PixelPolicy(given_scale={"*": 0.1})


def taken(path: Path, out: Path, *bands: str, policy: PixelPolicy = TOLD, skip_bad: bool = False):
    return ingest(plan_fits(path, [parse_band(band) for band in bands], policy=policy), out, skip_bad=skip_bad)


def zero_point(value: float | str) -> fits.Header:
    header = sky_header(0.1)
    header["MAGZERO"] = value
    return header


def test_one_object_as_one_file_per_band(tmp_path):
    for seed, band in enumerate(("vis", "h")):
        write_plane(tmp_path / "in" / f"j0946_{band}.fits", noise(seed))
    s = taken(tmp_path / "in", tmp_path / "out", "VIS=j0946_vis.fits", "H=j0946_h.fits")
    assert (s.ids, s.bands) == (["j0946"], ("VIS", "H"))
    np.testing.assert_array_equal(s.images("H", 0)[0], noise(1))
    write_plane(tmp_path / "in" / "h.fits", noise(1))
    assert taken(tmp_path / "in", tmp_path / "named", "VIS=j0946_vis.fits", "H=h.fits").ids == ["in"]
    with pytest.raises(UsageError, match=r"has no \* where other bands have one"):
        plan_fits(tmp_path / "in", [parse_band("VIS=j0946_vis.fits"), parse_band("H=*_h.fits")])


def test_folders_of_objects(tmp_path):
    for seed, name in enumerate(("A", "B")):
        for band in "gr":
            write_plane(tmp_path / "in" / name / f"{name}_{band}.fits", noise(seed))
    s = taken(tmp_path / "in", tmp_path / "out", "g=*/*_g.fits", "r=*/*_r.fits")
    assert s.ids == ["A", "B"]
    write_plane(tmp_path / "in" / "A" / "x_i.fits", noise(1))
    assert taken(tmp_path / "in", tmp_path / "joined", "i=*/*_i.fits").ids == ["A-x"]


def test_absolute_patterns(tmp_path):
    write_plane(tmp_path / "elsewhere" / "a.fits", noise(1))
    (tmp_path / "in").mkdir()
    assert taken(tmp_path / "in", tmp_path / "out", f"VIS={tmp_path}/elsewhere/*.fits").ids == ["a"]
    with pytest.raises(UsageError, match="no file matches /nowhere"):
        plan_fits(tmp_path, [parse_band("VIS=/nowhere/*.fits")])


def test_planes_of_a_cube(tmp_path):
    cube = np.random.default_rng(1).standard_normal((3, 12, 14)).astype(np.float32)
    path = write_plane(tmp_path / "cube.fits", cube)
    s = taken(tmp_path, tmp_path / "out", "g=cube.fits[0][0]", "z=cube.fits[0][2]")
    assert s.ids == ["cube"]
    np.testing.assert_array_equal(s.images("z", 0)[0], cube[2])
    assert s.header.source.files["first"][1] == "cube.fits[0][2]"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(cube[None], compression_type="GZIP_1", quantize_level=0)]
    ).writeto(path, overwrite=True)
    packed = taken(path, tmp_path / "packed", "g=[1][0]", "z=[1][2]")
    np.testing.assert_array_equal(packed.images("z", 0)[0], cube[2])
    with pytest.raises(DataError, match="name a plane of the cube"):
        taken(path, tmp_path / "no", "g=[1]")
    with pytest.raises(DataError, match=r"there is no plane \[3\], but planes \[0\] to \[2\]"):
        taken(path, tmp_path / "no", "g=[1][3]")


def test_an_extension_by_name_and_version(tmp_path):
    units = [fits.ImageHDU(noise(i), name="SCI", ver=i) for i in (1, 2)]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(tmp_path / "a.fits")
    s = taken(tmp_path / "a.fits", tmp_path / "out", "VIS=[sci,2]")
    np.testing.assert_array_equal(s.images("VIS", 0)[0], noise(2))


@pytest.mark.parametrize(("words", "value"), [("-99", 0), ("-99:median", None), ("-99:keep", np.nan)])
def test_sentinels_in_any_layout(tmp_path, words, value):
    pixels = noise(1)
    pixels[3, 4] = -99
    write_plane(tmp_path / "a.fits", pixels)
    values, policy = parse_masked([words])
    s = taken(
        tmp_path,
        tmp_path / "out",
        "VIS=*.fits",
        policy=PixelPolicy(given_scale={"*": 0.1}, masked_values=values, masked=policy),
    )
    expected = np.median(pixels[pixels != -99]) if value is None else np.float32(value)
    np.testing.assert_equal(s.images("VIS", 0)[0, 3, 4], expected)
    assert s.column("n_masked_VIS")[0] == 1


def test_words_of_masked_pixels():
    assert parse_masked([]) == ((), "zero")
    assert parse_masked(["zero"]) == ((), "zero")
    assert parse_masked(["-32768:median", "1e30"]) == ((-32768.0, 1e30), "median")
    for words in (["nan"], ["inf"], ["mean"], ["5:mean"], ["x:zero"], [":"]):
        with pytest.raises(UsageError, match="write VALUE"):
            parse_masked(words)
    with pytest.raises(UsageError, match="choose one policy"):
        parse_masked(["1:zero", "2:keep"])


def test_zero_points_are_brought_to_the_first(tmp_path):
    bright = noise(2)
    bright[0, 0] = -99
    write_plane(tmp_path / "in" / "a.fits", noise(1), zero_point(25.0))
    write_plane(tmp_path / "in" / "b.fits", bright, zero_point(27.5))
    policy = PixelPolicy(masked_values=(-99.0,))
    s = taken(tmp_path / "in", tmp_path / "out", "VIS=*.fits", policy=policy)
    assert s.header.bands[0].zero_point_mag == 25.0
    # one magnitude more of zero point is a flux unit 2.512 times fainter: 2.5 mag are 10 times
    wanted = np.where(bright == -99, 0, bright / 10)
    np.testing.assert_allclose(s.images("VIS", 1)[0], wanted, rtol=1e-6)  # single precision
    np.testing.assert_array_equal(s.images("VIS", 0)[0], noise(1))
    assert s.column("zero_point_mag_VIS").tolist() == [25.0, 27.5]
    assert remarks(s) == [
        "VIS: 1 of 2 files have another zero point (25 to 27.5 mag); their pixels were brought to 25 mag"
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [("N/A", "MAGZERO is 'N/A', not a number"), (1e300, "no zero point"), ("'x", "MAGZERO")],
)
def test_zero_points_that_are_none(tmp_path, value, said):
    write_plane(tmp_path / "a.fits", noise(1), zero_point(value))
    with pytest.raises(DataError, match=f"{said}.* or give --zero-point"):
        taken(tmp_path / "a.fits", tmp_path / "out", "VIS=[0]")
    policy = PixelPolicy(given_zero_point=parse_by_band("--zero-point", ["VIS=24"], float))
    assert taken(tmp_path / "a.fits", tmp_path / "told", "VIS=[0]", policy=policy).header.bands[0].zero_point_mag == 24


def test_an_infinite_zero_point_in_the_file(tmp_path):
    path = write_plane(tmp_path / "a.fits", noise(1), zero_point(25.0))
    path.write_bytes(path.read_bytes().replace(b"MAGZERO =                 25.0", b"MAGZERO =                1E400"))
    with pytest.raises(DataError, match="MAGZERO is inf, not a number"):
        taken(path, tmp_path / "out", "VIS=[0]")


def test_scales_that_headers_round_are_one(tmp_path):
    for i, scale in enumerate((0.1, 0.100004, 0.0999962)):
        write_plane(tmp_path / "in" / f"{i}_v.fits", noise(i, (120, 120)), sky_header(scale))
        write_plane(tmp_path / "in" / f"{i}_h.fits", noise(i, (120, 120)), sky_header(0.100003))
    # half a pixel: rounding alone would cut 100 or 101
    s = taken(tmp_path / "in", tmp_path / "out", "VIS=*_v.fits", "H=*_h.fits", policy=PixelPolicy(size_arcsec=10.05))
    assert s.shape["VIS"] == s.shape["H"]
    assert s.pixel_scale_arcsec == {"VIS": 0.1, "H": 0.1}


def test_files_with_one_odd_scale_are_cut_to_one_size(tmp_path):
    for name, scale in (("a", 0.262637), ("b", 0.262651)):
        write_plane(tmp_path / "in" / f"{name}.fits", noise(1, (120, 120)), sky_header(scale))
    half = 100.5 * 0.262644  # 101 pixels of the first, 100 of the second
    s = taken(tmp_path / "in", tmp_path / "out", "VIS=*.fits", policy=PixelPolicy(size_arcsec=half))
    assert s.shape["VIS"] == (101, 101)


def test_bands_with_one_odd_scale_are_one(tmp_path):
    write_plane(tmp_path / "a_v.fits", noise(1), sky_header(0.262637))
    write_plane(tmp_path / "a_h.fits", noise(1), sky_header(0.262651))
    s = taken(tmp_path, tmp_path / "out", "VIS=*_v.fits", "H=*_h.fits", policy=PixelPolicy())
    assert s.pixel_scale_arcsec == {"VIS": 0.262637, "H": 0.262637}


def test_a_size_in_pixels(tmp_path):
    write_plane(tmp_path / "in" / "a_v.fits", noise(1, (20, 20)))
    write_plane(tmp_path / "in" / "a_h.fits", noise(1, (14, 12)))
    sizes = parse_by_band("--size-pixels", ["VIS=10", "4"], int)
    policy = PixelPolicy(given_scale={"*": 0.1}, size_pixels=sizes)
    s = taken(tmp_path / "in", tmp_path / "out", "VIS=*_v.fits", "H=*_h.fits", policy=policy)
    assert s.shape == {"VIS": (10, 10), "H": (4, 4)}
    with pytest.raises(UsageError, match="give one of them"):
        PixelPolicy(size_pixels={"*": 4}, size_arcsec=1.0)
    with pytest.raises(UsageError, match="write PIXELS or BAND=PIXELS"):
        parse_by_band("--size-pixels", ["4.5"], int)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0, -1.0, 1e300])
def test_sizes_and_scales_are_numbers_that_can_be(value):
    for options in ({"size_arcsec": value}, {"given_scale": {"VIS": value}}):
        with pytest.raises(UsageError, match="must"):
            PixelPolicy(**options)
    if value not in (0.0, -1.0):
        with pytest.raises(UsageError, match="--zero-point"):
            PixelPolicy(given_zero_point={"VIS": value})


def test_a_scale_against_the_header_moves_the_coordinates_and_is_said(tmp_path):
    path = write_plane(tmp_path / "a.fits", noise(1), sky_header(0.1, (6.5, 6.5)))
    s = taken(path, tmp_path / "out", "VIS=[0]", policy=PixelPolicy(given_scale={"VIS": 0.05}))
    before = WCS(fits.getheader(path))
    after = s.wcs(0, "VIS")
    corner = before.pixel_to_world(5.5, 5.5).separation(after.pixel_to_world(11.5, 11.5)).arcsec
    assert corner == pytest.approx(0.05 * 6 * 2**0.5, rel=1e-6)  # nanoarcsec of a tangent plane of 1″
    assert remarks(s) == [
        "VIS: --pixel-scale contradicts the headers; sky coordinates of 1 of 1 cutouts were scaled about their "
        "reference pixel"
    ]
    agreeing = taken(path, tmp_path / "same", "VIS=[0]", policy=PixelPolicy(given_scale={"VIS": 0.1001}))
    assert remarks(agreeing) == []


def test_a_scale_against_a_header_whose_reference_is_far_leaves_its_coordinates_out(tmp_path):
    path = write_plane(tmp_path / "a.fits", noise(1), sky_header(0.1, (6000.5, 6.5)))
    s = taken(path, tmp_path / "out", "VIS=[0]", policy=PixelPolicy(given_scale={"VIS": 0.05}))
    assert "reference pixel lies outside the image" in s.header.source.notes[0]
    assert s.wcs(0, "VIS").pixel_to_world(5.5, 5.5).ra.deg == pytest.approx(0, abs=1e-9)


def test_default_coordinates_are_not_believed(tmp_path):
    header = sky_header(3600.0)
    header["CD1_1"] = 1.0
    path = write_plane(tmp_path / "a.fits", noise(1), header)
    with pytest.raises(UsageError, match=r"1 degree per pixel.*--pixel-scale VIS"):
        taken(path, tmp_path / "out", "VIS=[0]", policy=PixelPolicy())
    s = taken(path, tmp_path / "out", "VIS=[0]")
    assert "VIS: no sky coordinates are kept: they have no CDELT" in s.header.source.notes[0]


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "\u202ea", "x" * 129, " a", "b\udce9"])
def test_ids_are_printable(tmp_path, name):
    write_plane(tmp_path / "in" / "good.fits", noise(1))
    write_plane(tmp_path / "in" / f"{name}.fits", noise(1))
    with pytest.raises(DataError, match="is not 1 to 128 printable characters") as caught:
        taken(tmp_path / "in", tmp_path / "out", "VIS=*.fits")
    assert str(caught.value).isprintable()
    s = taken(tmp_path / "in", tmp_path / "sound", "VIS=*.fits", skip_bad=True)
    assert s.ids == ["good"]


def test_each_file_left_out_is_named_with_its_reason(tmp_path, lensaudit):
    for i in range(3):
        write_plane(tmp_path / "in" / f"s{i}.fits", noise(i))
    (tmp_path / "in" / "page.fits").write_text("<!DOCTYPE html><html></html>")
    write_plane(tmp_path / "in" / "small.fits", noise(1, (5, 5)))
    command = ("ingest", "fits", tmp_path / "in", "--band", "VIS=*.fits", "--pixel-scale", "0.1", "--skip-bad")
    code, out, err = lensaudit(*command, "--size-pixels", "8", "--out", tmp_path / "out")
    assert code == 0, err
    assert "page.fits: is an HTML page, not a FITS file" in out
    assert "small.fits: band VIS: 5×5 pixels are too small, 8×8 are needed" in out
    code, out, err = lensaudit(*command, "--size-pixels", "8", "--out", tmp_path / "json", "--json")
    assert json.loads(out)["source"]["skipped"]["count"] == 2
    assert "page.fits: is an HTML page" in err


def test_of_many_files_left_out_the_first_hundred_are_printed(tmp_path):
    write_plane(tmp_path / "in" / "good.fits", noise(1))
    for i in range(103):
        (tmp_path / "in" / f"x{i}.fits").write_bytes(b"")
    lines = skipped_lines(taken(tmp_path / "in", tmp_path / "out", "VIS=*.fits", skip_bad=True))
    assert len(lines) == 101
    assert "is empty (0 bytes), not a FITS file" in lines[0]
    assert "and 3 more" in lines[-1]


def test_a_plan_of_absurd_sizes_is_refused(lensaudit, tmp_path):
    write_plane(tmp_path / "a.fits", noise(1))
    for option in (("--pixel-scale", "inf"), ("--pixel-scale", "0.1", "--size-arcsec", "inf")):
        code, _, err = lensaudit("ingest", "fits", tmp_path, "--band", "VIS=*.fits", *option, "--out", tmp_path / "o")
        assert code == 2
        assert err.count("\n") == 1
