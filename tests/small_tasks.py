"""A training that the processes of a group can import, which test modules are not: a net with batch norms."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import torch
from torch import nn

from lensaudit.training.checkpoint import Tally
from lensaudit.training.group import BatchPart
from lensaudit.training.loop import Task

STEPS, EPOCHS, RATE = 4, 3, 0.05
IMAGES = 7
"""Of a batch; the last one of each epoch has one."""


class Normed(Task[torch.Tensor]):
    """Gradient descent of a small net with batch norms (2-d and 1-d) on seeded images (n, 2, 6, 6)."""

    remedy = "turn it off"
    keeps_best = True

    def __init__(self, *, die_at: int | None = None, nan_at: int | None = None, last: int = 1) -> None:
        torch.manual_seed(3)
        self.net = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2, momentum=None),
            nn.Flatten(), nn.Linear(8, 4), nn.BatchNorm1d(4) if last > 1 else nn.Identity(), nn.Linear(4, 1),
        )  # fmt: skip
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=RATE, momentum=0.9)
        self.epochs, self.steps = EPOCHS, STEPS
        self.die_at, self.nan_at, self.last = die_at, nan_at, last

    def batches(self, epoch: int, first: int) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        for step in range(first, STEPS):
            if self.die_at == epoch * STEPS + step and self.group.rank == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            count = IMAGES if step + 1 < STEPS else self.last
            images = torch.rand(count, 2, 6, 6, generator=torch.Generator().manual_seed(100 * epoch + step))
            if self.nan_at == epoch * STEPS + step:
                images = images * torch.nan
            part = self.group.part(count)
            yield images[part.rows], part

    def validation(self) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        images = torch.rand(5, 2, 6, 6, generator=torch.Generator().manual_seed(7))
        part = self.group.part(5)
        yield images[part.rows], part

    def losses(self, batch: torch.Tensor, part: BatchPart, tally: Tally) -> Iterator[torch.Tensor]:
        losses = (self.net(batch)[:, 0] - batch.mean(dim=(1, 2, 3))).square()
        yield losses.mean()
        tally.add(float(losses.detach().sum()), len(losses))
