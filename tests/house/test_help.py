"""``--help`` of every command is quick and loads none of the heavy libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys

HEAVY = ("torch", "captum", "sklearn", "matplotlib", "lenstronomy", "galsim", "astropy", "zarr", "skimage")

WALK = """
import contextlib, io, json, sys
from typer.main import get_command
from lensaudit.cli.app import build

heavy = set(json.loads(sys.argv[1]))
loaded, seen = {}, []

def ask(command, words):
    seen.append(" ".join(words))
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        try:
            command.main([*words[1:], "--help"], prog_name="lensaudit", standalone_mode=False)
        except SystemExit as leave:
            assert leave.code in (0, None), (words, leave.code)
    assert "Usage" in page.getvalue(), words
    for name in heavy & set(sys.modules):
        loaded.setdefault(name, " ".join(words))

def walk(command, root, words):
    ask(root, words)
    for name, child in getattr(command, "commands", {}).items():
        walk(child, root, [*words, name])

root = get_command(build())
walk(root, root, ["lensaudit"])
print(json.dumps({"loaded": loaded, "seen": seen}))
"""


def test_help_of_every_command_loads_nothing_heavy():
    ran = subprocess.run(
        [sys.executable, "-c", WALK, json.dumps(HEAVY)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout.splitlines()[-1])
    assert answer["loaded"] == {}, f"library → the help page that loaded it: {answer['loaded']}"
    assert "lensaudit" in answer["seen"]


def test_the_first_help_page_does_not_wait_for_numpy():
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lensaudit", "--help"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "typer" in loaded
    assert "numpy" not in loaded


def test_help_answers_within_a_second():
    """Best of three, in CPU seconds: what it takes on an idle machine, however busy this one is."""
    best = min(_cpu_seconds([sys.executable, "-m", "lensaudit", "--help"]) for _ in range(3))
    assert best < 1.0, f"lensaudit --help took {best:.2f} s"


def _cpu_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
