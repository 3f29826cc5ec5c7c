"""``cut``: galaxies out of large images. The oracle is what was planted: how many, where, how bright."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from lens_sets import digest

from lensaudit.errors import DataError, UsageError
from lensaudit.injection import CutSettings, cut, galaxies, of_set, read_positions
from lensaudit.injection.image_parts import Disc, Painted, Square
from lensaudit.lensset import LensSet
from lensaudit.lensset.ingest import PixelPolicy, ingest, plan_fits, plan_npz

SCALE, ZERO, SIGMA = 0.1, 25.0, 0.02
ROWS, COLUMNS = 240, 280
GALAXIES = {(60.3, 50.8): 40.0, (199.0, 62.4): 60.0, (80.6, 180.2): 50.0, (210.5, 170.0): 90.0}
"""(x, y) → flux of what should be found: round, of σ = 3 pixels."""
STARS, FAINT = {(140.0, 120.2): 80.0}, {(140.4, 40.7): 4.0}
WIDE, POINT = 3.0, 1.2
BANDS = ("g", "i")
COLOUR = {"g": 0.5, "i": 1.0}


def blob(x: float, y: float, flux: float, sigma: float, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return flux / (2 * np.pi * sigma**2) * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / sigma**2)


def sky(seed: int = 1, shape: tuple[int, int] = (ROWS, COLUMNS), planted=GALAXIES) -> dict[str, np.ndarray]:
    light = sum(blob(x, y, flux, WIDE, shape) for (x, y), flux in {**planted, **FAINT}.items())
    light = light + sum(blob(x, y, flux, POINT, shape) for (x, y), flux in STARS.items())
    images = np.stack([COLOUR[band] * light for band in BANDS])
    psf = blob(8, 8, 1.0, POINT, (17, 17))
    return {
        "images": (images + np.random.default_rng(seed).normal(0, SIGMA, images.shape))[None].astype("f4"),
        "variance": np.full((1, *images.shape), SIGMA**2, "f4"),
        "psfs": np.stack([psf / psf.sum()] * 2)[None].astype("f4"),
        "bands": np.array(BANDS),
    }


def taken(folder: Path, name: str = "sky", zero: float = ZERO, **changes) -> LensSet:
    arrays = {key: one for key, one in {**sky(), **changes}.items() if one is not None}
    np.savez(folder / f"{name}.npz", **arrays)
    told = {"g": "hsc2017-g", "i": "hsc2017-i"}
    policy = PixelPolicy(given_scale={"*": SCALE}, given_zero_point={"*": zero}, given_filter=told)
    return ingest(plan_npz([folder / f"{name}.npz"], policy=policy), folder / name)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> LensSet:
    return taken(tmp_path_factory.mktemp("sky"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, image) -> LensSet:
    return cut([image], tmp_path_factory.mktemp("made") / "set", asked(41))


def asked(side: int, **given) -> CutSettings:
    return CutSettings(side, **{"detect_in": "i", **given})


def places(found: LensSet) -> list[tuple[float, float]]:
    return list(zip(found.column("image_x_pixel"), found.column("image_y_pixel"), strict=True))


def test_every_planted_galaxy_is_found_where_it_is_and_nothing_else(made):
    assert len(made) == len(GALAXIES)
    by_row = sorted(GALAXIES, key=lambda place: place[1])
    np.testing.assert_allclose(places(made), by_row, atol=0.15)  # pixels: noise of a centroid at S/N above 100
    magnitudes = [ZERO - 2.5 * np.log10(GALAXIES[place]) for place in by_row]
    # A Gaussian's aperture of 2.5 Kron radii holds all but 1 % of its light; noise adds as much.
    np.testing.assert_allclose(made.column("host_mag_i"), magnitudes, atol=0.04)
    np.testing.assert_allclose(made.column("host_mag_g") - made.column("host_mag_i"), 0.7526, atol=0.06)
    half_light = 1.1774 * np.sqrt(WIDE**2 - POINT**2) * SCALE  # Gaussians of the galaxy less the PSF
    np.testing.assert_allclose(made.column("r_half_arcsec"), half_light, rtol=0.05)
    assert (made.column("mirrored_fraction") == 0).all()
    assert made.header.source.notes[0] == "4 galaxies of 1 images; left out: 1 too faint, 1 stars"
    made.verify()


def test_a_cutout_is_the_images_own_pixels_with_what_the_survey_gave(image, made):
    for i, (x, y) in enumerate(places(made)):
        first = (round(y) - 20, round(x) - 20)
        for band in BANDS:
            own = image.images(band, 0)[0][first[0] : first[0] + 41, first[1] : first[1] + 41]
            assert made.images(band, i)[0].tobytes() == own.tobytes()
            np.testing.assert_allclose(made.rms(band, i), SIGMA, rtol=1e-6)
            assert made.psf(band, i).tobytes() == image.psf(band, 0).tobytes()
    assert [band.filter for band in made.header.bands] == ["hsc2017-g", "hsc2017-i"]
    assert made.labels.tolist() == [-1] * 4
    assert set(made.column("image_id")) == {"sky"}
    hosts = of_set(made)  # what they are cut out for
    assert hosts.n == 4
    assert abs(hosts.prepared(0).light.x_arcsec) <= 0.06


def test_neighbours_edges_and_limits_leave_galaxies_out(tmp_path, image, monkeypatch):
    settings = asked(41, apart_arcsec=8.35, max_mag=ZERO - 2.5 * np.log10(45.0))
    found = cut([image], tmp_path / "alone", settings)
    # The star of 80 is 8.25″ from the galaxy of 60, and 8.43″ from that of 50; that of 40 is too faint.
    np.testing.assert_allclose(places(found), [(210.5, 170.0), (80.6, 180.2)], atol=0.15)
    np.testing.assert_allclose(found.column("neighbour_arcsec"), [np.nan, 8.43], atol=0.02)
    note = found.header.source.notes[0]
    assert "2 too faint" in note
    assert "1 beside a brighter object" in note
    monkeypatch.setattr(galaxies, "BLOCK", 100)  # the same objects however the image is divided
    monkeypatch.setattr(galaxies, "OVERLAP", 40)
    blocks = cut([image], tmp_path / "blocks", settings)
    np.testing.assert_allclose(places(blocks), places(found), atol=0.05)  # each block has its own sky
    near = cut([image], tmp_path / "near", asked(105))
    np.testing.assert_allclose(places(near), [(199.0, 62.4), (210.5, 170.0), (80.6, 180.2)], atol=0.15)  # not 50.8


def test_beyond_the_edge_is_the_mirrored_image(tmp_path, image):
    found = cut([image], tmp_path / "mirrored", asked(140, edge_arcsec=4.0))
    x, y = places(found)[0]
    first = (int(np.floor(y - 69)), int(np.floor(x - 69)))
    padded = np.pad(image.images("i", 0)[0], 100, mode="symmetric")
    own = padded[first[0] + 100 : first[0] + 240, first[1] + 100 : first[1] + 240]
    shown = found.images("i", 0)[0]
    assert any(
        shown.tobytes() == padded[r + 100 : r + 240, c + 100 : c + 240].tobytes()
        for r in (first[0], first[0] + 1)
        for c in (first[1], first[1] + 1)
    ), own.shape
    outside = 1 - (140 + min(first[0], 0)) * (140 + min(first[1], 0)) / 140**2
    assert found.column("mirrored_fraction")[0] == pytest.approx(outside, abs=0.02)


def test_what_is_excluded_is_left_out_or_painted_over(tmp_path, image):
    star = asked(81, centre_arcsec=1.2, edge_arcsec=4.0)
    assert len(cut([image], tmp_path / "clear", star)) == 4  # the star lies in the middle, no cutout shows it
    wide = replace(star, side=161)
    with pytest.raises(DataError, match=r"no galaxy to cut out of 1 images \(.*5 too near an excluded position"):
        cut([image], tmp_path / "none", wide)
    found = cut([image], tmp_path / "painted", replace(wide, paint_out=True))
    assert len(found) == 4
    assert (found.column("painted_fraction") > 0.005).all()
    x, y = places(found)[0]
    row, column = (round(120.2 - (np.floor(y - 80 + 0.5))), round(140 - np.floor(x - 80 + 0.5)))
    patch = found.images("i", 0)[0][row - 8 : row + 9, column - 8 : column + 9]
    assert np.abs(patch).max() < 5 * SIGMA  # the star's peak is 440 σ
    assert patch.std() == pytest.approx(SIGMA, rel=0.15)  # 289 pixels: 4 % at one σ


def test_a_halo_goes_on_under_what_is_painted_over():
    rows, columns = np.mgrid[:120, :160].astype(float)
    noise = np.random.default_rng(3).normal(0, 0.05, (120, 160))
    slope = 4 + 0.03 * (columns - 50) - 0.02 * (rows - 60)  # harmonic, so that the surface is known
    plane = np.where(columns < 100, slope, 0) + noise
    done = Painted(Disc(50, 60, 20.5), up=0, right=80).on(plane.astype("f4"), smooth=True)
    inside = np.hypot(columns - 50, rows - 60) <= 20.5
    assert done[~inside].tobytes() == plane.astype("f4")[~inside].tobytes()
    assert np.abs((done - slope)[inside].mean()) < 0.03  # medians of 16 sectors of 35 pixels
    assert (done - slope)[inside].std() < 0.08
    assert Square(-3, 0, 10).of(plane.astype("f4"))[2].tobytes() == plane.astype("f4")[0, :10].tobytes()


def test_two_sets_become_one_at_one_zero_point(tmp_path, image, made):
    other = sky(2, (200, 260), dict(list(GALAXIES.items())[:2]))
    wide = np.pad(other["psfs"], ((0, 0), (0, 0), (2, 2), (2, 2)))
    second = taken(tmp_path, "second", ZERO + 1, **(other | {"psfs": wide}))
    found = cut([image, second], tmp_path / "both", asked(41))
    assert found.ids == ["sky-0001", "sky-0002", "sky-0003", "sky-0004", "second-0001", "second-0002"]
    assert found.images("g", 2).tobytes() == made.images("g", 2).tobytes()
    np.testing.assert_allclose(found.rms("g", 5), SIGMA * 10**-0.4, rtol=1e-6)
    assert found.psf("g", 5).shape == (1, 21, 21)
    again = cut([image, second], tmp_path / "again", asked(41))
    assert digest(again.path) == digest(found.path)
    with pytest.raises(DataError, match="image sky is in two of the sets"):
        cut([image, image], tmp_path / "twice", asked(41))


def test_sky_coordinates_go_with_the_pixels_and_exclude_known_lenses(tmp_path):
    from astropy.io import fits

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [141, 120], [150.0, 2.0]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    given = sky()
    units = [
        fits.PrimaryHDU(),
        fits.ImageHDU(given["images"][0, 1], wcs.to_header()),
        fits.ImageHDU(given["psfs"][0, 1]),
        fits.ImageHDU(given["variance"][0, 1]),
    ]
    fits.HDUList(units).writeto(tmp_path / "a.fits")
    from lensaudit.lensset.ingest import parse_band

    patterns = [parse_band("i=*.fits[1]"), parse_band("i=[2]", "psf"), parse_band("i=[3]", "variance")]
    tile = ingest(plan_fits(tmp_path, patterns, policy=PixelPolicy(given_zero_point={"*": ZERO})), tmp_path / "tile")
    found = cut([tile], tmp_path / "cut", asked(41))
    for i, (x, y) in enumerate(places(found)):
        ra, dec = wcs.wcs_pix2world(x, y, 0)
        np.testing.assert_allclose([found.column("ra_deg")[i], found.column("dec_deg")[i]], [ra, dec], atol=1e-9)
        middle = found.own_wcs(i, "i").wcs_world2pix(ra, dec, 0)
        np.testing.assert_allclose(middle, 20, atol=0.51)  # the nearest pixel is the middle one
    ra, dec = found.column("ra_deg")[1], found.column("dec_deg")[1]
    (tmp_path / "known.csv").write_text(f"name,RA,Dec\nlens,{ra},{dec}\nfar,10.0,-80.0\n")
    known = read_positions(tmp_path / "known.csv")
    without = cut([tile], tmp_path / "without", asked(41, exclude=known, exclude_arcsec=1.0))
    assert places(without) == [place for i, place in enumerate(places(found)) if i != 1]


def test_bad_input_is_one_line(tmp_path, image):
    (tmp_path / "no.csv").write_text("name,ra\na,1\n")
    (tmp_path / "odd.csv").write_text("ra,dec\n10,95\n")
    lines = [
        (UsageError, "--side must lie in 8 … 4096 pixels, not 4", lambda: asked(4)),
        (UsageError, "--apart-arcsec must be 0 or more, not nan", lambda: asked(40, apart_arcsec=float("nan"))),
        (UsageError, "--label 'maybe' is not one of lens, non-lens, unknown", lambda: asked(40, label="maybe")),
        (UsageError, "--paint-out replaces excluded discs; name them", lambda: asked(40, paint_out=True)),
        (DataError, "no.csv: .*dec", lambda: read_positions(tmp_path / "no.csv")),
        (DataError, "odd.csv: .*is no RA and Dec in degrees", lambda: read_positions(tmp_path / "odd.csv")),
        (UsageError, "--detect-in 'z': .* has the bands g, i", lambda: cut([image], "x", asked(41, detect_in="z"))),
        (DataError, "240×280 pixels are smaller than --side 300", lambda: cut([image], "x", asked(300))),
        (DataError, "no sky coordinates for --exclude", lambda: cut([image], "x", asked(41, exclude=((1, 2),)))),
        (DataError, "no galaxy to cut .*6 too faint", lambda: cut([image], "x", asked(41, min_snr=1e5))),
        (
            UsageError,
            "--paint-out: near an excluded disc of 110 pixels no other one is free",
            lambda: cut([image], "x", asked(41, centre_arcsec=11.0, paint_out=True)),
        ),
        (
            DataError,
            "band g: has no PSF; ingest it with --psf",
            lambda: cut([taken(tmp_path, "bare", psfs=None)], "x", asked(41)),
        ),
    ]
    for kind, words, mistake in lines:
        with pytest.raises(kind, match=words) as caught:
            mistake()
        assert "\n" not in str(caught.value)
    assert not Path("x").exists()


def test_the_command_says_what_it_did(tmp_path, image, cli):
    ran = cli("cut", image.path, "--side", 41, "--detect-in", "i", "--label", "non-lens", "--out", tmp_path / "cut")
    assert ran.exit_code == 0, ran.output
    assert "4 galaxies of 1 images; left out: 1 too faint, 1 stars" in ran.output
    assert "4 non-lenses" in ran.output
