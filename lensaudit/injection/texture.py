"""What smooth sources hide: a source as a real galaxy, and as the smooth one of the same flux, size and axis ratio."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from lensaudit.errors import UsageError
from lensaudit.imaging.stamps import stamp_image
from lensaudit.injection.sources import library
from lensaudit.scenes import Light, Scene, Stamp
from lensaudit.scenes.edits.lens import bands_of, demand, demand_reference, exchanged, the_source

STREAM = 7008
"""Of the choice of a galaxy, beside those of `lensaudit.scenes.edits`."""
LEAST_AXIS_RATIO = 0.1


def source_texture(scene: Scene, strength: float, *, sources: str = "") -> Scene:
    """Give the source the light of a real galaxy near it in magnitude and size, or that galaxy's smooth counterpart.

    Both have the source's place, its flux in every band and its half-light radius. The smooth one is a Sérsic profile
    of the source's own index with the axis ratio and angle that the real one's second moments have. Which galaxy is
    taken and how it is turned depend on the scene's noise seed.

    Parameters
    ----------
    scene
        A lens with a magnitude in its reference band.
    strength
        1 the real galaxy, 0 the smooth one.
    sources
        Folder of stamps with their PSFs, or a catalogue of GalSim's real galaxies.

    Raises
    ------
    UsageError
        The scene has no lensed source, the strength is another, or there is no such folder or catalogue.
    DataError
        It holds no galaxy that can be used.
    """
    edit = "source_texture"
    source = the_source(scene, edit)
    demand(strength in (0, 1), edit, f"the strength must be 0 (smooth) or 1 (real), not {strength:g}")
    demand_reference(scene, source, edit)
    if not sources:
        raise UsageError(f"{edit}: no real galaxies are given; name a folder of stamps or a catalogue by --sources")
    rng = np.random.default_rng([scene.noise_seed, STREAM])
    drawn = source.light[0]
    stamp = library((str(sources),)).nearest(rng, source.magnitude(scene.sky.reference), drawn.r_eff_arcsec)
    turn = float(rng.uniform(0.0, 2 * math.pi))
    seen = {band: source.magnitude(band) for band in bands_of(source)}
    if strength == 1:
        light = Light("stamp", seen, drawn.r_eff_arcsec, angle_rad=turn, stamp=stamp)
    else:
        ratio, angle = shape_of(stamp)
        index = drawn.n_sersic if drawn.profile == "sersic" else 1.0
        light = Light("sersic", seen, drawn.r_eff_arcsec, index, ratio, (angle + turn) % math.pi)
    return exchanged(scene, source, replace(source, light=(light,)))


@lru_cache(maxsize=1024)
def shape_of(stamp: Stamp) -> tuple[float, float]:
    """Axis ratio and position angle (rad) of a stamp as it lies, from the second moments of its light."""
    image = stamp_image(stamp)
    axis = np.arange(-image.reach_arcsec, image.reach_arcsec + image.step_arcsec, image.step_arcsec)
    x, y = np.meshgrid(axis, axis)
    light = image.brightness(x, y)
    light = light / light.sum()
    mx, my = float((light * x).sum()), float((light * y).sum())
    xx, yy = float((light * (x - mx) ** 2).sum()), float((light * (y - my) ** 2).sum())
    xy = float((light * (x - mx) * (y - my)).sum())
    half, spread = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    ratio = math.sqrt(max(half - spread, 0.0) / (half + spread))
    return min(1.0, max(LEAST_AXIS_RATIO, ratio)), 0.5 * math.atan2(2 * xy, xx - yy)
