"""Edits of what surrounds the lens: background noise, and galaxies beside it."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, sin

from lensaudit.scenes.edits.parts import (
    COLOUR_BAND,
    demand,
    demand_colours,
    demand_finite,
    generator,
    the_pair,
    theta_e_arcsec,
)
from lensaudit.scenes.populations.galaxies import EUCLID_SKY, draw_star_forming
from lensaudit.scenes.scene import Galaxy, Scene

COMPANION_BRIGHTER_MAG = 1.5
"""Companions are brighter than the unlensed source by what a typical arc gains."""
COMPANION_DISTANCE_THETA_E = (0.8, 2.2)


def noise_level(scene: Scene, strength: float) -> Scene:
    """Scale the background noise: sky and read-out; photon noise of the light itself stays.

    Parameters
    ----------
    scene
        Any scene.
    strength
        Factor of the background's standard deviation, relative to the scene's own, above 0; 1 changes nothing.

    Raises
    ------
    UsageError
        The strength is not positive.
    """
    edit = "noise_level"
    demand_finite(strength, edit)
    demand(strength > 0, edit, f"the factor of the noise must be positive, not {strength}")
    return replace(scene, noise_scale=scene.noise_scale * strength)


def companions(scene: Scene, strength: float) -> Scene:
    """Add blue galaxies as bright as a typical arc, 0.8–2.2 θ_E from the lens; they are not lensed.

    Parameters
    ----------
    scene
        A lens with one deflector and VIS magnitudes.
    strength
        How many, a whole number, at least 0; more companions contain those of fewer.

    Raises
    ------
    UsageError
        The scene has no lensed source, not one deflector or no VIS magnitudes, or the strength is no whole number.
    """
    edit = "companions"
    deflector, source = the_pair(scene, edit)
    demand_finite(strength, edit)
    demand(strength >= 0 and strength == int(strength), edit, f"a whole number of galaxies is needed, not {strength}")
    demand_colours(source, edit)
    rng = generator(scene, edit)
    theta_e, magnitude = theta_e_arcsec(deflector, source), source.magnitude(COLOUR_BAND) - COMPANION_BRIGHTER_MAG
    added: list[Galaxy] = []
    for _ in range(int(strength)):
        angle, distance = rng.uniform(0.0, 2 * pi), theta_e * rng.uniform(*COMPANION_DISTANCE_THETA_E)
        galaxy = draw_star_forming(
            rng,
            EUCLID_SKY,
            "companion",
            redshift=deflector.redshift,
            magnitude=magnitude,
            x=deflector.x_arcsec + float(distance) * cos(angle),
            y=deflector.y_arcsec + float(distance) * sin(angle),
        )
        added.append(replace(galaxy, lensed=False))
    return replace(scene, galaxies=(*scene.galaxies, *added))
