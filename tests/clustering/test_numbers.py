"""Ratios against images that are really repeated, clusters counted by hand, marks, splitting and variance."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from lensaudit.clustering import (
    at_ratios,
    clusters_of,
    known_fractions,
    lenses_in_rich_clusters,
    passes_cut,
    read_marks,
    splitting_of,
)
from lensaudit.clustering.examinations import explained
from lensaudit.errors import DataError, UsageError
from lensaudit.finders.layers import MixtureHead


def scores(n_lenses=80, n_others=150, seed=1):
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0, -1], [n_lenses, n_others, 5])
    return labels, rng.normal(np.where(labels == 1, 1.0, -1.0), 1.2)


@pytest.mark.parametrize("ratio", [1, 20, 100])
def test_a_ratio_is_what_repeating_the_non_lenses_gives(ratio):
    labels, logit = scores()
    lenses, others = logit[labels == 1], logit[labels == 0]
    # every non-lens `8 ratio` times and every lens 15 times: 1 : ratio exactly
    built = np.concatenate([np.repeat(lenses, 15), np.repeat(others, 8 * ratio)])
    truth = np.repeat([1, 0], [15 * len(lenses), 8 * ratio * len(others)])
    found = at_ratios(labels, logit, ratios=[ratio])[0]
    for name, measure in (
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
        ("accuracy", accuracy_score),
    ):
        between = getattr(found, name)
        assert between.value == pytest.approx(measure(truth, built >= 0), abs=1e-12), name
        assert between.low < between.value < between.high
    assert found.auroc.value == pytest.approx(roc_auc_score(truth, built), abs=1e-12)


def test_intervals_are_those_of_resampling():
    labels, logit = scores()
    lenses, others = logit[labels == 1], logit[labels == 0]
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(2000):
        recall = np.mean(rng.choice(lenses, len(lenses)) >= 0)
        false_positives = 100 * np.mean(rng.choice(others, len(others)) >= 0)
        drawn.append(recall / (recall + false_positives))
    found = at_ratios(labels, logit, ratios=[100])[0].precision
    # about 30 false positives decide it: the two ways differ by a tenth of the width at most
    width = found.high - found.low
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([found.low, found.high], abs=0.15 * width)


def test_no_false_positive_seen_is_not_none_there():
    found = at_ratios([1] * 50 + [0] * 50, [2.0] * 50 + [-2.0] * 50, ratios=[10_000])[0]
    assert found.precision.value == 1.0
    assert found.precision.low < 0.01


def test_a_missing_class_is_told():
    with pytest.raises(DataError, match="need lenses and non-lenses"):
        at_ratios([1, 1], [0.1, 0.2])


def test_clusters_are_counted_and_an_empty_one_says_nothing():
    labels = np.array([1, 1, 0, 0, 0, -1, 1])
    clusters = clusters_of([0, 0, 0, 2, 2, 2, 2], labels, 4, {0: 1.0})
    assert [(one.n, one.lenses.k, one.lenses.n, one.is_empty) for one in clusters] == [
        (3, 2, 3, False),
        (0, 0, 0, True),
        (4, 1, 3, False),
        (0, 0, 0, True),
    ]
    assert [one.mark for one in clusters] == [1.0, None, None, None]
    assert known_fractions(clusters) == pytest.approx([2 / 3, 3 / 6, 1 / 3, 3 / 6])
    assert clusters[1].to_json()["lenses"]["value"] is None
    assert known_fractions(clusters_of([0, 1], [-1, -1], 2)).tolist() == [0.5, 0.5]


def test_share_of_lenses_in_rich_clusters():
    share = lenses_in_rich_clusters([0.6, 0.59, 0.9], [0, 0, 1, 2, 2], [1, 1, 1, 1, 0])
    assert (share.k, share.n) == (3, 4)


def marked(tmp_path, **words):
    path = tmp_path / "marks.json"
    path.write_text(json.dumps({"clusters": "ab12", "marks": {"0": 1, "2": 0.5}} | words))
    return path


def test_marks_are_read_and_the_rest_is_one_half(tmp_path):
    assert read_marks(marked(tmp_path), "ab12", 4).values(4).tolist() == [1.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"clusters": "cd34"}, "marks the clusters cd34, these are ab12; mark clusters.html of this run"),
        ({"marks": {"4": 1}}, "marks cluster 4, there are 0 to 3"),
        ({"marks": {"1": 0.7}}, "marks cluster 1 with 0.7; 0, 0.5 and 1 are allowed"),
        ({"marks": {"one": 1}}, "valid integer"),
        ({"by": "me"}, "by: Extra inputs are not permitted"),
    ],
)
def test_marks_of_other_clusters_or_other_words_are_one_line(tmp_path, words, says):
    with pytest.raises(DataError) as refused:
        read_marks(marked(tmp_path, **words), "ab12", 4)
    assert says in str(refused.value)
    assert "marks.json" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_of_marks_that_is_not_there_or_torn(tmp_path):
    with pytest.raises(UsageError, match=r"no such file; save it from clusters\.html"):
        read_marks(tmp_path / "none.json", "ab12", 4)
    (tmp_path / "torn.json").write_text('{"clusters": "a')
    with pytest.raises(DataError, match=r"torn\.json: is not readable as JSON"):
        read_marks(tmp_path / "torn.json", "ab12", 4)


def test_splitting_by_hand():
    """Two clusters on a line, at −1 and 1; of four images one changes in two turns, one in all seven."""
    head = MixtureHead(2, 1)
    head.reset_parameters()
    head.means[:] = torch.tensor([[-1.0], [1.0]])
    head.known[:] = torch.tensor([0.2, 0.8])
    embeddings = np.array([-1, 1, 1, -1], np.float32)[:, None, None].repeat(8, axis=1)
    embeddings[1, 3:5] = -1
    embeddings[2, 1:] = -1
    found = splitting_of(head, embeddings)
    assert found.by_one.value == pytest.approx((2 / 7 + 1) / 4)
    assert (found.ever.k, found.ever.n, found.call.k) == (2, 4, 2)
    assert found.by_chance == pytest.approx(4 / 6)  # two and two: of six pairs four differ
    still = splitting_of(head, embeddings[[0, 3]])
    assert still.by_one.value == 0.0
    assert still.by_one.high > 0.5, "two images leave much room"
    with pytest.raises(DataError, match="needs two of them at least"):
        splitting_of(head, embeddings[:1])


def test_explained_variance_is_one_for_groups_and_none_by_chance():
    rng = np.random.default_rng(1)
    groups = rng.integers(10, size=3000)
    assert explained(groups[:, None].astype(float), groups) == pytest.approx(1.0)
    # unbiased; spread of η² with 9 and 2 990 degrees of freedom is 1.4e-3
    assert explained(rng.normal(size=(3000, 1)), groups) == pytest.approx(0.0, abs=5e-3)


def test_the_cut_keeps_strong_lenses_and_all_non_lenses(mixed):
    kept = passes_cut(mixed)
    strong = (mixed.column("n_arc_pixels") >= 100) & (mixed.column("arc_snr") >= 50)
    assert kept.tolist() == ((mixed.labels == 0) | strong).tolist()
