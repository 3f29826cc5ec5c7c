"""From a scene to images and truth.

Rays are traced once on the instrument's ray grid and every light component is evaluated once; a band is its flux times
that image, summed into the band's pixels and convolved with its kernel. Docs/decisions tells why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.imaging.canvas import DEFAULT_NUMERICS, Canvas, Numerics
from lensaudit.imaging.convolution import convolve
from lensaudit.imaging.instruments import Instrument
from lensaudit.imaging.noise import add_noise, unit_noise
from lensaudit.imaging.psf import kernel
from lensaudit.imaging.raytracing import RayTracer, image_reach_arcsec
from lensaudit.imaging.truth import Truth, measure_truth
from lensaudit.scenes import Scene

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


def render(scene: Scene, instrument: Instrument, numerics: Numerics = DEFAULT_NUMERICS) -> Rendered:
    """Render a scene: native-resolution images of every band, and truth.

    The same scene and instrument give the same bits; scenes that share `noise_seed` share their noise.

    Raises
    ------
    DataError
        The scene lacks a magnitude in one of the instrument's bands, or its PSF file cannot be used.
    """
    lensed, other = draw_light(scene, instrument, numerics)
    noiseless, source_light, images = {}, {}, {}
    for index, band in enumerate(instrument.bands):
        arcs, rest = (convolve(light[band.name], kernel(scene.psf, band)) for light in (lensed, other))
        source_light[band.name] = arcs.astype(np.float32)
        noiseless[band.name] = (arcs + rest).astype(np.float32)
        unit = unit_noise(scene.noise_seed, index, (band.pixels, band.pixels))
        images[band.name] = add_noise(noiseless[band.name], unit, band)
    return Rendered(images, noiseless, measure_truth(scene, instrument, source_light))


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
    canvas = Canvas(instrument, numerics)
    lensed = scene.lensed
    tracers: dict[str, RayTracer] = {}
    for galaxy in lensed:
        for light in galaxy.light:
            reach = canvas.extent_arcsec(light)
            window = canvas.window(*image_reach_arcsec(galaxy, light, reach, scene.deflectors))
            tracer = tracers.get(str(window))
            if tracer is None:
                tracer = RayTracer(*canvas.coordinates(window), scene.deflectors, lensed[-1].redshift)
                tracers[str(window)] = tracer
            canvas.add_lensed(galaxy, light, window, tracer.to_redshift(galaxy.redshift))
    arcs = canvas.take()
    behind = {id(galaxy) for galaxy in lensed}
    for galaxy in scene.galaxies:
        if id(galaxy) not in behind:
            for light in galaxy.light:
                canvas.add_unlensed(galaxy, light)
    return arcs, canvas.take()
