"""Edits of the source: its colour, brightness, clumps and where it stands behind the deflector."""

from __future__ import annotations

from dataclasses import replace
from math import cos, log10, sin

import numpy as np

from lensaudit.errors import UsageError
from lensaudit.scenes.cosmology import distance_ratio
from lensaudit.scenes.edits.lens import (
    bands_of,
    demand,
    demand_colours,
    demand_finite,
    demand_reference,
    exchanged,
    fainter,
    generator,
    offset_arcsec,
    the_lens,
    the_pair,
    the_source,
    theta_e_arcsec,
)
from lensaudit.scenes.populations.lenses import draw_star_forming
from lensaudit.scenes.scene import Galaxy, Light, Scene

CLUMPS = 4
CLUMP_R_EFF = 0.15
"""Half-light radius of a clump in units of the galaxy's."""
SMALLEST_CLUMP_ARCSEC = 0.06
"""Clumps of small galaxies are no smaller than the smallest galaxy drawn: rays 0.1″ apart would miss their light."""
CLUMP_REACH = 1.2
"""Farthest distance of a clump from the galaxy's centre in half-light radii."""


def source_colour(scene: Scene, strength: float) -> Scene:
    """Redden the source towards the lens galaxy's colours; its magnitude in the reference band (VIS of Euclid's) stays.

    Parameters
    ----------
    scene
        A lens with magnitudes in two bands or more.
    strength
        Where the source's colours (m_b − m_reference, in mag) lie on the line from its own (0) to those of the lens
        galaxy (1), dimensionless, at least 0; beyond 1 the source is redder than the lens.

    Raises
    ------
    UsageError
        The scene has no lensed source, lens galaxy or colours, or the strength is negative.

    See Also
    --------
    source_colour_total_flux : keeps the flux summed over the bands.

    Examples
    --------
    >>> from lensaudit.scenes import draw_scene
    >>> scene = draw_scene("single", 1, 0)
    >>> source_colour(scene, 1.0).noise_seed == scene.noise_seed
    True
    """
    edit = "source_colour"
    source = the_source(scene, edit)
    return exchanged(scene, source, _recoloured(scene, source, strength, edit))


def arc_colour(scene: Scene, strength: float) -> Scene:
    """Redden the arcs, or what passes for them, towards the lens galaxy's colours; reference magnitudes stay.

    Of a lens this is `source_colour`. Of a non-lens it does the same to the light that stands where arcs would: arms,
    ring, disc, debris and companions; a merger's second nucleus, the galaxy itself and field galaxies stay, and a
    galaxy without any such light is left as it was. So colour does not become the label.

    Parameters
    ----------
    scene
        A lens, or a non-lens of ours, with magnitudes in two bands or more.
    strength
        As for `source_colour`: 0 its own colours, 1 those of the lens galaxy (mag on the line between), at least 0.

    Raises
    ------
    UsageError
        The scene has no lens galaxy or colours, a lens has no source, or the strength is negative.
    """
    if scene.label == 1:
        return source_colour(scene, strength)
    edit = "arc_colour"
    lens = the_lens(scene, edit)
    body, *added = lens.light
    galaxy = replace(lens, light=(body,))
    if added:
        coloured = _recoloured(scene, replace(lens, light=tuple(added)), strength, edit, galaxy)
        scene = exchanged(scene, lens, replace(lens, light=(body, *coloured.light)))
    beside = [one for one in scene.galaxies if one.role == "companion"]
    for one in beside[1:] if scene.kind == "merger" else beside:
        scene = exchanged(scene, one, _recoloured(scene, one, strength, edit, galaxy))
    return scene


def arc_colour_drawn(scene: Scene, low: float, high: float) -> Scene:
    """`arc_colour` with a strength drawn evenly from [low, high), one for the scene and the same for every call."""
    return arc_colour(scene, float(generator(scene, "arc_colour").uniform(low, high)))


def source_colour_total_flux(scene: Scene, strength: float) -> Scene:
    """Redden the source as `source_colour` does; the sum of its AB fluxes over all bands stays.

    Parameters
    ----------
    scene
        A lens with magnitudes in two bands or more.
    strength
        As for `source_colour`: 0 its own colours, 1 those of the lens galaxy, at least 0.

    Raises
    ------
    UsageError
        The scene has no lensed source, lens galaxy or colours, or the strength is negative.
    """
    edit = "source_colour_total_flux"
    source = the_source(scene, edit)
    red = _recoloured(scene, source, strength, edit)
    shift = 2.5 * log10(_total_flux(red) / _total_flux(source))
    return exchanged(scene, source, fainter(red, lambda _band: shift))


def _recoloured(scene: Scene, source: Galaxy, strength: float, edit: str, lens: Galaxy | None = None) -> Galaxy:
    lens = lens or the_lens(scene, edit)
    demand_finite(strength, edit)
    demand(strength >= 0, edit, f"the strength must be at least 0 (the source's own colours), not {strength}")
    for galaxy in (lens, source):
        demand_colours(scene, galaxy, edit)
    missing = set(bands_of(source)) - set(bands_of(lens))
    demand(not missing, edit, f"the lens galaxy has no magnitude in {', '.join(sorted(missing))}")

    fixed = scene.sky.reference

    def redder(band: str) -> float:
        # A difference of colours is added, so that strength 0 leaves every bit as it was.
        return strength * (_colour(lens, band, fixed) - _colour(source, band, fixed))

    return fainter(source, redder)


def _colour(galaxy: Galaxy, band: str, fixed: str) -> float:
    return galaxy.magnitude(band) - galaxy.magnitude(fixed)


def _total_flux(galaxy: Galaxy) -> float:
    return sum(10.0 ** (-0.4 * galaxy.magnitude(band)) for band in bands_of(galaxy))


def source_dimmed(scene: Scene, strength: float) -> Scene:
    """Make the source fainter by the same amount in all bands.

    Parameters
    ----------
    scene
        A lens.
    strength
        Magnitudes by which the source gets fainter; negative ones make it brighter.

    Raises
    ------
    UsageError
        The scene has no lensed source, or the strength is not finite.
    """
    edit = "source_dimmed"
    demand_finite(strength, edit)
    source = the_source(scene, edit)
    return exchanged(scene, source, fainter(source, lambda _band: strength))


def sources_dimmed(scene: Scene, strength: float) -> Scene:
    """Make all lensed sources fainter by the same amount in all bands, in magnitudes; negative ones brighter."""
    lensed = {id(galaxy) for galaxy in scene.lensed}
    galaxies = (fainter(one, lambda _band: strength) if id(one) in lensed else one for one in scene.galaxies)
    return replace(scene, galaxies=tuple(galaxies))


def source_clumpiness(scene: Scene, strength: float) -> Scene:
    """Move part of the source's light into four compact clumps; flux in every band and centroid stay.

    The clumps have half-light radius 0.15 of the galaxy's (at least 0.06″) and stand within 1.2 of it, at the same
    places for all strengths.

    Parameters
    ----------
    scene
        A lens.
    strength
        Fraction of the source's flux that goes into the clumps, 0 (none) to below 1.

    Raises
    ------
    UsageError
        The scene has no lensed source, or the strength lies outside [0, 1).
    """
    edit = "source_clumpiness"
    source = the_source(scene, edit)
    demand(0 <= strength < 1, edit, f"the fraction of flux in clumps must lie in [0, 1), not {strength}")
    if strength == 0:
        return scene
    shape = source.light[0]
    own = {band: source.magnitude(band) - 2.5 * log10(strength / CLUMPS) for band in bands_of(source)}
    r_eff = max(CLUMP_R_EFF * shape.r_eff_arcsec, SMALLEST_CLUMP_ARCSEC)
    clumps = [
        Light("sersic", own, r_eff_arcsec=r_eff, n_sersic=1.0, dx_arcsec=dx, dy_arcsec=dy)
        for dx, dy in _clump_offsets(shape, generator(scene, edit))
    ]
    rest = fainter(source, lambda _band: -2.5 * log10(1.0 - strength))
    return exchanged(scene, source, replace(rest, light=(*rest.light, *clumps)))


def _clump_offsets(shape: Light, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Offsets of the clumps (arcsec) on the ellipse of the galaxy's light, with mean zero."""
    radius, angle = np.sqrt(rng.uniform(0.0, 1.0, CLUMPS)), rng.uniform(0.0, 2 * np.pi, CLUMPS)
    places = radius * np.array([np.cos(angle), np.sin(angle)])
    # A centroid that moved would be an edit of its own: it changes magnification.
    places -= places.mean(axis=1, keepdims=True)
    places /= max(1.0, float(np.hypot(*places).max()))
    along, across = CLUMP_REACH * shape.r_eff_arcsec * places * np.array([[1.0], [shape.axis_ratio]])
    x = shape.dx_arcsec + along * cos(shape.angle_rad) - across * sin(shape.angle_rad)
    y = shape.dy_arcsec + along * sin(shape.angle_rad) + across * cos(shape.angle_rad)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def source_offset(scene: Scene, strength: float) -> Scene:
    """Put the source at another distance from the deflector, in the direction in which it was drawn.

    Parameters
    ----------
    scene
        A lens with one deflector.
    strength
        Distance of the source from the deflector in units of θ_E, at least 0. Small values lie inside the diamond
        caustic and give a quad or a ring; larger ones, to about 1, give a double, and beyond it one image only.

    Raises
    ------
    UsageError
        The scene has no lensed source or not one deflector, or the strength is negative.
    """
    edit = "source_offset"
    deflector, source = the_pair(scene, edit)
    demand_finite(strength, edit)
    demand(strength >= 0, edit, f"the distance in units of θ_E must be at least 0, not {strength}")
    _, angle = offset_arcsec(deflector, source)
    distance = strength * theta_e_arcsec(deflector, source)
    x, y = deflector.x_arcsec + distance * cos(angle), deflector.y_arcsec + distance * sin(angle)
    return exchanged(scene, source, replace(source, x_arcsec=x, y_arcsec=y))


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
        A lens with one deflector, one source and magnitudes in its reference band.
    strength
        Flux of the second source over that of the first in the reference band, at least 0; 0 adds none.

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
    demand_reference(scene, source, edit)
    rng = generator(scene, edit)
    redshift = min(source.redshift + FARTHER_BY, FARTHEST)
    _, first_angle = offset_arcsec(deflector, source)
    angle = first_angle + float(rng.uniform(0.5 * np.pi, 1.5 * np.pi))
    behind = draw_star_forming(
        rng,
        scene.sky,
        "source",
        redshift=redshift,
        magnitude=source.magnitude(scene.sky.reference) - 2.5 * float(np.log10(strength)),
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
