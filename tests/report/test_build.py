"""The audit of a small simulated set by a small network, end to end: what is in it, what is kept, what is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import FOR_ANY, explain
from lensaudit.explaining.judging.sample import truth_masks
from lensaudit.finders import Finder, declare_finder, read_scores, write_scores
from lensaudit.lensset import LensSet
from lensaudit.records import plain
from lensaudit.report import AuditOptions, build_audit, render_report
from lensaudit.report.audit_file import read_audit, read_history
from lensaudit.report.explained import choose
from lensaudit.report.findings import limits
from lensaudit.report.judged import CHECKED
from lensaudit.report.quickstart import estimate_of_audit, told
from lensaudit.report.schema import BLOCKS, Audit
from lensaudit.statistics import Confusion

PROBES = ("compound", "band-duplicate", "false-positive")
OPTIONS = AuditOptions(seed=3, occlusion_n=1, judge_n=2, dream_steps=60, probe_n=2, probes=PROBES)
NO_PROBE = AuditOptions(seed=3, occlusion_n=1, judge_n=1, dream_steps=2, probe_n=0)
PIECES = replace(NO_PROBE, judge_n=0, kernels=False, embed=False)


class Net(nn.Module):
    """A few hundred weights, so that a map takes a fraction of a second."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9 * 9, 2)
        )
        generator = torch.Generator().manual_seed(seed)
        for weights in self.parameters():
            weights.data = 0.3 * torch.randn(weights.shape, generator=generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class Altered:
    """A lens set with some answers replaced: unknown labels, fewer columns, damaged pixels."""

    def __init__(self, lens_set: LensSet, **replaced: Any) -> None:
        self._lens_set, self._replaced = lens_set, replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced[name] if name in self._replaced else getattr(self._lens_set, name)

    def __len__(self) -> int:
        return len(self._lens_set)


def network(seed: int = 1) -> Finder:
    return declare_finder(Net(seed), bands=("J", "Y", "H", "VIS"), size=20, name="small")


@pytest.fixture(autouse=True, scope="module")
def few_neighbours() -> Iterator[None]:
    """One error of each kind beside its neighbours: seven panels a row take two seconds of every audit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lensaudit.embedding.pictures.SHOWN_ERRORS", 1)
        yield


@pytest.fixture(scope="module")
def built(lens_set: LensSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Audit]:
    out = tmp_path_factory.mktemp("audit")
    return out, build_audit(network(), lens_set, out, OPTIONS)


@pytest.fixture(scope="module")
def page(built: tuple[Path, Audit]) -> str:
    """As it is drawn of the audit."""
    return render_report(built[0]).read_text(encoding="utf-8")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, scoring, mapping and probing are failures."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("computed again")

    def forbid() -> None:
        monkeypatch.setattr("lensaudit.finders.score_set", refuse)
        monkeypatch.setattr("lensaudit.explaining.Occluder.map", refuse)
        monkeypatch.setattr("lensaudit.explaining.explain", refuse)
        monkeypatch.setattr("lensaudit.probes.run_audit", refuse)

    return forbid


def test_the_audit_is_whole_and_is_what_is_on_disk(built: tuple[Path, Audit], lens_set: LensSet):
    out, audit = built
    words = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert set(BLOCKS) <= set(words)
    assert {name: words[name] for name in words if name != "digest"} == plain(audit)
    assert plain(read_audit(out)) == plain(audit)
    labels = lens_set.labels
    assert (audit.set.n_lenses, audit.set.n_non_lenses) == (int((labels == 1).sum()), int((labels == 0).sum()))
    assert audit.set.content_hash == lens_set.content_hash
    assert audit.finder.weights_hash == network().weights_hash
    assert audit.set.simulated


def test_numbers_agree_with_counting(built: tuple[Path, Audit], lens_set: LensSet):
    out, audit = built
    scores, _ = read_scores(out / "scores.parquet")
    called, lens = scores.p_lens >= 0.5, lens_set.labels == 1
    assert audit.performance.confusion == Confusion(
        tp=int((called & lens).sum()),
        fn=int((~called & lens).sum()),
        fp=int((called & ~lens).sum()),
        tn=int((~called & ~lens).sum()),
    )
    for curve in audit.selection.curves:
        assert sum(b.n for b in curve.bins) + curve.n_missing == int(lens.sum())
    assert sum(audit.performance.scores.lenses) == int(lens.sum())


def test_the_gallery_shows_the_extremes(built: tuple[Path, Audit], lens_set: LensSet):
    out, audit = built
    scores, _ = read_scores(out / "scores.parquet")
    lens = lens_set.labels == 1
    shown = {group.title: group.entries[0] for group in audit.gallery.groups}
    assert not (scores.p_lens[lens] >= 0.5).any()  # this network finds no lens, and takes a non-lens for one
    assert shown["Misses with the highest p"].p == scores.p_lens[lens].max()
    assert shown["Worst misses"].p == scores.p_lens[lens].min()
    assert shown["Worst false positives"].p == scores.p_lens[~lens].max()
    with np.load(out / shown["Worst misses"].array) as arrays:
        assert arrays["map"].shape == (20, 20)
        index = lens_set.index_of(shown["Worst misses"].id)
        np.testing.assert_array_equal(arrays["band:VIS"], lens_set.images("VIS", [index])[0])


def test_every_method_has_a_map_with_its_scores(built: tuple[Path, Audit], lens_set: LensSet):
    out, audit = built
    assert [method.name for method in audit.maps.methods] == list(FOR_ANY)
    assert {method.name for method in audit.maps.methods if method.known_to_fail} == {
        "guided-backprop",
        "guided-gradcam",
    }
    shown = {entry.group: entry for entry in audit.maps.entries}
    lost, alarm = shown["Worst misses"], shown["Worst false positives"]
    assert set(lost.scores) == set(FOR_ANY)
    assert alarm.scores["saliency"] is None  # a non-lens has no lensed light
    index = lens_set.index_of(lost.id)
    expected = explain(network(), lens_set.cutouts([index]), "deeplift").maps[0]
    mask = truth_masks(network(), lens_set, [index])[0]
    with np.load(out / lost.array) as arrays:
        np.testing.assert_array_equal(arrays["map:deeplift"], expected)
    positive = np.maximum(expected, 0)
    assert lost.scores["deeplift"].share == pytest.approx(positive[mask].sum() / positive.sum(), rel=1e-5)
    assert lost.area == mask.mean()


def test_explanations_and_kernels_are_judged_by_the_truth(built: tuple[Path, Audit], lens_set: LensSet):
    out, audit = built
    judged, kernels = audit.judged, audit.kernels
    assert {"single", "compound-arcs", "compound-rings"} <= set(judged.kinds)
    rows = {row.method: row for row in judged.rows}
    assert set(rows) == {*FOR_ANY, "centre-blob", "edges"}
    assert [name for name, row in rows.items() if row.baseline] == ["centre-blob", "edges"]
    singles = lens_set.column("kind") == "single"
    assert rows["saliency"].shares["single"].n == min(OPTIONS.judge_n, int(singles.sum()))
    assert {check.method for check in judged.checks} == set(CHECKED)
    assert {view.kind for view in judged.views} <= {"compound-arcs", "compound-rings"}
    assert (kernels.kernels, kernels.n) == (4, len(lens_set))
    assert pq.read_table(out / "kav.parquet").num_rows == len(lens_set)


def test_dreams_go_towards_their_class(built: tuple[Path, Audit], page: str):
    audit = built[1]
    images = audit.dreams.images
    assert [(one.start, one.target) for one in images] == [
        (start, target) for start in ("noise", "cutout") for target in ("lens", "non-lens")
    ]
    for one in images:
        assert (one.p_end - one.p_start) * (1 if one.target == "lens" else -1) > 0
    assert "What it holds for a lens" in page


@pytest.mark.usefixtures("undrawn")
def test_chapters_can_be_left_out(lens_set: LensSet, tmp_path: Path):
    bare = AuditOptions(
        seed=3, occlusion_n=0, maps_n=0, judge_n=0, kernels=False, embed=False, dream_steps=0, probe_n=0
    )
    audit = build_audit(network(), lens_set, tmp_path, bare)
    left_out = [audit.gallery, audit.maps, audit.judged, audit.kernels, audit.dreams, audit.probes, audit.embedding]
    assert left_out == [None] * 7
    page = render_report(tmp_path).read_text(encoding="utf-8")
    assert "How far to believe the maps" not in page
    assert "What its kernels answer to" not in page


@pytest.mark.usefixtures("undrawn")
def test_a_method_that_cannot_explain_is_named(lens_set: LensSet, tmp_path: Path):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(4 * 400, 2))
    finder = declare_finder(dense, bands=("J", "Y", "H", "VIS"), size=20, name="dense")
    audit = build_audit(finder, lens_set, tmp_path, NO_PROBE)
    assert "no convolution" in audit.maps.entries[0].failed["gradcam"]
    assert "no convolution in it" in render_report(tmp_path).read_text(encoding="utf-8")


def test_the_probe_has_both_populations_and_pictures(built: tuple[Path, Audit]):
    out, audit = built
    assert {row.probe for row in audit.probes.rows} == set(PROBES)
    probe = next(one for one in audit.probes.details if one.probe == "compound")
    assert {"compound arcs", "double rings"} <= {group.title for group in probe.groups}
    assert {group.treated.n for group in probe.groups if group.everything} == {2}
    assert probe.pairs
    assert all((out / pair.array).is_file() for pair in probe.pairs)
    assert {row.name for row in probe.published.rows} >= {"OU-66", "OU-200"}


def test_the_page_of_it_can_be_drawn(page: str):
    assert page.count('role="img"') > 12
    assert "Not measured" in page


def test_what_the_stretch_clips_is_in_the_audit_of_every_run(lens_set: LensSet, tmp_path: Path):
    finder = declare_finder(Net(1), bands=("J", "Y", "H", "VIS"), size=20, name="roots", stretch="sqrt-minmax")
    options = AuditOptions(occlusion_n=0, maps_n=0, judge_n=0, kernels=False, embed=False, dream_steps=0, probe_n=0)
    first = build_audit(finder, lens_set, tmp_path, options)
    negative = np.mean([lens_set.images("VIS", [row])[0] < 0 for row in range(len(lens_set))])
    assert first.pixels.clipping["VIS"].below == pytest.approx(negative, rel=1e-12)  # counts of pixels
    assert first.pixels.units["VIS"] == "electron / s at 24 mag"
    assert first.pixels.finder_units["VIS"] == "unknown"
    assert any("does not record the pixel unit" in sentence for sentence in first.limits)
    before = (tmp_path / "audit.json").read_bytes()
    build_audit(finder, lens_set, tmp_path, options)  # from the scores on disk
    assert (tmp_path / "audit.json").read_bytes() == before
    scores, record = read_scores(tmp_path / "scores.parquet")
    write_scores(
        replace(scores, clipping={}), tmp_path / "scores.parquet", record.to_json()
    )  # as earlier versions wrote it
    build_audit(finder, lens_set, tmp_path, options)
    assert (tmp_path / "audit.json").read_bytes() == before


def test_a_second_run_computes_nothing_and_writes_the_same(
    built: tuple[Path, Audit], lens_set: LensSet, forbidden: Callable[[], None]
):
    out, _ = built
    before = (out / "audit.json").read_bytes()
    forbidden()
    build_audit(network(), lens_set, out, OPTIONS)
    assert (out / "audit.json").read_bytes() == before


def test_the_estimate_leaves_out_what_an_earlier_run_finished(
    built: tuple[Path, Audit], lens_set: LensSet, tmp_path: Path
):
    out, kept = built[0], tmp_path / "kept"
    fresh = estimate_of_audit(network(), lens_set, OPTIONS, tmp_path / "new")
    assert min(fresh.parts.values()) > 0
    assert set(fresh.parts) == {"scoring", "maps", "kernels", "dreams", "probes", "judging maps"}
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert written / 3 < fresh.disk_bytes < 5 * written  # pictures and pages of a set this small vary
    done = estimate_of_audit(network(), lens_set, OPTIONS, out)
    assert done.parts == dict.fromkeys(fresh.parts, 0.0)
    assert done.disk_bytes < fresh.disk_bytes
    shutil.copytree(out, kept)
    (kept / "arrays" / "dreams.npz").unlink()
    for part in sorted((kept / "probes" / "false-positive").rglob("*.parquet")):
        part.unlink()
    again = estimate_of_audit(network(), lens_set, OPTIONS, kept)
    assert [part for part, seconds in again.parts.items() if seconds] == ["dreams", "probes"]
    assert again.parts["probes"] < fresh.parts["probes"]
    assert re.fullmatch(r"about .+ of work \(.+\), 0\.\d+ GB of disk, [\d.]+ GB of memory; --n", told(again, "--n"))


def test_other_weights_are_scored_anew(built: tuple[Path, Audit], lens_set: LensSet, forbidden: Callable[[], None]):
    forbidden()
    with pytest.raises(UsageError, match=r"audit\.json: is the audit of another finder"):
        build_audit(network(seed=2), lens_set, built[0], NO_PROBE)
    whole = (built[0] / "audit.json").rename(built[0] / "aside")
    try:
        with pytest.raises(RuntimeError, match="computed again"):
            build_audit(network(seed=2), lens_set, built[0], NO_PROBE)
    finally:
        whole.rename(built[0] / "audit.json")


def test_torn_pieces_are_made_again(lens_set: LensSet, tmp_path: Path):
    build_audit(network(), lens_set, tmp_path, PIECES)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "arrays").iterdir()}
    before = (tmp_path / "audit.json").read_bytes()
    for path in [tmp_path / "scores.parquet", *(tmp_path / "arrays").iterdir()]:
        path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "audit.json").unlink()
    build_audit(network(), lens_set, tmp_path, PIECES)
    assert (tmp_path / "audit.json").read_bytes() == before
    assert {path.name: path.read_bytes() for path in (tmp_path / "arrays").iterdir()} == whole


def test_without_labels_scores_and_gallery_remain(lens_set: LensSet, tmp_path: Path):
    bare = Altered(lens_set, labels=np.full(24, -1, np.int8), columns=("id", "label"), has_truth=False)
    audit = build_audit(network(), bare, tmp_path, NO_PROBE)
    assert audit.verdict.level == "unlabelled"
    assert audit.selection is None
    assert audit.performance.metrics == ()
    assert [group.title for group in audit.gallery.groups] == ["Highest scores", "Lowest scores"]
    assert "No cutout of this set has a label." in {gap.why for gap in audit.not_measured}
    assert "Confusion" not in render_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(("label", "missing"), [(1, "This set has no non-lenses."), (0, "This set has no lenses.")])
def test_one_class_is_enough_for_a_page(lens_set: LensSet, tmp_path: Path, label: int, missing: str):
    audit = build_audit(network(), Altered(lens_set, labels=np.full(24, label, np.int8)), tmp_path, NO_PROBE)
    assert audit.performance.roc is None
    undefined = [m for m in audit.performance.metrics if np.isnan(m.value)]
    assert undefined
    assert all(m.status for m in undefined)
    assert missing in {gap.why for gap in audit.not_measured}
    assert render_report(tmp_path).stat().st_size > 10_000


@pytest.mark.usefixtures("undrawn")
def test_cutouts_without_a_score_are_named_and_enter_no_number(lens_set: LensSet, tmp_path: Path):
    def damaged(band: str, index: Any) -> np.ndarray:
        images = lens_set.images(band, index).copy()
        if isinstance(index, slice) and index.start == 0 and band == "H":
            images[0] = np.nan
        return images

    audit = build_audit(network(), Altered(lens_set, images=damaged), tmp_path, NO_PROBE)
    name = lens_set.ids[0]
    assert audit.performance.n == 23
    assert [one.id for one in audit.performance.unscored] == [name]
    assert any(name in gap.why for gap in audit.not_measured)
    assert name in render_report(tmp_path).read_text(encoding="utf-8")


def test_a_set_the_finder_cannot_eat_is_refused_before_anything_is_written(lens_set: LensSet, tmp_path: Path):
    with pytest.raises(DataError, match="needs band"):
        build_audit(network(), Altered(lens_set, bands=("VIS",)), tmp_path / "out", NO_PROBE)
    assert not (tmp_path / "out").exists()


def test_an_audit_on_the_training_set_says_so(audit: Audit):
    assert not any("trained on" in sentence for sentence in limits(audit))
    assert audit.finder.training is not None
    own = replace(audit.set, content_hash=audit.finder.training.data["set"])
    assert "trained on" in limits(replace(audit, set=own))[0]


def test_the_history_is_read_beside_the_weights(tmp_path: Path):
    (tmp_path / "history.csv").write_text("epoch,train_loss,validation_loss\n1,0.7,0.69\n2,,oops\n", encoding="utf-8")
    assert read_history(tmp_path) == [{"epoch": 1, "train_loss": 0.7, "validation_loss": 0.69}, {"epoch": 2}]
    assert read_history(tmp_path / "nowhere") is None


@pytest.mark.parametrize("data", [b"epoch,loss\n1,2\xe9\n", b"epoch,loss\n1," + b"9" * 200_000 + b"\n", None])
def test_a_history_of_other_hands_is_refused_in_one_line(tmp_path: Path, data: bytes | None):
    """Latin-1 and a huge cell ended in a traceback; a pipe was passed over."""
    path = tmp_path / "history.csv"
    path.write_bytes(data) if data is not None else os.mkfifo(path)
    with pytest.raises(DataError, match=r"is (not text in UTF-8|no training history|a named pipe)"):
        read_history(tmp_path)


def test_galleries_of_nothing_lost_say_so():
    labels, p = np.array([1, 1, 0, 0]), np.array([0.9, 0.8, 0.1, 0.2])
    groups = choose(labels, p, 0.5, 1)
    notes = {group.title: group.note for group in groups}
    assert "Worst misses" not in notes  # no lens is lost, so none is shown as a miss
    assert notes["Hits with the lowest p"].startswith("No lens is lost")
    assert notes["Non-lenses with the highest p"].startswith("No false positive")
    assert [group.indices for group in groups] == [(0,), (1,), (3,)]


def test_no_image_is_in_two_galleries():
    rng = np.random.default_rng(0)
    for n in (1, 3, 10):
        labels, p = rng.integers(0, 2, n), rng.random(n)
        shown = np.concatenate([group.indices for group in choose(labels, p, 0.5, 4)])
        assert len(set(shown)) == len(shown) > 0
    lost = choose(np.ones(3, int), np.array([0.1, 0.2, 0.3]), 0.5, 4)
    assert [(group.title, group.indices) for group in lost] == [("Worst misses", (0, 1, 2))]


def test_unscored_images_are_never_shown():
    groups = choose(np.array([1, 1, 0]), np.array([np.nan, 0.8, np.nan]), 0.5, 3)
    assert [(group.title, group.indices) for group in groups] == [("Hits", (1,))]
