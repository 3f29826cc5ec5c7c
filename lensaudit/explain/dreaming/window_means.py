"""The mean of a feature map without the feature map.

A convolution is linear, so the mean of its output over all positions is its weights times the mean of its input over
the same positions, once for each shift of the window: a k×k kernel asks for k² means per channel, and for no
convolution at all. Exact up to rounding.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

FEW = 8
"""Up to so many channels one product of all images is quicker than one for each."""


def mean_output(part: nn.Conv2d, inputs: torch.Tensor, kernels: torch.Tensor | None = None) -> torch.Tensor:
    """Mean over all positions of the convolution's output.

    Parameters
    ----------
    part
        The convolution.
    inputs
        What it takes (n, channels, h, w).
    kernels
        One kernel for each of the n: the answer is (n,). By default all kernels of each: (n, kernels).
    """
    means = window_means(part, inputs)
    rows = part.weight.flatten(2).transpose(1, 2)  # (kernels, k², channels of the group)
    if kernels is None:
        sums = _all_kernels(part, means, rows)
        return sums if part.bias is None else sums + part.bias
    if part.groups > 1:
        means = means.gather(2, _group_channels(part, kernels)[:, None, :].expand(-1, means.shape[1], -1))
    sums = (means * rows[kernels]).sum(dim=(1, 2))
    return sums if part.bias is None else sums + part.bias[kernels]


def window_means(part: nn.Conv2d, inputs: torch.Tensor) -> torch.Tensor:
    """Means (n, k², channels) of `inputs` (n, channels, h, w) over the positions of the convolution's windows."""
    n, channels, height, width = inputs.shape
    matrix = _means_matrix(_geometry(part), height, width).to(device=inputs.device, dtype=inputs.dtype)
    if channels <= FEW:
        means = inputs.reshape(n * channels, height * width) @ matrix.T
        return means.reshape(n, channels, -1).transpose(1, 2)
    flat = inputs.permute(0, 2, 3, 1).reshape(n, height * width, channels)  # no copy where channels lie last
    return matrix @ flat


def _all_kernels(part: nn.Conv2d, means: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    per_group = rows.shape[2]
    each = rows.reshape(part.groups, -1, rows.shape[1] * per_group)
    split = means.reshape(len(means), means.shape[1], part.groups, per_group).transpose(1, 2).flatten(2)
    return torch.einsum("ngm,gkm->ngk", split, each).flatten(1)


def _group_channels(part: nn.Conv2d, kernels: torch.Tensor) -> torch.Tensor:
    """Input channels (n, channels per group) that each kernel reads."""
    per_group = part.in_channels // part.groups
    first = kernels // (part.out_channels // part.groups) * per_group
    return first[:, None] + torch.arange(per_group, device=kernels.device)


Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int, int, int], str]


def _geometry(part: nn.Conv2d) -> Geometry:
    """Kernel size, stride, dilation, padding (left, right, top, bottom) and padding mode."""
    padding = part._reversed_padding_repeated_twice
    sides = (padding[0], padding[1], padding[2], padding[3])
    size, stride, dilation = part.kernel_size, part.stride, part.dilation
    return (size[0], size[1]), (stride[0], stride[1]), (dilation[0], dilation[1]), sides, part.padding_mode


@lru_cache(maxsize=16)
def _means_matrix(geometry: Geometry, height: int, width: int) -> torch.Tensor:
    """Matrix (k², h·w) of the share that each pixel has in the mean seen by each weight of the kernel."""
    size, stride, dilation, (left, right, top, bottom), mode = geometry
    rows = _axis(height, (size[0], stride[0], dilation[0]), (top, bottom), mode)
    columns = _axis(width, (size[1], stride[1], dilation[1]), (left, right), mode)
    return torch.kron(rows, columns).reshape(size[0] * size[1], height * width)


def _axis(pixels: int, window: tuple[int, int, int], padding: tuple[int, int], mode: str) -> torch.Tensor:
    """The same along one axis (k, pixels); what lies outside is zero, or the pixel that the padding mode takes."""
    size, stride, dilation = window
    padded = torch.arange(pixels, dtype=torch.float64)[None, None]
    kind = "constant" if mode == "zeros" else mode
    if any(padding):
        padded = nn.functional.pad(padded, padding, mode=kind, **({"value": -1.0} if kind == "constant" else {}))
    source = padded[0, 0].long()
    positions = (len(source) - dilation * (size - 1) - 1) // stride + 1
    shares = torch.zeros(size, pixels, dtype=torch.float64)
    for shift in range(size):
        seen = source[shift * dilation :][: stride * (positions - 1) + 1 : stride]
        seen = seen[seen >= 0]
        shares[shift].index_add_(0, seen, torch.full((len(seen),), 1 / positions, dtype=torch.float64))
    return shares
