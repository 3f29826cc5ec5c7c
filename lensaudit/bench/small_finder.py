"""The small finder of the bench: four convolutions with batch normalisation, trained in a minute or two on one core."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.files import replacing
from lensaudit.finders import Finder, declare_finder

BANDS = ("VIS", "Y", "J", "H")
SIZE = 100
MARGIN = 20
"""Pixels of 0.2″ at each edge that the network leaves away: it looks at the inner 12″."""
EPOCHS, BATCH, RATE, DECAY = 8, 32, 3e-3, 1e-4


class SmallNet(nn.Module):
    """(n, 4, 100, 100) → logits (n,). Its dense head sees where things are, so that bias of place can be learnt too."""

    def __init__(self, bands: int = len(BANDS)) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(bands, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.told = nn.Sequential(nn.Flatten(), nn.Linear(64 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of lens."""
        found: torch.Tensor = self.told(self.seen(images[..., MARGIN:-MARGIN, MARGIN:-MARGIN]))
        return found[:, 0]


def small_finder(name: str, module: SmallNet | None = None) -> Finder:
    """The network as a finder of whole Euclid cutouts."""
    return declare_finder(
        SmallNet() if module is None else module, BANDS, SIZE, name=name, stretch="sqrt", lens_index=0
    )


def train_small(
    images: NDArray[np.float16],
    labels: NDArray[np.int64],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    epochs: int = EPOCHS,
) -> SmallNet:
    """Train on prepared images (n, 4, 100, 100); the same seed and machine give the same weights."""
    net = _drawn(seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    order = np.random.default_rng([seed, 5])
    steps = math.ceil(len(images) / BATCH) * epochs
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    net.train()
    done = 0
    for _ in range(epochs):
        shuffled = order.permutation(len(images))
        for first in range(0, len(shuffled), BATCH):
            chosen = np.sort(shuffled[first : first + BATCH])
            batch = torch.from_numpy(images[chosen].astype(np.float32)).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(batch)
            target = torch.from_numpy(labels[chosen]).float()
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            done += 1
        if progress is not None:
            progress(done, steps)
    return net.eval()


def _drawn(seed: int) -> SmallNet:
    """He-normal weights and zero biases from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    net = SmallNet()
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return net


def save_small(net: SmallNet, path: Path) -> None:
    """Write the weights as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    with replacing(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, partial)


def load_small(path: Path) -> SmallNet:
    """Read weights that `save_small` wrote."""
    from safetensors.torch import load_file

    net = SmallNet()
    net.load_state_dict(load_file(path))
    return net.eval()
