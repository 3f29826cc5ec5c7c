"""``lensaudit simulate`` and ``lensaudit ingest`` as typed: output, one-line errors, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fits_files import noise, sky_header, write_plane, write_q1

from lensaudit.lensset import LensSet


def last_line(err: str) -> str:
    line = err.rstrip("\n").splitlines()[-1]
    assert "Traceback" not in err
    assert line.startswith("lensaudit: ")
    return line


def test_simulate_writes_a_set_and_prints_json(lensaudit, tmp_path):
    code, out, _ = lensaudit("simulate", "lsst", "--n", 2, "--out", tmp_path / "set", "--json")
    assert code == 0
    facts = json.loads(out)
    assert (facts["n"], facts["seed"], facts["population"]) == (2, 1, "lsst")
    assert facts["lenses"] + facts["non_lenses"] == 2
    assert LensSet.open(tmp_path / "set").content_hash == facts["content_hash"]


def test_simulate_for_people(lensaudit, tmp_path):
    code, out, _ = lensaudit("simulate", "lsst", "--n", 1, "--out", tmp_path / "set")
    assert code == 0
    assert "1 systems, lsst: g 45×45 at 0.18″" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hubble", "--n", "1"], "instrument 'hubble' is unknown; allowed: euclid"),
        (["lsst", "--n", "0"], "--n must be at least 1"),
        (["lsst", "--n", "many"], "give a whole number"),
        (["lsst"], "--n"),
        (["lsst", "--n", "1", "--population", "x"], "--population 'x' is not one of "),
        (["lsst", "--n", "1", "--workers", "-1"], "--workers"),
        (["euclid", "--n", "1", "--redden", "1.5"], "--redden '1.5' is not LOW:HIGH, as 0:1.5"),
        (
            ["euclid", "--n", "1", "--redden", "1:0"],
            "--redden must be two strengths, 0 <= LOW <= HIGH <= 3, not 1 and 0",
        ),
        (["lsst", "--n", "1", "--redden", "0:1"], "--redden: lsst has one band, and so no colours"),
    ],
)
def test_wrong_words_exit_with_2_and_one_line(lensaudit, tmp_path, words, said):
    code, _, err = lensaudit("simulate", *words, "--out", tmp_path / "set")
    assert code == 2
    assert said in last_line(err)


def test_a_file_in_place_of_the_folder(lensaudit, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = lensaudit("simulate", "lsst", "--n", 1, "--out", tmp_path / "file")
    assert code == 2
    assert "choose another --out" in last_line(err)


def test_ctrl_c_exits_with_130_and_the_same_command_goes_on(tmp_path, until):
    out = tmp_path / "set"
    command = [sys.executable, "-m", "lensaudit", "simulate", "lsst", "--n", "40", "--out", str(out)]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until(lambda: list((out / ".unfinished/parts").glob("*.jsonl")))
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "run the same command again" in last_line(err)
    assert not (out / "lensset.json").exists()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    LensSet.open(out).verify()


def test_ingest_q1_as_typed(lensaudit, tmp_path):
    write_q1(tmp_path / "in" / "a.fits")
    words = ("ingest", "euclid-q1", tmp_path / "in", "--out", tmp_path / "set", "--label", "lens")
    code, out, _ = lensaudit(*words)
    assert code == 0
    assert "1 systems, euclid: VIS 20×20 at 1″" in out
    assert "1 lenses, 0 non-lenses, 0 unlabelled" in out


def test_ingest_prints_what_is_missing(lensaudit, tmp_path):
    write_plane(tmp_path / "in" / "imageEUC_VIS-100001.fits", noise(1, scale=1e-12), sky_header())
    (tmp_path / "c.csv").write_text("ID,is_lens\n100001,1\n100002,0\n")
    code, out, _ = lensaudit(
        "ingest", "blf1", tmp_path / "in", "--out", tmp_path / "set", "--catalogue", tmp_path / "c.csv"
    )
    assert code == 0
    assert "1 catalogue ids have no image and were left out: 100002" in out


def test_ingest_fits_as_typed(lensaudit, tmp_path):
    path = write_plane(tmp_path / "arc.fits", noise(1))
    words = ["ingest", "fits", path, "--band", "VIS=[0]", "--duplicate", "VIS:J,Y,H", "--pixel-scale", "0.05"]
    code, out, _ = lensaudit(*words, "--out", tmp_path / "set", "--json")
    assert code == 0
    assert list(json.loads(out)["bands"]) == ["VIS", "J", "Y", "H"]


def test_ingest_says_what_is_kept_beside_images(lensaudit, tmp_path):
    write_q1(tmp_path / "in" / "a.fits")
    words = ("ingest", "euclid-q1", tmp_path / "in", "--out")
    code, out, _ = lensaudit(*words, tmp_path / "set")
    assert code == 0
    assert "PSF of VIS, J, Y, H" in out
    code, out, _ = lensaudit(*words, tmp_path / "bare", "--images-only", "--json")
    assert (json.loads(out)["psf"], json.loads(out)["rms"]) == ([], [])


def test_ingest_npz_as_typed(lensaudit, tmp_path):
    images = np.random.default_rng(1).normal(size=(2, 1, 8, 8))
    np.savez(tmp_path / "a.npz", images=images, variance=images**2 + 1)
    words = ["ingest", "npz", tmp_path / "a.npz", "--bands", "g", "--pixel-scale", "0.2", "--filter", "g=hsc2017-g"]
    code, out, _ = lensaudit(*words, "--electrons-per-unit", "g=4", "--out", tmp_path / "set")
    assert code == 0
    assert "RMS of g" in out
    band = LensSet.open(tmp_path / "set").header.bands[0]
    assert (band.filter, band.electrons_per_unit) == ("hsc2017-g", 4.0)


@pytest.mark.parametrize("size", [3000, 0])
def test_a_truncated_file_exits_with_3(lensaudit, tmp_path, size):
    path = write_q1(tmp_path / "in" / "a.fits")
    Path(path).write_bytes(path.read_bytes()[:size])
    code, _, err = lensaudit("ingest", "euclid-q1", tmp_path / "in", "--out", tmp_path / "set")
    assert code == 3
    assert str(path) in last_line(err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["blf1", "NOWHERE"], "no such folder"),
        (["blf2", "NOWHERE", "--label-rule", "mine"], "wilde, challenge"),
        (["euclid-q1", "NOWHERE", "--nan", "mean"], "fail, zero, median"),
        (["fits", "NOWHERE", "--band", "VIS"], "NAME=PATTERN"),
        (["fits", "NOWHERE", "--band", "g=*.fits", "--psf", "g"], "--psf 'g': write NAME=PATTERN"),
        (["fits", "NOWHERE", "--band", "g=*.fits", "--electrons-per-unit", "many"], "write NUMBER or BAND=NUMBER"),
        (["fits", "NOWHERE", "--band", "g=*.fits", "--filter", "g=mine"], "speclite has no such filter"),
        (["npz", "NOWHERE.npz"], "no such file"),
        (["npz", "NOWHERE.npz", "--mask-bits", "1,x"], "bits from 0 to 63"),
        (["sdss", "NOWHERE"], "sdss"),
    ],
)
def test_wrong_ingest_words_exit_with_2(lensaudit, tmp_path, words, said):
    code, _, err = lensaudit("ingest", *words, "--out", tmp_path / "set")
    assert code == 2
    assert said in last_line(err)
