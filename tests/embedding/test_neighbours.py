"""Errors and their neighbours where these lie in another set, what the map is drawn from, and what files rest on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from lensaudit.embedding import measure
from lensaudit.embedding.measure import EmbedOptions
from lensaudit.embedding.neighbours import Asked, neighbours_of
from lensaudit.embedding.vectors import Vectors, layer_of, store_in
from tests.realism_gate.toys import toy_finder


def made_up(name, labels, logit, values):
    n = len(labels)
    ids = tuple(f"{name}{row}" for row in range(n))
    values = np.array(values, np.float32)
    return Vectors(np.arange(n), ids, ("ok",) * n, np.array(labels, np.int8), np.array(logit, float), values)


def test_errors_stand_the_worst_first_and_their_neighbours_are_the_other_sets():
    line = [[float(row)] for row in range(5)]
    vectors = made_up("v", [0, 0, 1, 1, 0], [1.0, 3.0, -1.0, -4.0, 2.0], line)
    gallery = made_up("g", [0, 1, 0, 1, 1], [-0.5, 0.25, -2.0, 5.0, 1.5], line)
    found, table = neighbours_of(vectors, gallery, 0.5, Asked("euclidean", 2), "training", np.random.default_rng(0))
    assert [one.id for one in found.errors] == ["v3", "v2", "v1", "v4", "v0"]  # missed lenses, then false positives
    worst = found.errors[0].neighbours
    assert [(one.id, one.label, one.p) for one in worst[:1]] == [("g3", 1, pytest.approx(expit(5.0)))]
    assert table["neighbour_p_lens"].to_numpy() == pytest.approx(
        [expit(gallery.logit[int(name[1:])]) for name in table["neighbour"].to_pylist()]
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_map_is_drawn_from_what_the_metric_sees(metric, planted, monkeypatch):
    """Of angles alone: the length of a vector is no distance to the cosine."""
    drawn = []
    monkeypatch.setattr(
        "lensaudit.ensembles.map_picture.embedded",
        lambda values, perplexity, seed: drawn.append(values) or np.zeros((len(values), 2)),
    )
    n = len(planted)
    values = np.random.default_rng(1).normal(size=(n, 4)) * np.linspace(1, 9, n)[:, None]
    vectors = made_up("v", [0] * n, [0.0] * n, values)
    measure._map(planted, vectors, EmbedOptions(metric=metric), lambda stage, done, total: None)
    wanted = values / np.linalg.norm(values, axis=1, keepdims=True) if metric == "cosine" else values
    np.testing.assert_allclose(drawn[0], wanted, rtol=1e-6)  # float32 vectors


def test_files_of_one_layer_are_not_those_of_another_of_as_many_numbers(planted, tmp_path):
    finder = toy_finder()
    keys = {store_in(tmp_path, finder, planted, layer_of(finder, name), None).of for name in ("0", "1", "", "5")}
    assert len(keys) == 4  # layers 0 and 1 are of 6 maps each
