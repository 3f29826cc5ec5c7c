"""A recipe that trains in a second, and sets of 20-pixel images whose lenses carry a ring, with truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lensaudit.clustering import ClusterOptions
from lensaudit.finders import Recipe
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, Records, chunk_for

SIZE = 20
COLUMNS = {
    "label": ("", "int64"),
    "n_arc_pixels": ("", "int64"),
    "arc_snr": ("", "float64"),
    "theta_e_arcsec": ("arcsec", "float64"),
    "arc_angle_rad": ("rad", "float64"),
}


def write_set(path: Path, labels: np.ndarray, seed: int) -> LensSet:
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
    columns = tuple(CatalogueColumn(name=k, unit=u, description=k, dtype=d) for k, (u, d) in COLUMNS.items())
    header = Header(
        instrument="vis101",
        n=n,
        chunk=chunk_for(n),
        columns=columns,
        bands=(BandHeader(name="VIS", shape=(SIZE, SIZE), pixel_scale_arcsec=0.1, unit="electron / s"),),
        has_truth=True,
    )
    writer = LensSetWriter(path, header)
    writer.start()
    for chunk in range(header.n_chunks):
        span = header.span(chunk)
        rows = [
            {
                "label": int(labels[i]),
                "n_arc_pixels": int((light[i] > 0.5).sum()),
                "arc_snr": float(light[i].sum()),
                "theta_e_arcsec": float(radii[i]) if labels[i] == 1 else float("nan"),
                "arc_angle_rad": float(angles[i]) if labels[i] == 1 else float("nan"),
            }
            for i in range(n)[span]
        ]
        writer.write(
            chunk,
            Records(
                ids=[f"image-{i:04d}" for i in range(n)[span]],
                images={"VIS": images[span]},
                rows=rows,
                source_light={"VIS": light[span]},
                mask={"VIS": light[span] > 0.5},
            ),
        )
    writer.finish()
    return LensSet.open(path)


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
    return write_set(folder / "mixed", np.arange(48) % 2, seed=1)


@pytest.fixture(scope="session")
def other(folder) -> LensSet:
    """Another 40, every second a lens."""
    return write_set(folder / "other", np.arange(40) % 2, seed=2)


@pytest.fixture(scope="session")
def unlabelled(folder) -> LensSet:
    """24 images nobody knows anything of."""
    return write_set(folder / "unlabelled", np.full(24, -1), seed=3)
