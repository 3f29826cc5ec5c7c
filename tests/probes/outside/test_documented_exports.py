"""The exports that the documentation shows can be planned: each probe can be asked of the bands it names."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from lensaudit.errors import UsageError
from lensaudit.probes.outside import plan_export

GUIDE = Path(__file__).parents[3] / "docs/how-to/outside.md"
SHOWN = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("lensaudit probe export")]


@pytest.mark.parametrize("line", SHOWN)
def test_an_export_of_the_guide_can_be_planned(line):
    words = shlex.split(line)
    told = {name: value for name, value in pairwise(words) if name.startswith("--")}
    probes = [value for name, value in pairwise(words) if name == "--probe"]
    bands = told["--bands"].split(",") if "--bands" in told else ()
    plan_export(int(told["--n"]), int(told["--seed"]), probes, bands, told.get("--format", "multi"))


def test_the_guide_shows_some():
    assert len(SHOWN) >= 2


def test_a_colour_probe_of_one_band_names_what_to_do():
    with pytest.raises(UsageError, match=r"red-source changes colours only.*--bands"):
        plan_export(2, 1, ["red-source"], ["VIS"])
