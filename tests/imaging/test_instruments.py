"""Instruments as files: what is shipped, what a user may write, and what is said of mistakes."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import yaml
from astropy.io import fits

from lensaudit.errors import NoSuchFile, UsageError
from lensaudit.files import builtin_folder
from lensaudit.imaging import EUCLID, INSTRUMENTS, LSST, Instrument, OwnPsf, get_instrument, kernel, load_instrument
from lensaudit.imaging.band import ray_grid, resized
from lensaudit.imaging.instrument_words import BandWords, Depth
from lensaudit.imaging.own_psf import galsim_psf, stamp_psf, stamp_values
from lensaudit.scenes import EUCLID_SKY, LSST_SKY, Psf
from lensaudit.scenes.colours import effective_wavelength_nm

MINE = {
    "name": "mine",
    "common": {"pixels": 32, "pixel_scale_arcsec": 0.2, "zero_point_mag": 27.0, "unit": "count", "fwhm_arcsec": 0.8},
    "bands": {"g": {"filter": "decam2014-g", "sigma": 0.1}, "r": {"filter": "decam2014-r", "depth": {"mag": 25.0}}},
}


def written(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**MINE, **changes}))
    return path


def test_the_shipped_ones_and_what_never_changes():
    assert tuple(INSTRUMENTS)[:5] == ("euclid", "vis101", "lsst", "lsst-stack", "euclid-q1")
    assert {"lsst-ugrizy", "hsc", "des", "kids", "roman", "hst-acs"} <= set(INSTRUMENTS)
    # What sets rest on, to the last bit.
    assert [band.background_sigma.hex() for band in EUCLID.bands] == [
        "0x1.a43c9c5601e4ap-9", "0x1.02c0fe12d8b9dp-5", "0x1.02c0fe12d8b9dp-5", "0x1.02c0fe12d8b9dp-5",
    ]  # fmt: skip
    assert LSST.band("g").background_sigma.hex() == "0x1.784fbe060767ap-1"
    assert (EUCLID.sky, INSTRUMENTS["vis101"].sky, LSST.sky) == (EUCLID_SKY, EUCLID_SKY, LSST_SKY)
    assert INSTRUMENTS["euclid-q1"].sky == EUCLID_SKY


@pytest.mark.parametrize("name", tuple(INSTRUMENTS))
def test_every_number_has_its_source(name):
    words = yaml.safe_load((builtin_folder("instruments") / f"{name}.yaml").read_text())
    blocks = [words.get("common", {}), *words["bands"].values()]
    said = {key for block in blocks for key in block} | {"ray_pixels", "ray_scale_arcsec"} & set(words)
    assert said - {"filter", "unit"} == set(words["sources"])
    assert words["name"] == name
    assert words["title"]


@pytest.mark.parametrize("name", tuple(INSTRUMENTS))
def test_an_instrument_survives_json_and_processes(name):
    one = INSTRUMENTS[name]
    assert Instrument.from_json(one.to_json()) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert hash(one) == hash(Instrument.from_json(one.to_json()))


@pytest.mark.parametrize(
    "name",
    [name for name in INSTRUMENTS if name not in ("euclid", "euclid-q1", "vis101", "vis64", "lsst", "lsst-stack")],
)
def test_bands_sit_where_their_curves_do(name):
    for band in INSTRUMENTS[name].bands:
        # Rounded in the YAML; the older instruments have the middle of the band.
        assert band.wavelength_nm == pytest.approx(effective_wavelength_nm(band.filter), rel=0.01)


def test_a_file_of_ones_own(tmp_path):
    mine = load_instrument(written(tmp_path))
    assert (mine.reference, mine.colour, mine.field_arcsec) == ("g", ("g", "r"), 6.4)
    assert (mine.ray_pixels, mine.ray_scale_arcsec) == (64, 0.1)
    g, r = mine.bands
    assert (g.background_sigma, g.shot_electrons_per_unit) == (0.1, None)
    assert r.flux(25.0) / r.background_sigma / (2.266 * 16) ** 0.5 == pytest.approx(5.0)  # 0.8″ are 4 pixels
    assert mine.sky.psf == "gaussian"
    assert mine.sky.filters == ("decam2014-g", "decam2014-r")


def test_the_sky_says_what_an_electron_is_worth(tmp_path):
    bands = {"g": {"filter": "decam2014-g", "sigma": 0.1, "sky_mag_per_arcsec2": 22.0}}
    band = load_instrument(written(tmp_path, bands=bands)).bands[0]
    sky = band.flux(22.0) * 0.04
    assert sky * band.shot_electrons_per_unit == pytest.approx((0.1 * band.shot_electrons_per_unit) ** 2)


def test_a_curve_of_ones_own_is_kept_whole(tmp_path):
    from speclite.filters import load_filter

    curve = load_filter("hsc2017-i2")
    rows = "\n".join(f"{w / 10}, {v}" for w, v in zip(curve.wavelength, curve.response, strict=True))
    (tmp_path / "i.csv").write_text(f"wavelength,response\n{rows}\n")
    bands = {"i": {"filter": {"file": "i.csv", "unit": "nm"}, "sigma": 0.1}}
    band = load_instrument(written(tmp_path, bands=bands)).bands[0]
    assert band.filter.startswith("curve:")
    (tmp_path / "i.csv").unlink()
    # 128 samples of it; the curve is smooth.
    assert effective_wavelength_nm(band.filter) == pytest.approx(effective_wavelength_nm("hsc2017-i2"), rel=1e-4)
    assert band.wavelength_nm == pytest.approx(777.4, abs=0.5)


def test_psfs_of_ones_own(tmp_path):
    values = np.outer(*[np.exp(-(np.arange(-10, 11) ** 2) / 18.0)] * 2)
    values[10, 13:] *= 1.5
    hdu = fits.ImageHDU(values.astype(np.float32), name="G_PSF")
    hdu.header["PIXSCALE"] = 0.2
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "psf.fits")
    base = {"filter": "decam2014-g", "sigma": 0.1, "fwhm_arcsec": None}
    bands = {
        "g": {**base, "psf": {"fits": {"file": "psf.fits", "extension": "G_PSF"}}},
        "r": {**base, "psf": {"galsim": {"type": "Moffat", "beta": 3.0, "fwhm": 0.9}}},
    }
    mine = load_instrument(written(tmp_path, bands=bands))
    g, r = mine.bands
    assert mine.sky.psf == "instrument"
    (tmp_path / "psf.fits").unlink()
    held = kernel(Psf("instrument"), g)
    assert held[10:21, 10:21] == pytest.approx(values[5:16, 5:16] / values.sum(), abs=2e-4)
    turned = kernel(Psf("instrument", angle_deg=180.0), g)
    assert turned == pytest.approx(held[::-1, ::-1], abs=3e-4)  # a spline's ringing at the edge
    assert r.fwhm_arcsec == pytest.approx(0.9, rel=0.05)  # its pixel makes it a little wider
    wide = kernel(Psf("instrument", fwhm_scale=1.5), r)
    assert wide.max() < 0.5 * kernel(Psf("instrument"), r).max()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tittle": "x"}, "unknown key 'tittle'; did you mean title?"),
        ({"bands": {"g": {"filter": "decam2014-g", "sigmma": 1}}}, "bands.g: unknown key 'sigmma'; did you mean sigma"),
        ({"bands": {"g": {"filter": "decam2014-q", "sigma": 1}}}, "filter 'decam2014-q' is none of speclite's"),
        ({"bands": {"g": {"filter": "decam2014-g"}}}, "bands.g: give sigma, depth, or sky_mag_per_arcsec2 with"),
        ({"bands": {"g": {"sigma": 1}}}, "bands.g: give a filter, or wavelength_nm"),
        ({"bands": {"g": {"filter": "decam2014-g", "sigma": 1, "depth": {"mag": 25}}}}, "sigma and depth both say"),
        ({"bands": {"g": {"filter": "decam2014-g", "sigma": -1}}}, "bands.g.sigma: Input should be greater than 0"),
        ({"bands": {"g": {"filter": "decam2014-g", "sigma": 1, "pixel_scale_arcsec": 0.0731},
                    "r": {"filter": "decam2014-r", "sigma": 1}}}, "are not whole multiples of one ray step"),
        ({"reference": "z"}, "reference: z is none of the bands g, r"),
        ({"colour": ["g"]}, "colour: name two bands"),
        ({"name": "euclid"}, "name: euclid is a shipped instrument; give yours another name"),
        ({"bands": {"g": {"filter": {"file": "none.txt"}, "sigma": 1}}}, "none.txt"),
        ({"bands": {"g": {"filter": {"wavelength": [1, 2], "response": [1, 2]}, "sigma": 1}}}, "at least three"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(tmp_path, changes, said):
    path = written(tmp_path, **changes)
    with pytest.raises(UsageError) as refused:
        load_instrument(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"type": "Eval", "str": "__import__('os').system('true')"}, "type 'Eval' is not allowed"),
        ({"type": "Moffat", "beta": "$__import__('os')", "fwhm": 1.0}, "beta is a number"),
        ({"type": "Gaussian", "fwhm": {"type": "Random"}}, "fwhm is a number"),
        ({"type": "Gaussian", "fhwm": 0.7}, "Gaussian has no 'fhwm'; allowed: "),
        ({"type": "Convolve", "items": [{"type": "RealGalaxy"}]}, "type 'RealGalaxy' is not allowed"),
        ({"type": "Gaussian", "fwhm": float("inf")}, "fwhm is not finite"),
        ({"type": "Airy", "lam": 700, "diam": 1.2, "ellip": {"type": "G1G2", "g1": "@x"}}, "g1 is a number"),
    ],
)
def test_nothing_of_a_galsim_expression_is_run(words, said):
    with pytest.raises(ValueError, match=r"^galsim: ") as refused:
        galsim_psf(words)
    assert said in str(refused.value)


def test_what_galsim_refuses_is_told_with_the_file(tmp_path):
    bands = {"g": {"filter": "decam2014-g", "sigma": 1, "psf": {"galsim": {"type": "Moffat", "fwhm": 1.0}}}}
    with pytest.raises(UsageError, match=r"mine\.yaml: .*psf\.galsim: .*beta"):
        load_instrument(written(tmp_path, bands=bands))


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UsageError, match="instrument 'euclide' is unknown; did you mean euclid"):
        get_instrument("euclide")
    with pytest.raises(NoSuchFile, match=r"nowhere\.yaml: no such file"):
        load_instrument("nowhere.yaml")


def test_a_stamp_is_kept_to_single_precision():
    values = np.random.default_rng(0).random((9, 9))
    psf = stamp_psf(values, 0.1)
    assert stamp_values(psf) == pytest.approx(values / values.sum(), rel=1e-6)
    with pytest.raises(UsageError, match="PSF is damaged"):
        stamp_values(replace(psf, values="AAAA"))
    assert OwnPsf.from_json(psf.to_json()) == psf


def test_rays_hold_whole_pixels_of_every_band():
    assert ray_grid(EUCLID.bands) == (204, 0.1), "as Euclid's file says"
    assert ray_grid(INSTRUMENTS["des"].bands)[1] == pytest.approx(0.263 / 4)
    half = resized(EUCLID, 10.2)
    assert [band.pixels for band in half.bands] == [102, 34, 34, 34]
    assert half.sky.half_width_arcsec == pytest.approx(5.0)
    assert resized(EUCLID, 20.0).bands[0] == EUCLID.bands[0]
    odd = (replace(EUCLID.bands[0], pixels=33), EUCLID.bands[0])
    with pytest.raises(UsageError, match="all even or all odd"):
        ray_grid(odd)


def test_words_that_no_band_needs_are_not_there():
    assert set(Depth.model_fields) == {"mag", "snr", "aperture_arcsec"}
    assert "psf" in BandWords.model_fields
