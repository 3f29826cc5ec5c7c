"""Cross-validation: folds, parts of a set, out-of-fold scores against their own oracle, going on after Ctrl-C."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import load_finder, score_set
from lensaudit.lensset.part import Part
from lensaudit.training import Machine, Place, TrainingOptions, Watch, cross_validate, folds_of
from lensaudit.training.fit import Fit
from lensaudit.training.sets import fit_to

OPTIONS = TrainingOptions(epochs=2, batch_size=16, learning_rate=3e-3, seed=5, validation_fraction=0.2)
MACHINE = Machine("cpu", 1)
FILES = ("cross-validation.json", "cross-validation.md", "out-of-fold-scores.csv")


def test_folds_part_each_class_alike_and_leave_the_unlabelled_out():
    labels = np.r_[np.zeros(45, int), np.ones(23, int), -np.ones(6, int)]
    found = folds_of(labels, 7, seed=1)
    assert (found[labels == -1] == -1).all()
    for value in (0, 1):
        counts = np.bincount(found[labels == value], minlength=8)[1:]
        assert counts.sum() == (labels == value).sum()
        assert counts.max() - counts.min() <= 1
    assert np.array_equal(found, folds_of(labels, 7, seed=1))
    assert not np.array_equal(found, folds_of(labels, 7, seed=2))


@pytest.mark.parametrize(
    ("lenses", "others", "folds", "error", "line"),
    [
        (5, 90, 7, DataError, "has 5 lenses for 7 folds; give --folds 5 or fewer, or more lenses"),
        (
            90,
            1,
            2,
            DataError,
            "a fold would have one class: the set has 1 non-lenses for 2 folds; give more non-lenses",
        ),
        (0, 90, 7, DataError, "has 0 lenses for 7 folds; give more lenses"),
        (90, 90, 1, UsageError, "--folds 1: at least 2 are needed"),
    ],
)
def test_a_fold_with_one_class_is_refused(lenses, others, folds, error, line):
    with pytest.raises(error, match=line):
        folds_of(np.r_[np.ones(lenses, int), np.zeros(others, int)], folds, 1)


def test_a_part_is_the_set_s_own_rows(mixed):
    rows = np.array([40, 3, 17])
    part = Part(mixed, rows)
    assert (len(part), part.header.n) == (3, 3)
    assert part.ids == [mixed.ids[row] for row in rows]
    assert np.array_equal(part.labels, mixed.labels[rows])
    for index in (slice(1, 3), [2, 0], -1, np.array([True, False, True])):
        positions = np.atleast_1d(rows[index])
        assert np.array_equal(part.images("VIS", index), mixed.images("VIS", positions))
    assert part.wcs(1, "VIS").wcs.cdelt.tolist() == mixed.wcs(3, "VIS").wcs.cdelt.tolist()
    with pytest.raises(UsageError, match="system 3 does not exist; there are 3"):
        part.images("VIS", 3)
    hashes = {Part(mixed, np.array(of)).content_hash for of in ([40, 3, 17], [40, 3], [3, 40, 17])}
    assert len(hashes | {mixed.content_hash}) == 4
    assert part.content_hash in hashes


def lines_of(path) -> list[dict]:
    return list(csv.DictReader((path / "out-of-fold-scores.csv").read_text().splitlines()))


def test_every_image_is_scored_by_the_finder_that_never_saw_it(tiny, mixed, tmp_path):
    recipe = tiny.model_copy(update={"stretch": "noise"})
    found = cross_validate(recipe, mixed, Place(tmp_path / "cv"), OPTIONS, 3, MACHINE)
    lines, number_of = lines_of(tmp_path / "cv"), folds_of(mixed.labels, 3, OPTIONS.seed)
    assert [line["id"] for line in lines] == mixed.ids
    assert [int(line["fold"]) for line in lines] == number_of.tolist()
    for fold in found.folds:
        finder = load_finder(str(tmp_path / "cv" / f"fold-{fold.number}"))
        others = Part(mixed, np.flatnonzero(number_of != fold.number))
        assert finder.statistics["mean"].equal(fit_to([others], recipe)[1]["mean"]), (
            "the fold's own images are in its figures"
        )
        whole = score_set(finder, mixed)
        mine = [float(lines[row]["logit"]) for row in fold.rows]
        assert mine == pytest.approx(whole.logit[fold.rows], rel=1e-6, abs=1e-6)  # float32, another batch
        labels, p = mixed.labels[fold.rows], whole.p_lens[fold.rows]
        assert fold.evaluation.metric("auroc").value == pytest.approx(roc_auc_score(labels, mine))
        assert fold.evaluation.metric("fbeta").value == pytest.approx(f1_score(labels, p >= 0.5))
    words = json.loads((tmp_path / "cv" / "cross-validation.json").read_text())
    for name, metric in (("auroc", "auroc"), ("f1", "f1")):
        values = [fold[metric]["value"] for fold in words["folds"]]
        assert words[name]["mean"] == pytest.approx(np.mean(values))
        assert words[name]["deviation_over_folds"] == pytest.approx(np.std(values, ddof=1))
    table = (tmp_path / "cv" / "cross-validation.md").read_text()
    assert f"{words['auroc']['mean']:.4f} ± {words['auroc']['deviation_over_folds']:.4f}" in table
    assert (tmp_path / "cv" / "cross-validation.png").stat().st_size > 10_000


def test_interrupted_it_goes_on_and_ends_alike(tiny, mixed, tmp_path, monkeypatch):
    place, again = Place(tmp_path / "whole"), Place(tmp_path / "stopped")
    cross_validate(tiny, mixed, place, OPTIONS, 3, MACHINE)

    def stop_in_the_second(fold: int) -> Watch:
        def stepped(progress, steps):
            if fold == 2 and progress.epoch == 1:
                raise KeyboardInterrupt

        return Watch(stepped=stepped)

    with pytest.raises(KeyboardInterrupt):
        cross_validate(tiny, mixed, again, OPTIONS, 3, MACHINE, stop_in_the_second)
    assert not (again.out / "fold-3").exists()
    cross_validate(tiny, mixed, again, OPTIONS, 3, MACHINE)
    for name in FILES:
        assert (again.out / name).read_bytes() == (place.out / name).read_bytes(), name

    def refuse(*_):
        raise AssertionError("it trains again what is there")

    monkeypatch.setattr(Fit, "run", refuse)
    cross_validate(tiny, mixed, again, OPTIONS, 3, MACHINE)


def test_the_command_prints_the_table_and_refuses_in_one_line(cli, mixed, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: tiny\narchitecture: tiny\nbands: [H, VIS]\nsize: 12\nfield_of_view_arcsec: 2.05\ntraining: {epochs: 1}\n"
    )
    words = ["cross-validate", str(recipe), "--data", str(mixed.path), "--out", str(tmp_path / "cv"), "--device", "cpu"]
    ran = cli(*words, "--folds", 2, "--threads", 1)
    assert "Recipe `tiny`, 648 parameters: 2 folds of 60 images" in ran.stdout
    assert "mean ± standard deviation over folds" in ran.stdout
    with pytest.raises(DataError, match="20 lenses for 21 folds"):
        cli(*words, "--folds", 21)
