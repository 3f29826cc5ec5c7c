"""NISP cutouts in colour."""

import numpy as np
import pytest
from astropy.visualization import LuptonAsinhStretch, make_lupton_rgb

from lensaudit.display.images import NISP_RGB, SOFTENING, ColourScale, colour_picture, colour_scale, colour_words
from lensaudit.errors import DataError


def _cutout(seed=1, size=40, peak=(30.0, 20.0, 10.0)):
    """Noise of σ 1 and a blob that is brightest in H."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    blob = np.exp(-(x**2 + y**2) / 18)
    return {band: rng.normal(size=(size, size)) + top * blob for band, top in zip(NISP_RGB, peak, strict=True)}


def test_colours_are_h_j_y_and_stay_in_range():
    rgb = colour_picture(_cutout())
    assert rgb.shape == (40, 40, 3)
    assert rgb.dtype == np.float64
    assert rgb.min() == 0
    assert rgb.max() <= 1
    red, green, blue = rgb[18:22, 18:22].mean(axis=(0, 1))
    assert red > green > blue
    assert rgb[:5].mean() < 0.1, "the sky is dark"


def test_ratios_of_bands_are_kept_whatever_the_brightness():
    scale = ColourScale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 100.0)
    ramp = np.array([[1.0, 4.0, 20.0]])
    rgb = colour_picture({"H": 1.5 * ramp, "J": ramp, "Y": 0.5 * ramp}, scale)[0]
    np.testing.assert_allclose(rgb[:, 0] / rgb[:, 1], 1.5, rtol=1e-12)
    np.testing.assert_allclose(rgb[:, 2] / rgb[:, 1], 0.5, rtol=1e-12)
    # The mean of the bands is the stretched intensity, asinh(I / s) / asinh(top / s).
    np.testing.assert_allclose(rgb[:, 1], np.arcsinh(ramp[0] / SOFTENING) / np.arcsinh(100 / SOFTENING), rtol=1e-12)


def test_it_is_luptons_scheme():
    """With Q and stretch of his parametrisation for the same curve, up to its normalisation."""
    cutout, scale = _cutout(), ColourScale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 50.0)
    q, frac = 8.0, 0.1
    curve = LuptonAsinhStretch(stretch=SOFTENING * q, Q=q)
    gain = frac / np.arcsinh(frac * q) * np.arcsinh(50.0 / SOFTENING)
    lupton = make_lupton_rgb(*(cutout[band] for band in NISP_RGB), stretch_object=curve, output_dtype=float)
    ours = colour_picture(cutout, scale)
    unsaturated = (ours.max(axis=2) < 0.99) & (lupton.max(axis=2) < 0.99)
    assert unsaturated.mean() > 0.9
    np.testing.assert_allclose(ours[unsaturated] * gain, lupton[unsaturated], rtol=0, atol=1e-9)


def test_a_scale_makes_pictures_comparable():
    before = _cutout()
    after = {band: image.copy() for band, image in before.items()}
    after["Y"][18:22, 18:22] += 500
    scale = colour_scale(before)
    same = colour_picture(before, scale)
    np.testing.assert_array_equal(same, colour_picture(before))
    changed = colour_picture(after, scale)
    np.testing.assert_array_equal(changed[:15], same[:15])
    assert changed[20, 20, 2] == 1


def test_units_of_a_band_do_not_matter():
    plain = _cutout()
    other = {"H": plain["H"] * 1e-12, "J": plain["J"] * 1e4 + 7, "Y": plain["Y"]}
    np.testing.assert_allclose(colour_picture(other), colour_picture(plain), rtol=0, atol=1e-6)


def test_what_is_not_finite_is_black_and_constants_are_sky():
    cutout = _cutout()
    cutout["J"][20, 20] = np.nan
    rgb = colour_picture(cutout)
    assert rgb[20, 20].tolist() == [0, 0, 0]
    assert np.isfinite(rgb).all()
    assert not colour_picture(dict.fromkeys(NISP_RGB, np.full((4, 4), 3.0))).any()
    assert not colour_picture(dict.fromkeys(NISP_RGB, np.full((4, 4), np.nan))).any()


def test_bands_that_do_not_make_a_picture_are_named():
    cutout = _cutout()
    with pytest.raises(DataError, match=r"needs bands H, J and Y .or g, r and i., the cutout has H, J"):
        colour_picture({"H": cutout["H"], "J": cutout["J"]})
    with pytest.raises(DataError, match="in the same pixels"):
        colour_picture(cutout | {"Y": cutout["Y"][:-1]})


def test_surveys_of_other_bands_have_colour_pictures_of_their_own():
    cutout = _cutout()
    griz = {"g": cutout["Y"], "r": cutout["J"], "i": cutout["H"], "z": cutout["H"]}
    np.testing.assert_array_equal(colour_picture(griz), colour_picture(cutout))
    assert colour_words(tuple(griz)) == "RGB = i r g"
    assert colour_words(("VIS", "Y", "J", "H")) == "NISP, RGB = H J Y"
