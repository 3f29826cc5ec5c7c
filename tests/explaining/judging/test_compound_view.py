"""The light of each source apart, and where attribution lies on it: verdicts on maps whose answer is planted."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from judging_toys import plane

from lensaudit.errors import DataError
from lensaudit.explaining import compound_view
from lensaudit.explaining.judging.attributor import Attributor, Maps
from lensaudit.explaining.judging.compound_view import BOTH, FARTHER_ONLY, NEARER_ONLY, NEITHER, compound_fractions
from lensaudit.explaining.judging.sample import FEWEST_PIXELS, TwoSources, light_of, two_sources
from lensaudit.imaging import EUCLID

SIZE = 66


@pytest.fixture(scope="module")
def finder():
    return plane(4, size=SIZE)


@pytest.fixture(scope="module")
def sources(rings_set, finder):
    return two_sources(finder, rings_set, range(len(rings_set)))


def test_the_parts_add_up_to_the_truth_s_lensed_light(rings_set):
    for index in range(4):
        scene = rings_set.scene(index)
        nearer, farther = (light_of(scene, role, EUCLID) for role in ("mid", "source"))
        for band in rings_set.bands:
            total = rings_set.source_light(band, [index])[0]
            np.testing.assert_allclose(nearer[band] + farther[band], total, rtol=0, atol=1e-6 * total.max())  # float32
            assert nearer[band].max() > 0
            assert farther[band].max() > 0


def test_in_faithful_scenes_the_nearer_source_is_not_lensed(faithful_set, finder):
    found = two_sources(finder, faithful_set, range(4))
    assert not found.lensed.any()
    scene = faithful_set.scene(0)
    total = faithful_set.source_light("VIS", [0])[0]
    np.testing.assert_allclose(light_of(scene, "source", EUCLID)["VIS"], total, rtol=0, atol=1e-6 * total.max())
    assert light_of(scene, "mid", EUCLID)["VIS"].max() > 0


def test_every_lensed_pixel_belongs_to_one_source(sources):
    assert not (sources.nearer & sources.farther).any()
    assert sources.lensed.all()
    assert 0 < sources.apart.sum() < len(sources.apart), "the set holds no example of both"
    pixels = np.minimum(sources.nearer.sum(axis=(1, 2)), sources.farther.sum(axis=(1, 2)))
    np.testing.assert_array_equal(sources.apart, pixels >= FEWEST_PIXELS)


def planted(n: int = 8) -> TwoSources:
    """A nearer source of 3×10 pixels and a farther one of 2×10, its light three times as bright."""
    nearer, farther = np.zeros((2, n, 30, 30), bool)
    nearer[:, 5:8, 5:15] = True
    farther[:, 20:22, 5:15] = True
    return TwoSources(nearer, farther, (nearer + 3.0 * farther).astype(np.float32), np.ones(n, bool))


def test_shares_are_those_of_area_and_light():
    truth = planted(1)
    (row,) = compound_fractions(truth.nearer.astype(np.float32), truth)
    assert row.area == {"nearer": pytest.approx(30 / 900), "farther": pytest.approx(20 / 900)}
    assert row.light == {"nearer": pytest.approx(1 / 3), "farther": pytest.approx(2 / 3)}
    assert row.attribution == {"nearer": 1, "farther": 0}


def view_of(monkeypatch, rings_set, finder, maps, apart=None):
    """The view of given maps on the planted sources."""
    truth = planted(len(rings_set))
    room = import_module("lensaudit.explaining.judging.compound_view")
    monkeypatch.setattr(room, "two_sources", lambda *_: apart or truth)
    method = Attributor("planted", "Planted", lambda *_: Maps(maps(truth).astype(np.float32)))
    (view,) = compound_view(finder, rings_set, method)
    return view


def noisy(values: np.ndarray) -> np.ndarray:
    return values + np.random.default_rng(0).uniform(0, 0.1, values.shape)


@pytest.mark.parametrize(
    ("maps", "verdict"),
    [
        (lambda truth: noisy(truth.light), BOTH),
        (lambda truth: noisy(truth.nearer) * ~truth.farther, NEARER_ONLY),
        (lambda truth: noisy(truth.farther) * ~truth.nearer, FARTHER_ONLY),
        (lambda truth: noisy(~(truth.nearer | truth.farther)), NEITHER),
        (lambda truth: np.ones(truth.nearer.shape), NEITHER),
    ],
    ids=["both", "nearer", "farther", "neither", "even"],
)
def test_verdicts_on_planted_maps(monkeypatch, rings_set, finder, maps, verdict):
    view = view_of(monkeypatch, rings_set, finder, maps)
    assert view.verdict == verdict
    assert (view.n, view.left_out, view.kind) == (10, 0, "compound-rings")


def test_an_even_map_gets_its_share_of_the_area(monkeypatch, rings_set, finder):
    view = view_of(monkeypatch, rings_set, finder, lambda truth: np.ones(truth.nearer.shape))
    for share in view.shares:
        assert share.value == pytest.approx(share.area)
        assert share.gain_low == pytest.approx(0, abs=1e-9)
        assert share.low <= share.value <= share.high


def test_what_is_clear_of_one_source_alone_is_said_so(monkeypatch, rings_set, finder):
    def maps(truth):
        some = np.arange(len(truth.nearer))[:, None, None] < 2
        return truth.nearer + 3.0 * (truth.farther & some)

    view = view_of(monkeypatch, rings_set, finder, maps)
    assert view.fraction("farther").value > view.fraction("farther").area
    assert view.verdict == "looks at the nearer source; inconclusive for the farther"


def test_images_without_two_visible_sources_or_positive_attribution_are_left_out(monkeypatch, rings_set, finder):
    truth = planted(10)
    truth.farther[:3] = False

    def maps(_truth):
        values = np.where(truth.nearer, 1.0, -1.0)
        values[3] = -1
        return values

    view = view_of(monkeypatch, rings_set, finder, maps, truth)
    assert (view.n, view.left_out) == (6, 4)
    assert view.fraction("nearer").value == 1


def test_a_few_images_give_no_verdict(rings_set, finder):
    (view,) = compound_view(finder, rings_set, "saliency", systems=[0, 1, 2])
    assert view.verdict.startswith("inconclusive")
    assert view.n + view.left_out == 3


def test_a_set_without_compounds_is_told(mixed_set, finder):
    with pytest.raises(DataError, match="no compound lens in it"):
        compound_view(finder, mixed_set, "saliency")
    with pytest.raises(DataError, match="give simulated compound lenses"):
        two_sources(finder, mixed_set, [0])


def test_maps_of_a_method_are_looked_at_on_the_finder_s_grid(rings_set, finder, sources):
    (view,) = compound_view(finder, rings_set, "input-x-gradient")
    images = finder.preprocess(rings_set.cutouts(range(10)))
    with torch.no_grad():
        contribution = (images * finder.module.weight).sum(dim=1).clamp(min=0).numpy()
    inside = [(one * mask).sum() / one.sum() for one, mask in zip(contribution, sources.nearer, strict=True)]
    expected = np.mean([share for share, good in zip(inside, sources.apart, strict=True) if good])
    assert view.fraction("nearer").value == pytest.approx(expected, rel=1e-5)  # float32 maps
    assert view.n == sources.apart.sum()
