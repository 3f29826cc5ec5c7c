"""Out and back again: the audit of the scores is the audit of the finder itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from real_sky import a_lens, as_host, without_arc, write_hosts

from lensaudit.errors import DataError, NoSuchData
from lensaudit.finders import load_finder, read_scores, score_set, write_scores
from lensaudit.imaging import EUCLID
from lensaudit.lensset.ingest import ingest, parse_band, plan_fits
from lensaudit.probes import HostsAsked, ProbeOptions, run_audit
from lensaudit.probes.outside import OutsideFinder, export_cutouts, import_scores, plan_export

from . import conftest as toys

TOLERANCE = 0.3  # one that so few pairs can show
WHO = {"finder", "provenance"}


def same(found, own, logits=1e-6):
    """All numbers of two audits, found exactly and logits nearly alike."""
    assert [r.definition.name for r in found.results] == [r.definition.name for r in own.results]
    for one, other in zip(found.results, own.results, strict=True):
        assert one.definition == other.definition
        assert one.settings == other.settings
        for mine, theirs in zip(one.findings, other.findings, strict=True):
            for field in ("population", "subset", "dose", "n", "control", "treated", "recall_change", "gained", "lost"):
                assert repr(getattr(mine, field)) == repr(getattr(theirs, field)), field
            assert mine.p_holm == pytest.approx(theirs.p_holm, nan_ok=True)
            assert mine.verdict == theirs.verdict
            assert mine.logit_change.value == pytest.approx(theirs.logit_change.value, abs=logits, nan_ok=True)
        assert repr(one.curves) == repr(other.curves)
        assert repr(one.responses) == repr(other.responses)
        for mine, theirs in zip((*one.columns, *one.every_dose), (*other.columns, *other.every_dose), strict=True):
            assert (mine.name, mine.values.dtype.kind) == (theirs.name, theirs.values.dtype.kind)
            if mine.name.split("_")[0] in {"p", "logit"}:
                np.testing.assert_allclose(mine.values, theirs.values, atol=logits)
            else:
                assert mine.values.tolist() == theirs.values.tolist() or np.array_equal(
                    mine.values, theirs.values, equal_nan=True
                ), mine.name


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The toy audited in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lensaudit.probes.run.draw_figures", lambda *_: None)
        out = tmp_path_factory.mktemp("own")
        options = ProbeOptions(tolerance=TOLERANCE)
        return run_audit(toys.flux_finder(), toys.N, toys.SEED, out, toys.PROBES, options), out


@pytest.mark.slow
def test_scores_of_a_toy_give_its_own_audit(exported, scored, own, tmp_path):
    audit, folder = own
    found = import_scores(exported.cutouts.parent, scored, tmp_path, OutsideFinder("flux", 0.5, TOLERANCE))
    same(found, audit)
    rates = {f.treated.value for r in found.results for f in r.findings}
    assert len(rates) > 2  # the toy's answers differ, or the comparison would be empty
    pages = [(place / "audit.md").read_text().splitlines() for place in (tmp_path, folder)]
    own_page, outside_page = ([line for line in page if not line.startswith("Next: ")] for page in pages)
    assert own_page == outside_page
    assert any("`lensaudit probe export --probe" in line for line in pages[0])  # what settles it is another export
    ours, theirs = (json.loads((place / "audit.json").read_text()) for place in (tmp_path, folder))
    assert {k for k in ours if ours[k] != theirs[k]} <= WHO | {
        "ranked",
        "next",
    }  # in ranked, logits by their last digit
    assert ours["finder"]["name"] == "flux"
    assert ours["finder"]["origin"] == "outside lensaudit, known by scores.csv, whose hash stands for its weights"
    for result in found.results:
        place = tmp_path / result.definition.name
        assert json.loads((place / "probe.json").read_text())["figures"] == dict(result.figures)
        assert all((place / file).read_bytes().startswith(b"\x89PNG") for file in result.figures.values())
        assert pq.read_table(place / "pairs.parquet").schema.equals(
            pq.read_table(folder / result.definition.name / "pairs.parquet").schema
        )


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_the_shipped_finder_through_ingest_and_score_gives_its_own_audit(tmp_path):
    """Through the files a user would make: FITS, lens set, scores as Parquet and as CSV."""
    probes, n = ("compound", "red-source"), 4
    exported = export_cutouts(plan_export(n, toys.SEED, probes), tmp_path / "export")
    finder = load_finder("ou66", "cpu")
    bands = [parse_band(f"{band}=*.fits[{band}]") for band in ("VIS", "Y", "J", "H")]
    lens_set = ingest(plan_fits(exported.cutouts, bands), tmp_path / "set")
    write_scores(score_set(finder, lens_set), tmp_path / "scores.parquet", {})
    scores, _ = read_scores(tmp_path / "scores.parquet")
    toys.write_scores(tmp_path / "scores.csv", dict(zip(scores.ids, map(repr, scores.p_lens.tolist()), strict=True)))
    own = run_audit(finder, n, toys.SEED, tmp_path / "own", probes)
    for name in ("scores.parquet", "scores.csv"):
        found = import_scores(tmp_path / "export", tmp_path / name, tmp_path / name.replace(".", "-"),
                              OutsideFinder("ou66", finder.recipe.threshold))  # fmt: skip
        same(found, own)


@pytest.mark.usefixtures("no_figures")
def test_probes_that_do_not_show_in_the_bands_are_listed_and_not_judged(tmp_path):
    """VIS and J stay where they are when Y, J, H are reversed; one band has no colour."""
    for bands, why in (
        (("VIS", "J"), "changes no pixel of systems 0 … 1"),
        (("J",), "which band J alone does not show"),
    ):
        place = tmp_path / "-".join(bands)
        exported = export_cutouts(plan_export(2, 0, ["false-positive", "band-swap"], bands), place)
        scores = {row["id"]: 0.5 for row in toys.manifest(exported.cutouts)}
        csv = toys.write_scores(tmp_path / "scores.csv", scores)
        audit = import_scores(place, csv, place / "audit", OutsideFinder("votes"))
        assert list(audit.not_applicable) == ["band-swap"]
        assert why in audit.not_applicable["band-swap"]
        assert "not applicable" in (place / "audit" / "audit.md").read_text()
        assert [finding.treated.value for finding in audit.results[0].findings] == [1.0]  # 0.5 is at the threshold


def test_scores_of_cutouts_on_hosts_give_the_audit_on_hosts(tmp_path, monkeypatch):
    """The toy on two hosts of one galaxy, one of them used twice: out as FITS and back, and in this process."""
    monkeypatch.setattr("lensaudit.probes.run.draw_figures", lambda *_: None)
    monkeypatch.setattr("lensaudit.probes.response.RESAMPLES", 50)
    host = as_host(without_arc(a_lens(0)))
    path = write_hosts(tmp_path / "hosts", [replace(host, id=name) for name in ("one", "two")]).path
    hosts = HostsAsked(path, reuse=True).chosen(3, toys.SEED)
    probes = ("red-source", "false-positive", "lens-colour")
    plan = plan_export(3, toys.SEED, probes, hosts=hosts)
    done = export_cutouts(plan, tmp_path / "export")
    assert "changes the lens galaxy's light" in plan.refused["lens-colour"]
    header = fits.getheader(done.cutouts / toys.manifest(done.cutouts)[0]["file"], "VIS")
    assert (header["BUNIT"], header["MAGZERO"]) == ("electron s-1", EUCLID.band("VIS").zero_point_mag)
    scores = toys.write_scores(tmp_path / "scores.csv", toys.flux_scores(done.cutouts))
    who = OutsideFinder("flux", 0.5, TOLERANCE)
    (tmp_path / "hosts").rename(tmp_path / "moved")
    with pytest.raises(NoSuchData, match="the hosts of this export are gone; say where they lie with --hosts"):
        import_scores(tmp_path / "export", scores, tmp_path / "audit", who)
    other = write_hosts(tmp_path / "other", [host]).path
    with pytest.raises(DataError, match="is not the set of hosts of this export"):
        import_scores(tmp_path / "export", scores, tmp_path / "audit", who, hosts=other)
    found = import_scores(tmp_path / "export", scores, tmp_path / "audit", who, hosts=tmp_path / "moved")
    (tmp_path / "moved").rename(path)
    options = ProbeOptions(tolerance=TOLERANCE, hosts=hosts)
    own = run_audit(toys.flux_finder(), 3, toys.SEED, tmp_path / "own", probes, options)
    same(found, own)
    assert found.not_on_hosts == own.not_on_hosts
    assert len(set(found.results[0].column("logit_control"))) == 3
    assert {one.settings.n for one in found.results} == {2, 3}  # a bare host once, arcs in one of them twice
