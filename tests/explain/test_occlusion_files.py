"""FITS on the sky and the picture."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.display.colour import BLUE, RED, symmetric_scale, two_scales
from lensaudit.errors import UsageError
from lensaudit.explain import OcclusionMap, occlusion_figure, title_of
from lensaudit.explain.occluding.map_files import identity_cards, is_map_of, write_occlusion_fits
from lensaudit.lensset.coordinates import wcs_on_grid
from lensaudit.untrusted import file_stem


def map_of(delta: np.ndarray, **facts: object) -> OcclusionMap:
    known = {"p_lens": 0.875, "logit": 1.9459, "patch": 2, "stride": 2, "engine": "exact", "finder": "toy"}
    more = {"finder_hash": "ab" * 32, "layers": (), "cost": None, "note": "", "seconds": 0.1}
    maps = {"delta": delta.astype(np.float32), "attribution": -8 * delta.astype(np.float32)}
    return OcclusionMap(**{**maps, **known, **more, **facts})


def sky(shape: tuple[int, int], *, cd: bool, angle: float = 0.3) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.1, 2.2]
    wcs.wcs.crpix = [shape[1] / 3, shape[0] / 2 + 4.5]
    turn = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if cd:
        wcs.wcs.cd = turn * 0.1 / 3600
    else:
        wcs.wcs.pc, wcs.wcs.cdelt = turn, [0.1 / 3600, 0.1 / 3600]
    wcs.wcs.set()
    return wcs


CARDS = identity_cards(
    {
        **{"id": "lens/α 7", "finder": "toy", "finder_hash": "ab" * 32, "set_hash": "cd" * 32},
        **{"patch": 2, "stride": 2, "engine": "exact", "field": 20.0},
    }
)


@pytest.mark.parametrize("cd", [True, False])
@pytest.mark.parametrize("size", [66, 200, 400])
def test_edges_and_any_point_keep_their_place_on_the_sky(cd, size):
    native = sky((200, 200), cd=cd)
    scaled = wcs_on_grid(native, (200, 200), size)
    for x, y in [(-0.5, -0.5), (199.5, 199.5), (17.3, 140.9)]:
        place = native.pixel_to_world(x, y)
        again = scaled.pixel_to_world((x + 0.5) * size / 200 - 0.5, (y + 0.5) * size / 200 - 0.5)
        assert place.separation(again).arcsec < 1e-6


def test_the_file_says_what_it_holds(tmp_path):
    delta = np.random.default_rng(1).normal(size=(10, 10))
    image = np.arange(400.0).reshape(20, 20)
    path = tmp_path / "map.fits"
    result = map_of(delta, note="plain batches throughout: a reason")
    write_occlusion_fits(path, result, CARDS, image, "VIS", sky((20, 20), cd=True))
    with fits.open(path) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        np.testing.assert_array_equal(hdus[0].data, delta.astype(np.float32))
        np.testing.assert_array_equal(hdus["VIS"].data, image)
        corner = WCS(header).pixel_to_world(9.5, 9.5)
        assert corner.separation(WCS(hdus["VIS"].header).pixel_to_world(19.5, 19.5)).arcsec < 1e-6
        assert (header["FINDER"], header["FNDHASH"], header["SETHASH"]) == ("toy", "ab" * 32, "cd" * 32)
        assert (header["PATCH"], header["STRIDE"], header["ENGINE"], header["PLENS"]) == (2, 2, "exact", 0.875)
        assert header["OBJECT"] == r"lens/\u03b1 7"
        assert header["QUANTITY"] == "change of p(lens)"
        assert header["SIGN"] == "p(lens|occluded) - p(lens); below 0 positive attribution"
        log_odds = hdus["ATTRIBUTION"]
        np.testing.assert_array_equal(log_odds.data, -8 * delta.astype(np.float32))
        assert log_odds.header["QUANTITY"] == "log-odds of lens"
        assert log_odds.header["SIGN"] == "whole - occluded; above 0 positive attribution"
        again = WCS(log_odds.header).pixel_to_world(9.5, 9.5)
        assert again.separation(corner).arcsec < 1e-9
        assert header["TILING"] == "all whole"
        assert "a reason" in "".join(header["HISTORY"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.fits"]


def test_only_a_whole_file_of_the_same_map_is_kept(tmp_path):
    path = tmp_path / "map.fits"
    assert not is_map_of(path, CARDS)
    write_occlusion_fits(path, map_of(np.ones((10, 10))), CARDS, np.ones((20, 20)), "VIS", sky((20, 20), cd=False))
    assert is_map_of(path, CARDS)
    for index, other in [(2, "ef" * 32), (3, "ef" * 32), (4, 3), (6, "captum")]:
        changed = [*CARDS]
        changed[index] = (CARDS[index][0], other, "")
        assert not is_map_of(path, changed)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert not is_map_of(path, CARDS)


def test_equal_colours_are_equal_numbers_on_the_symmetric_scale():
    """What the old scale hid: red at 1e-5 of the blue is white."""
    scale = symmetric_scale(np.array([[0.5, 0.25, 0.0], [-0.25, -5e-6, np.nan]]))
    colours = scale.colours(np.array([[0.5, 0.25, 0.0], [-0.25, -5e-6, np.nan]]))
    np.testing.assert_allclose(colours[0, 0], BLUE)
    np.testing.assert_allclose(colours[0, 1], (1 + BLUE) / 2)
    np.testing.assert_allclose(colours[1, 0], (1 + RED) / 2)
    np.testing.assert_allclose(colours[[0, 1], 2], 1)
    assert colours[1, 1].min() > 0.9999
    assert (scale.positive, scale.negative) == (0.5, 0.5)


def test_the_papers_scales_take_each_side_to_its_own_end():
    values = np.array([[0.5, 0.25, 0.0], [-0.001, -0.0005, 0.0]])
    colours = two_scales(values, 1e-6).colours(values)
    np.testing.assert_allclose(colours[:, 2], 1)
    np.testing.assert_allclose(colours[:, 0], [BLUE, RED])
    np.testing.assert_allclose(colours[:, 1], [(1 + BLUE) / 2, (1 + RED) / 2])


def test_rounding_is_never_given_full_colour():
    for scale in (two_scales(np.array([1e-9, -1e-9]), 1e-6), symmetric_scale(np.array([1e-9, -1e-9]), 1e-6)):
        assert scale.colours(np.array([1e-9, -1e-9, 0.0])).min() > 0.99


def shown(result: OcclusionMap, **view: str) -> tuple[list[str], str, str, np.ndarray]:
    """Tick labels and label of the colour bar, the legend, and the map's pixels over an empty image."""
    figure = occlusion_figure(np.zeros((20, 20)), result, title="t", band="VIS", pixel_scale_arcsec=0.5, **view)
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["2″", "2″"]
    bar = figure.axes[2]
    ticks = [label.get_text() for label in bar.get_yticklabels()]
    return ticks, bar.get_ylabel(), figure.texts[-1].get_text(), figure.axes[1].images[0].get_array()


def test_the_picture_is_of_log_odds_on_one_scale(tmp_path):
    delta = np.zeros((20, 20))
    delta[2, 3], delta[7, 7] = -0.25, 0.004  # log-odds +2 and −0.032: 8 times the other sign, see `map_of`
    ticks, label, legend, pixels = shown(map_of(delta))
    assert ticks == ["−2", "0", "+2"]
    assert label == "attribution: Δ log-odds (whole − patch hidden)"
    assert "positive attribution" in legend
    assert "negative attribution" in legend
    np.testing.assert_allclose(pixels[2, 3], BLUE, atol=1e-6)
    np.testing.assert_allclose(pixels[7, 7], 1 - 0.016 * (1 - RED), atol=1e-6)
    title = title_of("a name", 1, map_of(delta))
    assert title == "a name: lens, toy p(lens) = 0.875"


def test_the_papers_view_goes_by_name():
    delta = np.zeros((20, 20))
    delta[2, 3], delta[7, 7] = -0.25, 0.004
    ticks, label, legend, pixels = shown(map_of(delta), view="paper")
    assert ticks == ["+4.0e−03", "0", "−0.25"]
    assert label == "p(lens | hidden) − p(lens), two scales"
    assert "Each side to its own extreme" in legend
    np.testing.assert_allclose(pixels[2, 3], BLUE, atol=1e-6)
    np.testing.assert_allclose(pixels[7, 7], RED, atol=1e-6)
    with pytest.raises(UsageError, match="view 'log' is not known; allowed: log-odds, paper"):
        shown(map_of(delta), view="log")


def test_a_map_that_nothing_changes_says_so():
    assert shown(map_of(np.full((4, 4), 1e-8)))[2] == "No patch changes the log-odds of lens by more than 0.001."
    assert shown(map_of(np.full((4, 4), 1e-8)), view="paper")[2] == "No patch changes p(lens) by more than 1e-06."


@pytest.mark.parametrize(
    ("p", "label", "words"),
    [
        (0.5, 0, "non-lens, toy p(lens) = 0.500"),
        (1e-7, -1, "unlabelled, toy p(lens) = 1.0×10⁻⁷"),
        (1 - 2e-6, 1, "1 − 2.0×10⁻⁶"),
    ],
)
def test_titles_never_round_to_certainty(p, label, words):
    assert words in title_of("x", label, map_of(np.zeros((4, 4)), p_lens=p))


def test_file_names_are_safe_and_stay_apart():
    assert file_stem("102018665_NEG570040238507752998") == "102018665_NEG570040238507752998"
    odd = [file_stem(name) for name in ("a/b", "a b", "../a_b", "a_b", "α")]
    assert len(set(odd)) == 5
    assert not any(set("/ ") & set(stem) or stem.startswith(".") for stem in odd)
