"""``lensaudit explain`` and ``lensaudit gradcam`` from words to files."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from lensaudit.explaining import FOR_ANY, METHODS, explain, explained_files
from lensaudit.explaining.judging.recommending import ALL_LENSES, ALL_NON_LENSES, Found, JudgedFinder, Study, kind_of
from lensaudit.explaining.maps import reached, scale_of
from lensaudit.finders import load_finder
from lensaudit.lensset import LensSet
from lensaudit.scenes.scene import KINDS

QUICK = ("--method", "saliency", "--method", "gradcam")


def test_maps_are_made_kept_and_made_anew(places, lensaudit, tmp_path):
    words = ("explain", *places, "--id", "system-1", "--out", tmp_path, "--device", "cpu", *QUICK)
    code, out, _ = lensaudit(*words)
    assert (code, out.split(",")[0]) == (0, "system-1: made")
    path = tmp_path / "system-1-explained.fits"
    stamp = path.stat().st_mtime_ns
    assert path.with_suffix(".png").stat().st_size > 10_000
    finder, lens_set = load_finder(str(places[0])), LensSet.open(places[1])
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SALIENCY", "GRADCAM", "VIS"]
        for method in ("saliency", "gradcam"):
            expected = explain(finder, lens_set.cutouts([1]), method)
            np.testing.assert_array_equal(hdus[method].data, expected.maps[0])
            assert hdus[method].header["SIGN"] == "positive: for a lens"
            assert hdus[method].header["QUANTITY"] == METHODS[method].quantity
        assert hdus["GRADCAM"].header["HOOKED"] == "last convolution with its ReLU, 30 maps of 4x4"
        assert hdus[0].header["PLENS"] == pytest.approx(expected.p_lens[0])
        assert hdus[0].header["FNDHASH"] == finder.weights_hash

    code, out, _ = lensaudit(*words)
    assert (code, out.split(",")[0], path.stat().st_mtime_ns) == (0, "system-1: kept", stamp)
    for change in (("--force",), ("--seed", 5), ("--method", "deeplift")):
        _, out, _ = lensaudit(*words, *change)
        assert out.startswith("system-1: made")


def test_all_methods_and_what_a_reader_must_know(places, lensaudit, tmp_path):
    code, out, _ = lensaudit("explain", *places, "--first", 3, "--out", tmp_path, "--method", "all", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["methods"] == list(FOR_ANY)
    made, _, unusable = told["systems"]
    assert made["failed"] == {}
    assert "randomisation check" in made["notes"]["guided-backprop"][0]
    assert made["notes"]["saliency"] == []
    assert (unusable["status"], "fits" in unusable) == (unusable["failed"]["saliency"], False)
    assert "Y is constant" in unusable["status"]


def test_the_map_to_look_at_first_is_told_and_drawn_first(places, lensaudit, tmp_path, monkeypatch):
    every = dict.fromkeys((*KINDS, ALL_LENSES, ALL_NON_LENSES), Found(8, believable=("gradcam",)))
    study = Study("day", "0", tuple(JudgedFinder(f"f{i}", f"{i}", every) for i in range(4)))
    monkeypatch.setattr("lensaudit.explaining.judging.recommending.our_study", lambda: study)
    drawn = []
    figure = explained_files.explanations_figure
    monkeypatch.setattr(explained_files, "explanations_figure", lambda of, *w: drawn.append(of) or figure(of, *w))
    words = ("explain", *places, "--id", "system-1", *QUICK)
    code, out, _ = lensaudit(*words, "--out", tmp_path / "ours")
    kind = kind_of(LensSet.open(places[1]), 1)
    assert code == 0
    assert f"{kind}: look at gradcam first (believable in 4 of 4 finders (0.51–1.00), judged on" in out
    assert [result.method for result in drawn[0]] == ["gradcam", "saliency"]
    monkeypatch.setattr("lensaudit.explaining.judging.recommending.our_study", lambda: Study("day", "0", ()))
    code, out, _ = lensaudit(*words, "--out", tmp_path / "none", "--json")
    assert [one["method"] for one in json.loads(out)["advice"]] == [""]
    assert [result.method for result in drawn[1]] == ["saliency", "gradcam"]
    code, _, err = lensaudit(*words, "--out", tmp_path / "judged", "--judged", tmp_path)
    assert (code, "no such" in err or "explanation-scores.json" in err) == (3, True)


def test_gradcam_shows_pixels_from_a_threshold(places, lensaudit, tmp_path):
    code, _, err = lensaudit("gradcam", *places, "--id", "system-0", "--out", tmp_path, "--threshold", 0.01)
    assert code == 0
    assert "Guided Grad-CAM fails the parameter-randomisation check" in err
    with fits.open(tmp_path / "system-0-gradcam.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "GRADCAM", "GUIDED-GRADCAM", "VIS"]
        assert hdus["GRADCAM"].data.min() >= 0  # after its ReLU
    finder, lens_set = load_finder(str(places[0])), LensSet.open(places[1])
    guided = explain(finder, lens_set.cutouts([0]), "guided-gradcam")
    np.testing.assert_array_equal(reached(guided, 0.01), (guided.attributions[0] >= 0.01).any(axis=0))


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("explain", "--first", 1, "--method", "lime"), 2, "method 'lime' is not known; allowed: saliency"),
        (("explain",), 2, "say which systems"),
        (("gradcam", "--first", 1, "--threshold", 0), 2, "--threshold 0 would show everything"),
        (("gradcam", "--id", "system-2"), 3, "Y is constant"),
        (("explain", "--first", 1, "--field-of-view", 10), 3, "needs 10″"),
    ],
)
def test_mistakes_get_one_line(places, lensaudit, tmp_path, words, code, line):
    found, _, err = lensaudit(words[0], *places, "--out", tmp_path, *words[1:])
    assert found == code
    assert line in err.splitlines()[-1]


def test_a_few_extreme_pixels_do_not_take_all_the_colour_and_both_sides_have_one_scale():
    values = np.linspace(-0.5, 1, 1000).reshape(1, 20, 50)
    values[0, 0, 0] = -50.0
    result = SimpleNamespace(method="saliency", maps=values)
    assert scale_of(result).symmetric
    assert 0.9 < scale_of(result).positive <= 1.0
    assert scale_of(SimpleNamespace(method="occlusion", maps=values)).positive == 50.0
    assert scale_of(SimpleNamespace(method="occlusion", maps=0 * values)).positive == 1e-3
