"""Pairs: same noise in both arms, identity bit-equal, and the same bytes after an interruption."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.errors import UsageError
from lensaudit.lensset import LensSet
from lensaudit.probes import render_pairs
from lensaudit.probes.footprint import changed_pixels
from lensaudit.probes.pairs import ARMS, PairPlan, PairSets

RINGS = PairPlan("compound-rings", 3, 3, "without-far-source", "identity", "euclid")


def content(folder):
    """Relative path → bytes of every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def rings(rendered):
    folder = rendered / "compound-rings"
    return PairSets(RINGS, LensSet.open(folder / "control"), LensSet.open(folder / "treated"))


def test_identity_gives_bit_equal_arms(tmp_path):
    plan = PairPlan("compound-rings", 3, 3, "identity", "identity", "euclid")
    pairs = render_pairs(plan, tmp_path)
    for band in pairs.control.bands:
        assert np.array_equal(pairs.control.images(band, slice(None)), pairs.treated.images(band, slice(None)))
    assert pairs.control.content_hash == pairs.treated.content_hash
    assert changed_pixels(pairs).tolist() == [0, 0, 0]


def test_both_arms_are_lenses_under_the_same_names(rings):
    assert rings.control.ids == rings.treated.ids
    assert rings.control.ids[2] == RINGS.pair_id(2) == "compound-rings-000002"
    assert (rings.control.labels == 1).all()
    assert (rings.treated.labels == 1).all()
    assert set(rings.control.column("kind")) == {"single"}
    assert set(rings.treated.column("kind")) == {"compound-rings"}


@pytest.mark.parametrize("band", ["VIS", "H"])
def test_arms_share_their_noise(rings, band):
    """What is left of the difference once the truth of both arms is taken off is far below the noise."""
    everything = slice(None)
    difference = rings.treated.images(band, everything) - rings.control.images(band, everything)
    light = rings.treated.source_light(band, everything) - rings.control.source_light(band, everything)
    sky = rings.control.images(band, everything)
    sigma = 1.4826 * np.median(np.abs(sky - np.median(sky, axis=(1, 2), keepdims=True)), axis=(1, 2))
    rest = np.median(np.abs(difference - light), axis=(1, 2))
    assert (rest < 0.1 * sigma).all()  # independent noise would leave √2 · 0.67 σ


def test_changed_pixels_against_a_loop(rings):
    counted = changed_pixels(rings)
    for index in (0, 5):
        control, treated = (rings.arm(arm).images("VIS", index)[0] for arm in ARMS)
        sigma = 1.4826 * np.median(np.abs(control - np.median(control)))
        assert counted[index] == sum(abs(t - c) > 0.5 * sigma for t, c in zip(treated.flat, control.flat, strict=True))


def test_pair_depends_on_seed_and_index_alone(rings, tmp_path):
    few = render_pairs(RINGS, tmp_path)
    for arm in ARMS:
        assert np.array_equal(few.arm(arm).images("VIS", slice(None)), rings.arm(arm).images("VIS", slice(0, 3)))


def test_interrupted_rendering_ends_identical(tmp_path):
    plan = PairPlan("compound-rings", 4, 10, "without-far-source", "identity", "euclid")

    def interrupt(done, total):
        if done > 10:  # within the treated arm
            raise KeyboardInterrupt

    render_pairs(plan, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        render_pairs(plan, tmp_path / "torn", progress=interrupt)
    assert content(tmp_path / "torn") != content(tmp_path / "whole")
    reports = []
    render_pairs(plan, tmp_path / "torn", progress=lambda done, total: reports.append((done, total)))
    assert content(tmp_path / "torn") == content(tmp_path / "whole")
    assert reports[0] == (10, 20)  # the control arm was not rendered again
    assert reports[-1] == (20, 20)


def test_pairs_of_another_plan_are_refused(rendered):
    folder = rendered / "compound-rings"
    with pytest.raises(UsageError, match=r"another lens set.*choose another --out"):
        render_pairs(RINGS, folder)
