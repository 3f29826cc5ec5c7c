"""Edits that make a lens a non-lens: the same galaxy, without lensing or with other light in place of the arcs.

These change the label to 0 on purpose. The strength means nothing.
"""

from __future__ import annotations

from dataclasses import replace

from lensaudit.scenes.edits.parts import (
    demand_colours,
    exchanged,
    generator,
    the_pair,
    the_source,
    theta_e_arcsec,
)
from lensaudit.scenes.populations.contaminants import arc_magnitude, merger_parts, spiral_disc, young_ring
from lensaudit.scenes.scene import Galaxy, Light, Scene


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
        The scene has no lensed source, not one deflector, or no VIS magnitudes.
    """
    lens, source = _pair(scene, "as_spiral")
    disc = spiral_disc(generator(scene, "as_spiral"), lens.redshift, arc_magnitude(lens, source))
    return _with_light(scene, "spiral", lens, source, disc)


def as_ring(scene: Scene, _strength: float = 0.0) -> Scene:
    """Put the flux of the lensed source into a blue ring of the lens galaxy's own, with radius θ_E.

    Raises
    ------
    UsageError
        The scene has no lensed source, not one deflector, or no VIS magnitudes.
    """
    lens, source = _pair(scene, "as_ring")
    magnitude, radius = arc_magnitude(lens, source), theta_e_arcsec(lens, source)
    ring = young_ring(generator(scene, "as_ring"), lens.redshift, magnitude, radius=radius)
    return _with_light(scene, "ring-galaxy", lens, source, ring)


def as_merger(scene: Scene, _strength: float = 0.0) -> Scene:
    """Put the flux of the lensed source into blue debris around the lens galaxy and a second, lighter nucleus.

    Raises
    ------
    UsageError
        The scene has no lensed source, not one deflector, or no VIS magnitudes.
    """
    lens, source = _pair(scene, "as_merger")
    parts = merger_parts(generator(scene, "as_merger"), lens, arc_magnitude(lens, source))
    without = exchanged(exchanged(scene, source, *parts), lens, replace(lens, mass=None))
    return replace(without, kind="merger")


def _pair(scene: Scene, edit: str) -> tuple[Galaxy, Galaxy]:
    lens, source = the_pair(scene, edit)
    demand_colours(source, edit)
    return lens, source


def _with_light(scene: Scene, kind: str, lens: Galaxy, source: Galaxy, light: Light) -> Scene:
    """The scene without the source; its lens galaxy has no mass and one more component."""
    galaxy = replace(lens, mass=None, light=(*lens.light, light))
    return replace(exchanged(exchanged(scene, source), lens, galaxy), kind=kind)
