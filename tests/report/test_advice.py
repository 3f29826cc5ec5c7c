"""Which map the report shows first, what it says of the others, and whose measurement it follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lensaudit.errors import DataError
from lensaudit.explaining import Judgement, JudgeSettings
from lensaudit.explaining.judging.believing import BELIEVABLE, UNDECIDED, Belief, Margin
from lensaudit.explaining.judging.recommending import Advice, our_study
from lensaudit.provenance import Provenance
from lensaudit.report import AuditOptions, build_audit
from lensaudit.report.audit_file import read_audit, write_audit
from lensaudit.report.pictures import map_tiles
from lensaudit.report.render import render_report
from lensaudit.report.schema import Audit
from tests.report.conftest import drawn_maps, write_full
from tests.report.test_build import network

MAPS_ONLY = AuditOptions(
    seed=3, occlusion_n=0, maps_n=1, judge_n=0, kernels=False, embed=False, dream_steps=0, probe_n=0
)
FIRST = Advice("single", "guided-gradcam", "believable in 5 of 5 finders", {"gradcam": "believable in 0 of 5 finders"})
NONE = Advice("single", "", "no method is believable in enough finders", {"gradcam": "believable in 1 of 5 finders"})


def advised(audit: Audit, folder: Path, advice: tuple[Advice, ...]) -> Audit:
    """The audit with the drawn maps, of a single lens, and advice; written to the folder."""
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    maps = drawn_maps(folder)
    entries = tuple(replace(entry, kind="single") for entry in maps.entries)
    found = replace(audit, maps=replace(maps, entries=entries, advice=advice))
    write_audit(folder, found)
    return read_audit(folder)


def test_the_method_to_look_at_stands_first_and_the_others_carry_their_doubt(audit: Audit, tmp_path: Path):
    (strip,) = map_tiles(advised(audit, tmp_path, (FIRST,)), tmp_path)
    assert [(tile.title, tile.first) for tile in strip.tiles] == [("Guided Grad-CAM", True), ("Grad-CAM", False)]
    assert [tile.doubt for tile in strip.tiles] == ["", "believable in 0 of 5 finders"]
    assert strip.advice == "On single, look at Guided Grad-CAM first: believable in 5 of 5 finders."


@pytest.mark.usefixtures("unplotted")
def test_the_page_says_why_and_marks_the_map(audit: Audit, tmp_path: Path):
    advised(audit, tmp_path, (FIRST,))
    page = render_report(tmp_path).read_text(encoding="utf-8")
    assert "On single, look at Guided Grad-CAM first: believable in 5 of 5 finders." in page
    assert "<figcaption><b>Guided Grad-CAM</b>" in page
    assert "<figcaption>Grad-CAM <span" in page
    assert '<span class="red">believable in 0 of 5 finders</span>' in page
    assert '<p class="red">Believable in 0 of 5 finders.</p>' in page  # beside the enlarged map


@pytest.mark.usefixtures("unplotted")
@pytest.mark.parametrize(
    ("advice", "words"),
    [
        (Advice("single", "occlusion", "believable in 5 of 5 finders"), "on single, look at it first (believable in 5"),
        (
            Advice("single", "", "none", {"occlusion": "believable in 0 of 5 finders"}),
            'on single, <span class="red">believable in 0 of 5 finders</span>.',
        ),
        (FIRST, "on single, after guided-gradcam (believable in 5 of 5 finders)."),
    ],
)
def test_the_gallery_of_occlusion_says_how_far_to_believe_it(audit: Audit, catalogue, tmp_path: Path, advice, words):
    folder = write_full(audit, catalogue, tmp_path, 1)
    found = read_audit(folder)
    write_audit(folder, replace(found, maps=replace(found.maps, advice=(advice,))))
    page = " ".join(render_report(folder).read_text(encoding="utf-8").split())
    assert f"How far to believe occlusion: {words}" in page


@pytest.mark.usefixtures("unplotted")
def test_none_is_said_plainly(audit: Audit, tmp_path: Path):
    found = advised(audit, tmp_path, (NONE,))
    (strip,) = map_tiles(found, tmp_path)
    assert [(tile.title, tile.first) for tile in strip.tiles] == [("Grad-CAM", False), ("Guided Grad-CAM", False)]
    page = render_report(tmp_path).read_text(encoding="utf-8")
    assert "On single, believe none of these maps, they are pictures only" in page


def test_an_audit_of_an_earlier_version_says_nothing_of_it(audit: Audit, tmp_path: Path):
    (strip,) = map_tiles(advised(audit, tmp_path, ()), tmp_path)
    assert strip.advice == ""
    assert [(tile.title, tile.doubt) for tile in strip.tiles] == [("Grad-CAM", ""), ("Guided Grad-CAM", "")]


def judgement(finder_hash: str) -> Judgement:
    """Of which `single` lenses believe DeepLIFT and doubt the gradient."""
    margin = Margin("edges", 0.2, 0.1, 0.3, 0.001)
    beliefs = tuple(
        Belief("small", name, "single", 30, verdict, "passes", 0.4, margin, margin, 0.001)
        for name, verdict in (("deeplift", BELIEVABLE), ("saliency", UNDECIDED))
    )
    words = {"finder": "small", "finder_hash": finder_hash, "settings": JudgeSettings(), "beliefs": beliefs}
    empty = {"sets": {}, "images": {}, "left_out": {}, "rows": (), "checks": (), "views": (), "failed": {}}
    return Judgement(**words, **empty, provenance=Provenance.here(seed=0, inputs={"finder": finder_hash}))


def test_the_users_own_judgement_comes_before_ours(lens_set, tmp_path: Path):
    finder = network()
    judgement(finder.weights_hash).write(tmp_path)
    maps = build_audit(finder, lens_set, tmp_path / "audit", replace(MAPS_ONLY, judged=tmp_path)).maps
    assert {entry.kind for entry in maps.entries} <= set(np.unique(lens_set.column("kind")))
    own = maps.advice_on("single")
    assert (own.method, list(own.doubts)) == ("deeplift", ["saliency"])
    assert "by your judgement of this finder (30 images)" in own.why
    other = next(one for one in maps.advice if one.kind != "single")
    assert "your judgement" not in other.why


def test_without_one_the_report_follows_what_we_measured(lens_set, tmp_path: Path):
    maps = build_audit(network(), lens_set, tmp_path, MAPS_ONLY).maps
    for advice in maps.advice:
        best = our_study().recommended(advice.kind)
        assert advice.method == ("" if best is None else best.method)


def test_a_judgement_of_another_finder_is_refused_before_the_work(lens_set, tmp_path: Path):
    judgement("ab" * 32).write(tmp_path)
    with pytest.raises(DataError, match="is of another finder"):
        build_audit(network(), lens_set, tmp_path / "audit", replace(MAPS_ONLY, judged=tmp_path))
    assert not (tmp_path / "audit").exists()
