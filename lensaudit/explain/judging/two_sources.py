"""The light of each of the two sources of a compound lens, apart from the other's.

The nearer source is the middle galaxy (role ``mid``), the farther one the galaxy behind it (role ``source``). In
``physical`` scenes both are lensed, and their images together are the truth's lensed light. In ``faithful`` ones, drawn
the way of Wilde et al. 2022, the middle galaxy's light is added unlensed: it has one image, its own, which is no part
of the truth's lensed light; it counts as the nearer source's all the same, and the result says how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.explain.judging.truth_masks import on_grid
from lensaudit.finders import Finder
from lensaudit.finders.resize import resized
from lensaudit.imaging import Instrument, get_instrument, noiseless_images
from lensaudit.imaging.truth import ARC_THRESHOLD_SIGMA
from lensaudit.lensset import LensSet
from lensaudit.scenes import Scene

COMPOUND_KINDS = ("compound-arcs", "compound-rings")
NEARER, FARTHER = "mid", "source"
FEWEST_PIXELS = 4
"""Of either source, on the finder's grid; with fewer there is nothing to look at."""

Light = dict[str, NDArray[np.float32]]


def light_of(scene: Scene, role: str, instrument: Instrument) -> Light:
    """Noiseless light of the galaxies of one role after the PSF: band → (h, w) in electron/s.

    All other galaxies keep their mass and lose their light, so that the rays run as in the whole scene and the parts
    add up to it. (Removing the far source instead would change the shear, which is quoted for the farthest lensed
    galaxy, and so move the nearer one's images.)
    """
    galaxies = tuple(g if g.role == role else replace(g, light=()) for g in scene.galaxies)
    dark = replace(scene, galaxies=galaxies)
    return {band: light.astype(np.float32) for band, light in noiseless_images(dark, instrument).items()}


@dataclass(frozen=True, eq=False)
class TwoSources:
    """Both sources of n compound lenses on a finder's grid.

    Attributes
    ----------
    nearer, farther
        Where that source's light exceeds 0.5 σ of the background in any of the finder's bands and is the brighter of
        the two, bool (n, size, size); no pixel is in both.
    light
        Both sources' light together, summed over the finder's bands in units of each band's σ, (n, size, size).
    lensed
        Whether the nearer source's light is lensed, as in nature (n).
    """

    nearer: NDArray[np.bool_]
    farther: NDArray[np.bool_]
    light: NDArray[np.float32]
    lensed: NDArray[np.bool_]

    @property
    def apart(self) -> NDArray[np.bool_]:
        """Whether each source has pixels enough of its own to be looked at, bool (n)."""
        pixels = [part.sum(axis=(1, 2)) for part in (self.nearer, self.farther)]
        return np.minimum(*pixels) >= FEWEST_PIXELS

    @classmethod
    def joined(cls, parts: Sequence[TwoSources]) -> TwoSources:
        """Those of several calls, one after the other; at least one is needed."""
        return cls(
            np.concatenate([part.nearer for part in parts]),
            np.concatenate([part.farther for part in parts]),
            np.concatenate([part.light for part in parts]),
            np.concatenate([part.lensed for part in parts]),
        )

    def rows(self, index: Sequence[int]) -> TwoSources:
        """The sources of some of the lenses."""
        keep = np.asarray(index, dtype=np.intp)
        return TwoSources(self.nearer[keep], self.farther[keep], self.light[keep], self.lensed[keep])


def two_sources(finder: Finder, lens_set: LensSet, systems: Sequence[int]) -> TwoSources:
    """Render both sources of compound lenses apart.

    Raises
    ------
    DataError
        A system is no simulated compound lens.
    UsageError
        The set's instrument is not one of ours.
    """
    instrument = get_instrument(lens_set.instrument)
    scenes = [_compound_scene(lens_set, system) for system in systems]
    parts = [[light_of(scene, role, instrument) for scene in scenes] for role in (NEARER, FARTHER)]
    seen = [_mask(finder, instrument, lights) for lights in parts]
    light = [_in_sigma(finder, instrument, lights) for lights in parts]
    farther_brighter = light[1] > light[0]
    lensed = [all(g.lensed for g in scene.galaxies if g.role == NEARER) for scene in scenes]
    return TwoSources(
        nearer=seen[0] & ~(seen[1] & farther_brighter),
        farther=seen[1] & (farther_brighter | ~seen[0]),
        light=light[0] + light[1],
        lensed=np.asarray(lensed, dtype=bool),
    )


def _compound_scene(lens_set: LensSet, system: int) -> Scene:
    scene = lens_set.scene(system)
    if scene is None or scene.kind not in COMPOUND_KINDS:
        kind = "has no scene" if scene is None else f"is '{scene.kind}'"
        raise DataError(f"{lens_set.path}: system {lens_set.ids[system]} {kind}; give simulated compound lenses")
    return scene


def _mask(finder: Finder, instrument: Instrument, lights: Sequence[Light]) -> NDArray[np.bool_]:
    native = {}
    for band in finder.recipe.bands:
        threshold = ARC_THRESHOLD_SIGMA * instrument.band(band).background_sigma
        native[band] = np.stack([light[band] > threshold for light in lights])
    return on_grid(native, finder.recipe.size)


def _in_sigma(finder: Finder, instrument: Instrument, lights: Sequence[Light]) -> NDArray[np.float32]:
    size = finder.recipe.size
    total = np.zeros((len(lights), size, size), np.float32)
    for band in finder.recipe.bands:
        native = np.stack([light[band] for light in lights]) / instrument.band(band).background_sigma
        total += resized(torch.from_numpy(native.astype(np.float32)), size).numpy()
    return total
