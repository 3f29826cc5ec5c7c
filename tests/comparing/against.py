"""A catalogue of lenses and non-lenses, and scores of two finders of it, one of which may be worse in one group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from lensaudit.comparing.pairs import Told


@dataclass(frozen=True)
class Catalogue:
    """As much of a lens set as groups are made of."""

    table: dict[str, np.ndarray]
    path: str = "sets/gate"
    bands: tuple[str, ...] = ("VIS", "H")

    @property
    def labels(self) -> np.ndarray:
        return self.table["label"]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table)

    def column(self, name: str) -> np.ndarray:
        return self.table[name]


def catalogue(n: int, rng: np.random.Generator) -> Catalogue:
    label = (np.arange(n) % 2).astype(np.int8)

    def of_lenses(values: np.ndarray) -> np.ndarray:
        return np.where(label == 1, values, np.nan)

    kinds = rng.choice(["single", "compound-arcs", "compound-rings"], n, p=[0.6, 0.3, 0.1])
    return Catalogue(
        {
            "label": label,
            "kind": np.where(label == 1, kinds, rng.choice(["no-source", "spiral", "merger"], n)),
            "theta_e_arcsec": of_lenses(rng.uniform(0.5, 2.5, n)),
            "arc_snr": of_lenses(rng.lognormal(4, 1, n)),
            "colour_source_VIS_H": of_lenses(rng.normal(1, 0.5, n)),
            "mag_lens_VIS": rng.normal(20, 1, n),
        }
    )


def told(name: str, logit: np.ndarray) -> Told:
    return Told(name, expit(logit), logit, 0.5)


def two_finders(drawn: Catalogue, rng: np.random.Generator, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of two equally good finders, that agree in part."""
    shared = 4.0 * (drawn.labels - 0.5) + rng.normal(0, 1.2, len(drawn.labels))
    return shared + rng.normal(0, spread, len(shared)), shared + rng.normal(0, spread, len(shared))
