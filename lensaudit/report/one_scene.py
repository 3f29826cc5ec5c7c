"""A set that is not simulated yet: what it will declare, and one scene of it to time a finder on."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lensaudit.imaging import Instrument
    from lensaudit.report.options import AuditOptions

EUCLID = "euclid"
"""Instrument, and the population that is drawn on every one that has none of its own."""


class OneScene:
    """A set that is one scene `n` times: of the instrument that the options name, else of Euclid."""

    has_truth = True

    def __init__(self, n: int, options: AuditOptions) -> None:
        from lensaudit.imaging import get_instrument
        from lensaudit.probes.experiment import Drawn

        self._n, self._seed = n, options.seed
        self.seen_by: Instrument = options.instrument or get_instrument(EUCLID)
        self.instrument = self.seen_by.name
        self.population = dict(self.seen_by.counterparts).get(EUCLID, EUCLID)
        self.content_hash = "0" * 64
        fields = Drawn("", 0, 0, self.instrument, self.seen_by).fields
        self.bands, self.shape, self.pixel_units = fields.bands, fields.shape, fields.pixel_units
        self.pixel_scale_arcsec = fields.pixel_scale_arcsec

    def __len__(self) -> int:
        return self._n

    def seconds(self) -> float:
        """Of drawing and rendering one system."""
        self._rendered(0)  # compiles what is not compiled yet
        began = time.perf_counter()
        self._rendered(1)
        return time.perf_counter() - began

    def _rendered(self, index: int) -> dict[str, NDArray[np.float32]]:
        from lensaudit.imaging import render
        from lensaudit.scenes import draw_scene

        scene = draw_scene(self.population, self._seed, index, self.seen_by.sky)
        return {band: np.asarray(image, np.float32) for band, image in render(scene, self.seen_by).images.items()}

    @cached_property
    def _images(self) -> dict[str, NDArray[np.float32]]:
        return self._rendered(1)

    def images(self, band: str, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Native images (m, h, w)."""
        return np.repeat(self._images[band][None], len(index), axis=0)

    def column(self, name: str) -> NDArray[np.float64]:
        """A catalogue column nobody knows yet (n,)."""
        return np.zeros(self._n)
