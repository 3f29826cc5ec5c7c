"""Small finders and lens sets, made by the real writer from seeded noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lens_sets import EUCLID, write_set

from lensaudit.finders import Finder, fit_statistics, initialised_module, load_recipe, save_finder
from lensaudit.lensset import LensSet


def noise(n: int, seed: int = 5) -> dict[str, np.ndarray]:
    """Euclid-shaped cutouts with a bright middle: band → float32 (n, h, w)."""
    rng = np.random.default_rng(seed)
    cutouts = {}
    for band, (pixels, _) in EUCLID.items():
        grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, pixels)] * 2))
        cutouts[band] = (rng.normal(size=(n, pixels, pixels)) + 20 * np.exp(-8 * grid)).astype(np.float32)
    return cutouts


ELECTRONS = ("electron / s", 24.0)


def write_noise(path: Path, cutouts: dict[str, np.ndarray], scales: dict[str, float] | None, unit) -> LensSet:
    scales = scales or {band: EUCLID[band][1] for band in cutouts}
    return write_set(path, cutouts, scales, ids="noise-{:04d}", unit=unit[0], zero_point_mag=unit[1])


def seeded_finder(name: str, seed: int = 2) -> Finder:
    recipe = load_recipe(name)
    generator = torch.Generator().manual_seed(seed)
    return Finder(recipe, initialised_module(recipe, generator), "test", statistics=statistics_for(recipe))


def statistics_for(recipe) -> dict[str, torch.Tensor]:
    """Statistics of a stretch that takes some, fitted to noise around a blob."""
    native = next(iter(noise(4, seed=11).values()))
    return fit_statistics(recipe.stretch, len(recipe.bands), recipe.size, [[native] * len(recipe.bands)], len(native))


@pytest.fixture
def make_set(tmp_path):
    """Write cutouts as a lens set under the test's own folder: (name, cutouts, scales, unit) → LensSet."""
    return lambda name, cutouts, scales=None, unit=ELECTRONS: write_noise(tmp_path / name, cutouts, scales, unit)


@pytest.fixture
def make_finder():
    """Name of a recipe (and seed) → finder with He-normal weights."""
    return seeded_finder


@pytest.fixture
def statistics_of():
    """Recipe → statistics of its stretch, fitted to noise around a blob."""
    return statistics_for


@pytest.fixture
def make_cutouts():
    """Number of images (and seed) → Euclid-shaped cutouts."""
    return noise


@pytest.fixture
def saved_ou66(tmp_path) -> Path:
    """Folder of a saved ou66 finder with He-normal weights."""
    save_finder(seeded_finder("ou66"), tmp_path / "ou66", origin="He-normal weights of a test")
    return tmp_path / "ou66"


@pytest.fixture(autouse=True)
def timm(request, let_timm_load):
    """For whatever is parametrised with the name of a finder whose network comes from timm."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and str(callspec.params.get("name")).startswith(("transfer", "convnext", "vit")):
        let_timm_load()
