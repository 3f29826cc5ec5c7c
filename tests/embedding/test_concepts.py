"""Concept vectors against captum's TCAV and closed forms."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

import lensaudit as la
from lensaudit.embedding.concepts import KINDS, WITHOUT, Slopes, concept_of, measure_concepts, vector_of
from lensaudit.errors import UsageError
from lensaudit.realism_gate.last_layer import named_layer
from lensaudit.statistics import holm
from tests.realism_gate.toys import BANDS, SIDE, toy_finder, toy_module

LAYER = "3"


def silent(done: int, total: int) -> None:
    """Tell nobody."""


def test_scores_are_captum_s(tmp_path):
    """Its TCAV with plain gradients and our vector as its classifier: sign count and magnitude."""
    from captum.attr import LayerGradientXActivation
    from captum.concept import TCAV, Classifier, Concept

    finder = toy_finder(toy_module())
    slopes = Slopes(finder, named_layer(finder, LAYER, 999))
    draws = torch.Generator().manual_seed(1)
    there, without, images = (torch.rand(24, len(BANDS), SIDE, SIDE, generator=draws) for _ in range(3))
    there = there + 0.3
    rows = [slopes.of(one, False)[0] for one in (there, without)]
    vector = vector_of(*rows, 1.0, np.ones(rows[0].shape[1]))

    class Ours(Classifier):
        def __init__(self):
            pass

        def train_and_eval(self, dataloader, **_):
            for _ in dataloader:
                pass
            return {"accs": torch.tensor(1.0)}

        def weights(self):
            return torch.from_numpy(np.stack([vector, -vector])).float()

        def classes(self):
            return [0, 1]

    module = nn.Sequential(*finder.module, nn.Flatten(0)).eval()
    concepts = [Concept(number, f"c{number}", one[:, None]) for number, one in enumerate((there, without))]
    method = LayerGradientXActivation(module, None, multiply_by_inputs=False)
    tcav = TCAV(module, [LAYER], classifier=Ours(), layer_attr_method=method, save_path=str(tmp_path))
    found = tcav.interpret(images, [concepts])["0-1"][LAYER]
    gradients = slopes.of(images, True)[1]
    assert float(found["sign_count"][0]) == pytest.approx((gradients @ vector > 0).mean(), abs=1e-6)
    assert float(found["magnitude"][0]) == pytest.approx((gradients @ vector).mean(), rel=1e-4)  # float32


def test_gradients_of_maps_are_of_a_shift_everywhere():
    finder = toy_finder(toy_module())
    slopes = Slopes(finder, named_layer(finder, "0", 999))
    images = torch.rand(5, len(BANDS), SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    activation, gradient = slopes.of(images, True)
    with torch.inference_mode():
        maps = finder.module[0](images)
        rest, exact, step = nn.Sequential(*list(deepcopy(finder.module))[1:]).double(), maps.double(), 1e-7
        shifted = [rest(exact + step * torch.eye(6)[k][None, :, None, None])[:, 0] for k in range(6)]
        slope = torch.stack([(one - rest(exact)[:, 0]) / step for one in shifted], dim=1)
    assert activation == pytest.approx(maps.mean(dim=(2, 3)).numpy(), abs=1e-5)  # float32 sums
    assert gradient == pytest.approx(slope.numpy(), abs=1e-4)  # float32; a ReLU may switch within the step


def drawn(shift, n=80):
    rng = np.random.default_rng(6)
    galaxy = rng.normal(size=(n, 5))
    return galaxy + rng.normal(scale=0.2, size=(n, 5)) + shift, galaxy


def test_a_concept_along_the_gradient_counts_and_one_across_it_does_not():
    rng = np.random.default_rng(8)
    gradients = np.array([2.0, 0, 0, 0, 0]) + rng.normal(scale=0.1, size=(50, 5))
    along, across = (
        concept_of(name, "", *drawn(np.array(shift)), gradients, np.random.default_rng(0))
        for name, shift in (("along", [1.5, 0, 0, 0, 0]), ("across", [0, 1.5, 0, 0, 0]))
    )
    assert (along.score, along.p) == (1.0, 1 / 500)
    assert along.slope == pytest.approx(2 * 1.5, rel=0.1)  # gradient times the mean distance; 80 pairs
    assert along.slope_low < 3 < along.slope_high * 1.1
    assert across.p > 0.05
    assert along.auroc > 0.7  # galaxies scatter by 1, so 1.5 is told apart in most pairs
    assert abs(across.slope) < 0.5


def test_a_concept_that_is_none_is_not_told_apart():
    found = concept_of("none", "", *drawn(np.zeros(5)), np.ones((10, 5)), np.random.default_rng(0))
    assert found.auroc_low < 0.5 < found.auroc_high
    assert found.p > 0.05


def test_a_concept_against_the_gradient_counts_as_much():
    gradients = np.array([-2.0, 0, 0, 0, 0]) + np.random.default_rng(8).normal(scale=0.1, size=(50, 5))
    found = concept_of("against", "", *drawn(np.array([1.5, 0, 0, 0, 0])), gradients, np.random.default_rng(0))
    assert (found.score, found.p) == (0.0, 1 / 500)
    assert found.slope == pytest.approx(-2 * 1.5, rel=0.1)  # as above


def test_images_whose_log_odds_do_not_move_do_not_rise():
    gradients = np.where(np.arange(50)[:, None] < 20, [2.0, 0, 0, 0, 0], np.zeros(5))  # behind a dead ReLU, say
    found = concept_of("along", "", *drawn(np.array([1.5, 0, 0, 0, 0])), gradients, np.random.default_rng(0))
    assert found.score == 0.4


def test_more_features_than_pairs_tell_nothing_apart_that_they_were_not_fitted_to():
    """On its own 25 pairs the vector is right each time."""
    there, without = np.random.default_rng(4).normal(size=(2, 25, 80))
    own = vector_of(there, without, 1.0, np.ones(80))
    assert ((there - without) @ own > 0).all()
    found = concept_of("none", "", there, without, np.ones((10, 80)), np.random.default_rng(0))
    assert found.auroc_low < 0.5 < found.auroc_high


def test_what_cannot_be_asked(planted):
    finder = toy_finder()
    for names, n, line in (
        (("rings",), 30, "--concept 'rings' is not known; allowed: arcs, companions, spirals"),
        (("arcs",), 3, "--concept-n 3: at least 20 pairs are needed"),
    ):
        with pytest.raises(UsageError, match=line):
            measure_concepts(finder, planted, names, "", n, 0, silent)


def test_concepts_of_a_set_in_the_record(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(324, 1))
    finder = la.declare_finder(net, bands=("VIS",), size=40, name="mine")
    lenses = la.simulate("euclid", n=24, seed=3)
    record = la.embed(
        finder, lenses, map_n=0, read=False, concepts=("arcs", "spirals"), concept_n=20, out=tmp_path / "out"
    ).record
    assert record.concepts is not None
    arcs, spirals = record.concepts.rows
    assert record.concepts.layer.words == "output of layer 0, 4 numbers, averaged over the positions of an image"
    assert (arcs.name, arcs.n, arcs.n_images) == ("arcs", 20, int((lenses.labels == 1).sum()))
    assert [arcs.p_holm, spirals.p_holm] == holm([arcs.p, spirals.p]).tolist()
    assert max(arcs.p_holm, spirals.p_holm) > min(arcs.p, spirals.p)
    assert arcs.low <= arcs.score <= arcs.high
    assert "## Concepts" in (tmp_path / "out" / "embedding.md").read_text(encoding="utf-8")
    assert KINDS["arcs"].meaning.split(",")[0] in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert WITHOUT not in KINDS
