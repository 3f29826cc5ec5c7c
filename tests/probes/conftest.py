"""Toy finders whose answer is known in closed form, and small experiments made once for all tests of this folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.finders import Finder, declare_finder
from lensaudit.finders.recipe import CUSTOM, Recipe
from lensaudit.imaging import EUCLID, render_arms
from lensaudit.lensset import simulate
from lensaudit.probes.definition import load_definition
from lensaudit.scenes import draw_scene

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SkyPy 0.5 calls a deprecated part of astropy when it is first imported
    import skypy  # noqa: F401

SEED = 3


class Constant(nn.Module):
    """Answers the same logit whatever it sees."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.answer = logit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x),), self.answer)


def one_band(module: nn.Module, name: str = "toy", bands=("VIS",)):
    """A finder of native VIS cutouts, so that its preprocessing is the min–max scaling alone."""
    return declare_finder(module, bands=bands, size=200, name=name)


def scaled(images: np.ndarray) -> np.ndarray:
    """Images (n, h, w) on [0, 1] by their own minimum and maximum: what `one_band` must see."""
    low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
    return (images - low) / (high - low)


@dataclass(frozen=True)
class Formula(Finder):
    """A finder whose logit is a formula of the native pixels (electron/s), which no stretch has touched."""

    formula: Callable[[dict[str, np.ndarray]], np.ndarray] | None = None

    def prepare(self, cutouts):
        assert self.formula is not None
        values = np.asarray(self.formula({band: np.asarray(cutouts[band], float) for band in self.recipe.bands}))
        return torch.from_numpy(values)[:, None], torch.ones((len(values), len(self.recipe.bands)), dtype=torch.bool)


def formula(answer, bands=("VIS",), name="formula"):
    """A finder that answers ``answer({band: images (n, h, w)}) -> logits (n,)``."""
    recipe = Recipe(
        name=name, architecture=CUSTOM, bands=bands, size=200, stretch="minmax",
        field_of_view_arcsec=20.0, outputs=1, lens_index=0,
    )  # fmt: skip
    return Formula(recipe, nn.Identity(), CUSTOM, formula=answer)


@lru_cache(maxsize=64)
def rendered(name: str, index: int, population: str | None = None):
    """System `index` of a built-in probe in all its arms, made without the probes' own machinery."""
    definition = load_definition(name)
    population = population or next(iter(definition.mode(None)[1].populations.values()))
    scene = draw_scene(population, SEED, index)
    return render_arms([arm.scene(scene) for arm in definition.arms()], EUCLID)


def content(folder):
    """Relative path → bytes of every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def definition():
    return load_definition("compound")


@pytest.fixture(scope="session")
def small_set(tmp_path_factory):
    """A simulated lens set of 10 systems, some of them lenses."""
    return simulate("euclid", "euclid", 10, 1, tmp_path_factory.mktemp("sets") / "small").path


@pytest.fixture
def no_figures(monkeypatch):
    """Leave the pictures out where a test does not look at them: they take most of a small probe's time."""
    monkeypatch.setattr("lensaudit.probes.run.draw_figures", lambda *_: None)
