"""A module in the form that trains fastest on the same weights: same mathematics, same state dict.

Profiled on one core, OU-66 spent 16 % of a step drawing dropout masks (torch draws one 32-bit number per value, on
one thread) and 10 % on ReLUs in front of pools. So masks come four to a 64-bit draw of numpy's SFC64, and
pool(relu(x)) becomes relu(pool(x)), which is the same function with the same gradient on a quarter of the values.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lensaudit.training.random_streams import Purpose, stream

_LEVELS = 2**16


class MaskSource:
    """The dropout masks of one optimisation step; they depend on (seed, epoch, step) alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = stream(seed, Purpose.DROPOUT, 0, 0)

    def start(self, epoch: int, step: int) -> None:
        """Begin step `step` of epoch `epoch`."""
        self._numbers = stream(self._seed, Purpose.DROPOUT, epoch, step)

    @torch.compiler.disable
    def factors(self, like: torch.Tensor, level: int) -> torch.Tensor:
        """0 with probability `level` / 65 536, else the gain that keeps the mean, shaped and laid out as `like`."""
        kept = self._kept_on_cpu(like, level) if like.device.type == "cpu" else self._kept(like, level)
        return kept.to(torch.float32).mul_(_LEVELS / (_LEVELS - level))

    def _kept_on_cpu(self, like: torch.Tensor, level: int) -> torch.Tensor:
        count = like.numel()
        draws = self._numbers.bit_generator.random_raw((count + 3) // 4).view(np.int16)[:count]
        kept = torch.from_numpy(draws >= level - _LEVELS // 2)
        dense = like.is_contiguous() or like.is_contiguous(memory_format=torch.channels_last)
        return kept.as_strided(like.shape, like.stride()) if dense else kept.view(like.shape)

    def _kept(self, like: torch.Tensor, level: int) -> torch.Tensor:
        generator = torch.Generator(like.device).manual_seed(int(self._numbers.integers(2**63 - 1)))
        draws = torch.randint(_LEVELS, (like.numel(),), generator=generator, device=like.device, dtype=torch.int32)
        return (draws >= level).view(like.shape)


class SeededDropout(nn.Module):
    """Dropout whose masks come from a `MaskSource`; the probability is rounded to 1/65 536, and the gain with it."""

    def __init__(self, probability: float, masks: MaskSource) -> None:
        super().__init__()
        self.level = round(probability * _LEVELS)
        self.masks = masks

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a share of `values` and scale the rest; nothing in evaluation mode."""
        if not self.training or self.level == 0:
            return values
        if self.level == _LEVELS:
            return values * 0.0
        return values * self.masks.factors(values, self.level)


class SeededSpatialDropout(SeededDropout):
    """The same for whole maps of (n, channels, h, w): one draw for each map."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a share of the maps and scale the rest; nothing in evaluation mode."""
        if not self.training or self.level == 0:
            return values
        each = values.new_ones(values.shape[:2])
        return values * super().forward(each)[:, :, None, None]


def training_form(module: nn.Module, masks: MaskSource) -> nn.Module:
    """Change `module` in place: seeded dropout, ReLUs in place and after the pools they stood in front of."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, SeededDropout(child.p, masks))
            elif type(child) is nn.Dropout2d:
                setattr(parent, name, SeededSpatialDropout(child.p, masks))
            elif type(child) is nn.ReLU:
                setattr(parent, name, nn.ReLU(inplace=True))
        if isinstance(parent, nn.Sequential):
            _pool_first(parent)
    return module


def _pool_first(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        if type(layers[index]) is nn.ReLU and type(layers[index + 1]) is nn.MaxPool2d:
            layers[index], layers[index + 1] = layers[index + 1], layers[index]
