"""``lensaudit compare`` from end to end on small simulated sets with small finders of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from real_sky import a_lens, as_host, without_arc, write_hosts

from lensaudit.comparing import CompareOptions, Comparison, build, compare, entrants_of
from lensaudit.comparing.build import estimate_of_comparison
from lensaudit.comparing.measuring import FirstImages, methods_for
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import evaluate
from lensaudit.finders import load_finder, read_scores, score_set
from lensaudit.imaging import load_instrument
from lensaudit.lensset import LensSet, simulate
from lensaudit.probes import HostsAsked

MODULE = """
import torch
from torch import nn
from lensaudit.finders import declare_finder

def made(name, bands, field=20.0, turn=1):
    net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(len(bands) * 25, 1))
    for weights in net.parameters():
        weights.data = turn * torch.linspace(-1, 1, weights.numel()).sin().reshape(weights.shape)
    return declare_finder(net, bands=bands, size=20, name=name, field_of_view_arcsec=field)

def wide():
    return made("wide", ("J", "Y", "H", "VIS"))

def visible():
    return made("visible", ("VIS",), turn=-1)

def ground():
    return made("ground", ("g",), field=8.1)

def stubborn():
    finder = made("stubborn", ("VIS",), turn=0.5)
    finder.module.differentiable = False
    return finder
"""
NAMES = ("small_finders:wide", "small_finders:ground", "small_finders:stubborn")
QUICK = ("--threads", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small sets and a module of finders."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "small_finders.py").write_text(MODULE, encoding="utf-8")
    simulate("euclid", "euclid", 12, 3, folder / "test", 1, lambda done, total: None)
    simulate("lsst", "lsst-best", 12, 3, folder / "ground", 1, lambda done, total: None)
    return folder


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, place: Path):
    monkeypatch.chdir(place)


@pytest.fixture
def entrants(monkeypatch: pytest.MonkeyPatch, place: Path):
    """Finders of the module by their names in it."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    return lambda *names: entrants_of([f"small_finders:{name}" for name in names])


def test_everything_from_end_to_end(lensaudit, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lensaudit.comparing.build.SECONDS", 0.01)
    words = ("compare", *NAMES, "--set", "test", "--set", "ground", "--out", "all", *QUICK)
    words += ("--probes", "red-source", "--probe-n", "2", "--explanations", "1", "--methods", "occlusion,saliency")
    done = lensaudit(*words)
    assert done.code == 0, done.err
    assert "ground not compared: finder ground needs band g" in done.out
    found = json.loads((place / "all" / "compare.json").read_text(encoding="utf-8"))
    first, second = found["sets"]
    assert [row["finder"] for row in first["rows"]] == [f"small_finders:{name}" for name in ("wide", "stubborn")]
    assert [one["finder"] for one in second["refused"]] == [row["finder"] for row in first["rows"]]
    assert len(first["pairs"]) == 1
    assert second["pairs"] == []

    labels = LensSet.open(place / "test").labels
    scores = score_set(load_finder("small_finders:stubborn"), LensSet.open(place / "test"))
    wanted = evaluate(labels, scores.p_lens, scores.logit)
    assert first["rows"][1]["metrics"]["auroc"]["value"] == pytest.approx(wanted.metric("auroc").value)
    assert first["rows"][1]["unused_bands"] == ["Y", "J", "H"]

    explained = {
        one["finder"].removeprefix("small_finders:"): {row["method"] for row in one["rows"]}
        for one in first["explanations"]
    }
    assert explained == {"wide": {"occlusion", "saliency"}, "stubborn": {"occlusion"}}
    asked = {one["finder"].removeprefix("small_finders:"): one for one in found["probes"]["finders"]}
    assert asked["ground"]["verdicts"] == []  # one band: no colours to change
    assert asked["ground"]["not_applicable"][0]["why"]
    assert asked["wide"]["verdicts"][0]["n"] == 2
    assert "speed" not in found
    speeds = json.loads((place / "all" / "speed.json").read_text(encoding="utf-8"))["finders"]
    assert {one["finder"] for one in speeds} == set(NAMES)
    assert all(one["lowest"] <= one["images_per_s"] <= one["highest"] for one in speeds)

    page = (place / "all" / "compare.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("wide", "ground", "stubborn"))
    before = (place / "all" / "compare.json").read_bytes()
    assert str(place) not in before.decode()
    assert lensaudit(*words).code == 0
    assert (place / "all" / "compare.json").read_bytes() == before


def test_equal_command_equal_bytes_in_another_folder(entrants, place: Path, tmp_path: Path):
    options = CompareOptions(n=8, speed=False, seed=4)
    for name in ("a", "b"):
        compare(entrants("wide", "visible"), [LensSet.open(place / "test")], tmp_path / name, options)
    assert (tmp_path / "a" / "compare.json").read_bytes() == (tmp_path / "b" / "compare.json").read_bytes()
    sets = [LensSet.open(place / "test")]
    assert estimate_of_comparison(entrants("wide"), sets, options, tmp_path / "new").parts["scoring"] > 0
    assert set(estimate_of_comparison(entrants("wide"), sets, options, tmp_path / "a").parts.values()) == {0.0}
    block = json.loads((tmp_path / "a" / "compare.json").read_bytes())["sets"][0]
    assert block["n"] == 8
    assert block["rows"][1]["pixels"]["units"] == {"VIS": "electron / s at 24 mag"}


def test_an_interrupted_comparison_goes_on(entrants, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped after the first finder's scores, the second run scores the others alone."""
    sets, options = [LensSet.open(place / "test")], CompareOptions(speed=False)
    finders, asked = entrants("wide", "visible", "stubborn"), []

    def counted(finder, *rest, **named):
        if len(asked) == 1:
            asked.append("interrupted")
            raise KeyboardInterrupt
        asked.append(finder.name)
        return score_set(finder, *rest, **named)

    monkeypatch.setattr("lensaudit.comparing.measuring.score_set", counted)
    with pytest.raises(KeyboardInterrupt):
        compare(finders, sets, tmp_path / "out", options)
    assert not (tmp_path / "out" / "compare.json").exists()
    compare(finders, sets, tmp_path / "out", options)
    assert asked == ["wide", "interrupted", "visible", "stubborn"]
    compare(finders, sets, tmp_path / "whole", options)
    again, whole = ((tmp_path / name / "compare.json").read_bytes() for name in ("out", "whole"))
    assert again == whole


def test_scores_of_other_images_or_torn_ones_are_not_taken(entrants, place: Path, tmp_path: Path):
    sets, finders = [LensSet.open(place / "test")], entrants("visible")
    compare(finders, sets, tmp_path, CompareOptions(n=10, speed=False))
    found = compare(finders, sets, tmp_path, CompareOptions(speed=False))
    assert found.sets[0].rows[0].n == 12
    for path in (tmp_path / "scores").glob("*.parquet"):
        path.write_bytes(b"torn")
    compare(finders, sets, tmp_path, CompareOptions(speed=False))
    assert any(len(read_scores(p)[0].ids) == 12 for p in (tmp_path / "scores").glob("*") if p.stat().st_size > 10)


def test_first_images_are_those_of_the_set(place: Path):
    lens_set = LensSet.open(place / "test")
    part = FirstImages(lens_set, 7)
    assert (len(part), part.ids, part.labels.tolist()) == (7, lens_set.ids[:7], lens_set.labels[:7].tolist())
    assert len(FirstImages(lens_set, 700)) == 12
    assert np.array_equal(part.images("VIS", slice(2, 4)), lens_set.images("VIS", slice(2, 4)))


def test_a_finder_without_gradient_gets_the_methods_that_need_none(entrants):
    [one] = entrants("stubborn")
    assert methods_for(one.finder, ("saliency", "occlusion")) == ("occlusion",)
    assert methods_for(one.finder, ("saliency",)) == ()


def test_finders_of_one_recipe_are_named_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entrants):
    import torch

    from lensaudit.finders import Finder, initialised_module, load_recipe, save_finder

    recipe = load_recipe("ou-vis")
    for place, seed in (("one", 1), ("two", 2)):
        module = initialised_module(recipe, torch.Generator().manual_seed(seed))
        data = {"set": "ab" * 32, "n_training": 5}
        save_finder(Finder(recipe, module, "test"), tmp_path / place, origin="a test", training_data=data)
    monkeypatch.chdir(tmp_path)
    first, second = entrants_of(["one/", "./two"])
    assert [first.label, second.label] == ["one", "./two"]
    assert first.facts().bytes_on_disk == (tmp_path / "one" / "weights.safetensors").stat().st_size
    assert first.facts().bytes_in_memory == 4 * first.finder.parameters
    assert str(tmp_path) not in json.dumps(first.facts().to_json())
    assert (first.has_seen("ab" * 32), first.has_seen("cd" * 32)) == ("training", "")


def test_mistakes_are_told_in_one_line(lensaudit, entrants, place: Path, tmp_path: Path):
    for words, line in (
        (("small_finders:wide", "small_finders:wide"), "is given twice; give each once"),
        (("small_finders:wide", "--first", "0"), "--first 0 is not possible; give 1 or more"),
        (("small_finders:wide", "--probe", ""), "--probe is empty"),
        (("small_finders:wide", "--probe", "no-such"), "no-such"),
        (("small_finders:wide", "--method", "magic"), "magic"),
        (("no-such-finder",), "finder 'no-such-finder' is not known"),
        (("small_finders:wide", "--set", "test"), "is the same set as test; give it once"),
    ):
        done = lensaudit("compare", *words, "--set", "test", "--out", tmp_path / "out", *QUICK)
        assert done.code == 2, done.err
        assert line in done.err
        assert len(done.err.strip().splitlines()) == 1
    done = lensaudit("compare", "small_finders:ground", "--set", "test", "--out", tmp_path / "out", *QUICK)
    assert done.code == 3
    assert "no finder can be compared on any set" in done.err
    with pytest.raises(UsageError, match="name one or more with --set"):
        compare(entrants("wide"), [], tmp_path)
    with pytest.raises(UsageError, match="no finder is given"):
        entrants_of([])
    with pytest.raises(DataError, match="no finder can be compared"):
        build.compare(entrants("ground"), [LensSet.open(place / "test")], tmp_path)


def test_probes_are_asked_on_the_same_hosts(lensaudit, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lensaudit.probes.run.draw_figures", lambda *_: None)
    hosts = [as_host(without_arc(a_lens(index)), name=f"h{index}") for index in range(3)]
    write_hosts(tmp_path / "q1", hosts)
    words = ("compare", *NAMES, "--set", "test", "--set", "ground", "--out", tmp_path / "out", "--no-speed")
    words += ("--judge-n", "0", "--probe", "arc-snr", "--probe", "lens-light", "--probe-n", "3", "--hosts")
    done = lensaudit(*words, tmp_path / "q1")
    assert done.code == 0, done.err
    found = Comparison.read(tmp_path / "out")
    assert (found.probes.n, found.probes.hosts.set, found.options.hosts.path.name) == (3, "q1", "q1")
    asked = {one.finder.removeprefix("small_finders:"): one for one in found.probes.finders}
    assert [(one.probe, one.n, one.instrument) for one in asked["wide"].verdicts] == [("arc-snr", 3, "hosts of q1")]
    assert asked["wide"].not_applicable[0].why.startswith("not on hosts: it changes the lens galaxy's light")
    assert asked["ground"].verdicts == ()  # takes band g
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "hosts of q1" in page
    without = ("compare", *NAMES, "--set", "test", "--probe", "none", "--out", tmp_path / "no")
    refused = lensaudit(*without, "--hosts", tmp_path / "q1")
    assert refused.code == 2
    assert "--hosts: probes are asked on them, and none are asked for" in refused.err


def test_an_instrument_says_whose_cutouts_the_probes_draw_and_goes_with_no_hosts(tmp_path):
    rubin = "lsst-ugrizy"
    assert CompareOptions(instrument=rubin).seen_by == load_instrument(rubin)
    assert CompareOptions(instrument=rubin).to_json()["instrument"] == "lsst-ugrizy"
    assert "instrument" not in CompareOptions().to_json()
    assert "source-texture" in CompareOptions(probes=("all",), sources=tmp_path).probes
    with pytest.raises(UsageError, match=r"--hosts and --instrument: .* give one of them"):
        CompareOptions(instrument=rubin, hosts=HostsAsked(Path("hosts")))


def test_a_baseline_from_the_command_line_and_in_python(lensaudit, place: Path, entrants):
    """The same network turned round calls lenses what the baseline does not: worse, and exit code 1."""
    import lensaudit as la

    words = ("compare", "small_finders:visible", "--baseline", "small_finders:stubborn", "--set", "test", *QUICK)
    words += ("--out", "gate", "--probe", "none", "--judge-n", "0", "--no-speed", "--tolerance", "0.2")
    done = lensaudit(*words, "--fail-on", "regression")
    assert done.code == 0, done.err
    assert "test, against small_finders:stubborn: no regression, " in done.out
    strict = lensaudit(*words, "--fail-on", "inconclusive")
    assert strict.code == 1
    assert strict.err.count("\n") == 1
    assert "--fail-on inconclusive: " in strict.err
    found = json.loads((place / "gate" / "compare.json").read_text(encoding="utf-8"))
    assert found["baseline"]["finder"] == "small_finders:stubborn"
    assert found["options"]["baseline"] == "small_finders:stubborn"
    assert {one["finder"] for one in found["sets"][0]["checks"]} == {"small_finders:visible"}
    made = la.compare(
        ["small_finders:visible"], "test", baseline="small_finders:stubborn", probes=(), judge_n=0, speed=False
    )
    assert made.regressions == []
    assert made.content["sets"][0]["checks"][0]["group"] == "all lenses"

    assert lensaudit("compare", NAMES[0], "--set", "test", "--fail-on", "regression").code == 2
    other = lensaudit("compare", NAMES[1], "--baseline", NAMES[0], "--set", "test", "--set", "ground", "--out", "none")
    assert (other.code, "no set is one that it and the baseline" in other.err) == (3, True)
    unknown = lensaudit(*words[:6], "--by", "grade", "--out", "none")
    assert (unknown.code, "--by grade: test has no such column" in unknown.err) == (2, True)


def test_the_command_of_the_ci_template_runs(lensaudit, place: Path, entrants):
    """Its other words and exit codes: tests/cli/test_ci_template.py."""
    script = (Path(build.__file__).parent / "template" / "ci" / "gate.sh").read_text(encoding="utf-8")
    words = script.split("\nlensaudit ")[1].split("\ncode=")[0].replace("\\\n", "")
    told = {
        "NEW": "small_finders:visible",
        "BASELINE": "small_finders:stubborn",
        "SET": "test",
        "TOLERANCE:-0.05": "0.2",
    }
    for name, value in {**told, "PROBE:-none": "none", "FAIL_ON:-regression": "regression", "OUT:-gate": "ci"}.items():
        words = words.replace(f'"${{{name}}}"', value).replace(f'"${name}"', value)
    done = lensaudit(*words.split(), *QUICK)
    assert done.code == 0, done.err
    assert (place / "ci" / "compare.html").is_file()
