"""FITS on the sky and the picture."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.display.colour import BLUE, RED, symmetric_scale, two_scales
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import Backdrop, Explanation, Patches, Request
from lensaudit.explaining.explained_files import OcclusionNumbers, OcclusionSummary, holds, identity_cards
from lensaudit.explaining.explanation import read_fits, write_fits
from lensaudit.explaining.maps import SIGN, occlusion_figure, title_of
from lensaudit.lensset.coordinates import wcs_on_grid
from lensaudit.untrusted import file_stem


def logit_of(p: float) -> float:
    return float(np.log(p / (1 - p)))


def map_of(lost: np.ndarray, *, p: float = 0.875, note: str = "", wcs: WCS | None = None) -> Explanation:
    """An occlusion of one 20 × 20 image 10″ wide; log-odds are 8 times `lost`, p(lens) − p(lens | hidden)."""
    lost = lost.astype(np.float32)[None]
    image = np.zeros((1, 20, 20), np.float32)
    native = None if wcs is None else (wcs_on_grid(wcs, (20, 20), lost.shape[-1]),)
    return Explanation(
        method="occlusion",
        title="Occlusion",
        quantity="log-odds, whole − patch hidden",
        maps=8 * lost,
        attributions=None,
        logit=np.array([logit_of(p)]),
        bands=("VIS",),
        field_arcsec=10.0,
        finder="toy",
        finder_hash="ab" * 32,
        wcs=native,
        backdrop=Backdrop("VIS", image, 0.5, None if wcs is None else (wcs,)),
        patches=Patches(2, 2, "exact", lost, ("7 LSTM",), note),
    )


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


EXPLAINER: Any = SimpleNamespace(
    finder=SimpleNamespace(name="toy", weights_hash="ab" * 32, field_arcsec=10.0),
    occluder=SimpleNamespace(grid=SimpleNamespace(patch=2, stride=2), engine="exact"),
)
CARDS = identity_cards(EXPLAINER, Request(("occlusion",), "log-odds"), "cd" * 32, "lens/α 7")


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
    lost = np.random.default_rng(1).normal(size=(10, 10))
    path = tmp_path / "map.fits"
    result = map_of(lost, note="plain batches throughout: a reason", wcs=sky((20, 20), cd=True))
    write_fits(path, [result], CARDS)
    with fits.open(path) as hdus:
        hdus.verify("exception")
        header, own, of_p = hdus[0].header, hdus["OCCLUSION"].header, hdus["P-LOST"].header
        assert hdus[0].data is None, "an array here had the other sign up to version 0.1"
        np.testing.assert_array_equal(hdus["OCCLUSION"].data, 8 * lost.astype(np.float32))
        np.testing.assert_array_equal(hdus["P-LOST"].data, lost.astype(np.float32))
        np.testing.assert_array_equal(hdus["VIS"].data, result.backdrop.images[0])
        corner = WCS(own).pixel_to_world(9.5, 9.5)
        assert corner.separation(WCS(hdus["VIS"].header).pixel_to_world(19.5, 19.5)).arcsec < 1e-6
        assert corner.separation(WCS(of_p).pixel_to_world(9.5, 9.5)).arcsec < 1e-9
        assert (header["FINDER"], header["FNDHASH"], header["SETHASH"]) == ("toy", "ab" * 32, "cd" * 32)
        assert (header["PATCH"], header["STRIDE"], header["ENGINE"]) == (2, 2, "exact")
        assert header["PLENS"] == pytest.approx(0.875, abs=1e-12)
        assert header["OBJECT"] == r"lens/\u03b1 7"
        assert [part["SIGN"] for part in (header, own, of_p)] == ["positive: for a lens"] * 3
        assert own["QUANTITY"] == "log-odds, whole - patch hidden"
        assert of_p["QUANTITY"] == "p(lens) - p(lens|patch hidden)"
        assert own["TILING"] == "all whole"
        assert "a reason" in "".join(own["HISTORY"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.fits"]


def assert_same(found: Explanation, wanted: Explanation) -> None:
    """All that is kept on disk, bit for bit; the sky to a milliarcsecond."""
    for name in ("method", "title", "quantity", "bands", "field_arcsec", "finder", "finder_hash", "hooked", "notes"):
        assert getattr(found, name) == getattr(wanted, name), name
    assert (found.known_to_fail, found.sign) == (wanted.known_to_fail, SIGN)
    np.testing.assert_array_equal(found.maps, wanted.maps)
    np.testing.assert_array_equal(found.logit, wanted.logit)
    assert (found.attributions is None) == (wanted.attributions is None)
    if wanted.attributions is not None:
        np.testing.assert_array_equal(found.attributions, wanted.attributions)
    for one, other in zip(found.wcs or (), wanted.wcs or (), strict=True):
        assert one.pixel_to_world(3, 5).separation(other.pixel_to_world(3, 5)).arcsec < 1e-3
    assert (found.backdrop.band, found.backdrop.pixel_scale_arcsec) == ("g", 0.5)
    np.testing.assert_array_equal(found.backdrop.images, wanted.backdrop.images)
    if wanted.patches is not None:
        for name in ("patch", "stride", "engine", "fallbacks", "note"):
            assert getattr(found.patches, name) == getattr(wanted.patches, name), name
        np.testing.assert_array_equal(found.patches.p_lost, wanted.patches.p_lost)


@pytest.mark.parametrize("on_sky", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_what_is_written_is_read_back(tmp_path, n, on_sky):
    """Words that FITS has no signs for, numbers to the last bit, several images, bands in lower case."""
    rng = np.random.default_rng(n)
    native = tuple(sky((20, 20), cd=False, angle=0.1 * k) for k in range(n)) if on_sky else None
    gradient = replace(
        map_of(np.zeros((10, 10))),
        method="guided-gradcam",
        title="Guided Grad-CAM, partial",
        quantity="Grad-CAM × guided gradient",
        bands=("g", "θ 'r' / '"),
        maps=rng.normal(size=(n, 10, 10)).astype(np.float32),
        attributions=rng.normal(size=(n, 2, 10, 10)).astype(np.float32),
        logit=rng.normal(size=n) * 1e-7 / 3,
        hooked="3 of 4 ReLU calls; 30 maps of 4×4",
        notes=("a note  of two  blanks, 'quoted' / " * 9, "θ_E"),
        known_to_fail=True,
        wcs=None if native is None else tuple(wcs_on_grid(one, (20, 20), 10) for one in native),
        backdrop=Backdrop("g", rng.normal(size=(n, 20, 20)).astype(np.float32), 0.5, native),
        patches=None,
    )
    lost = rng.normal(size=(n, 10, 10)).astype(np.float32)
    hidden = replace(gradient, method="occlusion", attributions=None, patches=Patches(3, 2, "captum", lost, ("a", "b")))
    for number, one in enumerate((gradient, hidden)):
        assert_same(Explanation.read(one.write(tmp_path / f"{number}.fits")), one)
        assert len(one[0]) == 1
    write_fits(tmp_path / "both.fits", [gradient, hidden])
    both = read_fits(tmp_path / "both.fits")
    assert_same(both[0], replace(gradient, attributions=None))  # the files of the commands hold sums over bands
    assert_same(both[1], hidden)


def test_an_explanation_is_written_as_its_ending_says(tmp_path):
    one = map_of(np.ones((10, 10)))
    starts = {".fits": b"SIMPLE", ".FIT": b"SIMPLE", ".png": b"\x89PNG", ".svg": b"<?xml"}
    for ending, start in starts.items():
        assert one.write(tmp_path / f"map{ending}").read_bytes().startswith(start)
    for name, about in {"map.jpg": r"\.jpg; allowed: \.fits, .*\.png", "map": "without ending; allowed"}.items():
        with pytest.raises(ValueError, match=rf"{name}: .*{about}") as refused:
            one.write(str(tmp_path / name))
        assert isinstance(refused.value, UsageError)
    two = replace(one, maps=np.ones((2, 10, 10), np.float32), logit=np.zeros(2), wcs=None, backdrop=None, patches=None)
    with pytest.raises(UsageError, match=r"shows one map, these are 2; write explanation\[0\]"):
        two.write(tmp_path / "two.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.FIT", "map.fits", "map.png", "map.svg"]


def test_an_occlusion_of_version_0_1_is_read_with_todays_sign(tmp_path):
    """Its primary array was p(lens | hidden) − p(lens); it is made again rather than kept."""
    lost, path, old = np.random.default_rng(4).normal(size=(10, 10)).astype(np.float32), tmp_path / "x.fits", {}
    old |= {"OBJECT": "x", "FINDER": "toy", "FNDHASH": "ab" * 32, "SETHASH": "cd" * 32, "PATCH": 2, "STRIDE": 2}
    old |= {"ENGINE": "exact", "FIELD": 20.0, "QUANTITY": "change of p(lens)", "PLENS": 0.875, "LOGIT": 1.9459}
    old |= {"SIGN": "p(lens|occluded) - p(lens); below 0 positive attribution", "CREATOR": "lensaudit 0.1.0"}
    header = sky((10, 10), cd=True).to_header()
    header.update(old)
    parts = [fits.ImageHDU(np.ones((20, 20)), name="VIS"), fits.ImageHDU(8 * lost, name="ATTRIBUTION")]
    fits.HDUList([fits.PrimaryHDU(-lost, header), *parts]).writeto(path)
    found = Explanation.read(path)
    np.testing.assert_array_equal(found.maps[0], 8 * lost)
    np.testing.assert_array_equal(found.patches.p_lost[0], lost)
    assert (found.sign, found.patches.patch, found.wcs is not None) == (SIGN, 2, True)
    assert not holds(path, identity_cards(EXPLAINER, Request(("occlusion",), "log-odds"), "cd" * 32, "x"))
    fits.HDUList([fits.PrimaryHDU(-lost, header), parts[0]]).writeto(path, overwrite=True)
    with pytest.raises(DataError, match="has no map of the log-odds; make it again"):
        Explanation.read(path)
    fits.HDUList([fits.PrimaryHDU(-lost), *parts]).writeto(path, overwrite=True)
    with pytest.raises(DataError, match="holds no explanations"):
        Explanation.read(path)


def test_methods_of_version_0_1_are_read(tmp_path):
    """Their sign was today's; notes were lines of HISTORY."""
    values, path = np.random.default_rng(5).normal(size=(10, 10)).astype(np.float32), tmp_path / "x.fits"
    primary, own = fits.Header(), sky((10, 10), cd=True).to_header()
    primary.update({"FINDER": "toy", "FNDHASH": "ab" * 32, "FIELD": 20.0, "PLENS": 0.875, "LOGIT": 1.9459})
    sign = "above 0 positive attribution, raises the log-odds of lens"
    own.update({"METHOD": "Gradient", "QUANTITY": "log-odds per unit of input", "SIGN": sign})
    own.add_history("a note " * 30)
    fits.HDUList([fits.PrimaryHDU(header=primary), fits.ImageHDU(values, own, name="SALIENCY")]).writeto(path)
    found = Explanation.read(path)
    np.testing.assert_array_equal(found.maps[0], values)
    assert (found.method, found.quantity, found.sign) == ("saliency", "log-odds per unit of input", SIGN)
    assert found.notes[0].startswith("a note a note")


def test_a_map_draws_itself(tmp_path):
    """Over its image or over white, in an axes of mine or its own; nothing but matplotlib's Figure is needed."""
    lost = np.zeros((20, 20))
    lost[2, 3] = 0.25
    for result in (map_of(lost), replace(map_of(lost), backdrop=None), replace(map_of(lost), method="saliency")):
        axes = result.plot()
        np.testing.assert_allclose(axes.images[0].get_array()[2, 3], BLUE, atol=1e-6)
        assert axes.get_title(loc="left") == "Occlusion"  # where titles of ours stand
        axes.figure.savefig(tmp_path / "map.png")
    assert result.plot(axes) is axes


def test_only_a_whole_file_of_the_same_map_is_kept(tmp_path):
    path = tmp_path / "map.fits"
    assert not holds(path, CARDS)
    write_fits(path, [map_of(np.ones((10, 10)), wcs=sky((20, 20), cd=False))], CARDS)
    assert holds(path, CARDS)
    for name, other in (("FNDHASH", "ef" * 32), ("SETHASH", "ef" * 32), ("PATCH", 3), ("ENGINE", "captum")):
        assert not holds(path, [(key, other if key == name else value, "") for key, value, _ in CARDS])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert not holds(path, CARDS)


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


def shown(result: Explanation, **view: str) -> tuple[list[str], str, str, np.ndarray]:
    """Tick labels and label of the colour bar, the legend, and the map's pixels over an empty image."""
    figure = occlusion_figure(result, "t", **view)
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["2″", "2″"]
    bar = figure.axes[2]
    ticks = [label.get_text() for label in bar.get_yticklabels()]
    return ticks, bar.get_ylabel(), figure.texts[-1].get_text(), figure.axes[1].images[0].get_array()


def test_the_picture_is_of_log_odds_on_one_scale(tmp_path):
    lost = np.zeros((20, 20))
    lost[2, 3], lost[7, 7] = 0.25, -0.004  # log-odds +2 and −0.032, see `map_of`
    ticks, label, legend, pixels = shown(map_of(lost))
    assert ticks == ["−2", "0", "+2"]
    assert label == "attribution: Δ log-odds (whole − patch hidden)"
    assert "positive attribution" in legend
    assert "negative attribution" in legend
    np.testing.assert_allclose(pixels[2, 3], BLUE, atol=1e-6)
    np.testing.assert_allclose(pixels[7, 7], 1 - 0.016 * (1 - RED), atol=1e-6)
    title = title_of("a name", 1, map_of(lost))
    assert title == "a name: lens, toy p(lens) = 0.875"


def test_the_papers_view_goes_by_name():
    lost = np.zeros((20, 20))
    lost[2, 3], lost[7, 7] = 0.25, -0.004
    ticks, label, legend, pixels = shown(map_of(lost), view="paper")
    assert ticks == ["+4.0e−03", "0", "−0.25"]
    assert label == "p(lens | hidden) − p(lens), two scales"
    assert "Each side to its own extreme" in legend
    np.testing.assert_allclose(pixels[2, 3], BLUE, atol=1e-6)
    np.testing.assert_allclose(pixels[7, 7], RED, atol=1e-6)
    with pytest.raises(UsageError, match="view 'log' is not known; allowed: log-odds, paper"):
        shown(map_of(lost), view="log")


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
    assert words in title_of("x", label, map_of(np.zeros((4, 4)), p=p))


def test_file_names_are_safe_and_stay_apart():
    assert file_stem("102018665_NEG570040238507752998") == "102018665_NEG570040238507752998"
    odd = [file_stem(name) for name in ("a/b", "a b", "../a_b", "a_b", "α")]
    assert len(set(odd)) == 5
    assert not any(set("/ ") & set(stem) or stem.startswith(".") for stem in odd)


@pytest.mark.parametrize(
    "summary",
    [
        OcclusionSummary("a", "no band"),
        OcclusionSummary(
            "a", "made", "a.fits", "a.png",
            OcclusionNumbers(0.5, SIGN, -0.1, 0.25, -1.5, 2.0, "log-odds", 1.25, ("max",), "", ("conv",)),
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_an_occlusion_is_one_object_and_is_read_back(summary):
    words = summary.to_json()
    assert OcclusionSummary.from_json(json.loads(json.dumps(words))) == summary
    assert not {"numbers", None} & {*words, *(value for value in words.values() if value is None)}
