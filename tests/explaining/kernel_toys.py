"""A lens set of single blobs at known places, and finders whose kernels answer to these in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lens_sets import LABEL, write_set
from torch import nn
from torch.nn import functional

from lensaudit.finders import Finder, declare_finder
from lensaudit.lensset import CatalogueColumn, LensSet

SIZE, SCALE = 24, 0.5  # 12″ wide
TRUE_COLUMNS = (
    "theta_e_arcsec",
    "arc_snr",
    "colour_source_VIS_H",
    "colour_lens_VIS_H",
    "arc_offset_arcsec",
    "arc_angle_rad",
    "lens_x_arcsec",
    "lens_y_arcsec",
)


def axis() -> np.ndarray:
    """Position of the pixels from the centre, arcsec."""
    return SCALE * (np.arange(SIZE) - (SIZE - 1) / 2)


def blobs(places: np.ndarray) -> np.ndarray:
    """Light of a round blob at each x, y (n, 2) arcsec: float32 (n, rows, columns)."""
    x, y = axis()[None, None, :], axis()[None, :, None]
    distance = (x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2
    return np.exp(-distance / 2).astype(np.float32)


def drawn_places(n: int, seed: int = 4) -> np.ndarray:
    """x and y (n, 2) arcsec, well inside the cutout, so that none is cut off."""
    return np.random.default_rng(seed).uniform(-2, 2, (n, 2))


def write_blobs(
    path: Path,
    places: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    truth: bool = True,
    bands: tuple[str, ...] = ("VIS",),
    spoil: dict[int, float] | None = None,
) -> LensSet:
    """A set of one blob per image, the arc, with its lens elsewhere; `spoil` makes whole images that value."""
    n = len(places)
    rng = np.random.default_rng(9)
    images = blobs(places)
    for index, value in (spoil or {}).items():
        images[index] = value
    labels = np.ones(n, int) if labels is None else labels
    lenses = rng.uniform(-1, 1, (n, 2))
    facts = {name: rng.normal(size=n) for name in TRUE_COLUMNS}
    facts["arc_offset_arcsec"] = np.hypot(*places.T)
    facts["arc_angle_rad"] = np.arctan2(*(places - lenses).T[::-1])
    facts["lens_x_arcsec"], facts["lens_y_arcsec"] = lenses.T
    columns = [LABEL]
    if truth:
        columns.append(CatalogueColumn(name="kind", unit="", description="kind", dtype="str"))
        columns += [CatalogueColumn(name=c, unit="", description=c, dtype="float64") for c in TRUE_COLUMNS]
    table = {"label": np.asarray(labels, int)} | ({"kind": ["single"] * n, **facts} if truth else {})
    return write_set(
        path,
        dict.fromkeys(bands, images),
        dict.fromkeys(bands, SCALE),
        table,
        columns=columns,
        ids="blob-{:04d}",
        unit="counts",
        light=dict.fromkeys(bands, blobs(places)) if truth else None,
        instrument="toy",
    )


def compass() -> nn.Sequential:
    """Five kernels as wide as the image: x, y, nothing (constant), y again but always below 0, the sum of all light."""
    module = nn.Sequential(nn.Conv2d(1, 5, SIZE), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(5, 1))
    x = torch.tensor(axis(), dtype=torch.float32)
    with torch.no_grad():
        weight = module[0].weight
        weight.zero_()
        module[0].bias.copy_(torch.tensor([0.0, 0.0, 0.7, -1.0, 0.0]))
        weight[0, 0], weight[1, 0] = x[None, :], x[:, None]
        weight[3, 0], weight[4, 0] = x[:, None] - 20.0, 1.0
    return module


def compass_finder() -> Finder:
    """For the command line: ``kernel_toys:compass_finder``."""
    torch.manual_seed(3)
    return declare_finder(compass(), ("VIS",), SIZE, name="compass", field_of_view_arcsec=SIZE * SCALE)


def finder_of(module: nn.Module, bands: tuple[str, ...] = ("VIS",)) -> Finder:
    return declare_finder(module, bands, SIZE, name="toy", field_of_view_arcsec=SIZE * SCALE)


class Residual(nn.Module):
    """Two convolutions with batch norm and in-place ReLU, and a strided shortcut that the sum is added to in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(inplace=True),
            nn.Conv2d(3, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
        )
        self.shortcut = nn.Conv2d(2, 4, 1, stride=2)
        self.head = nn.Linear(4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        total = self.body(images)
        total += self.shortcut(images)
        return self.head(functional.relu(total, inplace=True).mean(dim=(2, 3)))


class Functional(nn.Module):
    """ReLU by function, in place, straight on what the convolution gave; the second convolution runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 5)
        self.second = nn.Conv2d(3, 3, 3)
        self.head = nn.Linear(3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.relu(self.first(images), inplace=True)
        maps = self.second(maps).relu_()
        maps = self.second(maps).clamp_(min=0)
        return self.head(maps.mean(dim=(2, 3)))
