"""The canvas: adds light components to one image per band, evaluating each component once on the ray grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ive

from lensaudit.errors import DataError
from lensaudit.imaging.band import Band, Instrument
from lensaudit.imaging.raytracing import RayTracer, Shared
from lensaudit.imaging.stamps import stamp_image
from lensaudit.scenes import Galaxy, Light

TABLE_POINTS = 4000
# Half-light radius of an exponential disc over its scale length.
EXPONENTIAL_HALF_LIGHT = 1.6783469900166605


def surface_brightness(light: Light, x: Array, y: Array) -> Array:
    """Flux per arcsec² of a component of unit flux at offsets `x`, `y` (arcsec) from its centre."""
    return _PROFILES[light.profile](light, x, y)


def extent_arcsec(light: Light, faintest: float) -> float:
    """Radius (arcsec, along the major axis) beyond which a unit-flux component is below `faintest` per arcsec²."""
    stretch = 1.0 / math.sqrt(light.axis_ratio)
    if light.profile == "ring":
        width = light.shape["width_arcsec"]
        return stretch * (light.r_eff_arcsec + 5.0 * width)
    if light.stamp is not None:
        image = stamp_image(light.stamp)
        return stretch * image.reach_arcsec * light.r_eff_arcsec / image.half_light_arcsec
    # Spiral arms rise above the disc by at most the von Mises peak, which the factor e^contrast bounds.
    n = 1.0 if light.profile == "spiral" else light.n_sersic
    gain = math.exp(light.shape.get("contrast", 0.0)) if light.profile == "spiral" else 1.0
    b = _b_n(n)
    effective = gain / _sersic_flux(light.r_eff_arcsec, n)
    if faintest <= 0:
        return math.inf
    drop = 1.0 + math.log(max(effective / faintest, 1e-300)) / b
    return stretch * light.r_eff_arcsec * max(drop, 0.0) ** n


def _sersic(light: Light, x: Array, y: Array) -> Array:
    if x.size > TABLE_POINTS:
        return _tabulated_sersic(light, x, y)
    e1, e2 = _ellipticity(light.axis_ratio, light.angle_rad)
    amplitude = 1.0 / _sersic_flux(light.r_eff_arcsec, light.n_sersic)
    return np.asarray(
        _sersic_profile().function(x, y, amplitude, light.r_eff_arcsec, light.n_sersic, e1, e2), dtype=np.float64
    )


def _tabulated_sersic(light: Light, x: Array, y: Array) -> Array:
    """Evaluate lenstronomy's profile at `TABLE_POINTS` radii and interpolate: it depends on the radius alone.

    Even steps in √R resolve the cusp; the largest relative error from 0.05″ outwards is below 1e-5.
    """
    u, v = _on_axes(light, x, y)
    root = np.sqrt(np.sqrt(u * u + v * v))
    step = float(root.max()) / (TABLE_POINTS - 2)
    radii = (np.arange(TABLE_POINTS) * step) ** 2
    amplitude = 1.0 / _sersic_flux(light.r_eff_arcsec, light.n_sersic)
    table = _sersic_profile().function(radii, np.zeros_like(radii), amplitude, light.r_eff_arcsec, light.n_sersic, 0, 0)
    root *= 1.0 / step
    low = root.astype(np.int32)
    root -= low
    slope = np.diff(table)
    return np.asarray(table[low] + root * slope[low])


def _spiral(light: Light, x: Array, y: Array) -> Array:
    """Exponential disc times a von Mises ripple along logarithmic arms; the ripple's mean over angle is 1."""
    u, v = _on_axes(light, x, y)
    radius = np.maximum(np.hypot(u, v), 1e-4)
    scale = light.r_eff_arcsec / EXPONENTIAL_HALF_LIGHT
    disc = np.exp(-radius / scale) / (2.0 * np.pi * scale**2)
    contrast, arms = light.shape["contrast"], light.shape["arms"]
    phase = arms * (np.arctan2(v, u) - np.log(radius / scale) / math.tan(light.shape["pitch_rad"]))
    ripple = np.exp(contrast * (np.cos(phase) - 1.0)) / ive(0, contrast)
    # Arms begin outside the bulge: inside half a scale length the disc is smooth.
    onset = 1.0 - np.exp(-((radius / (0.5 * scale)) ** 2))
    return np.asarray(disc * (1.0 + onset * (ripple - 1.0)))


def _ring(light: Light, x: Array, y: Array) -> Array:
    u, v = _on_axes(light, x, y)
    width, radius = light.shape["width_arcsec"], light.r_eff_arcsec
    flux = (
        2.0
        * np.pi
        * (
            width**2 * math.exp(-(radius**2) / (2 * width**2))
            + radius * width * math.sqrt(math.pi / 2) * (1.0 + float(erf(radius / (math.sqrt(2) * width))))
        )
    )
    return np.asarray(np.exp(-((np.hypot(u, v) - radius) ** 2) / (2.0 * width**2)) / flux)


def _stamp(light: Light, x: Array, y: Array) -> Array:
    """The image of a real galaxy, scaled to the half-light radius; its flux stays 1."""
    assert light.stamp is not None
    image = stamp_image(light.stamp)
    scale = image.half_light_arcsec / light.r_eff_arcsec
    u, v = _on_axes(light, x, y)
    return image.brightness(u * scale, v * scale) * scale**2


def _on_axes(light: Light, x: Array, y: Array) -> tuple[Array, Array]:
    """Coordinates along the major and minor axis, scaled so that ellipses become circles of the same area."""
    c, s = math.cos(light.angle_rad), math.sin(light.angle_rad)
    root = math.sqrt(light.axis_ratio)
    return (c * x + s * y) * root, (c * y - s * x) / root


def _ellipticity(axis_ratio: float, angle_rad: float) -> tuple[float, float]:
    modulus = (1.0 - axis_ratio) / (1.0 + axis_ratio)
    return modulus * math.cos(2 * angle_rad), modulus * math.sin(2 * angle_rad)


def _b_n(n: float) -> float:
    return float(_sersic_profile().b_n(n))


def _sersic_flux(r_eff: float, n: float) -> float:
    return float(_sersic_profile().total_flux(amp=1.0, R_sersic=r_eff, n_sersic=n))


@lru_cache(maxsize=1)
def _sersic_profile() -> Any:
    from lenstronomy.LightModel.Profiles.sersic import SersicElliptic

    return SersicElliptic()


_PROFILES: dict[str, Callable[[Light, Array, Array], Array]] = {
    "sersic": _sersic,
    "spiral": _spiral,
    "ring": _ring,
    "stamp": _stamp,
}


Array = NDArray[np.float64]
Window = tuple[slice, slice]

FAINTEST_SIGMA = 0.01
"""Light below this fraction of a pixel's background noise is not drawn."""


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
    core_cells: int = 5


DEFAULT_NUMERICS = Numerics()


class Canvas:
    """One image per band, in electron/s per pixel, to which light is added."""

    def __init__(
        self, instrument: Instrument, numerics: Numerics = DEFAULT_NUMERICS, shared: Shared | None = None
    ) -> None:
        self.instrument, self.numerics, self._shared = instrument, numerics, shared or Shared()
        self._axis = _ray_axis(instrument.ray_pixels, instrument.ray_scale_arcsec)
        self._cell_area = instrument.ray_scale_arcsec**2
        self._steps = {b.name: round(b.pixel_scale_arcsec / instrument.ray_scale_arcsec) for b in instrument.bands}
        self._coarsest = max(self._steps.values())
        self._images = self._blank()

    def take(self) -> dict[str, Array]:
        """Hand over what has been drawn and begin again with empty images."""
        images, self._images = self._images, self._blank()
        return images

    def window(self, x: float, y: float, reach_arcsec: float) -> Window:
        """Rows and columns of ray cells within `reach_arcsec` of a point, widened to whole pixels of every band."""
        return self._span(y, reach_arcsec), self._span(x, reach_arcsec)

    def coordinates(self, window: Window) -> tuple[Array, Array]:
        """Coordinates (arcsec) of the ray cells in a window, as (x, y) of its shape."""
        y, x = np.meshgrid(self._axis[window[0]], self._axis[window[1]], indexing="ij")
        return x, y

    def extent_arcsec(self, light: Light) -> float:
        """Radius beyond which a component is too faint to draw in any band."""
        faintest = math.inf
        for band in self.instrument.bands:
            sky = FAINTEST_SIGMA * band.background_sigma / band.pixel_scale_arcsec**2
            faintest = min(faintest, sky / self._flux(light, band))
        return extent_arcsec(light, faintest)

    def add_lensed(self, galaxy: Galaxy, light: Light, window: Window, rays: RayTracer) -> None:
        """Draw a component as seen by the `rays` of `window`."""
        extent = self.extent_arcsec(light)

        def seen() -> dict[int, Array] | None:
            beta = rays.to_redshift(galaxy.redshift)
            dx = beta[0] - (galaxy.x_arcsec + light.dx_arcsec)
            dy = beta[1] - (galaxy.y_arcsec + light.dy_arcsec)
            near = dx * dx + dy * dy < extent**2
            if not near.any():
                return None
            unit = np.zeros(dx.shape)
            unit[near] = surface_brightness(light, dx[near], dy[near])
            return self._summed(unit)

        self._deposit(light, window, self._shared.get(("lensed", _form(galaxy, light), extent, rays.key), seen))

    def add_unlensed(self, galaxy: Galaxy, light: Light) -> None:
        """Draw a component where it stands."""
        centre = (galaxy.x_arcsec + light.dx_arcsec, galaxy.y_arcsec + light.dy_arcsec)
        window = self.window(*centre, self.extent_arcsec(light))

        def seen() -> dict[int, Array] | None:
            x, y = self.coordinates(window)
            if not x.size:
                return None
            dx, dy = x - centre[0], y - centre[1]
            unit = surface_brightness(light, dx, dy)
            if light.profile == "sersic" and self.numerics.core_oversample > 1:
                self._integrate_core(light, dx, dy, unit)
            return self._summed(unit)

        self._deposit(light, window, self._shared.get(("unlensed", _form(galaxy, light), str(window)), seen))

    def _integrate_core(self, light: Light, dx: Array, dy: Array, unit: Array) -> None:
        """Replace the central cells' point samples by means over each cell: a cusp's centre is far from its mean."""
        half = self.numerics.core_cells * self.instrument.ray_scale_arcsec / 2
        rows, columns = np.flatnonzero(np.abs(dy[:, 0]) < half), np.flatnonzero(np.abs(dx[0]) < half)
        if not rows.size or not columns.size:
            return
        block = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        points = self.numerics.core_oversample
        offset = ((np.arange(points) + 0.5) / points - 0.5) * self.instrument.ray_scale_arcsec
        shape = (rows.size, columns.size, points, points)
        fine_x = np.broadcast_to(dx[block][:, :, None, None] + offset, shape)
        fine_y = np.broadcast_to(dy[block][:, :, None, None] + offset[:, None], shape)
        unit[block] = surface_brightness(light, fine_x, fine_y).mean(axis=(2, 3))

    def _summed(self, unit: Array) -> dict[int, Array]:
        """A unit-flux surface brightness on ray cells, summed into pixels once per pixel scale."""
        return {step: _sum_blocks(unit, step) for step in dict.fromkeys(self._steps.values())}

    def _deposit(self, light: Light, window: Window, summed: dict[int, Array] | None) -> None:
        """Add a component of unit flux, summed into the pixels of `window`, to every band; None adds nothing."""
        if summed is None:
            return
        for band in self.instrument.bands:
            step = self._steps[band.name]
            margin = (self.instrument.ray_pixels - band.pixels * step) // 2
            target, source = zip(*(_inside(span, margin, step, band.pixels) for span in window), strict=True)
            self._images[band.name][target] += (self._flux(light, band) * self._cell_area) * summed[step][source]

    def _span(self, centre: float, reach: float) -> slice:
        """Ray cells along one axis within reach, aligned so that every band's pixels stay whole."""
        count, step, scale = len(self._axis), self._coarsest, self.instrument.ray_scale_arcsec
        if math.isinf(reach):
            return slice(0, count)
        low = math.floor((centre - reach - self._axis[0]) / scale / step) * step
        high = math.ceil(((centre + reach - self._axis[0]) / scale + 1) / step) * step
        first = min(max(low, 0), count)
        return slice(first, max(min(high, count), first))

    def _flux(self, light: Light, band: Band) -> float:
        """Electron/s of a component in a band."""
        if band.name not in light.magnitudes:
            raise DataError(
                f"scene: a light component has no magnitude in band {band.name} of {self.instrument.name}; "
                f"it has {', '.join(light.magnitudes) or 'none'}"
            )
        return band.flux(light.magnitudes[band.name])

    def _blank(self) -> dict[str, Array]:
        return {band.name: np.zeros((band.pixels, band.pixels)) for band in self.instrument.bands}


def _form(galaxy: Galaxy, light: Light) -> Hashable:
    """All that the shape of a component depends on: everything but its magnitudes."""
    return (
        galaxy.redshift, galaxy.x_arcsec, galaxy.y_arcsec, light.profile, light.r_eff_arcsec, light.n_sersic,
        light.axis_ratio, light.angle_rad, light.dx_arcsec, light.dy_arcsec, light.shape, light.stamp,
    )  # fmt: skip


def _sum_blocks(cells: Array, step: int) -> Array:
    """Sum blocks of step×step cells (h, w) → (h/step, w/step)."""
    if step == 1:
        return cells
    rows = cells[0::step].copy()
    for shift in range(1, step):
        rows += cells[shift::step]
    columns = rows[:, 0::step].copy()
    for shift in range(1, step):
        columns += rows[:, shift::step]
    return columns


def _inside(span: slice, margin: int, step: int, pixels: int) -> tuple[slice, slice]:
    """Pixels of a band that a span of ray cells covers, and where they lie in the span's own pixels."""
    first, last = (span.start - margin) // step, (span.stop - margin) // step
    low, high = min(max(first, 0), pixels), max(min(last, pixels), 0)
    high = max(low, high)
    return slice(low, high), slice(low - first, high - first)


@lru_cache(maxsize=8)
def _ray_axis(pixels: int, scale_arcsec: float) -> Array:
    axis: Array = (np.arange(pixels, dtype=np.float64) - (pixels - 1) / 2) * scale_arcsec
    axis.setflags(write=False)
    return axis
