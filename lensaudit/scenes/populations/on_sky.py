"""A drawn scene as another instrument's cutout holds it: the same galaxies, their magnitudes in its bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lensaudit.errors import DataError
from lensaudit.scenes.colours import SeenMagnitudes
from lensaudit.scenes.populations.lenses import draw_field
from lensaudit.scenes.scene import EUCLID_SKY, Galaxy, Psf, Scene, Sky

ROOM_FOR_ARCS_ARCSEC = 4.9
"""A lens stands at least so far inside the edge of its cutout: 5″ from the centre at most in Euclid's ±9.9″."""
LEAST_OFFSET_ARCSEC = 0.05
"""Where there is no room, what is left of an offset of 5″: no survey centres better, and no deflector is on a ray."""
OFFSET_ARCSEC = 5.0
_FIELD_STREAM = 7101


def seen_on(scene: Scene, sky: Sky) -> Scene:
    """The scene as `sky` shows it.

    The same galaxies from the same random numbers; their magnitudes follow from their spectra. In a smaller cutout the
    system stands nearer the centre and field galaxies beyond the edge are left out; in a larger one the field goes on
    as densely. The PSF is the instrument's kind, turned as it was drawn.

    Raises
    ------
    DataError
        A galaxy was not drawn from a spectrum, so that its colours are not known.
    """
    if sky == scene.sky:
        return scene
    system = [galaxy for galaxy in scene.galaxies if galaxy.role != "field"]
    around = [galaxy for galaxy in scene.galaxies if galaxy.role == "field"]
    seen = [*_nearer(system, scene.sky, sky), *_within(around, scene, sky)]
    return replace(scene, galaxies=tuple(through(galaxy, sky) for galaxy in seen), psf=_psf(scene.psf, sky), sky=sky)


def _nearer(system: Sequence[Galaxy], drawn: Sky, sky: Sky) -> list[Galaxy]:
    """The system moved as one, so that its offset shrinks with the room in the cutout."""
    room = max(min(sky.half_width_arcsec, drawn.half_width_arcsec) - ROOM_FOR_ARCS_ARCSEC, LEAST_OFFSET_ARCSEC)
    part = min(room / OFFSET_ARCSEC, 1.0) if drawn == EUCLID_SKY else 1.0
    x, y = system[0].x_arcsec * (part - 1.0), system[0].y_arcsec * (part - 1.0)
    return [replace(galaxy, x_arcsec=galaxy.x_arcsec + x, y_arcsec=galaxy.y_arcsec + y) for galaxy in system]


def _within(field: Sequence[Galaxy], scene: Scene, sky: Sky) -> list[Galaxy]:
    """Field galaxies inside the cutout, and, where it is wider than what was drawn, as many per area around them."""
    drawn, half = scene.sky, sky.half_width_arcsec
    kept = [galaxy for galaxy in field if max(abs(galaxy.x_arcsec), abs(galaxy.y_arcsec)) <= half]
    if half <= drawn.half_width_arcsec:
        return kept
    rng = np.random.default_rng([scene.noise_seed, _FIELD_STREAM])
    mean = len(field) * (half / drawn.half_width_arcsec) ** 2
    more = draw_field(rng, replace(drawn, half_width_arcsec=half), mean_count=mean)
    outside = (g for g in more if max(abs(g.x_arcsec), abs(g.y_arcsec)) > drawn.half_width_arcsec)
    return [*kept, *outside]


def through(galaxy: Galaxy, sky: Sky) -> Galaxy:
    """The galaxy with its magnitudes in the bands of `sky`; DataError where it was not drawn from a spectrum."""
    light = []
    for part in galaxy.light:
        if not isinstance(part.magnitudes, SeenMagnitudes):
            raise DataError("scene: a galaxy has magnitudes but no spectrum; draw it with lensaudit.scenes.draw_scene")
        light.append(replace(part, magnitudes=part.magnitudes.through(sky)))
    return replace(galaxy, light=tuple(light))


def _psf(psf: Psf, sky: Sky) -> Psf:
    if sky.psf == "drawn":
        return psf if psf.kind == "trefoil" else replace(psf, kind="gaussian")
    if sky.psf == "instrument":
        return Psf("instrument", angle_deg=psf.angle_deg, fwhm_scale=psf.fwhm_scale)
    return Psf(fwhm_scale=psf.fwhm_scale)
