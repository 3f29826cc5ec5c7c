"""Cheap sets and finders whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lens_sets import LABEL, write_set
from torch import nn

import lensaudit as la
from lensaudit.finders import Finder
from lensaudit.lensset import LensSet

SIDE = 24
BANDS = ("g", "r")


def images(n: int, seed: int, noise: float = 1.0, flux: float = 60.0) -> dict[str, np.ndarray]:
    """A round galaxy of scattered flux on white noise, in both bands."""
    rng = np.random.default_rng([11, seed])
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    profile = np.exp(-(x**2 + y**2) / 8)
    light = flux * rng.lognormal(0, 0.3, size=(n, 1, 1)) * profile / profile.sum()
    return {band: (light + rng.normal(0, noise, size=(n, SIDE, SIDE))).astype(np.float32) for band in BANDS}


def drawn_set(path: Path, n: int, seed: int, labels: object = None, **more: object) -> LensSet:
    """A lens set of `images`; `labels` (n,) or one for all; else half are lenses."""
    unit = {name: more.pop(name) for name in ("unit", "zero_point_mag", "population", "source") if name in more}
    drawn = more.pop("drawn", None) or images(n, seed, **more)
    table = np.arange(n) % 2 if labels is None else np.broadcast_to(labels, n)
    named = {"unit": "ADU", "zero_point_mag": 27.0} | unit
    return write_set(
        path, drawn, dict.fromkeys(BANDS, 0.2), {"label": table}, columns=(LABEL,), ids=f"s{seed}-{{:04d}}", **named
    )


def toy_module(outputs: int = 1, hidden: int = 12) -> nn.Module:
    """A small convolutional network with seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(len(BANDS), 6, 5, stride=3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(294, hidden),
            nn.ReLU(),
            nn.Linear(hidden, outputs),
        )


def toy_finder(module: nn.Module | None = None, **more: object) -> Finder:
    """A finder of these sets."""
    return la.declare_finder(module or toy_module(), bands=BANDS, size=SIDE, field_of_view_arcsec=4.8, **more)
