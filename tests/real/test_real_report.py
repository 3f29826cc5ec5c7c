"""The audit page of a published finder on real Euclid Q1 lenses, which have neither labels nor truth."""

import os
from pathlib import Path

import pytest

from lensaudit.finders import load_recipe, read_published
from lensaudit.lensset.ingest import ingest, plan_euclid_q1
from lensaudit.report import AuditOptions, build_audit, render_report

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "real"))
pytestmark = pytest.mark.skipif(
    not (REAL / "wilde2022").is_dir(), reason=f"no real data at {REAL}; set LENSAUDIT_REAL_DATA to their folder"
)

P_LENS = {"102020057": 0.99632, "102159187": 0.95580, "102042913": 0.88179}  # OU-66, printed to five decimals


def test_real_lenses_get_a_page_that_says_what_is_missing(tmp_path):
    finder = read_published(REAL / "wilde2022" / "OU_66_Weights.pt", load_recipe("ou66"))
    lens_set = ingest(plan_euclid_q1(REAL / "euclid-q1"), tmp_path / "set", skip_bad=True)
    audit = build_audit(finder, lens_set, tmp_path / "out", AuditOptions(occlusion_n=2, dream_steps=2, probe_n=0))
    shown = {entry.id: entry.p for group in audit.gallery.groups for entry in group.entries}
    assert {name.split("_")[0]: p for name, p in shown.items()} == pytest.approx(P_LENS, abs=1e-4)
    assert audit.verdict.level == "unlabelled"
    assert not audit.set.simulated
    page = render_report(tmp_path / "out").read_text(encoding="utf-8")
    assert "No cutout of this set has a label." in page
    assert "The cutouts were ingested" in page
    assert page.count("<p>NISP, RGB = H J Y</p>") == 3
