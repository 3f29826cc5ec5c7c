"""The grid by hand, and openTSNE's placement against a plain descent."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lensaudit.ensembles.map_picture import (
    SIDES,
    Region,
    brier_scores,
    counted,
    left_out,
    lens_fraction,
    read_region,
    telling_regions,
)
from lensaudit.errors import UsageError
from lensaudit.finders.ou_tsne import DESCENT, EXAGGERATION, LARGEST_GRADIENT, MOMENTUM, LensMap, cells_of, shrunk
from lensaudit.finders.stretch import resized


def test_positions_fall_into_cells_and_those_outside_into_the_nearest():
    reference = np.array([[-2.0, 0.0], [2.0, 8.0]])
    positions = np.array([[-2.0, 0.0], [-1.01, 1.99], [-0.99, 2.01], [2.0, 8.0], [99.0, -99.0]])
    column, row = cells_of(positions, reference, 4)
    assert column.tolist() == [0, 0, 1, 3, 3]
    assert row.tolist() == [0, 0, 1, 3, 0]


def test_lens_fractions_by_hand_with_empty_cells_from_their_neighbours():
    # One axis of 5 cells, drawn out over 5×5: lenses in the lower left corner, a mixed cell beside it.
    positions = np.array([[0.0, 0.0], [0.5, 0.5], [1.5, 0.5], [1.5, 0.5], [5.0, 5.0]])
    lenses, everyone = counted(positions, np.array([1, 1, 1, 0, 0]), 5)
    assert everyone[0].tolist() == [2, 2, 0, 0, 0]
    assert lenses[0].tolist() == [2, 1, 0, 0, 0]
    found = lens_fraction(lenses, everyone)
    assert found[0, :2].tolist() == [1.0, 0.5]
    assert found[4, 4] == 0.0
    # First round: the mean of the defined ones among eight neighbours.
    assert found[0, 2] == 0.5
    assert found[1, 0] == found[1, 1] == 0.75
    assert found[1, 2] == 0.5
    assert found[3, 3] == 0.0
    # Second round, from the first alone: (2, 2) has (1, 1), (1, 2) and (3, 3), and not (2, 1) of its own round.
    assert found[2, 2] == pytest.approx((0.75 + 0.5 + 0.0) / 3, abs=1e-15)
    assert np.isfinite(found).all()


def test_a_full_grid_is_left_as_it_is_and_an_empty_one_refused():
    assert lens_fraction(np.eye(3, dtype=int), np.ones((3, 3), int)).tolist() == np.eye(3).tolist()
    with pytest.raises(ValueError, match="no image"):
        lens_fraction(np.zeros((3, 3), int), np.zeros((3, 3), int))


def slowly_left_out(positions: np.ndarray, labels: np.ndarray, cells: int, one: int) -> float:
    """The whole grid made again without image `one`, over the same box."""
    column, row = cells_of(positions, positions, cells)
    lenses, everyone = np.zeros((cells, cells), int), np.zeros((cells, cells), int)
    for other in range(len(labels)):
        if other != one:
            everyone[row[other], column[other]] += 1
            lenses[row[other], column[other]] += int(labels[other])
    return float(lens_fraction(lenses, everyone)[row[one], column[one]])


@pytest.mark.parametrize("cells", [2, 5, 40])
def test_an_image_left_out_is_given_what_the_others_say(cells):
    """With 40×40 cells for 60 images some are alone among empty cells, which take rounds."""
    rng = np.random.default_rng(cells)
    positions, labels = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    slow = [slowly_left_out(positions, labels, cells, one) for one in range(60)]
    assert left_out(positions, labels, cells) == pytest.approx(slow, abs=1e-15)


def test_the_error_is_least_for_the_grid_the_labels_were_drawn_on():
    """Lens fractions 0.05 and 0.95 in the turn of a 10×10 chessboard: 5×5 cells mix four fields each, in 100×100 most
    images are alone. The least error is the variance of a label, 0.05 · 0.95, and one over the 39 others of its field
    more; four standard errors of the mean are allowed, squared errors being 0.9 wide in a twentieth of the images."""
    rng = np.random.default_rng(3)
    positions = np.vstack([[[0, 0], [10, 10]], rng.uniform(0, 10, size=(4000, 2))])
    dark = positions.astype(int).clip(max=9).sum(axis=1) % 2 == 0
    errors = brier_scores(positions, (rng.random(4002) < np.where(dark, 0.05, 0.95)).astype(np.int64))
    assert min(errors, key=errors.get) == 10
    assert errors[10] == pytest.approx(0.05 * 0.95 * (1 + 1 / 39), abs=4 * 0.9 * 0.0475**0.5 / 4002**0.5)
    assert errors[5] > 0.2
    assert tuple(errors) == SIDES


@pytest.fixture(scope="module")
def known() -> LensMap:
    """300 vectors in three groups, on a map that shows them apart."""
    rng = np.random.default_rng(1)
    group = np.arange(300) % 3
    vectors = np.eye(3)[group] + rng.normal(scale=0.05, size=(300, 3))
    corners = np.array([[-20.0, -10.0], [20.0, -10.0], [0.0, 20.0]])
    positions = corners[group] + 60 * vectors[:, :2] - 60 * np.eye(3)[group][:, :2]
    return LensMap(vectors, positions, np.full((2, 2), 0.5))


def new_vectors(n: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    return np.eye(3)[np.arange(n) % 3] + rng.normal(scale=0.05, size=(n, 3))


def test_a_placement_does_not_depend_on_its_neighbours(known):
    vectors = new_vectors(12)
    whole = known.place(vectors)
    alone = np.concatenate([known.place(vectors[i : i + 1]) for i in range(12)])
    assert np.array_equal(whole, alone)
    assert np.array_equal(whole, known.place(vectors))
    assert known.place(vectors[:0]).shape == (0, 2)


def test_placements_are_those_of_a_plain_exact_descent(known):
    vectors = new_vectors(40)
    start = known._embedding.prepare_partial(vectors, initialization="median", k=25, perplexity=5)
    begin = np.array(start) + known._middle
    plain = plain_descent(begin, np.asarray(start.P.todense()), known.positions)
    off = np.linalg.norm(known.place(vectors) - plain, axis=1)
    assert np.quantile(off, 0.9) < 0.5  # interpolated repulsion, in units of a map 60 wide; some find another minimum
    assert off.max() < 15  # all within their own group
    moved = np.linalg.norm(plain - begin, axis=1)
    assert np.median(moved) > 0.5  # so that not moving at all would be seen


def plain_descent(place: np.ndarray, affinity: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """t-SNE's gradient of new points against fixed ones (van der Maaten 2008), every pair by itself."""
    update, gains = np.zeros_like(place), np.ones_like(place)
    for _ in range(sum(steps for _, steps in DESCENT) + 200):
        away = place[:, None] - reference[None]
        near = 1 / (1 + (away**2).sum(-1))
        pull = EXAGGERATION * affinity * near - near**2 / near.sum(1, keepdims=True)
        gradient = (pull[..., None] * away).sum(1)
        gradient *= np.minimum(1, LARGEST_GRADIENT / np.linalg.norm(gradient, axis=1, keepdims=True))
        turned = np.sign(update) != np.sign(gradient)
        gains = np.where(turned, gains + 0.2, gains * 0.8 + 0.01)
        update = MOMENTUM * update - 0.1 * gains * gradient
        place = place + update
    return place


@pytest.mark.parametrize(("side", "size"), [(66, 200), (7, 20), (20, 20), (30, 20)])
def test_resizing_up_is_undone(side, size):
    images = torch.from_numpy(np.random.default_rng(1).normal(size=(3, side, side)).astype(np.float32))
    up = resized(images, size)
    back = shrunk(up, side)
    if side > size:
        assert back is up  # nothing can be undone
    else:
        torch.testing.assert_close(back, images, rtol=0, atol=1e-5)  # float32, condition number about 10


def test_regions_of_the_map():
    positions = np.concatenate([np.full((9, 2), 0.5), np.full((9, 2), 9.5), np.full((10, 2), 5.5), [[2.5, 2.5]]])
    labels = np.array([1] * 9 + [0] * 9 + [0, 1] * 5 + [1])
    found = telling_regions(positions, labels, (np.zeros(2), np.full(2, 10.0)))
    assert [(one.name, one.x) for one in found] == [
        ("most lens-like", (0.0, 1.0)),
        ("least lens-like", (9.0, 10.0)),
        ("most mixed", (5.0, 6.0)),
    ]
    assert read_region("-1,2,0,5", "mine") == Region("mine", (-1.0, 2.0), (0.0, 5.0))
    inside = Region("mine", (0.0, 1.0), (0.0, 1.0)).holds(np.array([[0.5, 1.0], [1.5, 0.5], [np.nan, 0.5]]))
    assert inside.tolist() == [True, False, False]
    for words in ("1,2,3", "a,b,c,d", "2,1,0,1"):
        with pytest.raises(UsageError, match=r"--region .*; give"):
            read_region(words, "x")
