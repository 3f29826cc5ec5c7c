"""``lensaudit report`` and ``lensaudit quickstart`` as typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lensaudit.errors import DataError
from lensaudit.imaging import load_instrument
from lensaudit.report.one_scene import OneScene
from lensaudit.report.options import AuditOptions
from lensaudit.report.quickstart import quick_audit

MODULE = """
import torch
from torch import nn
from lensaudit.finders import declare_finder

def tiny():
    net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4 * 25, 2))
    for weights in net.parameters():
        weights.data = torch.linspace(-1, 1, weights.numel()).reshape(weights.shape)
    return declare_finder(net, bands=("J", "Y", "H", "VIS"), size=20, name="tiny")
"""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("quick")
    (folder / "mine.py").write_text(MODULE, encoding="utf-8")
    words = (
        "--finder",
        "mine:tiny",
        "--n",
        "24",
        "--probe-n",
        "2",
        "--probe",
        "arc-snr",
        "--occlusion-n",
        "1",
        "--workers",
        "1",
    )
    command = [sys.executable, "-m", "lensaudit", "quickstart", *words, "--out", "out"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((f"{folder}", os.environ.get("PYTHONPATH", ""))),
        "OMP_NUM_THREADS": "1",
    }
    return folder, subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_quickstart_ends_with_the_path_of_its_page(quick: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, done = quick
    assert done.returncode == 0, done.stderr
    assert (folder / done.stdout.splitlines()[-1]).is_file()
    estimate, *stages = done.stderr.splitlines()
    assert re.fullmatch(r"about .* of work \(.*\), 0\.\d+ GB of disk, .* GB of memory; --n, .*", estimate)
    for line in stages:  # a log without a terminal: stages of more than a second
        assert re.fullmatch(r"[a-z ]+: \d+ of \d+ \(\d+ %\), \d+ (s|min)(, about \d+ (s|min) left)?", line)


def test_the_page_is_drawn_again_from_the_audit_alone(
    quick: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, lensaudit
):
    audit = (quick[0] / "out" / "audit.json").read_text(encoding="utf-8")
    (tmp_path / "audit.json").write_text(audit, encoding="utf-8")
    done = lensaudit("report", "--from", ".", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["verdict"] == json.loads(audit)["verdict"]
    assert (tmp_path / "index.html").is_file()


@pytest.mark.usefixtures("unplotted")
def test_a_crossed_threshold_is_exit_code_one(full_folder: Path, lensaudit):
    done = lensaudit("report", "--from", str(full_folder), "--fail-on", "bias")
    assert done.code == 1
    assert done.err.startswith("lensaudit: --fail-on bias")
    assert str(full_folder / "index.html") in done.out  # the page is there all the same


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("report",), "--set SET and --out DIR"),
        (("report", "ou66", "--from", "x"), "--from"),
        (("report", "--from", "nowhere"), "audit.json"),
        (("report", "ou66", "--set", "nowhere", "--out", "x"), "nowhere"),
        (("report", "ou66", "--set", "x", "--out", "y", "--fail-on", "everything"), "bias, false-positives"),
        (("report", "ou66", "--set", "x", "--out", "y", "--probe-n", "1"), "--probe-n"),
        (("report", "ou66", "--set", "x", "--out", "y", "--probe", ""), "--probe is empty"),
        (("quickstart", "--probe", "nonsense", "--n", "20"), "nonsense"),
        (("quickstart", "--n", "5"), "--n 5"),
        (("quickstart", "--workers", "-1"), "'--workers'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(words: tuple[str, ...], named: str, lensaudit):
    done = lensaudit(*words)
    assert done.code == 2
    lines = done.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lensaudit: ")
    assert named in lines[0]


def test_quickstart_draws_the_instrument_that_is_asked_for_and_refuses_a_finder_of_other_bands(tmp_path):
    rubin = load_instrument("lsst-ugrizy")
    made = OneScene(3, AuditOptions(instrument=rubin))
    assert made.bands == ("u", "g", "r", "i", "z", "y")
    assert made.images("u", np.arange(2)).shape == (2, *made.shape["u"])
    with pytest.raises(DataError, match="finder ou66 needs band"):
        quick_audit("ou66", 20, tmp_path / "out", AuditOptions(instrument=rubin))
    assert not (tmp_path / "out").exists()
