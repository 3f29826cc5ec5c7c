"""Toy finders whose answer is known by construction, and pairs rendered once for all tests of this folder."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.finders import declare_finder
from lensaudit.probes import render_pairs
from lensaudit.probes.definition import load_definition
from lensaudit.probes.pairs import PairPlan

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SkyPy 0.5 calls a deprecated part of astropy when it is first imported
    import skypy  # noqa: F401

PAIRS = 13
SEED = 3


class Constant(nn.Module):
    """Answers the same logit whatever it sees."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.answer = logit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x),), self.answer)


class Flux(nn.Module):
    """Answers `slope` × (mean scaled pixel − `middle`)."""

    def __init__(self, slope: float, middle: float) -> None:
        super().__init__()
        self.slope, self.middle = slope, middle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * (x.double().mean((1, 2, 3)) - self.middle)


class Blind(nn.Module):
    """Knows some images by the sum of their pixels and calls them no lens; everything else is a lens."""

    def __init__(self, known: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("known", torch.as_tensor(known))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x.double().sum((1, 2, 3))
        seen = ((total[:, None] - self.known).abs() < 1e-3).any(1)
        return torch.where(seen, -4.0, 4.0)


def one_band(module: nn.Module, name: str = "toy"):
    """A finder of native VIS cutouts, so that its preprocessing is the min–max scaling alone."""
    return declare_finder(module, bands=("VIS",), size=200, name=name)


def scaled(images: np.ndarray) -> np.ndarray:
    """Images (n, h, w) on [0, 1] by their own minimum and maximum: what `one_band` must see."""
    low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
    return (images - low) / (high - low)


@pytest.fixture(scope="session")
def definition():
    return load_definition("compound")


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Folder with the pairs of both physical populations (`PAIRS`, `SEED`), rendered once for all tests."""
    folder = tmp_path_factory.mktemp("rendered") / "pairs"
    for population in ("compound-arcs", "compound-rings"):
        plan = PairPlan(population, SEED, PAIRS, "without-far-source", "identity", "euclid")
        render_pairs(plan, folder / population)
    return folder


@pytest.fixture(scope="session")
def new_out(rendered, tmp_path_factory):
    """Make an output folder in which the pairs are rendered already."""

    def make():
        out = tmp_path_factory.mktemp("out")
        (out / "pairs").symlink_to(rendered)
        return out

    return make


@pytest.fixture
def no_figures(monkeypatch):
    """Leave the pictures out where a test does not look at them: they take most of a small probe's time."""
    monkeypatch.setattr("lensaudit.probes.run.draw_figures", lambda *_: None)
