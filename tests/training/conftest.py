"""A net that trains in milliseconds, and sets whose lenses carry a ring, made by the real writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lens_sets import LABEL, write_set
from torch import nn

from lensaudit.finders import ARCHITECTURES, Recipe
from lensaudit.finders.architectures import Architecture
from lensaudit.lensset import CatalogueColumn, LensSet

SIZE = 12
PIXELS = {"VIS": (20, 0.1), "H": (7, 0.3)}


def build_tiny(bands: int, outputs: int = 2) -> nn.Sequential:
    """A body with every layer of the real ones: (n, bands, 12, 12) → (n, outputs)."""
    return nn.Sequential(
        nn.Conv2d(bands, 6, 3),
        nn.ReLU(inplace=False),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Conv2d(6, 4, 3),
        nn.ReLU(inplace=False),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.ReLU(inplace=False),
        nn.Linear(8, outputs),
    )


def cutouts(n: int, seed: int, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Noise with a bright middle, and around it a ring where the label is 1: band → float32 (n, h, w)."""
    rng = np.random.default_rng(seed)
    images = {}
    for band, (pixels, _) in PIXELS.items():
        radius = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, pixels)] * 2))
        ring = 6 * np.exp(-(((radius - 0.6) / 0.15) ** 2))
        images[band] = rng.normal(size=(n, pixels, pixels)) + 10 * np.exp(-8 * radius) + ring * labels[:, None, None]
    return {band: block.astype(np.float32) for band, block in images.items()}


ANGLE = CatalogueColumn(name="psf_angle_deg", unit="deg", description="turn of the PSF", dtype="float64")


def write_ringed(path: Path, labels: np.ndarray, seed: int = 3, **changes) -> LensSet:
    angles = changes.pop("angles", None)
    changes["unit"], changes["zero_point_mag"] = changes.pop("unit", ("electron / s", None))
    changes["seed"] = changes.pop("drawn_with", None)
    images = changes.pop("images", None) or cutouts(len(labels), seed, labels == 1)
    table = {"label": labels.astype(int)} | ({} if angles is None else {"psf_angle_deg": angles.astype(float)})
    fields = {"columns": (LABEL,) if angles is None else (LABEL, ANGLE)} | changes
    return write_set(path, images, {band: scale for band, (_, scale) in PIXELS.items()}, table, **fields)


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> Recipe:
    """The recipe ``tiny``, its architecture registered while the test runs."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", Architecture("tiny", SIZE, build_tiny))
    return Recipe(name="tiny", architecture="tiny", bands=("H", "VIS"), size=SIZE, field_of_view_arcsec=2.05)


@pytest.fixture
def make_set(tmp_path):
    """(name, labels, seed, header fields) → LensSet below the test's own folder."""
    return lambda name, labels, seed=3, **changes: write_ringed(tmp_path / name, np.asarray(labels), seed, **changes)


@pytest.fixture
def mixed(make_set) -> LensSet:
    """60 images, every third a lens."""
    return make_set("mixed", np.arange(60) % 3 == 0)


@pytest.fixture
def make_angled(tmp_path):
    """(name, labels, angles of the PSF in degrees) → LensSet whose catalogue has them."""
    return lambda name, labels, angles: write_ringed(tmp_path / name, np.asarray(labels), angles=np.asarray(angles))
