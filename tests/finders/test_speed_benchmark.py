"""benchmarks/finders.py on one small finder: it runs, counts right and reports what it timed; no speed is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "finders.py"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    told = tmp_path_factory.mktemp("speed") / "speed.json"
    command = [sys.executable, BENCHMARK, "--finders", "petrillo", "--rounds", "1", "--steps", "2", "--json", told]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stderr  # 1: slower than claimed, which a busy machine may be
    assert told.is_file(), ended.stderr
    return json.loads(told.read_text())


def test_forward_flops_are_those_counted_by_hand(record):
    """Two for each weight and place: 45 pixels, halved twice before the 3×3 layers, and the dense layers after 5×5."""
    convolutions = [(1, 16, 7, 45), (16, 32, 5, 22), (32, 64, 3, 11), (64, 64, 3, 11), (64, 64, 3, 11)]
    by_hand = sum(2 * before * after * width**2 * side**2 for before, after, width, side in convolutions)
    by_hand += 2 * (64 * 5**2 * 256 + 256)
    assert record["finders"][0]["flops"] == by_hand


def test_both_sides_were_timed_once_and_the_claim_is_the_ratio(record):
    (finder,) = record["finders"]
    ratios = []
    for what in ("scoring", "training"):
        (ours,), (plain,) = finder[what]["ours"], finder[what]["plain"]
        assert min(*ours, *plain) > 0
        ratios.append(ours[finder[what]["clock"]] / plain[finder[what]["clock"]])
    assert finder["quick"] == (min(ratios) >= 0.9)
    assert len(finder["augmented"]) == 1  # the recipe augments, and that is timed beside
