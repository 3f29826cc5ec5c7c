"""``judge``: every number is where it belongs; a run that was cut short goes on; what fails is named."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from judging_toys import flat, wide

from lensaudit.documents import keep_json
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import FOR_ANY, METHODS, SCORES, Judgement, JudgeSettings, Watcher, judge, positive_fraction
from lensaudit.explaining.judging.attributor import BASELINES, attributor
from lensaudit.explaining.judging.image_scores import ImageJudge
from lensaudit.explaining.judging.judge import Run
from lensaudit.explaining.judging.randomisation import randomisation_check
from lensaudit.explaining.judging.sample import choose, truth_masks
from lensaudit.kept import Piece
from lensaudit.lensset import LensSet

FAST = JudgeSettings(methods=("saliency", "gradcam"), per_kind=3, few=2, check_images=4)
LENSES = ("single", "compound-rings")


@pytest.fixture(scope="module")
def judged(mixed_set, rings_set, tmp_path_factory):
    """A judgement of a small finder on both sets, and its folder."""
    out = tmp_path_factory.mktemp("judged")
    return judge(wide(), [mixed_set, rings_set], out, FAST), out


def test_every_method_kind_and_score_has_a_row(judged):
    found, _ = judged
    assert set(found.images) >= {*LENSES, "no-source"}
    assert max(found.images.values()) == 3
    for method in ("saliency", "gradcam", "centre-blob", "edges"):
        for kind in found.images:
            for score in SCORES.values():
                row = found.row(method, kind, score.name)
                if score.part == "randomisation" or (score.part == "compound" and kind != "compound-rings"):
                    assert row is None
                elif score.part == "localisation" and kind not in LENSES:
                    assert (row.n, row.status) == (0, "no truth mask: nothing is lensed")
                    assert math.isnan(row.value)
                else:
                    assert row.n + _left_out(row) == min(found.images[kind], 2 if score.part == "sensitivity" else 3)
    assert not any(row.method == "random" for row in found.rows)


def _left_out(row) -> int:
    return 0 if row.status == "ok" else int(row.status.split()[0])


def test_numbers_lie_in_their_range_and_in_their_interval(judged):
    for row in judged[0].rows:
        low, high = SCORES[row.score].range
        if row.n:
            assert low <= row.value <= high
        if row.n > 1:
            assert row.low <= row.value <= row.high
        assert row.n == 0 or math.isfinite(row.value)


def test_chance_is_the_area_for_masks_and_random_order_for_curves(judged, mixed_set):
    found, _ = judged
    finder = wide()
    singles = [i for i, kind in enumerate(mixed_set.column("kind")) if kind == "single"][:3]
    area = truth_masks(finder, mixed_set, singles).mean()
    assert found.row("edges", "single", "rank-accuracy").chance == pytest.approx(area)
    assert found.row("edges", "single", "pointing-game").chance == pytest.approx(area)  # 0.3″ is no pixel of 24
    chances = {row.chance for row in found.rows if (row.kind, row.score) == ("single", "deletion")}
    assert len(chances) == 1
    assert 0 < chances.pop() < 1
    assert all(math.isnan(row.chance) for row in found.rows if row.score == "sensitivity")


def test_a_row_is_the_mean_over_its_images(judged, mixed_set):
    finder = wide()
    singles = [i for i, kind in enumerate(mixed_set.column("kind")) if kind == "single"][:3]
    masks = truth_masks(finder, mixed_set, singles)
    maps = attributor("saliency").maps(finder, finder.preprocess(mixed_set.cutouts(singles)), 0).total
    expected = np.mean([positive_fraction(one, mask) for one, mask in zip(maps, masks, strict=True)])
    assert judged[0].row("saliency", "single", "positive-share").value == pytest.approx(expected, rel=1e-4)  # batches


def test_the_pool_of_non_lenses_holds_all_their_images(judged):
    found, _ = judged
    every = found.row("saliency", "all non-lenses", "deletion")
    kinds = [kind for kind in found.images if kind not in LENSES]
    parts = [found.row("saliency", kind, "deletion") for kind in kinds]
    assert every.n == sum(part.n for part in parts)
    assert every.value == pytest.approx(sum(part.n * part.value for part in parts) / every.n)


def test_the_label_stands_beside_every_row_of_a_method_that_fails(judged):
    found, _ = judged
    assert {check.method for check in found.checks} == {"saliency", "gradcam"}
    failing = dataclasses.replace(found.checks[0], verdict="fails")
    relabelled = dataclasses.replace(found, checks=(failing,))
    assert relabelled.label(failing.method) == "fails the randomisation check"
    assert relabelled.label("edges") == ""
    for row in found.rows:
        verdict = next((check.verdict for check in found.checks if check.method == row.method), "")
        assert row.check == verdict


def test_views_of_both_sources_are_made_of_every_method_and_baseline(judged):
    found, _ = judged
    assert [view.method for view in found.views] == ["centre-blob", "edges", "saliency", "gradcam"]
    row = found.row("saliency", "compound-rings", "nearer-share")
    view = next(view for view in found.views if view.method == "saliency")
    assert view.fraction("nearer").value == pytest.approx(row.value)
    assert view.fraction("nearer").area == pytest.approx(row.chance)
    assert view.n == row.n


def test_files_hold_what_was_found(judged):
    found, out = judged
    again = Judgement.read(out)
    assert again.to_json() == found.to_json()
    assert np.isnan(next(row for row in again.rows if not row.n).value)
    table = pq.read_table(out / "explanation-scores.parquet")
    assert table.column_names[:10] == (
        ["finder", "method", "kind", "score", "value", "low", "high", "chance", "n", "status"]
    )
    assert table.num_rows == len(found.rows)
    assert json.loads(table.schema.metadata[b"lensaudit"])["inputs"]["finder"] == found.finder_hash
    page = (out / "explanation-scores.md").read_text(encoding="utf-8")
    assert "### small: compound-rings" in page
    assert "nan" not in page.lower().replace("lensaudit", "")
    for name in ("explanation-scores.png", "randomisation.png", "compound-view.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"


QUICK = JudgeSettings(methods=("saliency",), parts=("deletion", "infidelity"), per_kind=3, kinds=LENSES)


def test_more_images_go_on_from_those_that_are_there(mixed_set, rings_set, tmp_path, monkeypatch):
    few = judge(wide(), [mixed_set, rings_set], tmp_path / "grown", QUICK)
    more = dataclasses.replace(QUICK, per_kind=5)
    seen = []
    plain = ImageJudge._of_image
    monkeypatch.setattr(ImageJudge, "_of_image", lambda self, *of: seen.append(of[2]) or plain(self, *of))
    grown = judge(wide(), [mixed_set, rings_set], tmp_path / "grown", more)
    assert set(seen) == {3, 4}  # rows of the images that are new
    again = judge(wide(), [mixed_set, rings_set], tmp_path / "anew", more)
    assert [row.n for row in few.rows] == [3] * len(few.rows)
    for one, other in zip(grown.rows, again.rows, strict=True):
        assert one.n == other.n == 5
        assert one.value == pytest.approx(other.value, abs=1e-6)  # maps were made in other batches
    seen.clear()
    assert judge(wide(), [mixed_set, rings_set], tmp_path / "grown", QUICK).rows == few.rows
    assert seen == []


def test_a_part_that_was_stopped_goes_on_after_its_last_images(mixed_set, tmp_path, monkeypatch):
    settings = dataclasses.replace(QUICK, per_kind=9, kinds=("single",))
    plain = ImageJudge._of_image

    def stopped(self, explainer, sample, row, *of):
        if explainer.name == "edges" and row == 8:  # eight at a time are written
            raise KeyboardInterrupt
        return plain(self, explainer, sample, row, *of)

    monkeypatch.setattr(ImageJudge, "_of_image", stopped)
    with pytest.raises(KeyboardInterrupt):
        judge(wide(), [mixed_set], tmp_path, settings)
    seen = []
    monkeypatch.setattr(ImageJudge, "_of_image", lambda self, *of: seen.append((of[0].name, of[2])) or plain(self, *of))
    assert judge(wide(), [mixed_set], tmp_path, settings).images == {"single": 9}
    assert [row for name, row in seen if name == "edges"] == [8]


def test_the_check_without_layers_has_the_same_verdict(mixed_set):
    finder = wide()
    images = finder.preprocess(mixed_set.cutouts(range(4)))
    full = randomisation_check(finder, images, "saliency", draws=2)
    short = randomisation_check(finder, images, "saliency", draws=2, layers=False)
    assert (short.excess, short.low, short.high, short.verdict) == (full.excess, full.low, full.high, full.verdict)
    assert short.steps == (full.steps[0], full.steps[-1])
    assert len(full.steps) > 3


def test_a_judgement_of_an_earlier_version_or_another_kind(judged):
    """What a method does not reach was not told once; another format is refused in one line."""
    found, _ = judged
    words = json.loads(json.dumps(found.to_json(), allow_nan=False))
    old = Judgement.from_json({name: value for name, value in words.items() if name != "partial"})
    assert old.partial == {}
    assert (old.views, old.settings) == (found.views, found.settings)
    with pytest.raises(DataError, match=r"^f: .*rows\.0\.n: .*'many'.*; judge it again$"):
        Judgement.from_json({**words, "rows": [{**words["rows"][0], "n": "many"}]}, "f", "judge it again")


def test_a_judgement_of_another_format_is_refused(judged, tmp_path):
    keep_json(tmp_path / "explanation-scores.json", {**judged[0].to_json(), "format": "another/1"})
    with pytest.raises(DataError, match=r"format 'another/1', .* is needed; run lensaudit judge again"):
        Judgement.read(tmp_path)


def stamps(out) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}


def test_an_interrupted_run_goes_on(mixed_set, tmp_path, monkeypatch):
    settings = dataclasses.replace(FAST, parts=("localisation", "deletion"), per_kind=2)
    real = Piece.write
    written = []

    def interrupted(piece, scores):
        if len(written) == 7:
            raise KeyboardInterrupt
        written.append(piece.path)
        real(piece, scores)

    monkeypatch.setattr(Piece, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judge(wide(), [mixed_set], tmp_path, settings)
    before = stamps(tmp_path)
    assert len(before) == 7
    assert not (tmp_path / "explanation-scores.json").exists()

    monkeypatch.setattr(Piece, "write", real)
    lines, bars = [], []
    found = judge(
        wide(), [mixed_set], tmp_path, settings, Watcher(lines.append, lambda done, total: bars.append((done, total)))
    )
    assert lines[0] == "7 parts kept from an earlier run"
    assert lines[1].startswith("about ")
    assert bars == sorted(bars)
    assert bars[-1][0] == bars[-1][1]
    after = stamps(tmp_path)
    assert {name: after[name] for name in before} == before
    whole = judge(wide(), [mixed_set], tmp_path / "whole", settings)
    assert {k: v for k, v in found.to_json().items() if k != "provenance"} == {
        k: v for k, v in whole.to_json().items() if k != "provenance"
    }


def test_parts_finished_elsewhere_make_the_same_judgement(mixed_set, tmp_path):
    """Of a method that fails in one part, the parts after it are left out, as they are where one follows the other."""
    settings = dataclasses.replace(FAST, per_kind=1, kinds=("single", "no-source"), parts=("deletion",))
    judge(wide(), [mixed_set], tmp_path / "here", settings)
    samples, _ = choose(wide(), [mixed_set], 1, settings.settled().kinds)
    for place, broken in (("there", None), ("broken", "gradcam")):
        (tmp_path / place).mkdir()
        run = Run(wide(), [mixed_set], tmp_path / place, settings.settled(), samples, Watcher())
        of = [i for i, task in enumerate(run.tasks()) if task.explainer.name == broken]

        def finish(number, run=run, of=of):
            return number, "is broken" if number in of[:1] else run.finish(number)

        found = judge(wide(), [mixed_set], tmp_path / place, settings, None, (finish, 1))
        if broken is None:
            for name in ("explanation-scores.json", "explanation-scores.parquet"):
                assert (tmp_path / place / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
        else:
            assert found.failed == {"gradcam": "is broken"}
            assert not [row for row in found.rows if row.method == "gradcam"]


def test_torn_and_foreign_parts_are_made_anew(mixed_set, tmp_path):
    settings = dataclasses.replace(FAST, methods=("saliency",), parts=("localisation", "randomisation"), per_kind=2)
    first = judge(wide(), [mixed_set], tmp_path, settings)
    for path in (tmp_path / "parts").iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    assert judge(wide(), [mixed_set], tmp_path, settings) == first
    before = stamps(tmp_path)
    judge(wide(), [mixed_set], tmp_path, dataclasses.replace(settings, seed=1))
    assert all(stamp != before[name] for name, stamp in stamps(tmp_path).items())


def test_a_method_that_cannot_explain_is_named_and_the_others_go_on(mixed_set, tmp_path):
    settings = dataclasses.replace(FAST, parts=("localisation", "randomisation"), per_kind=2)
    found = judge(flat(), [mixed_set], tmp_path, settings)
    assert list(found.failed) == ["gradcam"]
    assert "no convolution" in found.failed["gradcam"]
    assert found.row("saliency", "single", "positive-share").n == 2
    assert found.row("gradcam", "single", "positive-share") is None
    with pytest.raises(DataError, match=r"no method can explain plane: .*no convolution"):
        judge(flat(), [mixed_set], tmp_path / "none", dataclasses.replace(settings, methods=("gradcam",)))


def test_images_that_cannot_be_used_are_named_and_replaced(mixed_set, tmp_path, monkeypatch):
    bad = [i for i, kind in enumerate(mixed_set.column("kind")) if kind == "single"][1]
    real = LensSet.cutouts

    def cutouts(self, index):
        found = real(self, index)
        for place, system in enumerate(np.atleast_1d(index)):
            if system == bad:
                found["Y"][place] = np.nan
        return found

    monkeypatch.setattr(LensSet, "cutouts", cutouts)
    samples, left_out = choose(wide(), [mixed_set], 3)
    (single,) = [sample for sample in samples if sample.kind == "single"]
    assert len(single) == 3
    assert left_out == {f"mixed/{mixed_set.ids[bad]}": "Y has 4356 of 4356 pixels not finite"}


def test_sets_without_truth_or_kinds_are_still_judged(mixed_set, tmp_path, monkeypatch):
    monkeypatch.setattr(LensSet, "has_truth", False)
    monkeypatch.setattr(LensSet, "columns", ("id", "label"))
    settings = dataclasses.replace(FAST, methods=("saliency",), per_kind=2, parts=("localisation", "deletion"))
    found = judge(wide(), [mixed_set], tmp_path, settings)
    assert found.images == {"lens": 2, "non-lens": 2}
    row = found.row("saliency", "lens", "positive-share")
    assert (row.n, row.status) == (0, "no truth: the set was not simulated")
    assert found.row("saliency", "non-lens", "deletion").n == 2


def test_the_finder_is_left_as_it_was(mixed_set, tmp_path):
    finder = wide()
    finder.module.train()
    before = finder.weights_hash
    judge(finder, [mixed_set], tmp_path, dataclasses.replace(FAST, per_kind=1))
    assert all(part.training for part in finder.module.modules())
    assert not any(part._forward_hooks or part._backward_hooks for part in finder.module.modules())
    assert dataclasses.replace(finder).weights_hash == before


def test_compounds_whose_sources_are_both_seen_come_first(rings_set):
    (sample,), _ = choose(wide(), [rings_set], 10)
    apart = sample.sources.apart.tolist()
    assert apart == sorted(apart, reverse=True)
    assert len(sample) == 10
    indices = [system.index for system in sample.systems]
    assert sorted(indices) == list(range(10))


def test_two_sets_of_one_name_are_told_apart(mixed_set):
    samples, _ = choose(wide(), [mixed_set, mixed_set], 4)
    names = [system.name for sample in samples for system in sample.systems]
    assert all(name.startswith(("mixed-1/", "mixed-2/")) for name in names)
    assert len(set(names)) == len(names)


def test_mistakes_are_told(mixed_set, tmp_path):
    with pytest.raises(UsageError, match="no lens set"):
        judge(wide(), [], tmp_path, FAST)
    with pytest.raises(UsageError, match="--per-kind 0 is not possible; choose 1 or more"):
        JudgeSettings(per_kind=0)
    with pytest.raises(UsageError, match="score 'beauty' is not known"):
        JudgeSettings.of_words(None, "beauty")
    with pytest.raises(UsageError, match="method 'magic' is not known"):
        JudgeSettings.of_words("saliency,magic", None)
    with pytest.raises(DataError, match="no such file; write it with lensaudit judge"):
        Judgement.read(tmp_path)
    assert JudgeSettings.of_words(None, None).methods == FOR_ANY
    assert JudgeSettings.of_words(" gradcam , saliency,gradcam", "compound, deletion") == JudgeSettings(
        methods=("gradcam", "saliency"), parts=("deletion", "compound")
    )


@pytest.mark.parametrize("name", ["saliency", "integrated-gradients", "edges", "random", "centre-blob"])
def test_a_map_does_not_depend_on_its_neighbours(name):
    images = torch.rand(3, 4, 24, 24, generator=torch.Generator().manual_seed(1))
    together = attributor(name).maps(wide(), images, 0).total
    alone = attributor(name).maps(wide(), images[2:], 0).total
    np.testing.assert_allclose(together[2], alone[0], rtol=0, atol=1e-5 * abs(alone).max())  # float32 batches
    assert name in METHODS or name in BASELINES
