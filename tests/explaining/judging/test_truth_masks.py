"""The truth on a finder's grid, against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from judging_toys import plane
from skimage.transform import resize

from lensaudit.errors import DataError
from lensaudit.explaining.judging.sample import on_grid, truth_masks


def disc(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(x, y) < radius * size


@pytest.mark.parametrize(("native", "size"), [(200, 66), (66, 200), (66, 66)])
def test_a_pixel_is_inside_where_the_resize_takes_at_least_half_from_inside(native, size):
    mask = disc(native, 0.21)
    weight = resize(mask.astype(float), (size, size), anti_aliasing=size < native)
    clear = abs(weight - 0.5) > 1e-4  # float32 against float64
    found = on_grid({"VIS": mask[None]}, size)[0]
    np.testing.assert_array_equal(found[clear], (weight > 0.5)[clear])
    assert clear.mean() > 0.99


def test_exactly_half_is_inside():
    mask = np.zeros((1, 4, 4), bool)
    mask[:, 1:3, 2:] = True
    np.testing.assert_array_equal(on_grid({"VIS": mask}, 4), mask)
    assert on_grid({"VIS": mask[:, :2, :2] | np.array([[True, False]] * 2)}, 1).all()


def test_bands_are_united():
    first, second = np.zeros((1, 6, 6), bool), np.zeros((1, 6, 6), bool)
    first[0, 0, 0] = second[0, 5, 5] = True
    assert on_grid({"VIS": first, "H": second}, 6)[0].sum() == 2


def test_masks_of_a_set_use_the_finder_s_bands_alone(rings_set):
    one, two = (truth_masks(plane(bands, size=66), rings_set, [0, 3]) for bands in (1, 2))
    assert one.shape == (2, 66, 66)
    assert (one <= two).all()
    assert two.sum() > one.sum()


def test_a_set_without_truth_is_told(rings_set, monkeypatch):
    monkeypatch.setattr(type(rings_set), "has_truth", False)
    with pytest.raises(DataError, match="has no truth"):
        truth_masks(plane(1, size=66), rings_set, [0])
