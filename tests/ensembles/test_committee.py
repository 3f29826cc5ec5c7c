"""A committee is its members' log-odds, joined: by hand, saved, scored, explained, and as far apart as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import entropy as scipy_entropy

from lensaudit.ensembles import CommitteePlan, EnsemblePlan, committee_of, fit_committee, fit_ensemble
from lensaudit.ensembles.fit import Sets
from lensaudit.ensembles.stack import FOLDS, RIDGE, log_loss, stacked
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.disagreement import error_signals
from lensaudit.explaining import occlusion
from lensaudit.finders import load_finder, read_scores, save_finder, score_set, write_scores
from lensaudit.finders.committee import Disagreement
from lensaudit.finders.facts import TrainingFacts
from lensaudit.finders.score_parts import ScorePart
from lensaudit.report import AuditOptions
from lensaudit.report.performance import performance_block
from lensaudit.report.schema import Performance
from lensaudit.statistics import auroc

from .conftest import cutouts, make_member, write_ringed


@pytest.fixture
def alike() -> list:
    """Three of one input, two of them of one name, with thresholds of their own."""
    return [
        make_member(name, ("H", "VIS"), seed, threshold=cut)
        for name, seed, cut in (("a", 1, 0.4), ("a", 2, 0.5), ("b", 3, 0.7))
    ]


@pytest.fixture
def declared() -> list:
    """Two that share preprocessing in steps."""
    steps = [{"step": "minmax"}, "resize"]
    return [make_member(name, ("H", "VIS"), seed, preprocessing=steps) for name, seed in (("a", 1), ("b", 2))]


def logits_of(members, training) -> np.ndarray:
    return np.stack([score_set(one, training).logit for one in members], axis=1)


@pytest.mark.parametrize(("kind", "joined"), [("mean", np.mean), ("median", np.median)])
@pytest.mark.parametrize("inputs", ["alike", "members", "declared"])
def test_it_is_what_numpy_makes_of_its_members(kind, joined, inputs, training, tmp_path, request):
    members = request.getfixturevalue(inputs)
    finder = fit_committee(members, tmp_path / "c", CommitteePlan(kind), (training, None)).finder
    assert (finder.recipe.stretch == "native") == (inputs == "members")
    each = logits_of(members, training)
    scores = score_set(finder, training)
    # Members' own scores in float32; members of different inputs resize pixels that were resized before.
    np.testing.assert_allclose(scores.logit, joined(each, axis=1), rtol=0, atol=1e-4 if inputs == "members" else 1e-5)
    assert np.ptp(each, axis=0).min() > 1e-2  # so that a wrong member would be seen
    found = scores.members
    np.testing.assert_allclose(found.disagreement, each.std(axis=1), rtol=0, atol=1e-4)  # as above
    thresholds = np.array([one.recipe.threshold for one in members])
    np.testing.assert_array_equal(found.votes, (expit(each) >= thresholds).mean(axis=1))


def test_names_are_numbered_and_the_threshold_is_the_members_mean(alike, training):
    finder = committee_of(alike, CommitteePlan("median"))
    assert [one.name for one in finder.recipe.members] == ["a-1", "a-2", "b"]
    assert finder.recipe.threshold == pytest.approx(expit(np.mean(np.log([0.4 / 0.6, 1.0, 0.7 / 0.3]))))
    assert committee_of(alike[:2], CommitteePlan("stack")).recipe.threshold == 0.5


def test_mutual_information_is_that_of_scipy():
    z = np.array([[-3.0, 3.0, 0.1], [2.0, 2.0, 2.0], [0.0, np.nan, 1.0]])
    found = Disagreement.between(z, np.array([0.5, 0.5, 0.5]))

    def entropy(p: float) -> float:
        return float(scipy_entropy([p, 1 - p]))

    p = expit(z[0])
    assert found.information[0] == pytest.approx(entropy(p.mean()) - np.mean([entropy(one) for one in p]))
    assert (found.information[1], found.disagreement[1], found.votes[1]) == (0.0, 0.0, 1.0)
    assert np.isnan(found.information[2])
    assert np.isnan(found.votes[2])


def test_members_vote_at_their_own_thresholds():
    z = np.log(np.array([[0.45, 0.45, 0.45], [0.6, 0.6, 0.6], [0.4, 0.5, 0.69]]))
    z -= np.log1p(-np.exp(z))
    found = Disagreement.between(z, np.array([0.4, 0.5, 0.7]))
    assert found.votes.tolist() == [1 / 3, 2 / 3, 2 / 3]


def test_saved_scored_and_read_back(members, training, tmp_path):
    finder = fit_committee(members, tmp_path / "c", CommitteePlan(), (training, training)).finder
    save_finder(finder, tmp_path / "again", origin="test")
    again = load_finder(str(tmp_path / "again"))
    scores = score_set(again, training)
    assert np.array_equal(scores.logit, score_set(finder, training).logit)
    for name in ("s.parquet", "s.fits"):
        write_scores(scores, tmp_path / name, {"finder": "c"})
        read = read_scores(tmp_path / name)[0]
        for column, values in scores.members.columns().items():
            np.testing.assert_array_equal(read.members.columns()[column], values)
    card = (tmp_path / "c" / "card.md").read_text(encoding="utf-8")
    assert "Mean of the log-odds of both, only-h." in card
    assert "| AUROC |" in card


def test_parts_of_a_large_table_hold_how_far_members_are_apart(alike, training):
    finder = committee_of(alike, CommitteePlan())
    part = ScorePart("committee", training.path, cast(Any, None), cast(Any, None)).scored(finder, training)
    for column, values in score_set(finder, training).members.columns().items():
        np.testing.assert_array_equal(part.column(column), values)


def test_broken_images_have_no_score_and_no_disagreement(members, training, tmp_path):
    images = cutouts(6)
    images["H"][4] = np.nan
    finder = committee_of(members, CommitteePlan(), training)
    scores = score_set(finder, write_ringed(tmp_path / "broken", images))
    assert [row for row in range(6) if scores.status[row] != "ok"] == [4]
    assert np.flatnonzero(np.isnan(scores.members.disagreement)).tolist() == [4]


@pytest.mark.parametrize("inputs", ["alike", "members"])
def test_gradients_pass_through_the_members(inputs, training, request):
    members = request.getfixturevalue(inputs)
    finder = committee_of(members, CommitteePlan(), training)
    assert finder.differentiable
    image = finder.preprocess(training.cutouts(slice(3, 4)))
    asked = image.clone().requires_grad_()
    finder.logit(asked).sum().backward()
    assert bool(torch.isfinite(asked.grad).all())
    step, towards = 1e-3, torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    double = [finder.logit(image + sign * step * towards).item() for sign in (1, -1)]
    # Central differences of a piecewise linear network in float32.
    assert (double[0] - double[1]) / (2 * step) == pytest.approx(
        float((asked.grad * towards).sum()), rel=0.05, abs=2e-3
    )


def test_occlusion_of_a_committee_is_the_mean_of_its_members(alike, training):
    finder = committee_of(alike, CommitteePlan())
    cutout = {band: images[0] for band, images in training.cutouts(slice(1, 2)).items()}
    maps = [occlusion(one, cutout, patch=3, stride=3).maps[0] for one in (finder, *alike)]
    np.testing.assert_allclose(maps[0], np.mean(maps[1:], axis=0), rtol=0, atol=1e-5)  # float32


def test_a_stack_is_the_penalised_maximum_of_the_likelihood():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 300)
    logits = np.column_stack([2.0 * (labels - 0.5) * strength + rng.normal(0, 2, 300) for strength in (2, 1, 0)])
    found = stacked(logits, labels, seed=1)
    scaled = (logits - logits.mean(0)) / logits.std(0)

    def loss(w: np.ndarray) -> float:
        z = scaled @ w[:-1] + w[-1]
        return float(np.sum(np.logaddexp(0, z) - labels * z) + RIDGE / 2 * w[:-1] @ w[:-1])

    best = minimize(loss, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(found.weights * logits.std(0), best[:-1], rtol=0, atol=1e-4)  # scipy's stopping rule
    assert abs(found.weights[2]) < found.weights[0]
    assert log_loss(labels, found.out_of_fold) > log_loss(labels, logits @ found.weights + found.bias)
    # Out of fold: an image is scored without itself.
    without = np.flatnonzero(found.out_of_fold == found.out_of_fold)
    assert len(without) == 300
    assert FOLDS == 5


def test_a_stack_from_the_command_line(lensaudit, member_folders, training, tmp_path):
    out = tmp_path / "stack"
    done = lensaudit("ensemble", *member_folders, "--kind", "stack", "--data", training.path, "--out", out)
    assert done.code == 0, done.err
    assert "stack, out of fold: AUROC " in done.out
    finder = load_finder(str(out))
    members = [load_finder(folder) for folder in member_folders]
    wanted = stacked(logits_of(members, training), training.labels.astype(int), 1)
    np.testing.assert_allclose(finder.module.weights.numpy(), wanted.weights, rtol=1e-3)  # native pixels, resized back
    scores = tmp_path / "s.parquet"
    assert lensaudit("score", out, training.path, "--out", scores).code == 0
    done = lensaudit("evaluate", out, training.path, "--scores", scores, "--out", tmp_path / "e")
    assert "Disagreement of its members: no errors to tell" in done.out  # forty rings, and a stack fitted to them
    record = json.loads((tmp_path / "e" / "evaluation.json").read_text(encoding="utf-8"))
    assert record["errors"]["signals"][0]["name"] == "disagreement"
    again = lensaudit("ensemble", *member_folders, "--kind", "mean", "--data", training.path, "--out", out)
    assert (again.code, "holds a finder already" in again.err) == (2, True)


def test_what_cannot_be_a_committee_is_said_in_one_line(members, alike, training, tmp_path, lensaudit, member_folders):
    with pytest.raises(UsageError, match="take different inputs; name with --data"):
        committee_of(members, CommitteePlan())
    with pytest.raises(UsageError, match="--kind stack: is fitted to labelled images"):
        fit_committee(alike, tmp_path / "x", CommitteePlan("stack"))
    with pytest.raises(DataError, match="a stack needs 20 of each"):
        fit_committee(alike, tmp_path / "x", CommitteePlan("stack", images=10), (training, None))
    nested = committee_of(alike, CommitteePlan())
    with pytest.raises(UsageError, match="an ensemble itself"):
        committee_of([nested, alike[0]], CommitteePlan(), training)
    assert "--kind tsne needs --data" in lensaudit("ensemble", *member_folders, "--out", tmp_path / "y").err
    assert "name the members" in lensaudit("ensemble", "--kind", "mean", "--out", tmp_path / "y").err


def test_signals_are_areas_of_wrong_over_right_calls():
    labels = np.array([1, 1, 0, 0, 1, -1], np.int8)
    logits = np.array([2.0, -1.0, 0.5, -3.0, np.nan, 9.0])
    members = {name: np.array([0.1, 0.9, 0.8, 0.2, 0.0, 0.0]) for name in ("disagreement", "votes", "information")}
    found = error_signals(labels, logits, 0.0, members)
    assert (found.n_wrong, found.n_right) == (2, 2)
    assert found.signals[0].auroc == 1.0 == auroc(np.array([0.9, 0.8]), np.array([0.1, 0.2]))
    assert found.signals[3].auroc == 1.0  # −1 and 0.5 lie nearer to the threshold than 2 and −3
    assert "2 errors from 2 right calls" in found.sentence


def test_the_report_says_what_tells_the_errors_of_a_committee(alike, training):
    finder = committee_of(alike, CommitteePlan())
    scores = score_set(finder, training)
    cut = float(np.median(scores.p_lens))  # so that some are called wrongly
    block = performance_block(training.labels, scores, cut, AuditOptions())
    wanted = error_signals(training.labels, scores.logit, float(np.log(cut / (1 - cut))), scores.members.columns())
    assert block.errors == wanted
    assert wanted.n_wrong > 0
    assert Performance.from_json(json.loads(json.dumps(block.to_json()))).errors == wanted
    plain = performance_block(training.labels, replace(scores, members=None), cut, AuditOptions())
    assert "errors" not in plain.to_json()


def test_what_trained_a_member_is_known_of_what_it_is_a_member_of(members, training, tmp_path):
    """Else a committee would be calibrated on, or said to be measured on, images that its members know."""
    known = TrainingFacts(set="a", earlier_sets=("b",)), TrainingFacts(set="b")
    for member, facts in zip(members, known, strict=True):
        save_finder(member, tmp_path / member.name, origin="test", training_data=facts)
    opened = [load_finder(str(tmp_path / member.name)) for member in members]
    mean = fit_committee(opened, tmp_path / "mean", CommitteePlan(), (training, None))
    mapped = fit_ensemble(opened, Sets(training), tmp_path / "map", EnsemblePlan(cells=6, perplexity=5))
    for fitted in (mean, mapped):
        facts = fitted.record.training_data
        assert [facts.seen_as(one) for one in ("a", "b", "c")] == ["training", "training", ""]
    assert mapped.record.training_data.seen_as(training.content_hash) == "training"
