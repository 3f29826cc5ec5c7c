"""``lensaudit probe``: table, JSON, one line for a mistake."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from lensaudit.cli.app import build
from lensaudit.errors import UsageError

TOY = """
import torch
from lensaudit.finders import declare_finder

class Always(torch.nn.Module):
    def forward(self, x):
        return torch.full((len(x),), 3.0)

def finder():
    return declare_finder(Always(), bands=("H",), size=66, name="always")
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy_for_probe_command.py").write_text(TOY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "toy_for_probe_command:finder"


def invoke(*words):
    return CliRunner().invoke(build(), ["probe", *words], catch_exceptions=False)


def test_list_names_the_compound_probe_and_its_modes():
    shown = invoke("list").output
    assert "compound" in shown
    assert "faithful" in shown


@pytest.mark.usefixtures("no_figures")
def test_json_then_table_of_the_same_pairs(toy, tmp_path):
    words = ("compound", toy, "--n", "2", "--out", str(tmp_path / "out"), "--device", "cpu")
    result = json.loads(invoke(*words, "--json").stdout)
    assert result["verdict"]["word"] == "too few to tell"
    assert result["finder"]["bands"] == ["H"]
    assert result == json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))
    table = invoke(*words).stdout
    assert "recall treated" in table
    assert "too few to tell" in table


def test_unknown_finder_and_mode_are_usage_errors(toy, tmp_path):
    with pytest.raises(UsageError, match="finder"):
        invoke("compound", "nobody", "--n", "2", "--out", str(tmp_path / "out"))
    with pytest.raises(UsageError, match="--mode"):
        invoke("compound", toy, "--n", "2", "--out", str(tmp_path / "out"), "--mode", "odd")
