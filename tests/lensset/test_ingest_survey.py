"""What ingest keeps beside images: PSF, noise, gain, unit and filter, of each cutout or one for the set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset import LensSet
from lensaudit.lensset.ingest import PixelPolicy, ingest, parse_band, plan_euclid_q1, plan_fits, remarks
from lensaudit.lensset.ingest.survey import light_in_core

from fits_files import noise, star, write_plane, write_q1  # isort: skip - beside this file

TOLD = PixelPolicy(given_scale={"*": 0.2})


def observed(path: Path, *, rms=None, psf=None, zero_point: float | None = None, **cards) -> Path:
    """A file with an image (1), its PSF (2) and its noise (3)."""
    seed = int.from_bytes(path.name.encode()[:2], "little")
    header = fits.Header({} if zero_point is None else {"MAGZERO": zero_point})
    header.update(cards)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(noise(seed, (12, 12)), header),
            fits.ImageHDU(star(7, sigma=1.1) if psf is None else psf),
            fits.ImageHDU(np.abs(noise(seed + 1, (12, 12))) + 0.1 if rms is None else rms),
        ]
    ).writeto(path)
    return path


def taken(folder: Path, *more: tuple[str, str], policy: PixelPolicy = TOLD, skip_bad: bool = False) -> LensSet:
    patterns = [parse_band("g=*.fits[1]"), *(parse_band(words, what) for what, words in more)]
    return ingest(plan_fits(folder, patterns, policy=policy), folder.parent / "out", skip_bad=skip_bad)


def test_psf_and_noise_of_each_file_follow_its_image(tmp_path: Path):
    for name in "ba":
        observed(tmp_path / "in" / f"{name}.fits")
    policy = PixelPolicy(given_scale={"*": 0.2}, size_pixels={"*": 6})
    found = taken(tmp_path / "in", ("psf", "g=[2]"), ("rms", "g=*.fits[3]"), policy=policy)
    assert (found.has_psf("g"), found.has_rms("g"), found.shape["g"]) == (True, True, (6, 6))
    for i, name in enumerate("ab"):
        with fits.open(tmp_path / "in" / f"{name}.fits") as hdus:
            np.testing.assert_array_equal(found.rms("g", i)[0], hdus[3].data[3:9, 3:9])
            np.testing.assert_array_equal(found.images("g", i)[0], hdus[1].data[3:9, 3:9])
    np.testing.assert_allclose(found.psf("g", [0, 1]), np.stack([star(7, sigma=1.1)] * 2), rtol=1e-6)  # float32
    assert found.column("n_no_rms_g").tolist() == [0, 0]
    found.verify()


@pytest.mark.parametrize(("what", "power"), [("rms", 1), ("variance", 2), ("weight", -2)])
def test_forms_of_noise_and_pixels_without_weight(tmp_path: Path, what: str, power: int):
    sigma = np.full((12, 12), 0.5, np.float32)
    given = sigma**power
    given[0, :4] = 0, np.nan, -1, np.inf
    observed(tmp_path / "in" / "a.fits", rms=given)
    found = taken(tmp_path / "in", (what, "g=[3]"))
    rms = found.rms("g", 0)[0]
    assert np.isinf(rms[0, :4]).all()
    np.testing.assert_array_equal(rms[1:], sigma[1:])
    assert found.column("n_no_rms_g").tolist() == [4]
    assert any("4 pixels in 1 of 1 cutouts have no weight" in line for line in remarks(found))


def test_a_mask_extension_takes_pixels_their_weight(tmp_path: Path):
    mask = np.zeros((12, 12), np.int32)
    mask[0, :3] = 1, 2, 32
    observed(tmp_path / "in" / "a.fits", rms=mask)
    write_plane(tmp_path / "noise.fits", np.full((12, 12), 0.5, np.float32))
    rms, masks = ("rms", "g=../noise.fits"), ("mask", "g=[3]")
    with pytest.raises(UsageError, match=r"a.fits: band g: mask: .* holds bits \(values up to 32\); .* --mask-bits"):
        taken(tmp_path / "in", rms, masks)
    found = taken(tmp_path / "in", ("rms", "g=../in/*.fits[1]"), masks, policy=replace(TOLD, bad_bits=(0, 1)))
    assert found.column("n_masked_g").tolist() == [2]
    assert np.isinf(found.rms("g", 0)[0, 0, :2]).all()
    assert found.images("g", 0)[0, 0, :2].tolist() == [0, 0]  # --masked zero is the default


def test_a_mask_of_zeros_and_ones_needs_no_bits_and_one_may_serve_the_set(tmp_path: Path):
    for name in "ab":
        observed(tmp_path / "in" / f"{name}.fits")
    mask = np.zeros((12, 12), np.uint8)
    mask[5, 5] = 1
    write_plane(tmp_path / "mask.fits", mask)
    found = taken(tmp_path / "in", ("rms", "g=[3]"), ("mask", "g=../mask.fits"))
    assert found.column("n_masked_g").tolist() == [1, 1]
    assert np.isinf(found.rms("g", slice(None))[:, 5, 5]).all()


def test_a_known_instrument_says_what_neither_headers_nor_options_do(tmp_path: Path):
    observed(tmp_path / "in" / "a.fits", zero_point=25.0)
    patterns = [parse_band(f"{band}=*.fits[{at}]") for band, at in (("g", 1), ("r", 2), ("q", 2))]
    policy = PixelPolicy(given_scale={"q": 0.2}, given_filter={"r": "hsc2017-r"}, size_pixels={"*": 7})
    found = ingest(plan_fits(tmp_path / "in", patterns, instrument="hsc", policy=policy), tmp_path / "out")
    known = [(b.zero_point_mag, b.pixel_scale_arcsec, b.filter) for b in found.header.bands]
    assert known == [(25.0, 0.168, "hsc2017-g"), (27.0, 0.168, "hsc2017-r"), (None, 0.2, None)]
    words = "r: zero point 27 mag, pixel scale 0.168″ from the instrument hsc (options win over it)"
    assert words in found.header.source.notes


def test_what_euclid_writes_for_no_weight_is_none(tmp_path: Path):
    rms = np.full((12, 12), 0.5, np.float32)
    rms[2, 2] = 1e16
    observed(tmp_path / "in" / "a.fits", rms=rms)
    assert np.isinf(taken(tmp_path / "in", ("rms", "g=[3]")).rms("g", 0)[0, 2, 2])


def test_noise_is_brought_to_the_zero_point_as_the_image_is(tmp_path: Path):
    observed(tmp_path / "in" / "a.fits", zero_point=25.0)
    observed(tmp_path / "in" / "b.fits", zero_point=27.5)
    found = taken(tmp_path / "in", ("rms", "g=[3]"))
    with fits.open(tmp_path / "in" / "b.fits") as hdus:
        ten = np.float64(10 ** (0.4 * (25.0 - 27.5)))
        np.testing.assert_array_equal(found.rms("g", 1)[0], (hdus[3].data * ten).astype(np.float32))
        np.testing.assert_array_equal(found.images("g", 1)[0], (hdus[1].data * ten).astype(np.float32))


def test_bad_pixels_of_the_image_have_no_weight(tmp_path: Path):
    path = observed(tmp_path / "in" / "a.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[1].data[4, 5] = np.nan
    found = taken(tmp_path / "in", ("rms", "g=[3]"), policy=PixelPolicy(nan="zero", given_scale={"*": 0.2}))
    assert np.argwhere(np.isinf(found.rms("g", 0)[0])).tolist() == [[4, 5]]


def test_one_for_the_set(tmp_path: Path):
    for name in "ab":
        observed(tmp_path / "in" / f"{name}.fits")
    write_plane(tmp_path / "in" / "beside" / "psf.fits", star(6, sigma=1.2))
    write_plane(tmp_path / "in" / "beside" / "var.fits", np.full((12, 12), 4, np.float32))
    found = taken(tmp_path / "in", ("psf", "g=beside/psf.fits"), ("variance", "g=beside/var.fits"))
    assert found.header.bands[0].psf.per_cutout is False
    assert found.psf("g", slice(None)).shape == (2, 7, 7)
    assert np.array_equal(found.rms("g", [1]), np.full((1, 12, 12), 2, np.float32))
    assert any("6 pixels along a side were brought to an odd number" in note for note in found.header.source.notes)
    assert "n_no_rms_g" not in found.columns
    found.verify()


def test_bad_pixels_of_the_first_image_are_not_those_of_the_set(tmp_path: Path):
    path = observed(tmp_path / "in" / "a.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[1].data[4, 5] = np.nan
    observed(tmp_path / "in" / "b.fits")
    write_plane(tmp_path / "rms.fits", np.ones((12, 12), np.float32))
    policy = PixelPolicy(nan="zero", given_scale={"*": 0.2})
    found = taken(tmp_path / "in", ("rms", f"g={tmp_path / 'rms.fits'}"), policy=policy)
    assert np.isfinite(found.rms("g", 1)).all()


def test_copies_have_what_their_origin_has(tmp_path: Path):
    observed(tmp_path / "in" / "a.fits")
    patterns = [parse_band("g=*.fits[1]"), parse_band("g=[2]", "psf"), parse_band("g=[3]", "rms")]
    plan = plan_fits(tmp_path / "in", patterns, duplicate={"g": ("r",)}, policy=TOLD)
    found = ingest(plan, tmp_path / "out")
    np.testing.assert_array_equal(found.rms("r", 0), found.rms("g", 0))
    np.testing.assert_array_equal(found.psf("r", 0), found.psf("g", 0))


def test_a_psf_of_other_pixels_is_brought_to_the_bands(tmp_path: Path):
    observed(tmp_path / "in" / "a.fits")
    write_plane(tmp_path / "psf.fits", star(41, sigma=3.3), fits.Header({"PIXSCALE": 0.1}))
    found = taken(tmp_path / "in", ("psf", f"g={tmp_path / 'psf.fits'}"))
    stored = found.psf("g", 0)[0]
    assert stored.shape == (21, 21)
    assert stored.sum(dtype=float) == pytest.approx(1, abs=1e-6)  # float32
    rows = np.arange(21) - 10
    assert float((stored.sum(axis=1) * rows**2).sum()) == pytest.approx(1.65**2 + 1 / 16, rel=0.02)  # σ, finer pixels
    assert any("its pixels, 0.5 of the band's, were resampled" in note for note in found.header.source.notes)


def test_stamps_of_other_sizes_and_what_was_done_are_said(tmp_path: Path):
    observed(tmp_path / "in" / "a.fits", psf=star(9, sigma=0.9))
    observed(tmp_path / "in" / "b.fits", psf=2 * star(8, sigma=0.9))
    observed(tmp_path / "in" / "c.fits", psf=star(11, (1, 0), sigma=0.9))
    found = taken(tmp_path / "in", ("psf", "g=[2]"))
    assert found.psf("g", slice(None)).shape == (3, 9, 9)
    np.testing.assert_allclose(found.psf("g", slice(None)).sum(axis=(1, 2)), 1, atol=1e-6)  # float32
    said = "\n".join(remarks(found))
    assert "g: 1 of 3 PSFs did not sum to 1 (1 to 2) and were normalised" in said
    assert "g: 1 of 3 PSFs lay up to 1 pixels off their middle and were moved there" in said
    assert "g: 1 of 3 PSFs had an even number of pixels" in said
    assert "g: 2 of 3 PSFs were brought to the 9 pixels of the set" in said
    assert found.column("psf_side_g").tolist() == [9, 8, 11]


@pytest.mark.parametrize(
    ("cards", "electrons", "said"),
    [
        ({"GAIN": 2.0, "EXPTIME": 300.0}, 600.0, "GAIN × EXPTIME"),
        ({"GAIN": 2.0, "EXPTIME": 300.0, "BUNIT": "adu"}, 2.0, "GAIN"),
        ({"GAIN": 2.0, "EXPTIME": 300.0, "BUNIT": "counts/s"}, 600.0, "GAIN × EXPTIME"),
        ({"GAIN": 2.0, "EXPTIME": 300.0, "BUNIT": "ELECTRONS/S"}, 300.0, "EXPTIME"),
        ({"BUNIT": "electron"}, 1.0, "BUNIT"),
        ({"GAIN": 0.0, "EXPTIME": 300.0}, None, ""),
        ({"GAIN": "high", "EXPTIME": 300.0}, None, ""),
    ],
)
def test_electrons_of_a_pixel_unit(tmp_path: Path, cards, electrons, said):
    observed(tmp_path / "in" / "a.fits", **cards)
    found = taken(tmp_path / "in")
    assert found.header.bands[0].electrons_per_unit == electrons
    assert (electrons is None) == ("electrons_per_unit_g" not in found.columns)
    if electrons:
        assert any(f"from header card {said} " in note for note in found.header.source.notes)


def test_electrons_follow_the_zero_point_and_what_is_given_wins(tmp_path: Path):
    observed(tmp_path / "in" / "a.fits", zero_point=25.0, GAIN=1.0, EXPTIME=100.0)
    observed(tmp_path / "in" / "b.fits", zero_point=27.5, GAIN=1.0, EXPTIME=100.0)
    observed(tmp_path / "in" / "c.fits", zero_point=25.0)
    found = taken(tmp_path / "in")
    assert found.column("electrons_per_unit_g").tolist() == pytest.approx([100, 1000, np.nan], nan_ok=True)
    assert any("g: 1 of 3 files have another gain or exposure" in line for line in remarks(found))
    plan = plan_fits(
        tmp_path / "in",
        [parse_band("g=*.fits[1]")],
        policy=PixelPolicy(given_scale={"*": 0.2}, given_electrons={"g": 7.0}, given_filter={"g": "hsc2017-g"}),
    )
    told = ingest(plan, tmp_path / "told").header.bands[0]
    assert (told.electrons_per_unit, told.filter) == (7.0, "hsc2017-g")


def test_units_are_kept_and_those_that_differ_said(tmp_path: Path):
    write_plane(tmp_path / "in" / "a_g.fits", noise(1), fits.Header({"BUNIT": "nJy"}))
    write_plane(tmp_path / "in" / "a_r.fits", noise(2), fits.Header({"BUNIT": "adu"}))
    write_plane(tmp_path / "in" / "b_g.fits", noise(3), fits.Header({"BUNIT": "NJY"}))
    write_plane(tmp_path / "in" / "b_r.fits", noise(4), fits.Header({"BUNIT": "electron / s"}))
    g, r = parse_band("g=*_g.fits"), parse_band("r=*_r.fits")
    found = ingest(plan_fits(tmp_path / "in", [g], policy=TOLD), tmp_path / "one")
    assert found.header.bands[0].unit == "nJy"
    with pytest.raises(
        DataError, match=r"b_r\.fits: band r: its pixels are in electron / s, the set's in adu; give --zero"
    ):
        ingest(plan_fits(tmp_path / "in", [g, r], policy=TOLD), tmp_path / "both")
    (tmp_path / "in" / "b_r.fits").unlink()
    (tmp_path / "in" / "b_g.fits").unlink()
    notes = ingest(plan_fits(tmp_path / "in", [g, r], policy=TOLD), tmp_path / "two").header.source.notes
    assert "bands are in different units: g in nJy, r in adu" in notes


def test_euclid_q1_finds_all_by_itself(tmp_path: Path):
    path = write_q1(tmp_path / "in" / "a.fits")
    sigma = np.abs(noise(5, (30, 30))) + 0.1
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(sigma, name="VIS_RMS"))
    found = ingest(plan_euclid_q1(tmp_path / "in"), tmp_path / "out")
    assert [found.has_psf(band) for band in found.bands] == [True] * 4
    assert [found.has_rms(band) for band in found.bands] == [True, False, False, False]
    np.testing.assert_array_equal(found.rms("VIS", 0)[0], sigma[5:25, 5:25])
    assert [band.filter for band in found.header.bands] == ["Euclid-VIS", "Euclid-J", "Euclid-Y", "Euclid-H"]
    bare = ingest(plan_euclid_q1(tmp_path / "in", policy=PixelPolicy(images_only=True)), tmp_path / "bare")
    assert not bare.has_psf("VIS")
    assert not bare.has_rms("VIS")


BAD = {
    "PSF with NaN": ({"psf": np.full((5, 5), np.nan)}, "psf", "band g: PSF: extension 2: 25 of 25 pixels of the PSF"),
    "PSF without light": ({"psf": np.zeros((5, 5))}, "psf", "sum is 0, it must be positive"),
    "noise of another shape": ({"rms": np.ones((9, 9))}, "rms", "9×9 pixels, the image has 12×12"),
    "noise that is none": ({"rms": np.zeros((12, 12))}, "rms", "no pixel has a positive, finite standard deviation"),
    "noise in a cube": ({"rms": np.ones((2, 12, 12))}, "rms", "one 2-D image is needed"),
}


@pytest.mark.parametrize("harm", BAD)
def test_what_cannot_be_used_is_refused_or_skipped(tmp_path: Path, harm: str):
    changes, what, said = BAD[harm]
    observed(tmp_path / "in" / "a.fits")
    observed(tmp_path / "in" / "b.fits", **changes)
    number = {"psf": 2, "rms": 3}[what]
    with pytest.raises(DataError, match=said) as caught:
        taken(tmp_path / "in", (what, f"g=[{number}]"))
    assert str(caught.value).startswith(str(tmp_path / "in" / "b.fits"))
    assert "\n" not in str(caught.value)
    found = taken(tmp_path / "in", (what, f"g=[{number}]"), skip_bad=True)
    assert found.ids == ["a"]
    assert found.header.source.skipped.count == 1


def test_wrong_words_are_refused(tmp_path: Path):
    observed(tmp_path / "in" / "a.fits")
    with pytest.raises(UsageError, match=r"--psf 'nonsense': write NAME=PATTERN\[EXTENSION\]"):
        parse_band("nonsense", "psf")
    with pytest.raises(UsageError, match="--rms: 'r' is not one of g"):
        taken(tmp_path / "in", ("rms", "r=[3]"))
    with pytest.raises(UsageError, match="--weight: --rms, --variance or --weight is given for band g already"):
        taken(tmp_path / "in", ("rms", "g=[3]"), ("weight", "g=[3]"))
    with pytest.raises(UsageError, match=r"psf\.fits: no such file"):
        taken(tmp_path / "in", ("psf", "g=psf.fits"))
    with pytest.raises(UsageError, match=r"no file matches \*_psf\.fits \(band g\); check --psf"):
        taken(tmp_path / "in", ("psf", "g=*_psf.fits"))
    with pytest.raises(UsageError, match="--electrons-per-unit must be positive"):
        PixelPolicy(given_electrons={"*": 0.0})


def test_a_system_without_its_psf_is_named(tmp_path: Path):
    for name in "ab":
        observed(tmp_path / "in" / f"{name}.fits")
    write_plane(tmp_path / "in" / "a.psf", star(7))
    with pytest.raises(DataError, match="system b: the PSF of band g is missing; fetch its file"):
        taken(tmp_path / "in", ("psf", "g=*.psf"))


def test_an_interrupted_ingest_ends_in_the_same_bytes(tmp_path: Path):
    for i in range(20):
        observed(tmp_path / "in" / f"{i:02d}.fits")
    write_plane(tmp_path / "psf.fits", star(7))
    patterns = [parse_band("g=*.fits[1]"), parse_band(f"g={tmp_path / 'psf.fits'}", "psf"), parse_band("g=[3]", "rms")]
    plan = plan_fits(tmp_path / "in", patterns, policy=TOLD)
    one, two = tmp_path / "one", tmp_path / "two"
    ingest(plan, one)
    bad = tmp_path / "in" / "17.fits"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:3000])
    with pytest.raises(DataError, match="17"):
        ingest(plan, two)
    bad.write_bytes(whole)
    ingest(plan, two, workers=2)
    trees = [{str(p.relative_to(r)): p.read_bytes() for p in r.rglob("*") if p.is_file()} for r in (one, two)]
    assert trees[0] == trees[1]
    write_plane(tmp_path / "other.fits", star(7, sigma=1.2))
    other = [patterns[0], parse_band(f"g={tmp_path / 'other.fits'}", "psf"), patterns[2]]
    with pytest.raises(UsageError, match="holds another lens set"):
        ingest(plan_fits(tmp_path / "in", other, policy=TOLD), one)


def galaxy(side: int = 61, scale: float = 3.0) -> np.ndarray:
    """An exponential disc of this scale length in pixels, on some noise."""
    away = np.hypot(*(np.indices((side, side)) - side // 2))
    return (50 * np.exp(-away / scale) + noise(5, (side, side), 0.3)).astype(np.float32)


def test_a_galaxy_is_no_psf_and_a_star_is(tmp_path: Path):
    """An exponential has its FWHM at 1.4 scale lengths, and within 1.5 of them 1 − 3.08 exp(−2.08) = 0.62 of its
    light; a Gaussian has 1 − exp(−6.2) = 0.998."""
    assert light_in_core(star(31, sigma=2.0)) == pytest.approx(0.998, abs=0.003)  # pixels of a circle
    for name, stamp in (("a", galaxy()), ("b", star(31, sigma=1.1)), ("c", galaxy())):
        observed(tmp_path / "in" / f"{name}.fits", psf=stamp)
    found = taken(tmp_path / "in", ("psf", "g=[2]"))
    [said] = [line for line in remarks(found) if "point sources" in line]
    assert said.startswith("g: 2 of 3 PSFs looked at have less than 65% of the light within 1.5 FWHM of the middle")
    write_plane(tmp_path / "psf.fits", galaxy())
    one = ingest(
        plan_fits(tmp_path / "in", [parse_band("g=*.fits[1]"), parse_band("g=../psf.fits", "psf")], policy=TOLD),
        tmp_path / "one",
    )
    assert any("as galaxies have, not stars" in note for note in one.header.source.notes)


def test_a_psf_far_wider_than_the_instruments_is_said(tmp_path: Path):
    """HSC has 0.79″ in g: a Gaussian of 1.9″ (σ of 4.8 pixels of 0.168″) is none of its nights, one of 1″ is."""
    for name, sigma in (("a", 4.8), ("b", 2.5)):
        observed(tmp_path / "in" / f"{name}.fits", psf=star(41, sigma=sigma))
    patterns = [parse_band("g=*.fits[1]"), parse_band("g=[2]", "psf")]
    found = ingest(plan_fits(tmp_path / "in", patterns, instrument="hsc", policy=PixelPolicy()), tmp_path / "out")
    [said] = [line for line in remarks(found) if "point sources" in line]
    assert said.startswith("g: 1 of 2 PSFs looked at: FWHM up to 1.9″, hsc has 0.79″")
