"""Layers of the convolutional autoencoder of Cheng et al. 2020, Section 2.1 and Figure 1.

Five convolutions, each with ReLU and a 2×2 pool, and their mirror image. "Same" padding, as Keras has it: an even
kernel gets the odd row of zeros behind, and a pool that runs over the edge takes what there is, so that 101 pixels
become 51, 26, 13, 7 and 4.
"""

from __future__ import annotations

from torch import nn

KERNELS = (8, 7, 3, 3, 3)
LAST_FILTERS = 8
DENSE = (128, 64, 32)
"""Units of the dense layers before the embedding."""


def filters_of(first: int) -> tuple[int, ...]:
    """Filters of the five convolutions: halved from `first` on, 8 at least; 128, 64, 32, 16, 8 in the paper."""
    halved = (max(LAST_FILTERS, first >> step) for step in range(len(KERNELS) - 1))
    return (*halved, LAST_FILTERS)


def sides_of(size: int) -> tuple[int, ...]:
    """Pixels per side before the first pool and after each: 101, 51, 26, 13, 7, 4."""
    sides = [size]
    for _ in KERNELS:
        sides.append(-(-sides[-1] // 2))
    return tuple(sides)


def convolutions(bands: int, first: int) -> nn.Sequential:
    """Images (n, bands, size, size) → maps (n, 8, side, side)."""
    layers: list[nn.Module] = []
    before = bands
    for filters, kernel in zip(filters_of(first), KERNELS, strict=True):
        layers += [*_same(before, filters, kernel), nn.ReLU(inplace=False), nn.MaxPool2d(2, ceil_mode=True)]
        before = filters
    return nn.Sequential(*layers)


def deconvolutions(bands: int, first: int, size: int) -> nn.Sequential:
    """Maps (n, 8, side, side) → log-odds of the pixels (n, bands, size, size), whose sigmoid is the image.

    Every convolution is followed by its upsampling, which repeats each cell and drops what runs over the edge. The
    paper ends in a "softmax" of one filter; over one channel that is 1 everywhere, so the sigmoid that its
    cross-entropy needs stands here. It does not give the last kernel; ours is 3.
    """
    layers: list[nn.Module] = []
    before = LAST_FILTERS
    mirrored = zip(filters_of(first)[::-1], KERNELS[::-1], sides_of(size)[-2::-1], strict=True)
    for filters, kernel, side in mirrored:
        layers += [*_same(before, filters, kernel), nn.ReLU(inplace=False), nn.Upsample(size=(side, side))]
        before = filters
    return nn.Sequential(*layers, *_same(before, bands, 3))


def dense_encoder(size: int, embedding: int) -> nn.Sequential:
    """Maps (n, 8, side, side) → embedding (n, embedding): flatten, 128, 64, 32 with ReLU, and the embedding, linear."""
    layers: list[nn.Module] = [nn.Flatten()]
    before = LAST_FILTERS * sides_of(size)[-1] ** 2
    for units in DENSE:
        layers += [nn.Linear(before, units), nn.ReLU(inplace=False)]
        before = units
    return nn.Sequential(*layers, nn.Linear(before, embedding))


def dense_decoder(size: int, embedding: int) -> nn.Sequential:
    """Embedding (n, embedding) → maps (n, 8, side, side)."""
    layers: list[nn.Module] = []
    side, before = sides_of(size)[-1], embedding
    for units in (*DENSE[::-1], LAST_FILTERS * side**2):
        layers += [nn.Linear(before, units), nn.ReLU(inplace=False)]
        before = units
    return nn.Sequential(*layers, nn.Unflatten(1, (LAST_FILTERS, side, side)))


def decoder(bands: int, first: int, size: int, embedding: int) -> nn.Sequential:
    """Embedding (n, embedding) → log-odds of the pixels (n, bands, size, size); only training and pictures need it."""
    return nn.Sequential(*dense_decoder(size, embedding), *deconvolutions(bands, first, size))


def _same(before: int, after: int, kernel: int) -> list[nn.Module]:
    """A convolution that keeps the size of its map.

    torch's own ``padding="same"`` does the same, but warns of a copy where the kernel is even.
    """
    if kernel % 2:
        return [nn.Conv2d(before, after, kernel, padding=kernel // 2)]
    front, back = (kernel - 1) // 2, kernel // 2
    return [nn.ZeroPad2d((front, back, front, back)), nn.Conv2d(before, after, kernel)]
