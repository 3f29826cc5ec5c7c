"""Any population with its galaxy in the middle, for cutouts too small for what stands 5″ off it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lensaudit.scenes.scene import Scene

JITTER_ARCSEC = 0.05
"""Half a VIS pixel: no survey centres its cutouts better, and no deflector then falls on a ray."""


def centred(draw: Callable[[np.random.Generator], Scene]) -> Callable[[np.random.Generator], Scene]:
    """The population `draw` moved on the sky: the first galaxy, the lens or what poses as one, is in the middle."""

    def moved(rng: np.random.Generator) -> Scene:
        scene = draw(rng)
        x, y = rng.normal(0.0, JITTER_ARCSEC, 2)
        dx, dy = float(x - scene.galaxies[0].x_arcsec), float(y - scene.galaxies[0].y_arcsec)
        shifted = (replace(g, x_arcsec=g.x_arcsec + dx, y_arcsec=g.y_arcsec + dy) for g in scene.galaxies)
        return replace(scene, galaxies=tuple(shifted))

    return moved
