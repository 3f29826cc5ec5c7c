"""``lensaudit report`` and ``lensaudit quickstart`` as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def lensaudit(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, where ``mine.py`` lies."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lensaudit", *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=280, check=False
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("quick")
    (folder / "mine.py").write_text(MODULE, encoding="utf-8")
    words = ("--finder", "mine:tiny", "--n", "24", "--probe-n", "2", "--occlusion-n", "1", "--workers", "1")
    return folder, lensaudit("quickstart", *words, "--out", "out", folder=folder)


def test_quickstart_ends_with_the_path_of_its_page(quick: tuple[Path, subprocess.CompletedProcess[str]]):
    folder, done = quick
    assert done.returncode == 0, done.stderr
    assert (folder / done.stdout.splitlines()[-1]).is_file()
    for stage in (
        "loading the finder",
        "simulating the set",
        "scoring",
        "occlusion",
        "probe: rendering arcs",
        "drawing the page",
    ):
        assert stage in done.stderr


def test_the_page_is_drawn_again_from_the_audit_alone(
    quick: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
):
    folder, _ = quick
    audit = (folder / "out" / "audit.json").read_text(encoding="utf-8")
    (tmp_path / "audit.json").write_text(audit, encoding="utf-8")
    done = lensaudit("report", "--from", ".", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == json.loads(audit)["verdict"]
    assert (tmp_path / "index.html").is_file()


def test_a_crossed_threshold_is_exit_code_one(full_folder: Path):
    done = lensaudit("report", "--from", str(full_folder), "--fail-on", "bias", folder=full_folder)
    assert done.returncode == 1
    assert done.stderr.startswith("lensaudit: --fail-on bias")


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("report",), 2, "--set SET and --out DIR"),
        (("report", "ou66", "--from", "x"), 2, "--from"),
        (("report", "--from", "nowhere"), 2, "audit.json"),
        (("report", "ou66", "--set", "nowhere", "--out", "x"), 2, "nowhere"),
        (("report", "ou66", "--set", "x", "--out", "y", "--fail-on", "everything"), 2, "bias, chance"),
        (("quickstart", "--n", "5", "--finder", "mine:tiny"), 2, "--n 5"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(tmp_path: Path, words: tuple[str, ...], code: int, named: str):
    done = lensaudit(*words, folder=tmp_path)
    assert done.returncode == code
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lensaudit: ")
    assert named in lines[0]
