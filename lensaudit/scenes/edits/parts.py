"""Which galaxy of a scene an edit means, and the one line that says why a scene or a strength does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import hypot, isfinite

import numpy as np

from lensaudit.errors import UsageError
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.scene import Galaxy, Light, Scene

COLOUR_BAND = "VIS"
"""The band whose magnitude stays where colours change."""


def demand(condition: bool, edit: str, message: str) -> None:
    """Raise a UsageError that begins with the edit's name unless `condition` holds."""
    if not condition:
        raise UsageError(f"{edit}: {message}")


def demand_finite(strength: float, edit: str) -> None:
    """Refuse NaN and infinity."""
    demand(isfinite(strength), edit, f"the strength must be a finite number, not {strength}")


def the_source(scene: Scene, edit: str) -> Galaxy:
    """The farthest lensed galaxy of role ``source``."""
    sources = [galaxy for galaxy in scene.lensed if galaxy.role == "source"]
    demand(bool(sources), edit, f"the scene is '{scene.kind}' and has no lensed source; give it a lens")
    return sources[-1]


def the_lens(scene: Scene, edit: str) -> Galaxy:
    """The galaxy of role ``lens``, with mass or without."""
    lenses = [galaxy for galaxy in scene.galaxies if galaxy.role == "lens"]
    demand(bool(lenses), edit, f"the scene is '{scene.kind}' and has no lens galaxy")
    return lenses[0]


def the_pair(scene: Scene, edit: str) -> tuple[Galaxy, Galaxy]:
    """Deflector and source of a scene that has one of each."""
    source = the_source(scene, edit)
    count = len(scene.deflectors)
    demand(count == 1, edit, f"the scene is '{scene.kind}' and has {count} deflectors; it must have one")
    demand(theta_e_arcsec(scene.deflectors[0], source) > 0, edit, "the deflector has no mass; give it a lens")
    return scene.deflectors[0], source


def theta_e_arcsec(deflector: Galaxy, source: Galaxy) -> float:
    """Einstein radius of `deflector` for `source`; 0 for a galaxy without mass."""
    sigma_v = 0.0 if deflector.mass is None else deflector.mass.sigma_v_km_s
    return einstein_radius_arcsec(sigma_v, deflector.redshift, source.redshift)


def offset_arcsec(deflector: Galaxy, source: Galaxy) -> tuple[float, float]:
    """Where the source stands as seen from the deflector: distance (arcsec) and position angle (rad)."""
    dx, dy = source.x_arcsec - deflector.x_arcsec, source.y_arcsec - deflector.y_arcsec
    return hypot(dx, dy), float(np.arctan2(dy, dx))


def demand_colours(galaxy: Galaxy, edit: str) -> None:
    """Refuse a galaxy with a component that has no magnitude in the colours' fixed band."""
    known = all(COLOUR_BAND in light.magnitudes for light in galaxy.light)
    demand(known, edit, f"the scene has no {COLOUR_BAND} magnitudes; it needs a population of the Euclid bands")


def exchanged(scene: Scene, old: Galaxy, *new: Galaxy) -> Scene:
    """The scene with one galaxy replaced in its place, so that all light is summed in the same order as before."""
    galaxies: list[Galaxy] = []
    for galaxy in scene.galaxies:
        galaxies.extend(new if galaxy is old else (galaxy,))
    return replace(scene, galaxies=tuple(galaxies))


def fainter(galaxy: Galaxy, mag: Callable[[str], float]) -> Galaxy:
    """The galaxy with ``mag(band)`` added to every component's magnitudes."""
    return replace(galaxy, light=tuple(_fainter(light, mag) for light in galaxy.light))


def _fainter(light: Light, mag: Callable[[str], float]) -> Light:
    return replace(light, magnitudes={band: value + mag(band) for band, value in light.magnitudes.items()})


def bands_of(galaxy: Galaxy) -> tuple[str, ...]:
    """Bands in which any component has a magnitude, in order."""
    return tuple(dict.fromkeys(band for light in galaxy.light for band in light.magnitudes))


def generator(scene: Scene, edit: str) -> np.random.Generator:
    """Random choices of an edit: they depend on the scene's noise seed and on the edit, not on its strength."""
    return np.random.default_rng([scene.noise_seed, _STREAMS[edit]])


# The band's index, a small number, is the stream of the noise itself: stay far from it.
_STREAMS = {
    "source_clumpiness": 7001,
    "off_centre": 7002,
    "companions": 7003,
    "as_spiral": 7004,
    "as_ring": 7005,
    "as_merger": 7006,
    "second_source": 7007,
}
