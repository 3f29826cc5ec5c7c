"""Metrics with intervals: right values, honest intervals, a status where a number does not exist."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from scipy.special import expit
from sklearn import metrics as sklearn_metrics

from lensaudit.evaluation import ScoreHistogram, calibrate, evaluate
from lensaudit.evaluation.metric import allowed_counts, plot_evaluation, recalls
from lensaudit.statistics import roc_curve, wilson_interval

NAMES = ["accuracy", "precision", "recall", "fbeta", "auroc", "tpr0", "tpr10", "tpr_at_fpr"]


def drawn(n: int = 600, seed: int = 1, shift: float = 1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    logit = rng.normal(size=n) + shift * labels - 0.5
    return labels, expit(logit), logit


def test_values_are_scikit_learns():
    labels, p, logit = drawn()
    result, called = evaluate(labels, p, logit, threshold=0.6, beta=0.5), p >= 0.6
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, called),
        "precision": sklearn_metrics.precision_score(labels, called),
        "recall": sklearn_metrics.recall_score(labels, called),
        "fbeta": sklearn_metrics.fbeta_score(labels, called, beta=0.5),
        "auroc": sklearn_metrics.roc_auc_score(labels, logit),
    }
    fpr, tpr, _ = sklearn_metrics.roc_curve(labels, logit, drop_intermediate=False)
    expected |= {
        "tpr0": tpr[fpr == 0].max(),
        "tpr10": tpr[fpr * (labels == 0).sum() < 9.5].max(),
        "tpr_at_fpr": tpr[fpr <= 0.01].max(),
    }
    assert [metric.name for metric in result.metrics] == NAMES
    for metric in result.metrics:
        assert metric.value == pytest.approx(expected[metric.name], abs=1e-12), metric.name
        assert metric.low <= metric.value <= metric.high, metric.name
        assert metric.status == ""
        assert metric.method


def test_each_share_has_its_own_n_and_wilson():
    labels, p, logit = drawn()
    result = evaluate(labels, p, logit)
    recall, precision = result.metric("recall"), result.metric("precision")
    assert recall.n == (labels == 1).sum()
    assert precision.n == (p >= 0.5).sum()
    assert (recall.low, recall.high) == wilson_interval(result.counts.tp, recall.n)


def test_unlabelled_and_unscored_are_left_out_and_counted():
    labels, p, logit = drawn()
    more = evaluate(
        np.r_[labels, [-1] * 7, [1, 0]], np.r_[p, np.full(7, 0.9), [np.nan] * 2], np.r_[logit, np.ones(7), [np.nan] * 2]
    )
    plain = evaluate(labels, p, logit)
    assert (more.n_unlabelled, more.n_unscored) == (7, 2)
    assert more.metrics == plain.metrics


@pytest.mark.parametrize(("value", "absent"), [(1, {"auroc", "tpr0", "tpr10", "tpr_at_fpr"}), (0, {*NAMES[2:]})])
def test_one_class_gives_null_with_a_status(value, absent):
    _, _, logit = drawn(50)
    logit = -np.abs(logit) if value == 0 else logit
    result = evaluate(np.full(50, value), expit(logit), logit)
    for metric in result.metrics:
        if metric.name in absent:
            assert math.isnan(metric.value)
            assert metric.status
            assert metric.to_json()["value"] is None
    assert math.isfinite(result.metric("accuracy").value)
    assert result.roc is None
    json.dumps(result.to_json(), allow_nan=False)


def test_no_labels_at_all_is_no_error():
    result = evaluate([-1, -1], [0.2, 0.3], [-1.0, -0.8])
    assert all(math.isnan(metric.value) and metric.status for metric in result.metrics)
    assert result.n_unlabelled == 2


def test_few_non_lenses_have_no_tpr10():
    labels = np.r_[np.ones(30), np.zeros(9)].astype(int)
    logit = np.arange(39.0)
    metric = evaluate(labels, expit(logit), logit).metric("tpr10")
    assert math.isnan(metric.value)
    assert metric.status == "only 9 non-lenses: every threshold has fewer than ten"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_and_a_hopeless_finder_keep_an_interval(sign):
    labels = np.repeat([1, 0], 40)
    logit = sign * np.where(labels == 1, 5.0, -5.0) + np.random.default_rng(2).normal(size=80) / 10
    for metric in evaluate(labels, expit(logit), logit).metrics:
        assert metric.value == pytest.approx(1.0 if sign == 1 else 0.0), metric.name
        assert 0.02 < metric.high - metric.low < 0.2, f"{metric.name}: 40 images leave some doubt"


def test_the_same_seed_gives_the_same_numbers():
    assert evaluate(*drawn(), seed=4).to_json() == evaluate(*drawn(), seed=4).to_json()
    assert evaluate(*drawn(), seed=4).to_json() != evaluate(*drawn(), seed=5).to_json()


def test_ranking_is_by_logit_where_p_saturates():
    """p is 1.0 in floating point for all, the logits still rank."""
    labels, logit = np.repeat([1, 0], 20), np.r_[np.arange(20) + 800.0, np.arange(20) + 760.0]
    assert evaluate(labels, expit(logit), logit).metric("auroc").value == 1.0


def test_the_band_follows_the_curve():
    labels, p, logit = drawn()
    roc = evaluate(labels, p, logit).roc
    full = roc_curve(logit[labels == 1], logit[labels == 0])
    best = [full.tpr[full.fpr <= rate + 1e-12].max() for rate in roc.fpr]
    assert roc.tpr == pytest.approx(best)
    assert (roc.low <= roc.high).all()
    assert np.mean((roc.low <= roc.tpr) & (roc.tpr <= roc.high)) > 0.95


def test_the_curve_ends_at_one_and_many_points_are_thinned():
    assert allowed_counts(5).tolist() == [0, 1, 2, 3, 4, 5]
    many = allowed_counts(50_000)
    assert many[0] == 0
    assert many[-1] == 50_000
    assert len(many) <= 202
    assert recalls(np.array([1.0]), np.array([2.0, 3.0]), np.array([0, 2])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("labels", [None, 1, -1])
def test_the_plot_is_drawn_for_any_set(tmp_path, labels):
    drawn_labels, p, logit = drawn(60)
    labels = drawn_labels if labels is None else np.full(60, labels)
    plot_evaluation(tmp_path / "e.png", evaluate(labels, p, logit), labels, p, "a title")
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


def test_the_curve_is_drawn_with_its_band_the_threshold_and_n():
    labels, p, logit = drawn(400)
    result = evaluate(labels, p, logit)
    for log in (False, True):
        axes = result.plot(log=log)
        curve = next(line for line in axes.lines if "this finder" in str(line.get_label()))
        assert curve.get_ydata() == pytest.approx(result.roc.tpr)
        low, high = result.roc.low, result.roc.high
        corners = axes.collections[0].get_paths()[0].vertices
        assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((low.min(), high.max()))
        point = next(line for line in axes.lines if line.get_marker() == "o")
        counts = result.counts
        assert point.get_xydata()[0] == pytest.approx([counts.fp / result.n_non_lenses, counts.tp / result.n_lenses])
        assert f"of {result.n_lenses} lenses" in axes.get_ylabel()
        assert f"of {result.n_non_lenses} non-lenses" in axes.get_xlabel()
        assert axes.get_xscale() == ("log" if log else "linear")
    assert f"AUROC {result.metric('auroc').value:.3f}" in axes.get_title(loc="left")


def test_results_are_drawn_where_they_are_told_to():
    labels, p, logit = drawn(200)
    result = evaluate(labels, p, logit)
    for drawing in (result.plot, result.plot_confusion, result.roc.plot, ScoreHistogram.of(labels, p).plot,
                    calibrate(labels, p).plot):  # fmt: skip
        given = Figure().subplots()
        assert drawing(given) is given
        assert given.get_xlabel() or [tick.get_text() for tick in given.get_xticklabels()]
    pyplot = sys.modules.get("matplotlib.pyplot")  # another test may have imported it
    assert pyplot is None or not pyplot.get_fignums()


def test_counts_and_histogram_are_drawn_as_they_are():
    labels, p, logit = drawn(300)
    result = evaluate(labels, p, logit)
    counts = result.counts
    words = [text.get_text().split("\n")[0] for text in result.plot_confusion().texts]
    assert words == [str(n) for n in (counts.tp, counts.fn, counts.fp, counts.tn)]
    histogram = ScoreHistogram.of(labels, p)
    assert ScoreHistogram.from_json(histogram.to_json()).to_json() == histogram.to_json()
    axes = histogram.plot(threshold=0.5)
    stairs = [patch.get_data().values for patch in axes.patches if isinstance(patch, StepPatch)]
    assert [values.tolist() for values in stairs] == [histogram.lenses.tolist(), histogram.non_lenses.tolist()]
    assert histogram.lenses.sum() == result.n_lenses
    assert f"n = {result.n_lenses}" in axes.get_legend().get_texts()[0].get_text()


def test_the_reliability_diagram_shows_every_bin_with_its_interval():
    labels, p, _ = drawn(300)
    found = calibrate(labels, p)
    there = [one for one in found.bins if one.lenses.n]
    axes = found.plot()
    line = next(line for line in axes.lines if line.get_marker() == "o")
    assert line.get_xydata() == pytest.approx(np.array([[one.mean_p, one.lenses.value] for one in there]))
    ends = np.array([segment[:, 1] for segment in axes.collections[0].get_segments()])
    assert ends == pytest.approx(np.array([one.lenses.interval for one in there]))
    assert "n = 300 cutouts" in axes.get_title(loc="left")


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        evaluate([1, 0], [0.5], [0.0])
