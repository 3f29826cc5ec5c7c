"""Edits that take lensed sources away: the far one of a compound lens, or all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lensaudit.errors import UsageError
from lensaudit.scenes.cosmology import distance_ratio
from lensaudit.scenes.edits.parts import (
    COLOUR_BAND,
    demand,
    demand_colours,
    demand_finite,
    exchanged,
    generator,
    offset_arcsec,
    the_pair,
    theta_e_arcsec,
)
from lensaudit.scenes.populations.galaxies import EUCLID_SKY, draw_star_forming
from lensaudit.scenes.scene import Galaxy, Scene

FARTHER_BY, FARTHEST = 0.8, 3.8
"""Redshift of a second source beyond the first, and the largest for which there are colours."""
SECOND_OFFSET_THETA_E = (0.3, 0.7)


def without_far_source(scene: Scene) -> Scene:
    """Remove the far source of a compound lens; the front galaxy and its image of the middle one remain.

    Where the scene leaves the middle galaxy's light unlensed (the paper's own way), the edit lets the front galaxy
    lens it, since otherwise no lens at all would remain.

    Raises
    ------
    UsageError
        The scene is no compound lens.
    """
    if scene.kind not in ("compound-arcs", "compound-rings"):
        raise UsageError(f"without_far_source: the scene is '{scene.kind}', a compound lens is needed")
    galaxies = tuple(
        replace(galaxy, mass=None, lensed=True, role="source") if galaxy.role == "mid" else galaxy
        for galaxy in scene.galaxies
        if galaxy.role != "source"
    )
    return replace(scene, kind="single", galaxies=galaxies)


def without_source(scene: Scene) -> Scene:
    """Remove every lensed source and keep the deflectors' light: the matched non-lens."""
    galaxies = tuple(galaxy for galaxy in scene.galaxies if galaxy.role not in ("source", "mid"))
    return replace(scene, kind="no-source", galaxies=galaxies)


def second_source(scene: Scene, strength: float) -> Scene:
    """Add a second source farther away, lensed by the same galaxy: a second set of arcs on another side.

    Parameters
    ----------
    scene
        A lens with one deflector, one source and VIS magnitudes.
    strength
        VIS flux of the second source over that of the first, at least 0; 0 adds none.

    Raises
    ------
    UsageError
        The scene has no lensed source or not one deflector, or the strength is negative.
    """
    edit = "second_source"
    deflector, source = the_pair(scene, edit)
    demand_finite(strength, edit)
    demand(strength >= 0, edit, f"the flux over that of the first source must be at least 0, not {strength}")
    if strength == 0:
        return scene
    demand_colours(source, edit)
    rng = generator(scene, edit)
    redshift = min(source.redshift + FARTHER_BY, FARTHEST)
    _, first_angle = offset_arcsec(deflector, source)
    angle = first_angle + float(rng.uniform(0.5 * np.pi, 1.5 * np.pi))
    behind = draw_star_forming(
        rng,
        EUCLID_SKY,
        "source",
        redshift=redshift,
        magnitude=source.magnitude(COLOUR_BAND) - 2.5 * float(np.log10(strength)),
        x=deflector.x_arcsec,
        y=deflector.y_arcsec,
    )
    distance = float(rng.uniform(*SECOND_OFFSET_THETA_E)) * theta_e_arcsec(deflector, behind)
    x, y = deflector.x_arcsec + distance * float(np.cos(angle)), deflector.y_arcsec + distance * float(np.sin(angle))
    added = exchanged(scene, deflector, _same_shear(deflector, source.redshift, redshift))
    return replace(added, galaxies=(*added.galaxies, replace(behind, x_arcsec=x, y_arcsec=y)))


def _same_shear(deflector: Galaxy, nearer: float, farthest: float) -> Galaxy:
    """The deflector with its shear quoted for the new farthest galaxy, so that the nearer one's arcs stay."""
    mass = deflector.mass
    assert mass is not None
    ratio = distance_ratio(deflector.redshift, farthest) / distance_ratio(deflector.redshift, nearer)
    return replace(deflector, mass=replace(mass, gamma1=mass.gamma1 * ratio, gamma2=mass.gamma2 * ratio))
