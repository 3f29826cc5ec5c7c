"""Rotation, zoom and shear of a batch: against scipy's spline, and against what can be said without either."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lensaudit.training import AUGMENTATIONS
from lensaudit.training.augment import FLIPS, UNIFORMS, Draws, Warp, warped

SIZE = 45

CUBIC = 0.1
"""Largest difference of cubic convolution (a = −0.75) from a spline on structure 2 pixels wide, in the image's own
spread: 0.07 seen; a warp the wrong way round, or off by a pixel, differs by more than 0.5."""


def blobs(n=3, seed=1):
    """Smooth images, sampled as well as a survey's."""
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.normal(size=(n, SIZE, SIZE)), (0, 2, 2), mode="wrap").astype(np.float32)


def one(turn=0.0, zoom=1.0, shear=0.0, n=1):
    return Warp(*(torch.full((n,), float(value)) for value in (turn, zoom, shear)))


def splined(image, turn, zoom, shear):
    """The same warp by scipy: cubic spline, wrapped at the edges."""
    cos, sin, lean = math.cos(turn), math.sin(turn), math.tan(shear)
    # rows and columns instead of x and y
    matrix = np.array([[lean * sin + cos, sin], [lean * cos - sin, cos]]) / zoom
    centre = np.full(2, (SIZE - 1) / 2)
    return ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=3, mode="grid-wrap")


@pytest.mark.parametrize(
    ("turn", "zoom", "shear"),
    [(0.7, 1.0, 0.0), (-1.5, 0.93, 0.0), (0.4, 0.9, 0.26), (0.0, 0.95, -0.2), (math.pi / 2, 1.0, 0.0)],
)
def test_it_is_scipys_spline(turn, zoom, shear):
    image = blobs(1)[0]
    ours = warped(torch.from_numpy(image)[None, None], one(turn, zoom, shear))[0, 0].numpy()
    assert np.abs(ours - splined(image, turn, zoom, shear)).max() < CUBIC * image.std()


def test_no_warp_changes_nothing():
    images = torch.from_numpy(blobs(2))[:, None]
    np.testing.assert_allclose(warped(images, one(n=2)), images, atol=3e-6)  # a few float32 roundings


def test_a_quarter_turn_is_rot90():
    images = torch.from_numpy(blobs(1))[:, None]
    turned = warped(images, one(math.pi / 2))
    np.testing.assert_allclose(turned[0, 0], torch.rot90(images[0, 0]), atol=1e-4)  # float32 sine of a right angle


def test_each_image_has_its_own_warp_and_all_its_bands_the_same():
    images = torch.from_numpy(blobs(4)).reshape(2, 2, SIZE, SIZE)
    turns = torch.tensor([0.3, -0.8])
    both = warped(images, Warp(turns, torch.ones(2), torch.zeros(2)))
    for row in range(2):
        for band in range(2):
            alone = warped(images[row : row + 1, band : band + 1], one(float(turns[row])))
            np.testing.assert_allclose(both[row, band], alone[0, 0], atol=3e-6)


@pytest.mark.parametrize(("name", "turn", "shear"), [("deeplens", 90.0, 0.0), ("transfer", 45.0, 15.0)])
def test_the_named_warps_stay_within_the_papers_ranges(name, turn, shear):
    """Corners of the drawn numbers give the extreme warps, the middle of them none but a zoom of 0.95."""
    images = torch.from_numpy(blobs(3))[:, None]
    uniform = torch.zeros(3, UNIFORMS)
    uniform[1] = 0.5
    uniform[2] = 1.0
    draws = Draws(torch.zeros(3, dtype=torch.long), uniform, torch.zeros(3))
    found = AUGMENTATIONS[name](images, draws, 0)
    for row, (part, zoom) in enumerate(((-1, 0.9), (0, 0.95), (1, 1.0))):
        expected = splined(images[row, 0].numpy(), math.radians(turn) * part, zoom, math.radians(shear) * part)
        assert np.abs(found[row, 0].numpy() - expected).max() < CUBIC * float(images.std())


def test_flips_are_the_two_mirrors_and_both():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    draws = Draws(torch.arange(8), torch.zeros(8, UNIFORMS), torch.zeros(8))
    found = {tuple(out.flatten().tolist()) for out in AUGMENTATIONS["flips"](image.expand(8, -1, -1, -1), draws, 0)}
    wanted = {image, image.flip(-1), image.flip(-2), image.flip(-1, -2)}
    assert found == {tuple(part.flatten().tolist()) for part in wanted}
    assert len(FLIPS) == 4
