"""The resize matrices against scikit-image itself."""

import numpy as np
import pytest
import torch
from skimage.transform import resize

from lensaudit.finders.stretch import resize_matrix, resized

SIZES = [
    (200, 66),
    (66, 200),
    (101, 200),
    (101, 66),
    (200, 200),
    (66, 66),
    (45, 66),
    (33, 7),
    (7, 33),
    (300, 200),
    (2, 5),
]
# float32 rounding of sums of at most a hundred products, relative to the peak
RTOL = 1e-6


@pytest.mark.parametrize(("native", "size"), SIZES)
def test_resizing_equals_scikit_image(native, size):
    images = np.random.default_rng(native).lognormal(sigma=2, size=(3, native, native)).astype(np.float32)
    ours = resized(torch.from_numpy(images), size).numpy()
    theirs = np.stack([resize(image.astype(np.float64), (size, size)) for image in images])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=RTOL * images.max())


@pytest.mark.parametrize("peak", [1e-12, 1.0, 1e6])
def test_it_does_so_at_any_level_of_flux(peak):
    image = (peak * np.random.default_rng(0).uniform(-1, 1, (90, 90))).astype(np.float32)
    ours = resized(torch.from_numpy(image[None]), 66).numpy()[0]
    np.testing.assert_allclose(ours, resize(image.astype(np.float64), (66, 66)), rtol=0, atol=RTOL * peak)


def test_cutouts_need_not_be_square():
    image = np.random.default_rng(1).normal(size=(80, 31)).astype(np.float32)
    ours = resized(torch.from_numpy(image[None]), 66).numpy()[0]
    # 80 → 66 shrinks and 31 → 66 grows: each axis has its own filter
    np.testing.assert_allclose(ours, resize(image.astype(np.float64), (66, 66)), rtol=0, atol=RTOL * 4)


@pytest.mark.parametrize(("native", "size"), SIZES)
def test_matrices_keep_constants_and_never_overshoot(native, size):
    matrix = resize_matrix(native, size)
    assert matrix.shape == (size, native)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-14)  # float64 rounding


def test_double_precision_matrices_are_exact():
    image = np.random.default_rng(3).normal(size=(200, 200))
    ours = resize_matrix(200, 66) @ image @ resize_matrix(200, 66).T
    np.testing.assert_allclose(ours, resize(image, (66, 66)), rtol=0, atol=1e-13)  # float64 rounding
