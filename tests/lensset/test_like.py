"""Sets that keep their instrument, and instruments measured from sets."""

import json

import numpy as np
import pytest
import yaml

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import INSTRUMENTS, load_instrument, noiseless_images
from lensaudit.lensset import LensSet, instrument_of, simulate
from lensaudit.lensset.like import instrument_like
from tests.imaging.test_instruments import MINE


def test_a_set_of_a_file_needs_the_file_no_more(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINE))
    mine = load_instrument(path)
    made = simulate(path, "single", 3, 7, tmp_path / "set", workers=1)
    path.unlink()
    again = LensSet.open(tmp_path / "set")
    assert again.instrument == "mine"
    assert instrument_of(again) == mine
    assert again.pixel_units == {"g": "count at 27 mag", "r": "count at 27 mag"}
    assert {"mag_source_g", "arc_snr_r", "colour_lens_g_r"} <= set(again.columns)
    assert "mag_source_VIS" not in again.columns
    assert [band.filter for band in again.header.bands] == ["decam2014-g", "decam2014-r"]
    image = noiseless_images(again.scene(0), instrument_of(again))["g"]
    residual = again.images("g", [0])[0] - image
    assert residual.std() == pytest.approx(0.1, rel=0.1)  # 1024 pixels know σ to 2 %; it has no photon noise
    assert made.content_hash == again.content_hash


def test_sets_of_instruments_that_never_change_hold_none(tmp_path):
    simulate("vis101", "", 2, 1, tmp_path / "set")
    header = json.loads((tmp_path / "set" / "lensset.json").read_text())
    assert "full_instrument" not in header
    assert set(header["bands"][0]) == {"name", "shape", "pixel_scale_arcsec", "zero_point_mag", "unit"}
    assert header["population"] == "centred"
    assert instrument_of(LensSet.open(tmp_path / "set")) == INSTRUMENTS["vis101"]


def test_the_instrument_of_a_set_is_measured(tmp_path):
    lens_set = simulate("hsc", "no-source", 12, 3, tmp_path / "set")
    like = instrument_like(lens_set)
    assert like.name == "like-set"
    for ours, theirs in zip(like.bands, INSTRUMENTS["hsc"].bands, strict=True):
        # Field galaxies and photon noise at the edge of the cutouts add to it.
        assert ours.background_sigma == pytest.approx(theirs.background_sigma, rel=0.1)
        assert (ours.pixels, ours.filter, ours.zero_point_mag) == (64, theirs.filter, 27.0)
        assert ours.shot_electrons_per_unit == pytest.approx(theirs.shot_electrons_per_unit)
    simulate(like, "single", 2, 1, tmp_path / "alike")
    with pytest.raises(UsageError, match="--filter K: the set has no such band"):
        instrument_like(lens_set, {"K": "twomass-Ks"})


def test_a_psf_that_the_set_holds_is_taken(tmp_path, monkeypatch):
    lens_set = simulate("vis101", "centred", 2, 1, tmp_path / "set")
    values = np.zeros((2, 9, 9), np.float32)
    values[:, 4, 3:6], values[:, 3, 4] = 0.2, 0.4
    monkeypatch.setattr(LensSet, "has_psf", lambda self, band: True)
    monkeypatch.setattr(LensSet, "psf", lambda self, band, rows: values[np.asarray(rows)])
    like = instrument_like(lens_set)
    assert like.sky.psf == "instrument"
    assert like.band("VIS").psf.side == 9
    assert "mag_source_VIS" in simulate(like, "single", 1, 1, tmp_path / "alike").columns


def test_what_cannot_be_measured_is_told(tmp_path, monkeypatch):
    lens_set = simulate("vis101", "centred", 2, 1, tmp_path / "set")
    monkeypatch.setattr(LensSet, "images", lambda self, band, rows: np.zeros((len(rows), 101, 101), np.float32))
    with pytest.raises(DataError, match="band VIS: its background is constant"):
        instrument_like(lens_set)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--n", "2"], "give one instrument"),
        (["hsc", "--like", "x", "--n", "2"], "give one instrument"),
        (["hsc", "--filter", "g=hsc2017-g", "--n", "2"], "--filter goes with --like"),
        (["hcs", "--n", "2"], "did you mean hsc?"),
    ],
)
def test_the_command_says_what_is_missing(lensaudit, tmp_path, words, said):
    refused = lensaudit("simulate", *words, "--out", tmp_path / "set")
    assert refused.code == 2
    assert said in refused.err


def test_instruments_are_listed_and_shown(cli):
    assert {one["name"] for one in json.loads(cli("instruments", "list", "--json").stdout)} == set(INSTRUMENTS)
    shown = json.loads(cli("instruments", "show", "des", "--json").stdout)
    assert shown["sources"]["depth"].startswith("median in an aperture")
    assert "galsim.roman.getSkyLevel" in cli("instruments", "show", "roman").stdout
