"""Edits of the deflector, edits that make a lens a non-lens, and which galaxy of a scene an edit means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import hypot, isfinite, log10, sqrt

import numpy as np

from lensaudit.errors import UsageError
from lensaudit.scenes.colours import effective_wavelength_nm
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.contaminants import arc_magnitude, merger_parts, spiral_disc, young_ring
from lensaudit.scenes.scene import EUCLID_SKY, Galaxy, Light, Scene


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


def demand_reference(scene: Scene, galaxy: Galaxy, edit: str) -> None:
    """Refuse a galaxy with a component that has no magnitude in the scene's reference band."""
    band = scene.sky.reference
    known = all(band in light.magnitudes for light in galaxy.light)
    demand(known, edit, f"the scene has no {band} magnitudes, and {band} is its reference band")


def demand_colours(scene: Scene, galaxy: Galaxy, edit: str) -> None:
    """Refuse a scene of one band, which has no colours, and what `demand_reference` refuses."""
    bands = scene.sky.bands
    demand(len(bands) > 1, edit, f"the scene has magnitudes in {bands[0]} alone, and so no colours")
    demand_reference(scene, galaxy, edit)


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
    "arc_colour": 7008,
}


EUCLID_NM = {"VIS": 700.0, "Y": 1080.0, "J": 1370.0, "H": 1770.0}
REMOVED_LIGHT_MAG = 15.0
"""A galaxy must keep a light component: all of its light removed leaves this much less, a millionth."""


def einstein_radius(scene: Scene, strength: float) -> Scene:
    """Give the deflector another Einstein radius; all light stays, and the source's offset in units of θ_E.

    The velocity dispersion grows with the root of θ_E.

    Parameters
    ----------
    scene
        A lens with one deflector.
    strength
        Einstein radius for the source in arcsec, above 0.

    Raises
    ------
    UsageError
        The scene has no lensed source or not one deflector, or the strength is not positive.
    """
    edit = "einstein_radius"
    deflector, source = the_pair(scene, edit)
    demand_finite(strength, edit)
    demand(strength > 0, edit, f"the Einstein radius must be positive, not {strength} arcsec")
    ratio = strength / theta_e_arcsec(deflector, source)
    assert deflector.mass is not None
    mass = replace(deflector.mass, sigma_v_km_s=deflector.mass.sigma_v_km_s * sqrt(ratio))
    moved = replace(
        source,
        x_arcsec=deflector.x_arcsec + ratio * (source.x_arcsec - deflector.x_arcsec),
        y_arcsec=deflector.y_arcsec + ratio * (source.y_arcsec - deflector.y_arcsec),
    )
    return exchanged(exchanged(scene, source, moved), deflector, replace(deflector, mass=mass))


def lens_colour(scene: Scene, strength: float) -> Scene:
    """Change the lens galaxy's colours; its magnitude in the reference band stays, others follow their wavelength.

    Parameters
    ----------
    scene
        A scene with a lens galaxy in two bands or more.
    strength
        Change of the bluest minus the reddest band (of Euclid's: VIS − H) in mag: positive is redder, 0 changes
        nothing.

    Raises
    ------
    UsageError
        The scene has no lens galaxy, one band, or one of unknown wavelength, or the strength is not finite.
    """
    edit = "lens_colour"
    lens = the_lens(scene, edit)
    demand_finite(strength, edit)
    demand_colours(scene, lens, edit)
    place = _wavelengths_nm(scene, edit)
    start, width = place[scene.sky.reference], max(place.values()) - min(place.values())
    demand(width > 0, edit, "the scene's bands have one wavelength")
    return exchanged(scene, lens, fainter(lens, lambda band: -strength * (place[band] - start) / width))


def _wavelengths_nm(scene: Scene, edit: str) -> dict[str, float]:
    """Band → where it sits."""
    sky = scene.sky
    if all(sky.filter(band) == EUCLID_SKY.filter(band) for band in sky.bands):
        return {band: EUCLID_NM[band] for band in sky.bands}
    unknown = [band for band in sky.bands if not sky.filter(band)]
    demand(not unknown, edit, f"the filter of {', '.join(unknown)} is not known, and so no wavelength")
    return {band: effective_wavelength_nm(sky.filter(band)) for band in sky.bands}


def lens_light(scene: Scene, strength: float) -> Scene:
    """Remove part of the lens galaxy's light in all bands; its mass stays.

    Parameters
    ----------
    scene
        A scene with a lens galaxy.
    strength
        Fraction of the light removed, 0 (none) to 1 (all: 15 mag fainter).

    Raises
    ------
    UsageError
        The scene has no lens galaxy, or the strength lies outside [0, 1].
    """
    edit = "lens_light"
    lens = the_lens(scene, edit)
    demand(0 <= strength <= 1, edit, f"the fraction of light removed must lie in [0, 1], not {strength}")
    mag = REMOVED_LIGHT_MAG if strength == 1 else min(-2.5 * log10(1.0 - strength), REMOVED_LIGHT_MAG)
    return exchanged(scene, lens, fainter(lens, lambda _band: mag))


def unlensed(scene: Scene, _strength: float = 0.0) -> Scene:
    """Switch lensing off: no galaxy has mass, and the source stands beside the lens galaxy as a companion.

    Raises
    ------
    UsageError
        The scene has no lensed source.
    """
    the_source(scene, "unlensed")

    def plain(galaxy: Galaxy) -> Galaxy:
        role = "companion" if galaxy.role in ("source", "mid") else galaxy.role
        return replace(galaxy, role=role, mass=None, lensed=False)

    return replace(scene, kind="companions", galaxies=tuple(plain(galaxy) for galaxy in scene.galaxies))


def as_spiral(scene: Scene, _strength: float = 0.0) -> Scene:
    """Put the flux of the lensed source into a blue disc with spiral arms around the lens galaxy.

    Raises
    ------
    UsageError
        The scene has no lensed source, not one deflector, or no magnitudes in its reference band.
    """
    lens, source = _pair(scene, "as_spiral")
    magnitude = arc_magnitude(lens, source, scene.sky)
    disc = spiral_disc(generator(scene, "as_spiral"), lens.redshift, magnitude, scene.sky)
    return _with_light(scene, "spiral", lens, source, disc)


def as_ring(scene: Scene, _strength: float = 0.0) -> Scene:
    """Put the flux of the lensed source into a blue ring of the lens galaxy's own, with radius θ_E.

    Raises
    ------
    UsageError
        The scene has no lensed source, not one deflector, or no magnitudes in its reference band.
    """
    lens, source = _pair(scene, "as_ring")
    magnitude, radius = arc_magnitude(lens, source, scene.sky), theta_e_arcsec(lens, source)
    ring = young_ring(generator(scene, "as_ring"), lens.redshift, magnitude, radius=radius, sky=scene.sky)
    return _with_light(scene, "ring-galaxy", lens, source, ring)


def as_merger(scene: Scene, _strength: float = 0.0) -> Scene:
    """Put the flux of the lensed source into blue debris around the lens galaxy and a second, lighter nucleus.

    Raises
    ------
    UsageError
        The scene has no lensed source, not one deflector, or no magnitudes in its reference band.
    """
    lens, source = _pair(scene, "as_merger")
    magnitude = arc_magnitude(lens, source, scene.sky)
    parts = merger_parts(generator(scene, "as_merger"), lens, magnitude, sky=scene.sky)
    without = exchanged(exchanged(scene, source, *parts), lens, replace(lens, mass=None))
    return replace(without, kind="merger")


def _pair(scene: Scene, edit: str) -> tuple[Galaxy, Galaxy]:
    lens, source = the_pair(scene, edit)
    demand_reference(scene, source, edit)
    return lens, source


def _with_light(scene: Scene, kind: str, lens: Galaxy, source: Galaxy, light: Light) -> Scene:
    """The scene without the source; its lens galaxy has no mass and one more component."""
    galaxy = replace(lens, mass=None, light=(*lens.light, light))
    return replace(exchanged(exchanged(scene, source), lens, galaxy), kind=kind)
