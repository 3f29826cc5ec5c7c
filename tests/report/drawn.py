"""A catalogue of lenses and non-lenses drawn from a few distributions, as the builders of an audit read a set.

What a finder says of it is drawn too; every number of an audit is then the real builders' own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

NON_LENS_KINDS = ("no-source", "spiral", "ring-galaxy", "merger", "edge-on", "companions")
N = 400


@dataclass(frozen=True)
class DrawnSet:
    """A catalogue, asked for as a lens set is."""

    catalogue: dict[str, np.ndarray]
    path: str = "sets/audit"
    instrument: str = "euclid"
    content_hash: str = "cd" * 32
    has_truth: bool = True
    population: str = "euclid"
    seed: int = 3
    shape: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {"VIS": (200, 200), "Y": (66, 66), "J": (66, 66), "H": (66, 66)}
    )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labels(self) -> np.ndarray:
        return self.catalogue["label"].astype(np.int8)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.catalogue)

    @property
    def bands(self) -> tuple[str, ...]:
        return tuple(self.shape)

    @property
    def pixel_scale_arcsec(self) -> dict[str, float]:
        return {band: 20.0 / width for band, (_, width) in self.shape.items()}

    @property
    def command(self) -> str:
        return f"lensaudit simulate {self.population} --n {len(self)} --seed {self.seed}"

    def column(self, name: str) -> np.ndarray:
        return self.catalogue[name]


@dataclass(frozen=True)
class DrawnScores:
    """p(lens) of a drawn set."""

    p_lens: np.ndarray
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def logit(self) -> np.ndarray:
        return np.log(self.p_lens / (1 - self.p_lens))


def drawn_catalogue(seed: int = 1) -> dict[str, np.ndarray]:
    """200 lenses, 200 non-lenses, and p of a finder that loses small and faint lenses."""
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], N // 2)
    theta = np.where(label == 1, rng.uniform(0.3, 2.8, N), np.nan)
    snr = np.where(label == 1, rng.lognormal(3.0, 0.8, N), np.nan)
    logit = np.where(
        label == 1, 2.2 * (np.nan_to_num(theta) - 1.0) + 0.5 * rng.normal(size=N), rng.normal(-2.5, 1.5, N)
    )
    return {
        "label": label,
        "kind": np.where(label == 1, "single", rng.choice(NON_LENS_KINDS, N)),
        "theta_e_arcsec": theta,
        "arc_snr": snr,
        "mag_source_VIS": np.where(label == 1, rng.normal(24.5, 0.8, N), np.nan),
        "colour_source_VIS_H": np.where(label == 1, rng.normal(0.9, 0.3, N), np.nan),
        "p": 1 / (1 + np.exp(-logit)),
    }
