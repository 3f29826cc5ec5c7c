"""Two nets that run in milliseconds, and sets of 40 images whose lenses carry a ring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lens_sets import write_set
from torch import nn

from lensaudit.ensembles import EnsemblePlan, fit_ensemble
from lensaudit.ensembles.fit import Sets
from lensaudit.finders import ARCHITECTURES, Finder, Recipe, initialised_module, save_finder
from lensaudit.finders.architectures import Architecture
from lensaudit.lensset import LensSet

PIXELS = {"VIS": (20, 0.1), "H": (7, 0.3)}


def build_tiny(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 12, 12) → (n, outputs)."""
    return nn.Sequential(
        nn.Conv2d(bands, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(100, 8),
        nn.ReLU(),
        nn.Linear(8, outputs),
    )


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    """The architecture ``tiny``, while the test runs."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", Architecture("tiny", 12, build_tiny))


def make_member(name: str, bands: tuple[str, ...], seed: int, **changes) -> Finder:
    recipe = Recipe(name=name, architecture="tiny", bands=bands, size=12, field_of_view_arcsec=2.05, **changes)
    return Finder(recipe, initialised_module(recipe, torch.Generator().manual_seed(seed)), "test")


@pytest.fixture
def members() -> list[Finder]:
    """One of both bands, one of H alone with another stretch."""
    return [make_member("both", ("H", "VIS"), 1), make_member("only-h", ("H",), 2, stretch="sqrt-minmax")]


def cutouts(n: int, seed: int = 3) -> dict[str, np.ndarray]:
    """Noise with a bright middle; every second image has a ring."""
    rng = np.random.default_rng(seed)
    images = {}
    for band, (pixels, _) in PIXELS.items():
        radius = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, pixels)] * 2))
        ring = 6 * np.exp(-(((radius - 0.6) / 0.15) ** 2)) * (np.arange(n) % 2)[:, None, None]
        images[band] = (rng.normal(size=(n, pixels, pixels)) + 10 * np.exp(-8 * radius) + ring).astype(np.float32)
    return images


def write_ringed(path: Path, images: dict[str, np.ndarray]) -> LensSet:
    labels = np.arange(len(next(iter(images.values())))) % 2
    return write_set(path, images, {band: scale for band, (_, scale) in PIXELS.items()}, {"label": labels}, seed=None)


@pytest.fixture
def training(tmp_path) -> LensSet:
    return write_ringed(tmp_path / "set", cutouts(40))


@pytest.fixture
def ensemble(members, training, tmp_path) -> Finder:
    """The two members on a map of the set's 40 images in 6×6 cells, as loaded from its folder."""
    return fit_ensemble(members, Sets(training), tmp_path / "ensemble", EnsemblePlan(cells=6, perplexity=5)).finder


@pytest.fixture
def member_folders(members, tmp_path) -> list[str]:
    for member in members:
        save_finder(member, tmp_path / member.name, origin="test")
    return [str(tmp_path / member.name) for member in members]
