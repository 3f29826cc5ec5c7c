"""A recipe that trains in a second, and sets of 20-pixel images whose lenses carry a ring, with truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lens_sets import write_set

from lensaudit.clustering import ClusterOptions
from lensaudit.finders import Recipe
from lensaudit.lensset import CatalogueColumn, LensSet

SIZE = 20
COLUMNS = {
    "label": ("", "int64"),
    "n_arc_pixels": ("", "int64"),
    "arc_snr": ("", "float64"),
    "theta_e_arcsec": ("arcsec", "float64"),
    "arc_angle_rad": ("rad", "float64"),
}


def write_arcs(path: Path, labels: np.ndarray, seed: int) -> LensSet:
    """Noise and a bright middle; where the label is 1 an arc, brighter from image to image."""
    rng = np.random.default_rng(seed)
    n = len(labels)
    axis = np.linspace(-1, 1, SIZE)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    angles = rng.uniform(-np.pi, np.pi, n)
    radii = rng.uniform(0.4, 0.8, n)
    towards = np.cos(np.arctan2(y, x)[None] - angles[:, None, None])
    arcs = np.exp(-(((np.hypot(x, y)[None] - radii[:, None, None]) / 0.12) ** 2)) * (towards > 0)
    light = (arcs * np.linspace(1, 8, n)[:, None, None] * (labels == 1)[:, None, None]).astype(np.float32)
    images = (rng.normal(size=light.shape) + 20 * np.exp(-6 * np.hypot(x, y)) + light).astype(np.float32)
    is_lens = labels == 1
    table = {
        "label": labels.astype(int),
        "n_arc_pixels": (light > 0.5).sum((1, 2)),
        "arc_snr": light.sum((1, 2)).astype(float),
        "theta_e_arcsec": np.where(is_lens, radii, np.nan),
        "arc_angle_rad": np.where(is_lens, angles, np.nan),
    }
    columns = [CatalogueColumn(name=k, unit=u, description=k, dtype=d) for k, (u, d) in COLUMNS.items()]
    return write_set(
        path, {"VIS": images}, {"VIS": 0.1}, table, columns=columns, light={"VIS": light}, instrument="vis101"
    )


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(
        name="small",
        architecture="cae-bgm",
        bands=("VIS",),
        size=SIZE,
        field_of_view_arcsec=2.0,
        outputs=1,
        lens_index=0,
        architecture_options={"filters": 8, "embedding": 3},
    )


@pytest.fixture(scope="session")
def options(recipe) -> ClusterOptions:
    """A seed with which two of the three clusters have images, and one is empty."""
    return ClusterOptions.of(recipe, denoiser_epochs=1, epochs=2, batch_size=8, learning_rate=5e-3, seed=4)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="session")
def mixed(folder) -> LensSet:
    """48 images, every second a lens."""
    return write_arcs(folder / "mixed", np.arange(48) % 2, seed=1)


@pytest.fixture(scope="session")
def other(folder) -> LensSet:
    """Another 40, every second a lens."""
    return write_arcs(folder / "other", np.arange(40) % 2, seed=2)


@pytest.fixture(scope="session")
def unlabelled(folder) -> LensSet:
    """24 images nobody knows anything of."""
    return write_arcs(folder / "unlabelled", np.full(24, -1), seed=3)
