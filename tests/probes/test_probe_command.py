"""``lensaudit probe``: table, JSON, one line for a mistake."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
import yaml

from lensaudit.cli.app import build
from lensaudit.cli.options import Reading
from lensaudit.cli.probe import _read
from lensaudit.errors import UsageError
from lensaudit.imaging import INSTRUMENTS
from lensaudit.probes import Experiment, builtin_probes, load_definition, why_not_applicable, without_groups
from lensaudit.probes.elsewhere import reading_drawn, seen_by

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


@pytest.fixture
def invoke(cli):
    return lambda *words: cli("probe", *words, code=None)


def test_list_names_every_probe_and_its_kind(invoke, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = invoke("list").output
    for name in builtin_probes():
        assert name in shown
    assert "faithful" in shown
    assert "contaminant" in shown


@pytest.mark.usefixtures("no_figures")
def test_json_then_table_of_the_same_pairs(invoke, toy, tmp_path, monkeypatch):
    words = ("compound", toy, "--n", "2", "--out", str(tmp_path / "out"), "--device", "cpu")
    result = json.loads(invoke(*words, "--json").stdout)
    assert result["verdict"]["word"] == "inconclusive"
    assert result["finder"]["bands"] == ["H"]
    assert result == json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))
    monkeypatch.setenv("COLUMNS", "250")
    table = invoke(*words).stdout
    assert "recall treated" in table
    assert "inconclusive" in table


def test_unknown_finder_and_mode_are_usage_errors(invoke, toy, tmp_path):
    with pytest.raises(UsageError, match="finder"):
        invoke("compound", "nobody", "--n", "2", "--out", str(tmp_path / "out"))
    with pytest.raises(UsageError, match="--mode"):
        invoke("compound", toy, "--n", "2", "--out", str(tmp_path / "out"), "--mode", "odd")


MINE = {
    "name": "mine", "title": "Mine", "question": "?", "meaning": "!", "nature": "nuisance", "instrument": "euclid",
    "edits": {"treated": {"edit": "own_edits_for_command:louder"}}, "tolerance": 0.05, "default_mode": "plain",
    "modes": {"plain": {"populations": {"lenses": "plain"}}},
}  # fmt: skip

LOUD = """
from dataclasses import replace
import torch
from lensaudit.finders import declare_finder

def louder(scene, strength):
    return replace(scene, noise_scale=1000.0)

class Quiet(torch.nn.Module):
    def forward(self, x):
        return 3.0 - 20.0 * x.double().flatten(1).quantile(0.25, dim=1)

def finder():
    return declare_finder(Quiet(), bands=("VIS",), size=200, name="quiet")
"""


@pytest.mark.usefixtures("no_figures")
def test_fail_on_bias_is_an_exit_code(invoke, toy, tmp_path):
    """A finder that refuses noisy images, asked about noise as if it were a nuisance."""
    (tmp_path / "own_edits_for_command.py").write_text(LOUD, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(MINE), encoding="utf-8")
    out = ("--n", "7", "--device", "cpu", "--out", str(tmp_path / "out"))
    words = ("run", str(tmp_path / "mine.yaml"), "own_edits_for_command:finder", *out)
    biased = invoke(*words, "--fail-on", "bias")
    assert "bias: lenses, all pairs: Recall falls from 1.000 to 0.000" in biased.stdout
    assert biased.exit_code == 1
    assert invoke(*words).exit_code == 0
    fair = invoke("run", str(tmp_path / "mine.yaml"), toy, *out, "--fail-on", "bias")
    assert fair.exit_code == 0
    with pytest.raises(UsageError, match="--fail-on 'selection' is unknown; allowed: bias"):
        invoke(*words, "--fail-on", "selection")


@pytest.mark.usefixtures("no_figures")
def test_all_runs_those_asked_for_and_fails_on_bias(invoke, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = ("--n", "2", "--device", "cpu", "--out", str(tmp_path / "out"))
    words = ("all", toy, "--probe", "band-swap", "--probe", "orientation", "--probe", "false-positive", *out)
    shown = invoke(*words, "--fail-on", "bias")
    assert shown.exit_code == 0
    assert "sees band H alone" in shown.stdout
    held = json.loads(invoke(*words, "--json").stdout)
    assert held["format"] == "lensaudit-probe-audit/1"
    assert list(held["not_applicable"]) == ["band-swap"]
    assert "Of 2 probes with 2 pairs each, " in shown.stdout
    assert "next: " in shown.stdout
    assert "--probe orientation" in shown.stdout
    # two pairs settle nothing: whoever fails on what is inconclusive is told so
    assert invoke(*words, "--fail-on", "inconclusive").exit_code == 1
    by_its_old_name = invoke(*words, "--fail-on", "undecided")
    assert by_its_old_name.exit_code == 1
    assert by_its_old_name.stderr.splitlines() == ["--fail-on undecided is now called inconclusive"]


def test_preprocessing_is_a_command_of_its_group(invoke, toy, tmp_path, monkeypatch):
    """Its probes are run elsewhere: all of them render."""

    def stop(finder, n, seed, out, probes, *_rest):
        raise UsageError(f"{finder.name} {n} {out.name} {' '.join(without_groups(probes))}")

    monkeypatch.setattr("lensaudit.probes.run_audit", stop)
    names = " ".join(name for name in builtin_probes() if name.startswith("preprocessing-"))
    with pytest.raises(UsageError, match=f"always 2 out {names}$"):
        invoke("preprocessing", toy, "--n", "2", "--out", tmp_path / "out", "--device", "cpu")


def test_arms_of_another_pipeline_are_the_controls_own_pixels():
    """Noise included: a change of the score is the pipeline's."""
    probe = load_definition("preprocessing-zero-point")
    experiment = Experiment(probe.drawn("single", 3, 1), probe.arms())
    control = experiment.images(0, 0)
    for arm, dose in enumerate(probe.doses.values, 1):
        for band, image in experiment.images(0, arm).items():
            np.testing.assert_array_equal(image, control[band] * np.float32(10 ** (0.4 * dose)))


@pytest.mark.usefixtures("no_figures")
def test_lenses_of_a_set_from_the_command_line(invoke, toy, tmp_path, small_set):
    out = ("--n", "2", "--device", "cpu", "--out", str(tmp_path / "out"), "--set", str(small_set))
    result = json.loads(invoke("orientation", toy, *out, "--json").stdout)
    assert result["settings"]["lens_set"] == "small"
    assert {f["population"] for f in result["findings"]} == {"set"}
    with pytest.raises(UsageError, match="edits scenes"):
        invoke("psf-width", toy, *out)


def test_power_says_what_the_formula_says(invoke):
    shown = invoke("power", "--tolerance", "0.05", "--power", "0.9").stdout
    # by hand in test_verdict.py; 73 by perfect agreement
    assert "462 pairs, if 10\u202f% differ by chance" in shown
    assert "171 pairs, if 2\u202f% differ by chance" in shown
    assert "73 pairs, if 0\u202f% differ by chance" in shown
    assert "Up to 72 pairs can never exclude it" in shown
    for words in (("--tolerance", "0"), ("--power", "1")):
        with pytest.raises(UsageError, match="must lie between 0 and 1"):
            invoke("power", *words)


def test_every_probe_is_a_command():
    commands = typer.main.get_command(build()).commands["probe"].commands
    assert set(builtin_probes()) <= set(commands)
    assert commands["psf-width"].help == "Run the psf-width probe on FINDER."


def test_pixels_of_a_named_instrument_are_resampled_where_that_is_asked(capsys):
    """ou66 was trained on NISP pixels of 0.3″, those of euclid-q1 are 0.1″; the advice can be followed."""
    definition, q1 = load_definition("red-source"), INSTRUMENTS["euclid-q1"]
    as_it_is = _read("ou66", Reading(), None, "euclid-q1")
    assert "give --resample" in why_not_applicable(seen_by(definition, as_it_is, q1), as_it_is)
    asked = _read("ou66", Reading(resample=True), None, "euclid-q1")
    assert "euclid-q1: band J has pixels of 0.1″, finder ou66 was trained on 0.3″; resampled" in capsys.readouterr().err
    assert why_not_applicable(seen_by(definition, asked, q1), asked) is None
    assert (reading_drawn(asked, q1).resamples, reading_drawn(asked, None).resamples) == (True, False)  # in an audit
    with pytest.raises(UsageError, match=r"--resample is for given images.* add --set, --hosts or --instrument"):
        _read("ou66", Reading(resample=True), None, "")
    with pytest.raises(UsageError, match=r"--refit is for given images.* add --set or --hosts"):
        _read("ou66", Reading(refit=True), None, "euclid-q1")
