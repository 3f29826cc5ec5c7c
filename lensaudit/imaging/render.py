"""From a scene to images and truth.

Rays are traced once on the instrument's ray grid and every light component is evaluated once; a band is its flux times
that image, summed into the band's pixels and convolved with its kernel. Docs/decisions tells why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lensaudit.imaging.band import Band, Instrument
from lensaudit.imaging.canvas import DEFAULT_NUMERICS, Canvas, Numerics, Window
from lensaudit.imaging.noise import add_noise, unit_noise
from lensaudit.imaging.psf import convolve, convolved, kernel, spectrum
from lensaudit.imaging.raytracing import RayTracer, Shared, image_reach_arcsec
from lensaudit.imaging.truth import Truth, measure_truth
from lensaudit.scenes import Galaxy, Psf, Scene

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rendered:
    """One scene as the instrument sees it.

    Attributes
    ----------
    images, noiseless
        Per band, float32 (h, w) in electron/s, sky subtracted.
    truth
        What is known about the scene.
    """

    images: dict[str, NDArray[np.float32]]
    noiseless: dict[str, NDArray[np.float32]]
    truth: Truth


def render(
    scene: Scene, instrument: Instrument, numerics: Numerics = DEFAULT_NUMERICS, shared: Shared | None = None
) -> Rendered:
    """Render a scene: native-resolution images of every band, and truth.

    The same scene and instrument give the same bits; scenes that share `noise_seed` share their noise. `shared` keeps
    work for further scenes with the same instrument and numerics; see `render_arms`.

    Raises
    ------
    DataError
        The scene lacks a magnitude in one of the instrument's bands, or its PSF file cannot be used.

    See Also
    --------
    render_arms : several scenes that differ in little, in less time.
    noiseless_images : only the light, in double precision.

    Examples
    --------
    >>> from lensaudit.imaging import INSTRUMENTS
    >>> from lensaudit.scenes import draw_scene
    >>> found = render(draw_scene("single", 1, 0), INSTRUMENTS["euclid"])
    >>> {band: image.shape for band, image in found.images.items()}
    {'VIS': (200, 200), 'Y': (66, 66), 'J': (66, 66), 'H': (66, 66)}
    """
    shared = Shared() if shared is None else shared
    unlensed = _unlensed(scene)
    lensed = shared.get(
        ("arcs", scene.deflectors, scene.lensed), partial(lensed_light, scene, instrument, numerics, shared)
    )
    other = shared.get(("rest", unlensed), partial(unlensed_light, unlensed, instrument, numerics, shared))
    noiseless, source_light, images = {}, {}, {}
    for index, band in enumerate(instrument.bands):
        arcs, rest = (
            # The light is kept, so that its identity is as good as its value and far quicker to compare.
            shared.get(("seen", id(light), scene.psf, band.name), partial(_seen, light, scene.psf, band, shared))
            for light in (lensed, other)
        )
        source_light[band.name] = arcs.astype(np.float32)
        noiseless[band.name] = (arcs + rest).astype(np.float32)
        unit = shared.get(
            ("noise", scene.noise_seed, index),
            partial(unit_noise, scene.noise_seed, index, (band.pixels, band.pixels), band.noise_correlation),
        )
        images[band.name] = add_noise(noiseless[band.name], unit, band, scene.noise_scale)
    return Rendered(images, noiseless, measure_truth(scene, instrument, source_light))


def render_arms(
    scenes: Sequence[Scene], instrument: Instrument, numerics: Numerics = DEFAULT_NUMERICS
) -> list[Rendered]:
    """Render scenes that differ in little, bit for bit as `render` does one by one; what they share is done once."""
    shared = Shared()
    return [render(scene, instrument, numerics, shared) for scene in scenes]


def noiseless_images(scene: Scene, instrument: Instrument, numerics: Numerics = DEFAULT_NUMERICS) -> dict[str, Array]:
    """Noiseless image (h, w) of every band in electron/s, point-spread function included, in double precision."""
    lensed, other = draw_light(scene, instrument, numerics)
    return {
        band.name: convolve(lensed[band.name] + other[band.name], kernel(scene.psf, band)) for band in instrument.bands
    }


def draw_light(
    scene: Scene, instrument: Instrument, numerics: Numerics = DEFAULT_NUMERICS
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Noiseless light before the PSF per band, (h, w) in electron/s per pixel: (lensed, all other)."""
    return (
        lensed_light(scene, instrument, numerics, Shared()),
        unlensed_light(_unlensed(scene), instrument, numerics, Shared()),
    )


def _unlensed(scene: Scene) -> tuple[Galaxy, ...]:
    behind = {id(galaxy) for galaxy in scene.lensed}
    return tuple(galaxy for galaxy in scene.galaxies if id(galaxy) not in behind)


def lensed_light(scene: Scene, instrument: Instrument, numerics: Numerics, shared: Shared) -> dict[str, Array]:
    """Light of the scene's lensed galaxies before the PSF, band → (h, w) in the pixels' unit."""
    canvas = Canvas(instrument, numerics, shared)
    lensed, deflectors = scene.lensed, scene.deflectors
    for galaxy in lensed:
        for light in galaxy.light:
            reach = canvas.extent_arcsec(light)
            window = canvas.window(*image_reach_arcsec(galaxy, light, reach, deflectors))
            rays = _rays(canvas, window, deflectors, lensed[-1].redshift, shared)
            canvas.add_lensed(galaxy, light, window, rays)
    return canvas.take()


def _rays(
    canvas: Canvas, window: Window, deflectors: Sequence[Galaxy], shear_redshift: float, shared: Shared
) -> RayTracer:
    """Rays of a window; of those traced already where another window with the same deflectors holds it."""
    # Deflectors bend light by mass and place alone: their own light and its colours change no ray.
    bending = tuple((g.redshift, g.x_arcsec, g.y_arcsec, g.mass) for g in deflectors)
    traced: list[tuple[Window, RayTracer]] = shared.get(("rays", bending, shear_redshift), list)
    key = bending, shear_redshift, str(window)
    for there, rays in traced:
        if there == window:
            return rays
    rows, columns = window
    for (rows_there, columns_there), rays in traced:
        offsets = rows.start - rows_there.start, columns.start - columns_there.start
        if min(offsets) >= 0 and rows.stop <= rows_there.stop and columns.stop <= columns_there.stop:
            down, right = offsets
            part = slice(down, down + rows.stop - rows.start), slice(right, right + columns.stop - columns.start)
            traced.append((window, rays.within(part, key)))
            return traced[-1][1]
    traced.append((window, RayTracer(*canvas.coordinates(window), deflectors, shear_redshift, key)))
    return traced[-1][1]


def unlensed_light(
    galaxies: Sequence[Galaxy], instrument: Instrument, numerics: Numerics, shared: Shared
) -> dict[str, Array]:
    """Light of galaxies where they stand, before the PSF, band → (h, w) in the pixels' unit."""
    canvas = Canvas(instrument, numerics, shared)
    for galaxy in galaxies:
        for light in galaxy.light:
            canvas.add_unlensed(galaxy, light)
    return canvas.take()


def _seen(light: dict[str, Array], psf: Psf, band: Band, shared: Shared) -> Array:
    pattern = kernel(psf, band)
    half = pattern.shape[0] // 2
    before = shared.get(("spectrum", id(light), band.name, half), partial(spectrum, light[band.name], half))
    return convolved(before, pattern)
