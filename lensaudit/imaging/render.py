"""From a scene to images and truth.

Rays are traced once on the instrument's ray grid and every light component is evaluated once; a band is its flux times
that image, summed into the band's pixels and convolved with its kernel. Docs/decisions tells why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lensaudit.errors import DataError
from lensaudit.imaging.instruments import Band, Instrument
from lensaudit.imaging.noise import add_noise, unit_noise
from lensaudit.imaging.profiles import extent_arcsec, surface_brightness
from lensaudit.imaging.psf import kernel
from lensaudit.imaging.raytracing import RayTracer
from lensaudit.imaging.truth import Truth, measure_truth
from lensaudit.scenes import Galaxy, Light, Scene

Array = NDArray[np.float64]

FAINTEST_SIGMA = 0.01
"""Light below this share of a pixel's background noise is not drawn."""


@dataclass(frozen=True)
class Numerics:
    """How finely light is sampled.

    Attributes
    ----------
    core_oversample
        Unlensed Sérsic cores are integrated over each ray cell with this many points a side; 1 samples the centre.
    core_cells
        Side of the square of cells, around a component's centre, that is integrated so.
    """

    core_oversample: int = 5
    core_cells: int = 7


DEFAULT_NUMERICS = Numerics()


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
        cells = (lensed[band.name], other[band.name])
        arcs, rest = convolve([_to_pixels(cell, instrument, band) for cell in cells], kernel(scene.psf, band))
        source_light[band.name] = arcs.astype(np.float32)
        noiseless[band.name] = (arcs + rest).astype(np.float32)
        unit = unit_noise(scene.noise_seed, index, (band.pixels, band.pixels))
        images[band.name] = add_noise(noiseless[band.name], unit, band)
    return Rendered(images, noiseless, measure_truth(scene, instrument, source_light))

def draw_light(
    scene: Scene, instrument: Instrument, numerics: Numerics = DEFAULT_NUMERICS
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Noiseless light on the ray grid before the PSF, per band, in electron/s per cell: (lensed, all other)."""
    canvas = _Canvas(instrument, numerics)
    lensed = scene.lensed
    if lensed:
        tracer = RayTracer(canvas.x, canvas.y, scene.deflectors, shear_redshift=lensed[-1].redshift)
        for galaxy in lensed:
            canvas.add_lensed(galaxy, *tracer.to_redshift(galaxy.redshift))
    arcs = canvas.take()
    behind = {id(galaxy) for galaxy in lensed}
    for galaxy in scene.galaxies:
        if id(galaxy) not in behind:
            canvas.add_unlensed(galaxy)
    return arcs, canvas.take()


def convolve(images: Sequence[Array], psf_kernel: Array) -> list[Array]:
    """Convolve images of one shape with one odd kernel, zero outside the frame; same shape out."""
    pixels, size = images[0].shape[0], psf_kernel.shape[0]
    shape = (fft.next_fast_len(pixels + size // 2, real=True),) * 2
    start = size // 2
    transfer = _transfer(psf_kernel.tobytes(), size, shape)
    blurred = []
    for image in images:
        if not image.any():
            blurred.append(np.zeros_like(image))
            continue
        product = fft.rfft2(image, shape) * transfer
        # The frame is only padded by half a kernel: what wraps around lands in rows and columns cut off here.
        blurred.append(fft.irfft2(product, shape)[start : start + pixels, start : start + pixels])
    return blurred


@lru_cache(maxsize=512)
def _transfer(kernel_bytes: bytes, size: int, shape: tuple[int, int]) -> NDArray[np.complex128]:
    return np.asarray(fft.rfft2(np.frombuffer(kernel_bytes).reshape(size, size), shape))


def _to_pixels(cells: Array, instrument: Instrument, band: Band) -> Array:
    """Sum ray cells into the band's pixels; both grids share their centre."""
    step = round(band.pixel_scale_arcsec / instrument.ray_scale_arcsec)
    if step == 1 and band.pixels == instrument.ray_pixels:
        return cells
    margin = (instrument.ray_pixels - band.pixels * step) // 2
    inner = cells[margin : margin + band.pixels * step, margin : margin + band.pixels * step]
    rows = inner[0::step]
    for shift in range(1, step):
        rows = rows + inner[shift::step]
    columns = rows[:, 0::step]
    for shift in range(1, step):
        columns = columns + rows[:, shift::step]
    return np.ascontiguousarray(columns)


@lru_cache(maxsize=8)
def _ray_axis(pixels: int, scale_arcsec: float) -> Array:
    axis = (np.arange(pixels) - (pixels - 1) / 2) * scale_arcsec
    axis.setflags(write=False)
    return axis


class _Canvas:
    """Adds light components to one image per band on the ray grid, evaluating each component once."""

    def __init__(self, instrument: Instrument, numerics: Numerics) -> None:
        self.instrument, self.numerics = instrument, numerics
        self.axis = _ray_axis(instrument.ray_pixels, instrument.ray_scale_arcsec)
        self.x, self.y = np.meshgrid(self.axis, self.axis)
        self.cell_area = instrument.ray_scale_arcsec**2
        self._images = self._blank()

    def take(self) -> dict[str, Array]:
        """Hand over what has been drawn and begin again with empty images."""
        images, self._images = self._images, self._blank()
        return images

    def add_lensed(self, galaxy: Galaxy, beta_x: Array, beta_y: Array) -> None:
        """Draw a galaxy at the source-plane positions of the rays, where it is bright enough to matter."""
        for light in galaxy.light:
            flux, faintest = self._flux(light)
            dx = beta_x - (galaxy.x_arcsec + light.dx_arcsec)
            dy = beta_y - (galaxy.y_arcsec + light.dy_arcsec)
            near = np.flatnonzero(dx * dx + dy * dy < extent_arcsec(light, faintest) ** 2)
            if near.size:
                unit = surface_brightness(light, dx.ravel()[near], dy.ravel()[near]) * self.cell_area
                for name, factor in flux.items():
                    self._images[name].ravel()[near] += factor * unit

    def add_unlensed(self, galaxy: Galaxy) -> None:
        """Draw a galaxy where it stands, within the window where it is bright enough to matter."""
        for light in galaxy.light:
            flux, faintest = self._flux(light)
            centre = (galaxy.x_arcsec + light.dx_arcsec, galaxy.y_arcsec + light.dy_arcsec)
            reach = extent_arcsec(light, faintest)
            columns, rows = self._window(centre[0], reach), self._window(centre[1], reach)
            if columns.stop <= columns.start or rows.stop <= rows.start:
                continue
            dx, dy = self.x[rows, columns] - centre[0], self.y[rows, columns] - centre[1]
            unit = surface_brightness(light, dx, dy) * self.cell_area
            if light.profile == "sersic" and self.numerics.core_oversample > 1:
                self._integrate_core(light, dx, dy, unit)
            for name, factor in flux.items():
                self._images[name][rows, columns] += factor * unit

    def _integrate_core(self, light: Light, dx: Array, dy: Array, unit: Array) -> None:
        """Replace the central cells' point samples by means over each cell: a cusp's centre is far from its mean."""
        half = self.numerics.core_cells * self.instrument.ray_scale_arcsec / 2
        row = np.flatnonzero(np.abs(dy[:, 0]) < half)
        column = np.flatnonzero(np.abs(dx[0]) < half)
        if not row.size or not column.size:
            return
        block = np.s_[row[0] : row[-1] + 1, column[0] : column[-1] + 1]
        points = self.numerics.core_oversample
        offset = ((np.arange(points) + 0.5) / points - 0.5) * self.instrument.ray_scale_arcsec
        fine_x = dx[block][..., None, None] + offset[None, None, None, :]
        fine_y = dy[block][..., None, None] + offset[None, None, :, None]
        fine_x, fine_y = np.broadcast_arrays(fine_x, fine_y)
        unit[block] = surface_brightness(light, fine_x, fine_y).mean(axis=(2, 3)) * self.cell_area

    def _window(self, centre: float, reach: float) -> slice:
        if math.isinf(reach):
            return slice(0, len(self.axis))
        step = self.instrument.ray_scale_arcsec
        low = int(max(math.ceil((centre - reach - self.axis[0]) / step), 0))
        high = int(min(math.floor((centre + reach - self.axis[0]) / step) + 1, len(self.axis)))
        return slice(low, high)

    def _flux(self, light: Light) -> tuple[dict[str, float], float]:
        """Electrons/s of a component per band, and the unit-flux surface brightness below which it is not drawn."""
        flux, faintest = {}, math.inf
        for band in self.instrument.bands:
            if band.name not in light.magnitudes:
                raise DataError(
                    f"scene: a light component has no magnitude in band {band.name} of {self.instrument.name}; "
                    f"it has {', '.join(light.magnitudes) or 'none'}"
                )
            flux[band.name] = band.electrons_per_s(light.magnitudes[band.name])
            sky = FAINTEST_SIGMA * band.background_sigma / band.pixel_scale_arcsec**2
            faintest = min(faintest, sky / flux[band.name])
        return flux, faintest

    def _blank(self) -> dict[str, Array]:
        pixels = self.instrument.ray_pixels
        return {band.name: np.zeros((pixels, pixels)) for band in self.instrument.bands}
