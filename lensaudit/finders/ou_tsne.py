"""OU-T-SNE (Wilde et al. 2022, Section 3.3): the scores of several finders, placed on a t-SNE map, in one module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import Recipe
from lensaudit.finders.stretch import STRETCHES, Statistics, resize_matrix

Floats = NDArray[np.float64]

NEIGHBOURS = 25
PERPLEXITY = 5
EXAGGERATION = 1.5
MOMENTUM = 0.8
LARGEST_GRADIENT = 0.25
"""What openTSNE's ``transform`` takes by default (Poličar et al. 2024)."""

DESCENT = ((1.0, 200), (0.1, 100))
"""Learning rate and steps of the two stages of a placement.

openTSNE 1.0.4 sets the gains of all points inside its grid to zero in every step (it means those outside), so that its
own 250 steps at 0.1 leave nearly one point in five short of the minimum. These stages reach it within half a unit of a
plain exact descent for 19 points in 20; most of the others end in another minimum.
"""


@dataclass(frozen=True, eq=False)
class LensMap:
    """Reference vectors on a map, and the lens fraction of each of its cells.

    Attributes
    ----------
    vectors
        Score vectors of the reference images (n, members), float64.
    positions
        Where these lie on the map (n, 2), float64; t-SNE's axes have no unit.
    fraction
        Lens fraction of each cell (cells, cells), the first axis along the second coordinate.
    """

    vectors: Floats
    positions: Floats
    fraction: Floats

    def place(self, vectors: Floats) -> Floats:
        """Positions (m, 2) of score vectors (m, members), each found without regard to the others."""
        if not len(vectors):
            return np.empty((0, 2))
        partial = self._embedding.prepare_partial(
            np.asarray(vectors, np.float64), initialization="median", k=NEIGHBOURS, perplexity=self._perplexity
        )
        for rate, steps in DESCENT:
            partial.optimize(
                steps,
                inplace=True,
                learning_rate=rate,
                exaggeration=EXAGGERATION,
                momentum=MOMENTUM,
                max_grad_norm=LARGEST_GRADIENT,
                max_step_norm=None,
            )
        return np.asarray(partial, dtype=np.float64) + self._middle

    def p_lens(self, positions: Floats) -> Floats:
        """Lens fraction (m,) of the cells that positions (m, 2) fall into; beyond the edge, of the nearest cell."""
        column, row = cells_of(positions, self.positions, len(self.fraction))
        found: Floats = self.fraction[row, column]
        return found

    @property
    def _perplexity(self) -> float:
        """PERPLEXITY, or what fewer reference images than three times that allow."""
        return min(PERPLEXITY, (len(self.vectors) - 1) / 3)

    @property
    def _middle(self) -> Floats:
        """Of the bounding box: openTSNE's own coordinates begin there."""
        middle: Floats = (self.positions.max(axis=0) + self.positions.min(axis=0)) / 2
        return middle

    @cached_property
    def _embedding(self) -> Any:
        """openTSNE's object, built anew from the reference; nothing in it is random."""
        from openTSNE import TSNEEmbedding, affinity

        known = affinity.PerplexityBasedNN(self.vectors, perplexity=self._perplexity, method="exact", n_jobs=1)
        centred = self.positions - self._middle
        embedding = TSNEEmbedding(centred, known, negative_gradient_method="fft", n_jobs=1, random_state=0)
        embedding.prepare_interpolation_grid()
        return embedding


def cells_of(positions: Floats, reference: Floats, cells: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Column and row (m,) of positions (m, 2) in a grid of `cells` × `cells` over the bounding box of `reference`.

    A position beyond the edge is in the cell nearest to it.
    """
    low, high = reference.min(axis=0), reference.max(axis=0)
    fraction = (positions - low) / np.where(high > low, high - low, 1.0)
    index = np.clip(np.floor(fraction * cells), 0, cells - 1).astype(np.intp)
    return index[:, 0], index[:, 1]


CELLS = 100
SUREST = 1e-3
"""p is kept between this and one minus this: a cell of lenses alone has no finite log-odds."""

DECIMALS = 5
"""Of the members' p before they are placed: rounding errors of float32 do not carry an image over a cell's edge."""

_PIXELS_AT_ONCE = 70_000
"""Of a member's pass, as in `lensaudit.finders.score`: maps near the cache run faster."""

Build = Callable[[Recipe], nn.Module]


class Member(nn.Module):
    """One finder of an ensemble: its module and the statistics of its stretch, as buffers.

    Parameters
    ----------
    recipe
        The member's own.
    body
        Its module.
    """

    def __init__(self, recipe: Recipe, body: nn.Module) -> None:
        super().__init__()
        self.recipe = recipe
        self.body = body
        for name in STRETCHES[recipe.stretch].fitted:
            planes = (recipe.size, recipe.size) if name == "mean" else ()
            self.register_buffer(name, torch.empty(len(recipe.bands), *planes))

    @property
    def finder(self) -> Finder:
        """The member as a finder of its own."""
        statistics: Statistics = {name: getattr(self, name) for name in STRETCHES[self.recipe.stretch].fitted}
        return Finder(self.recipe, self.body, "member of an ensemble", statistics=statistics)

    def forward(self, bands: dict[str, torch.Tensor]) -> torch.Tensor:
        """p(lens) (n,) of native images, band → (n, h, w), through the member's own preprocessing; NaN without one."""
        return torch.sigmoid(self.logits(bands))

    def logits(self, bands: dict[str, torch.Tensor]) -> torch.Tensor:
        """Its log-odds (n,) instead of p."""
        finder = self.finder
        images, good = finder.prepare(bands)
        images = torch.where(good.all(1)[:, None, None, None], images, 0.0)
        pieces = images.split(max(4, _PIXELS_AT_ONCE // self.recipe.size**2))
        logit = torch.cat([finder.logit(piece) for piece in pieces])
        return torch.where(good.all(1), logit, torch.nan)


class OuTsne(nn.Module):
    """Native images (n, bands, size, size) → log-odds (n, 1) of the map's cell that the members' scores fall into.

    There is no gradient: a cell is constant inside, and steps at its edge.

    Parameters
    ----------
    recipe
        With its members, and the options ``references`` (images on the map), ``cells`` (per side, 100) and
        ``native_pixels`` (of each band of the map's set, in order).
    build
        Recipe of a member → its module.
    """

    differentiable = False

    def __init__(self, recipe: Recipe, build: Build) -> None:
        super().__init__()
        self.pixels = dict(zip(recipe.bands, native_pixels(recipe), strict=True))
        self.members = nn.ModuleDict({one.name: Member(one, build(one)) for one in recipe.members})
        count = int(recipe.architecture_options["references"])
        cells = int(recipe.architecture_options.get("cells", CELLS))
        self.register_buffer("vectors", torch.empty(count, len(recipe.members)))
        self.register_buffer("positions", torch.empty(count, 2))
        self.register_buffer("labels", torch.empty(count, dtype=torch.int64))
        self.register_buffer("fraction", torch.empty(cells, cells))
        self._map: LensMap | None = None
        self.register_load_state_dict_post_hook(_forget_map)

    @property
    def map(self) -> LensMap:
        """The map of the buffers, built at first use."""
        if self._map is None:
            arrays = (getattr(self, name).detach().cpu().double().numpy() for name in _MAP)
            self._map = LensMap(*arrays)
        return self._map

    def __getstate__(self) -> dict[str, Any]:
        """For copies: without the map, whose search tree cannot be copied; theirs is built again from the buffers."""
        return {**self.__dict__, "_map": None}

    def scores(self, images: torch.Tensor, names: Sequence[str] | None = None) -> torch.Tensor:
        """p(lens) of the members `names`, by default all, to five decimals (n, members); NaN where one cannot scale."""
        bands = {band: shrunk(images[:, index], side) for index, (band, side) in enumerate(self.pixels.items())}
        chosen = self.members if names is None else names
        return torch.stack([self.members[name](bands) for name in chosen], dim=1).round(decimals=DECIMALS)

    def placed(self, images: torch.Tensor) -> torch.Tensor:
        """Positions (n, 2) of images on the map, float64; NaN where there is none."""
        vectors = self.scores(images).double().cpu().numpy()
        known = np.isfinite(vectors).all(axis=1)
        positions = np.full((len(vectors), 2), np.nan)
        positions[known] = self.map.place(vectors[known])
        return torch.from_numpy(positions)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds (n, 1) of native images (n, bands, size, size); NaN where a member cannot scale one."""
        positions = self.placed(images).numpy()
        known = np.isfinite(positions).all(axis=1)
        p_lens = np.full(len(positions), np.nan)
        p_lens[known] = self.map.p_lens(positions[known])
        logit = torch.logit(torch.from_numpy(p_lens), eps=SUREST)
        return logit[:, None].to(images)


def native_pixels(recipe: Recipe) -> tuple[int, ...]:
    """Pixels along a side of each band of the set that the map was made of; the recipe's size where it says nothing."""
    words = str(recipe.architecture_options.get("native_pixels", ""))
    return tuple(int(word) for word in words.split()) or (recipe.size,) * len(recipe.bands)


def with_native_pixels(sides: Mapping[str, int], bands: tuple[str, ...]) -> str:
    """The option ``native_pixels`` for bands of these sides."""
    return " ".join(str(sides[band]) for band in bands)


def shrunk(images: torch.Tensor, side: int) -> torch.Tensor:
    """Undo the resizing of images (n, h, w) from `side` pixels: (n, side, side); as they are if they were larger.

    Resizing to more pixels interpolates, which loses nothing: its pseudo-inverse gives the native pixels back, so that
    a member sees what it would see alone. Where pixels were changed since, it gives the native image closest to them.
    """
    if side >= images.shape[-1]:
        return images
    inverse = _inverse(side, images.shape[-1], images.device)
    return inverse @ images @ inverse.T


@lru_cache(maxsize=16)
def _inverse(side: int, size: int, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # what is kept must serve gradients later, too
        return torch.from_numpy(np.linalg.pinv(resize_matrix(side, size))).to(device=device, dtype=torch.float32)


_MAP = ("vectors", "positions", "fraction")


def _forget_map(module: nn.Module, _keys: object) -> None:
    assert isinstance(module, OuTsne)
    module._map = None
