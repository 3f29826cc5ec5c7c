"""How images lie in memory."""

from __future__ import annotations

import torch


def channels_last(images: torch.Tensor) -> torch.Tensor:
    """Images (n, channels, h, w) with the channels of a pixel side by side, which halves a CPU's time for them.

    A single channel lies so already, but torch takes it for channels first unless its stride says otherwise
    (``contiguous(memory_format=torch.channels_last)`` leaves it), and runs every layer behind it the slow way.
    """
    n, channels, height, width = images.shape
    if channels > 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images.contiguous().view(n, height, width, 1).permute(0, 3, 1, 2)
