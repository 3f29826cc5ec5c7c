"""Toy finders whose gradients are known, and others of every kind that a user may bring."""

from __future__ import annotations

import occlusion_nets
import torch
from torch import nn
from torch.nn import functional

from lensaudit.finders import Finder, declare_finder

BANDS = ("J", "Y", "H", "VIS")
SIZE = 12


class Residual(nn.Module):
    """In-place ReLU and addition, batch norm, and one ReLU module that serves twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.dense = nn.Linear(6, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kept = self.relu(self.first(images))
        added = self.norm(self.second(kept))
        added += kept
        return self.dense(self.relu(added).mean(dim=(2, 3)))


class Writing(Residual):
    """The same with the sum in what the gradient of the ReLU needs, as networks do that are only ever scored with."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        self.writes = writes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kept = self.relu(self.first(images))
        added = self.norm(self.second(kept))
        if self.writes:
            kept += added
        else:
            kept = kept + added
        return self.dense(self.relu(kept).mean(dim=(2, 3)))


class Functional(nn.Module):
    """Functions in place of modules, one output of shape (n,), a view of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(4, 5, 4, stride=2, padding=1), nn.Linear(5, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = images.view(len(images), 4, -1).view(len(images), 4, *images.shape[2:])
        maps = functional.elu(functional.max_pool2d(self.conv(images), 2))
        return self.dense(maps.mean(dim=(2, 3)))[:, 0]


class Branching(nn.Module):
    """Its code looks at the data, so that it cannot be traced, and its first layer writes into the image."""

    def __init__(self) -> None:
        super().__init__()
        self.elu, self.conv = nn.ELU(inplace=True), nn.Conv2d(4, 5, 3, groups=1, dilation=2)
        self.grouped, self.dense = nn.Conv2d(5, 10, 3, groups=5, bias=False), nn.Linear(10, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if bool(images.isnan().any()):
            raise RuntimeError("not a number")
        maps = torch.tanh(self.grouped(torch.relu(self.conv(self.elu(images)))))
        return self.dense(maps.mean(dim=(2, 3)))


def plain() -> nn.Sequential:
    """As OU-66, small."""
    return nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Conv2d(8, 6, 3), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(54, 2),
    )  # fmt: skip


NETS = {
    "plain": (plain, 2, ("0", "4")),
    "residual": (Residual, 2, ("first", "second")),
    "functional": (Functional, 1, ("conv",)),
    "branching": (Branching, 3, ("conv", "grouped")),
}
"""Name → builder, outputs, convolutions."""


def finder_of(module: nn.Module, outputs: int = 2, size: int = SIZE, bands: tuple[str, ...] = BANDS) -> Finder:
    return occlusion_nets.finder_of(module, size, outputs, bands)


def seeded(module: nn.Module, seed: int = 5) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(0.5 + drawn.abs() if "var" in name else drawn / max(1, tensor[0].numel()) ** 0.5)
    return module


def with_dead_kernel() -> Finder:
    """For the command line: the third kernel of layer 4 has no weights."""
    module = seeded(plain())
    with torch.no_grad():
        module[4].weight[2] = 0
    return declare_finder(module, BANDS, SIZE, name="small")
