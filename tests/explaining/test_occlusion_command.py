"""``lensaudit occlusion`` from words to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits


def test_maps_are_made_kept_and_made_anew(places, lensaudit, tmp_path):
    words = ("occlusion", *places, "--id", "system-1", "--out", tmp_path, "--patch", 11, "--device", "cpu")
    code, out, _ = lensaudit(*words)
    assert (code, out.split(",")[0]) == (0, "system-1: made")
    path = tmp_path / "system-1-occlusion.fits"
    first = path.read_bytes()
    assert path.with_suffix(".png").is_file()
    stamp = path.stat().st_mtime_ns

    code, out, _ = lensaudit(*words)
    assert (code, out.split(",")[0]) == (0, "system-1: kept")
    assert path.stat().st_mtime_ns == stamp

    code, out, _ = lensaudit(*words, "--force")
    assert out.startswith("system-1: made")
    with fits.open(path) as hdus:
        assert len(hdus[0].header["FNDHASH"]) == 64
        assert hdus[1].data.shape == (66, 66)
    path.write_bytes(first[:5000])  # torn
    code, out, _ = lensaudit(*words)
    assert out.startswith("system-1: made")
    code, out, _ = lensaudit(*words[:-4], "--patch", 22, "--device", "cpu")
    assert out.startswith("system-1: made")
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["FNDHASH"] = "0" * 64
    code, out, err = lensaudit(*words)
    assert code == 2
    assert "is the map of another finder (000000000000, " in err
    assert "choose another --out, or add --force to replace it" in err
    assert lensaudit(*words, "--force")[0] == 0


def test_the_papers_picture_stands_beside_the_other(places, lensaudit, tmp_path):
    words = ("occlusion", *places, "--id", "system-1", "--out", tmp_path, "--patch", 22, "--device", "cpu")
    for view, status in (("log-odds", "made"), ("paper", "made"), ("paper", "kept"), ("log-odds", "kept")):
        code, out, _ = lensaudit(*words, "--view", view)
        assert (code, out.split(",")[0]) == (0, f"system-1: {status}")
    names = ["system-1-occlusion-paper.png", "system-1-occlusion.fits", "system-1-occlusion.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    pictures = [(tmp_path / name).read_bytes() for name in names[::2]]
    assert pictures[0] != pictures[1]


def test_json_tells_numbers_and_layers(places, lensaudit, tmp_path):
    code, out, _ = lensaudit("occlusion", *places, "--first", 1, "--out", tmp_path, "--patch", 22, "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["finder"], facts["patch"], facts["stride"], facts["engine"]) == ("ou66", 22, 22, "exact")
    (only,) = facts["maps"]
    assert only["id"] == "system-0"
    assert only["sign"] == "positive: for a lens"
    assert only["p_lost_min"] <= only["p_lost_max"]
    assert only["attribution_min"] <= only["attribution_max"]
    assert only["attribution_unit"] == "log-odds, whole - occluded"
    assert Path(only["fits"]).is_file()
    assert only["fallbacks"] == []
    assert only["layers"][0].startswith("0 Conv2d: window")


def test_engines_give_the_same_file_content(places, lensaudit, tmp_path):
    maps = []
    for engine in ("exact", "captum"):
        words = ("--first", 1, "--out", tmp_path / engine, "--patch", 22, "--engine", engine, "--threads", 1)
        code, _, _ = lensaudit("occlusion", *places, *words)
        assert code == 0
        maps.append(fits.getdata(tmp_path / engine / "system-0-occlusion.fits", "P-LOST"))
    np.testing.assert_allclose(*maps, rtol=0, atol=2e-6)  # float32 rounding, carried to a probability


def test_one_bad_image_among_many_is_named_and_the_others_are_mapped(places, lensaudit, tmp_path):
    code, out, error = lensaudit("occlusion", *places, "--all", "--out", tmp_path, "--patch", 33)
    assert code == 0
    assert out.count(": made") == 2
    assert "system-2: image system-2: Y is constant" in error


def test_a_bad_image_alone_is_a_data_error(places, lensaudit, tmp_path):
    code, _, error = lensaudit("occlusion", *places, "--id", "system-2", "--out", tmp_path, "--patch", 33)
    assert code == 3
    assert "none of 1 systems could be mapped (image system-2: Y is constant" in " ".join(error.split())
    assert not list(tmp_path.glob("*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--id", "sistem-1"], "no system 'sistem-1'; nearest ids: system-1"),
        ([], "--id ID (as often as you like), --first N or --all"),
        (["--all", "--first", "2"], "one of the three"),
        (["--first", "0"], "--first 0"),
        (["--first", "1", "--patch", "67"], "patch 67 does not fit; choose 1 to 66"),
        (["--first", "1", "--patch", "0"], "patch 0"),
        (["--first", "1", "--stride", "0"], "stride 0"),
        (["--first", "1", "--patch", "2", "--stride", "4"], "stride 4 is larger"),
        (["--first", "1", "--engine", "magic"], "allowed: exact, captum"),
        (["--first", "1", "--view", "red"], "'red' is not known; allowed: log-odds, paper"),
        (["--first", "1", "--device", "abacus"], "abacus"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(words, message, places, lensaudit, tmp_path):
    code, out, error = lensaudit("occlusion", *places, *words, "--out", tmp_path / "maps")
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert out == ""
    assert not (tmp_path / "maps").exists()


def test_a_folder_that_cannot_be_written_is_found_before_the_work(places, lensaudit, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, error = lensaudit("occlusion", *places, "--first", 1, "--out", tmp_path / "file")
    assert code == 2
    assert "choose another --out" in error
