"""The whole probe on finders whose effect is known by construction."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import declare_finder
from lensaudit.lensset import LensSet
from lensaudit.probes import BIAS, NO_EFFECT, TOO_FEW, ProbeOptions, run_probe

from .conftest import PAIRS, SEED, Blind, Constant, Flux, one_band, scaled

POPULATIONS = {"arcs": "compound-arcs", "rings": "compound-rings"}
LOOSE = ProbeOptions(tolerance=0.25)  # a tolerance that `PAIRS` pairs can show


def images(rendered, label, arm):
    return LensSet.open(rendered / POPULATIONS[label] / arm).images("VIS", slice(None))


def run(finder, out, options=LOOSE):
    return run_probe("compound", finder, PAIRS, SEED, out, options)


def over_all_pairs(result):
    return {finding.population: finding for finding in result.findings if finding.subset == "all pairs"}


@pytest.fixture(scope="module")
def flux_out(new_out):
    return new_out()


@pytest.fixture(scope="module")
def flux_result(flux_out):
    return run(one_band(Flux(60.0, 0.06), "flux"), flux_out)


@pytest.mark.parametrize("label", POPULATIONS)
def test_finder_of_total_flux_changes_as_the_flux_does(flux_result, rendered, label):
    """Logits and recalls from the stored images alone, without finder or probe."""
    logit = {arm: 60 * (scaled(images(rendered, label, arm)).mean((1, 2)) - 0.06) for arm in ("control", "treated")}
    found = over_all_pairs(flux_result)[label]
    assert found.control.found == np.sum(logit["control"] >= 0)
    assert found.treated.found == np.sum(logit["treated"] >= 0)
    assert 0 < found.treated.found < PAIRS  # the threshold cuts the sample, or the test would be empty
    change = (logit["treated"] - logit["control"]).mean()
    assert found.logit_change.value == pytest.approx(change, abs=1e-4)  # float32 scaling, slope 60
    assert found.logit_change.low <= change <= found.logit_change.high


@pytest.mark.usefixtures("no_figures")
def test_planted_blindness_to_compounds_is_found(new_out, rendered):
    known = [scaled(images(rendered, label, "treated")).sum((1, 2), dtype=float) for label in POPULATIONS]
    result = run(one_band(Blind(np.concatenate(known)), "blind"), new_out())
    assert result.verdict.word == BIAS
    for found in over_all_pairs(result).values():
        assert (found.control.value, found.treated.value, found.verdict.word) == (1.0, 0.0, BIAS)
        assert found.lost == PAIRS
        assert found.p_holm < 0.01
        assert found.logit_change.value == pytest.approx(-8)


@pytest.mark.usefixtures("no_figures")
def test_constant_finder_shows_exactly_no_effect(new_out):
    result = run(one_band(Constant(2.0), "fair"), new_out())
    assert result.verdict.word == NO_EFFECT
    for found in over_all_pairs(result).values():
        assert (found.recall_change.value, found.logit_change.value, found.p_value) == (0, 0, 1)


@pytest.mark.usefixtures("no_figures")
def test_too_few_pairs_cannot_acquit(new_out):
    result = run(one_band(Constant(2.0), "fair"), new_out(), ProbeOptions())
    assert result.settings.tolerance == 0.05
    assert result.verdict.word == TOO_FEW
    assert "pairs would tell" in result.verdict.sentence


@pytest.mark.usefixtures("no_figures")
def test_a_finder_that_finds_nothing_cannot_be_acquitted(new_out):
    result = run(one_band(Constant(-2.0), "never"), new_out())
    assert result.verdict.word == TOO_FEW
    assert "finds 0.000 of the control lenses" in result.verdict.sentence


def test_json_on_disk_is_the_result(flux_result, flux_out):
    held = json.loads((flux_out / "probe.json").read_text(encoding="utf-8"))
    assert held == json.loads(json.dumps(flux_result.to_json(), allow_nan=False))
    assert held["format"] == "lensaudit-probe/1"
    assert held["finder"]["weights_hash"] == flux_result.finder.weights_hash
    assert held["provenance"]["seed"] == SEED
    assert held["published"]["caption"] == "published, on the authors' images"
    assert {f["population"] for f in held["findings"]} == set(POPULATIONS)
    for name in held["figures"].values():
        assert (flux_out / name).read_bytes().startswith(b"\x89PNG")
        assert (flux_out / name).stat().st_size < 1.5e6


def test_parquet_holds_what_the_numbers_were_made_of(flux_result, flux_out):
    table = pq.read_table(flux_out / "pairs.parquet")
    rows = table.to_pydict()
    assert table.num_rows == 2 * PAIRS
    assert table.schema.field("treated_theta_e_arcsec").metadata[b"unit"] == b"arcsec"
    for label, found in over_all_pairs(flux_result).items():
        here = np.array(rows["population"]) == label
        assert np.sum(np.array(rows["p_treated"])[here] >= 0.5) == found.treated.found
        both = np.ones(2 * PAIRS, dtype=bool)
        for arm in ("control", "treated"):
            both &= np.array(rows[f"{arm}_magnification"]) > 1.6
            both &= np.array(rows[f"{arm}_n_arc_pixels"]) > 20
        ruled = next(f for f in flux_result.findings if f.population == label and f.subset == "wilde2022")
        assert ruled.n == np.sum(both & here) == flux_result.rule_counts[label]["both"]
        assert ruled.control.found == np.sum((np.array(rows["p_control"]) >= 0.5)[both & here])


def test_curves_hold_every_pair(flux_result):
    for curve in flux_result.curves:
        assert sum(one.control.n for one in curve.bins) + curve.outside == PAIRS
    assert {curve.column for curve in flux_result.curves} == {"theta_e_arcsec", "arc_snr"}


def test_page_says_what_differs_and_what_is_published(flux_result, flux_out):
    page = (flux_out / "probe.md").read_text(encoding="utf-8")
    assert "other images than ours" in page
    assert "| OU-66 | 0.6291 | 0.4742 |" in page
    assert flux_result.mode_note in page
    assert "nan" not in page.lower()


def test_the_same_run_writes_the_same_bytes(flux_result, flux_out, new_out):
    again = new_out()
    run(one_band(Flux(60.0, 0.06), "flux"), again)
    files = [path.name for path in sorted(flux_out.iterdir()) if path.is_file()]
    assert len(files) == 7
    for name in files:
        assert (again / name).read_bytes() == (flux_out / name).read_bytes(), name


@pytest.mark.usefixtures("no_figures")
def test_faithful_mode_stretches_both_arms_and_says_how_its_control_differs(tmp_path):
    finder = one_band(Flux(1.0, 0.0), "flux")
    result = run_probe("compound", finder, 2, SEED, tmp_path, ProbeOptions(mode="faithful"))
    assert result.finder.stretch == "sqrt-minmax"
    assert "the two arms then differ in more than the far source" in (tmp_path / "probe.md").read_text("utf-8")
    treated = LensSet.open(tmp_path / "pairs" / "compound-rings-faithful" / "treated").images("VIS", slice(None))
    expected = scaled(np.sqrt(np.clip(treated, 0, 10_000))).mean((1, 2))
    assert result.column("logit_treated")[2:] == pytest.approx(expected, abs=1e-5)  # float32
    undone = run_probe("compound", finder, 2, SEED, tmp_path, ProbeOptions(mode="faithful", stretch="minmax"))
    assert undone.finder.stretch == "minmax"
    assert undone.column("logit_treated")[2:] == pytest.approx(scaled(treated).mean((1, 2)), abs=1e-5)


def test_finder_without_euclid_bands_is_not_applicable(tmp_path):
    finder = declare_finder(Constant(0.0), bands=("g",), size=45, name="lsst", field_of_view_arcsec=8.1)
    with pytest.raises(UsageError, match="not applicable: finder 'lsst' needs band g"):
        run(finder, tmp_path)
    assert not any(tmp_path.iterdir())


def test_finder_of_another_field_of_view_is_not_applicable(tmp_path):
    finder = declare_finder(Constant(0.0), bands=("VIS",), size=100, name="small", field_of_view_arcsec=10.0)
    with pytest.raises(UsageError, match=r"not applicable: .*needs 10″"):
        run(finder, tmp_path)


@pytest.mark.usefixtures("no_figures")
def test_finder_that_answers_nan_is_named(new_out):
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x),), float("nan"))

    with pytest.raises(DataError, match="finder 'broken' cannot score 13 of 13 control images"):
        run(one_band(Broken(), "broken"), new_out())


@pytest.mark.parametrize(
    ("n", "seed", "options", "words"),
    [
        (1, 0, ProbeOptions(), "--n 1"),
        (9, -1, ProbeOptions(), "--seed -1"),
        (9, 0, ProbeOptions(mode="real"), "--mode 'real'.*physical, faithful"),
        (9, 0, ProbeOptions(tolerance=0.0), "--tolerance 0.0"),
        (9, 0, ProbeOptions(workers=0), "--workers 0"),
        (9, 0, ProbeOptions(stretch="log"), "--stretch 'log'.*minmax"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, n, seed, options, words):
    with pytest.raises(UsageError, match=words):
        run_probe("compound", one_band(Constant(0.0)), n, seed, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_a_column_that_is_no_truth_is_named_before_rendering(tmp_path, definition):
    rule = definition.lens_rule.model_copy(update={"above": {"beauty": 1.0}})
    with pytest.raises(UsageError, match=r"lens_rule.above names truth column 'beauty'; allowed: .*magnification"):
        run_probe(definition.model_copy(update={"lens_rule": rule}), one_band(Constant(0.0)), 2, 0, tmp_path)
