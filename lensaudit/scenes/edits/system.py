"""Edits of where the lens system stands in the cutout."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, sin

from lensaudit.scenes.edits.parts import demand, demand_finite, generator, the_lens
from lensaudit.scenes.scene import Galaxy, Scene

SYSTEM_ROLES = ("lens", "mid", "source", "companion")


def off_centre(scene: Scene, strength: float) -> Scene:
    """Move the lens system as one to another distance from the cutout's centre; field galaxies stay.

    Lens, middle galaxy, source and the lens galaxy's companions move together, in a direction that is the same for
    all strengths.

    Parameters
    ----------
    scene
        A scene with a lens galaxy.
    strength
        Distance of the lens galaxy from the centre in arcsec, at least 0 (the centre).

    Raises
    ------
    UsageError
        The scene has no lens galaxy, or the strength is negative.
    """
    edit = "off_centre"
    lens = the_lens(scene, edit)
    demand_finite(strength, edit)
    demand(strength >= 0, edit, f"the distance from the centre must be at least 0, not {strength} arcsec")
    angle = float(generator(scene, edit).uniform(0.0, 2 * pi))
    x, y = strength * cos(angle), strength * sin(angle)

    def moved(galaxy: Galaxy) -> Galaxy:
        if galaxy.role not in SYSTEM_ROLES:
            return galaxy
        dx, dy = galaxy.x_arcsec - lens.x_arcsec, galaxy.y_arcsec - lens.y_arcsec
        return replace(galaxy, x_arcsec=x + dx, y_arcsec=y + dy)

    return replace(scene, galaxies=tuple(moved(galaxy) for galaxy in scene.galaxies))
