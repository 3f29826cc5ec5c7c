"""Sets with other bands or other pixels than the finder was trained on: refused, warned of, resampled when asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lensaudit.errors import DataError
from lensaudit.finders import Finder, initialised_module, load_finder, load_recipe, read_scores, save_finder

OTHER = {"VIS": 0.2, "Y": 0.3, "J": 0.3, "H": 0.3}


@pytest.fixture
def save(tmp_path):
    """Name of a recipe and training facts → folder of a saved finder with He-normal weights."""

    def saved(name: str, **facts: object):
        recipe = load_recipe(name)
        module = initialised_module(recipe, torch.Generator().manual_seed(3))
        save_finder(Finder(recipe, module, "test"), tmp_path / name, origin="a test", training_data=facts)
        return tmp_path / name

    return saved


@pytest.fixture
def coarse(make_cutouts, make_set):
    """Cutouts as wide as Euclid's, with VIS pixels of 0.2″."""
    cutouts = make_cutouts(3)
    cutouts["VIS"] = np.ascontiguousarray(cutouts["VIS"][:, ::2, ::2])
    return make_set("coarse", cutouts, OTHER)


def test_other_pixels_are_refused_with_the_mend_and_resampled_when_asked(save, coarse, lensaudit, tmp_path):
    folder, out = save("ou66", instrument="euclid"), tmp_path / "scores.parquet"
    code, _, err = lensaudit("score", folder, coarse.path, "--out", out)
    assert code == 3
    assert err == (
        "lensaudit: band VIS has pixels of 0.2″, finder ou66 was trained on 0.1″; give --resample to have them brought "
        "to the finder's pixels all the same\n"
    )
    assert not out.exists()
    code, _, err = lensaudit("score", folder, coarse.path, "--out", out, "--resample")
    assert code == 0
    warnings = [line for line in err.splitlines() if "warning" in line]
    assert warnings == [
        f"lensaudit: warning: {coarse.path}: band VIS has pixels of 0.2″, finder ou66 was trained on 0.1″; "
        "resampled as asked"
    ]
    assert np.isfinite(read_scores(out)[0].logit).all()


@pytest.mark.parametrize("words", [("evaluate",), ("occlusion", "--first", "1")])
def test_other_commands_refuse_alike(words, save, coarse, lensaudit, tmp_path):
    out = ("--out", tmp_path / "out") if words[0] == "occlusion" else ()
    code, _, err = lensaudit(words[0], save("ou66", instrument="euclid"), coarse.path, *words[1:], *out)
    assert code == 3
    assert "give --resample" in err
    assert len(err.splitlines()) == 1


def test_the_pixels_of_the_training_make_no_noise(save, make_cutouts, make_set, lensaudit, tmp_path):
    """VIS of 200 pixels goes to the 66 of ou66 as it did in training."""
    fine = make_set("fine", make_cutouts(2))
    code, _, err = lensaudit("score", save("ou66", instrument="euclid"), fine.path, "--out", tmp_path / "s.parquet")
    assert code == 0
    assert "warning" not in err


def test_scales_recorded_with_the_training_go_before_the_instruments(save, coarse):
    scales = {"VIS": 0.2, "Y": 0.3, "J": 0.3, "H": 0.3}
    finder = load_finder(str(save("ou66", instrument="euclid", pixel_scale_arcsec=scales)))
    assert finder.trained_scales == {"J": 0.3, "Y": 0.3, "H": 0.3, "VIS": 0.2}
    finder.check(coarse)


def test_a_finder_without_record_takes_any_pixels_and_one_of_other_bands_too(save, coarse):
    load_finder(str(save("ou66"))).check(coarse)  # imported weights: nobody knows
    load_finder(str(save("ou-j", instrument="euclid"))).check(coarse)  # VIS is none of its bands


def test_a_field_given_on_purpose_changes_scales_on_purpose(save, coarse):
    finder = load_finder(str(save("ou66", instrument="euclid")))
    finder.for_field(20.0).check(coarse)
    assert finder.for_field(None, resample=True).other_pixels(coarse) != ""


def test_a_band_that_is_missing_is_told_with_the_mend(save, make_cutouts, make_set, lensaudit):
    """A finder of four bands given one."""
    single = make_set("single", {"VIS": make_cutouts(2)["VIS"]}, {"VIS": 0.1})
    for name in ("score", "evaluate"):
        code, _, err = lensaudit(name, save("ou66", instrument="euclid"), single.path)
        assert code == 3
        assert err == (
            "lensaudit: finder ou66 needs band J, the set (instrument euclid) has VIS; use a set with bands J, Y, H, "
            "VIS or a finder for these\n"
        )


def test_bands_that_are_too_many_are_left_out_and_that_is_said(save, make_cutouts, make_set, lensaudit, tmp_path):
    """A finder of one band given four."""
    four, folder = make_set("four", make_cutouts(2)), save("ou-vis", instrument="euclid")
    code, out, _ = lensaudit("score", folder, four.path, "--out", tmp_path / "s.parquet")
    assert code == 0
    assert "bands left out: Y, J, H" in out
    one = make_set("one", {"VIS": make_cutouts(2)["VIS"]}, {"VIS": 0.1})
    _, out, _ = lensaudit("score", folder, one.path, "--out", tmp_path / "t.parquet")
    assert "left out" not in out
    both = (read_scores(tmp_path / name)[0].logit for name in ("s.parquet", "t.parquet"))
    assert np.array_equal(*both)


def test_a_test_set_of_other_pixels_is_refused_in_training(make_finder, make_cutouts, make_set, coarse):
    from lensaudit.training.sets import _refuse_other_pixels

    data = make_set("data", make_cutouts(2))
    trained = Finder(load_recipe("ou66"), make_finder("ou66").module, "test", trained_scales=data.pixel_scale_arcsec)
    with pytest.raises(DataError, match="give --test a set with the pixels of --data"):
        _refuse_other_pixels("--test", coarse, trained)
    _refuse_other_pixels("--test", data, trained)
