"""Edits of the lens galaxy: how strongly it deflects, and its colour and light with the mass left alone."""

from __future__ import annotations

from dataclasses import replace
from math import log10, sqrt

from lensaudit.scenes.edits.parts import (
    COLOUR_BAND,
    bands_of,
    demand,
    demand_colours,
    demand_finite,
    exchanged,
    fainter,
    the_lens,
    the_pair,
    theta_e_arcsec,
)
from lensaudit.scenes.scene import Scene

WAVELENGTH_NM = {"VIS": 700.0, "Y": 1080.0, "J": 1370.0, "H": 1770.0}
REDDEST_BAND = "H"
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
    """Change the lens galaxy's VIS − H; its VIS magnitude stays, bands between follow their wavelength.

    Parameters
    ----------
    scene
        A scene with a lens galaxy in the Euclid bands.
    strength
        Change of VIS − H in mag: positive is redder, 0 changes nothing.

    Raises
    ------
    UsageError
        The scene has no lens galaxy or one of other bands, or the strength is not finite.
    """
    edit = "lens_colour"
    lens = the_lens(scene, edit)
    demand_finite(strength, edit)
    demand_colours(lens, edit)
    other = [band for band in bands_of(lens) if band not in WAVELENGTH_NM]
    demand(not other, edit, f"no wavelength is known for {', '.join(other)}; it acts on {', '.join(WAVELENGTH_NM)}")
    start, width = WAVELENGTH_NM[COLOUR_BAND], WAVELENGTH_NM[REDDEST_BAND] - WAVELENGTH_NM[COLOUR_BAND]
    return exchanged(scene, lens, fainter(lens, lambda band: -strength * (WAVELENGTH_NM[band] - start) / width))


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
