"""Occlusion the obvious way: one forward pass per position, loops all the way; slow, and right by inspection."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def plain_logits(module: nn.Module, image: torch.Tensor, patch: int, stride: int) -> tuple[np.ndarray, float]:
    """First output for every position (n, n), and for the whole image (1, bands, size, size)."""
    size = image.shape[-1]
    starts = []
    start = 0
    while True:
        starts.append(start)
        if start + patch >= size:
            break
        start += stride
    logits = np.empty((len(starts), len(starts)))
    with torch.no_grad():
        for row, top in enumerate(starts):
            for column, left in enumerate(starts):
                hidden = image.clone()
                for y in range(top, min(top + patch, size)):
                    for x in range(left, min(left + patch, size)):
                        hidden[0, :, y, x] = 0
                logits[row, column] = float(module(hidden).flatten()[0])
        return logits, float(module(image).flatten()[0])


def plain_map(effects: np.ndarray, size: int, patch: int, stride: int) -> np.ndarray:
    """Mean effect over the patches that cover each pixel."""
    total, times = np.zeros((size, size)), np.zeros((size, size))
    for row in range(len(effects)):
        for column in range(len(effects)):
            window = np.s_[row * stride : row * stride + patch, column * stride : column * stride + patch]
            total[window] += effects[row, column]
            times[window] += 1
    return total / times
