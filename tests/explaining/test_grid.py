"""Patch positions and their map: tiling, overlap, the cut-off last patch, and what cannot be asked for."""

from __future__ import annotations

import numpy as np
import pytest
from plain_occlusion import plain_map

from lensaudit.errors import UsageError
from lensaudit.explaining import Grid


def test_paper_grids_have_the_papers_numbers_of_positions():
    assert Grid(200, 4, 4).n ** 2 == 2500
    assert Grid(66, 1, 1).n ** 2 == 4356


@pytest.mark.parametrize(
    ("size", "patch", "stride"), [(12, 4, 4), (10, 4, 4), (11, 4, 3), (9, 3, 1), (7, 7, 7), (5, 5, 9)]
)
def test_every_pixel_is_covered_and_nothing_lies_outside(size, patch, stride):
    grid = Grid(size, patch, stride)
    covered = np.zeros(size, int)
    for start, stop in zip(grid.starts, grid.stops, strict=True):
        assert 0 <= start < stop <= size
        covered[start:stop] += 1
    assert covered.min() >= 1
    assert grid.tiles == all(grid.stops - grid.starts == patch)


@pytest.mark.parametrize(("size", "patch", "stride"), [(12, 4, 4), (10, 4, 4), (11, 4, 3), (9, 3, 1)])
def test_overlapping_patches_average(size, patch, stride):
    grid = Grid(size, patch, stride)
    effects = np.random.default_rng(4).normal(size=(grid.n, grid.n))
    ours = grid.spread(effects)
    np.testing.assert_allclose(ours, plain_map(effects, size, patch, stride), rtol=0, atol=1e-14)  # float64 sums


def test_no_effect_is_exactly_zero_beside_large_ones():
    effects = np.zeros((4, 4))
    effects[0, 0] = 0.3
    spread = Grid(10, 4, 2).spread(effects)
    assert spread[:4, :4].any()
    assert not spread[4:].any()
    assert not spread[:, 4:].any()


@pytest.mark.parametrize(
    ("patch", "stride", "message"),
    [
        (0, 1, "patch 0 .* 1 to 20"),
        (21, 1, "patch 21 .* 1 to 20"),
        (4, 0, "stride 0 .* 1 to the patch of 4"),
        (4, -2, "stride -2"),
        (4, 5, "stride 5 is larger than the patch of 4"),
    ],
)
def test_impossible_grids_are_refused_with_the_mend(patch, stride, message):
    with pytest.raises(UsageError, match=message):
        Grid(20, patch, stride)
