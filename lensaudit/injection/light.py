"""The light of the host galaxy: photutils finds it in the middle of a cutout, second moments give its shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from lensaudit.injection.hosts import HostCutout, fwhm_pixels, middle
from lensaudit.scenes import Light

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

THRESHOLD_SIGMA = 2.0
LEAST_PIXELS = 8
LEVELS, LEAST_CONTRAST = 8, 0.005
"""Of deblending: thresholds between a segment's faintest and brightest pixel, and the least fraction of its light."""
CENTRAL_ARCSEC = 0.6
MEASURED_ARCSEC = 6.0
"""Half the side of the square that the object is measured in."""
KRON_FACTOR = 2.5
STAR_SIZE = 1.15
"""What is at most so many times as large as the PSF is a star."""
SERSIC_INDEX = 4.0
NOT_SEEN_MAG = 40.0
"""In a band without a good pixel there."""
_TOUCHING = np.ones((3, 3), dtype=np.int8)


@dataclass(frozen=True)
class CentralLight:
    """The object in the middle of a host.

    Attributes
    ----------
    band
        Where its shape was measured.
    x_arcsec, y_arcsec
        Its centre from the cutout's.
    axis_ratio, angle_rad
        From second moments, the PSF's removed.
    r_half_arcsec
        Half-light radius, product average of both axes, the PSF's removed in quadrature.
    magnitudes
        AB magnitude in every band, in one elliptical aperture; where no light is seen, that of 1 σ.
    is_star
        Whether it is as narrow as the PSF.
    """

    band: str
    x_arcsec: float
    y_arcsec: float
    axis_ratio: float
    angle_rad: float
    r_half_arcsec: float
    magnitudes: Mapping[str, float]
    is_star: bool

    def as_light(self) -> Light:
        """A de Vaucouleurs profile of these numbers: what a scene says of the host; it is not drawn."""
        return Light(
            profile="sersic",
            magnitudes=self.magnitudes,
            r_eff_arcsec=self.r_half_arcsec,
            n_sersic=SERSIC_INDEX,
            axis_ratio=self.axis_ratio,
            angle_rad=self.angle_rad,
        )


@dataclass(frozen=True)
class _Ellipse:
    """Centre (arcsec), axis ratio and angle, and the largest product-averaged radius."""

    x: float
    y: float
    axis_ratio: float
    angle: float
    reach: float = math.inf

    def radius(self, x: Array, y: Array) -> Array:
        """Product-averaged radius of points."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        u, v = c * (x - self.x) + s * (y - self.y), c * (y - self.y) - s * (x - self.x)
        return np.sqrt(self.axis_ratio * u * u + v * v / self.axis_ratio)


@dataclass(frozen=True)
class _Plane:
    """One band: pixels less the sky where they are good, coordinates of a row, and what is other objects'."""

    image: Array
    good: Mask
    axis: Array
    others: Mask


def measure(host: HostCutout) -> CentralLight | None:
    """Measure the object in the middle of a host; None where there is nothing."""
    host = _middle_of(host)
    band = measured_band(host)
    found = _central_segment(host, band)
    if found is None:
        return None
    plane, segment = found
    fwhm = fwhm_pixels(host.psf[band]) * host.pixel_scale_arcsec[band]
    ellipse = _aperture(plane, segment, _moments(plane, segment, fwhm))
    seen = _half_light(plane, ellipse)
    point = _half_light_of_psf(host.psf[band], host.pixel_scale_arcsec[band], ellipse.reach)
    floor = 0.3 * point
    return CentralLight(
        band=band,
        x_arcsec=ellipse.x,
        y_arcsec=ellipse.y,
        axis_ratio=ellipse.axis_ratio,
        angle_rad=ellipse.angle,
        r_half_arcsec=max(math.sqrt(max(seen**2 - point**2, 0.0)), floor),
        magnitudes={name: _magnitude(host, name, plane, ellipse) for name in host.bands},
        is_star=seen < STAR_SIZE * point,
    )


def _middle_of(host: HostCutout) -> HostCutout:
    """The central pixels of a host: what lies farther out says nothing of the galaxy, and takes time."""
    cut = {}
    for band, image in host.images.items():
        margin = max(0, int(image.shape[0] / 2 - MEASURED_ARCSEC / host.pixel_scale_arcsec[band]))
        cut[band] = slice(margin, image.shape[0] - margin)

    def middle_pixels(planes: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        return {band: planes[band][cut[band], cut[band]] for band in cut}

    return replace(host, images=middle_pixels(host.images), rms=middle_pixels(host.rms))


def measured_band(host: HostCutout) -> str:
    """The band to measure in: of those nearly as sharp as the sharpest, where the middle stands out most."""
    width = {band: fwhm_pixels(host.psf[band]) * host.pixel_scale_arcsec[band] for band in host.bands}
    sharp = [band for band in host.bands if width[band] <= 1.5 * min(width.values())]
    return max(sharp, key=lambda band: _central_significance(host, band)) if len(sharp) > 1 else sharp[0]


def _central_significance(host: HostCutout, band: str) -> float:
    image, rms = host.images[band], host.rms[band]
    near = _within(image.shape[0], host.pixel_scale_arcsec[band], 2 * CENTRAL_ARCSEC) & np.isfinite(rms)
    if not near.any():
        return -math.inf
    good = np.isfinite(rms)
    return float((image[near] - middle(image[good])).sum() / math.sqrt(float((rms[near] ** 2).sum())))


def _within(pixels: int, scale: float, radius: float) -> Mask:
    axis = (np.arange(pixels) - (pixels - 1) / 2) * scale
    return np.hypot(axis[:, None], axis[None, :]) <= max(radius, 1.5 * scale)


def _central_segment(host: HostCutout, band: str) -> tuple[_Plane, Mask] | None:
    """The band's pixels and those of the object in the middle, parted from its neighbours."""
    image, rms, scale = host.images[band].astype(np.float64), host.rms[band], host.pixel_scale_arcsec[band]
    good = np.isfinite(rms)
    above = np.where(good, image - middle(image[good]), 0.0)
    threshold = np.where(good, THRESHOLD_SIGMA * rms, 1.0).astype(np.float64)
    labels, _ = _groups(above > threshold)
    near = np.where(_within(image.shape[0], scale, CENTRAL_ARCSEC) & (labels > 0), above, -np.inf)
    if not np.isfinite(near).any():
        return None
    peak = np.unravel_index(int(np.argmax(near)), near.shape)
    inside = _parted(above, labels == labels[peak], (int(peak[0]), int(peak[1])))
    empty = good & (labels == 0)
    sky = middle(above[empty]) if empty.any() else 0.0
    axis = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * scale
    return _Plane(above - sky, good, axis, (labels > 0) & ~inside), inside & good


def _groups(bright: Mask) -> tuple[NDArray[np.int32], int]:
    """Number of the group that each bright pixel is in, 0 in none or in one below `LEAST_PIXELS`; how many are larger.

    As photutils' `detect_sources`, which looks at every speck of noise by itself and takes ten times as long.
    """
    found, count = label(bright, structure=_TOUCHING)
    large = np.bincount(found.ravel(), minlength=count + 1) >= LEAST_PIXELS
    large[0] = False
    return (np.arange(count + 1, dtype=np.int32) * large)[found], int(large.sum())


def _parted(above: Array, segment: Mask, peak: tuple[int, int]) -> Mask:
    """The part of a segment that belongs to its peak: photutils' deblending, in the box around the segment."""
    rows, columns = np.flatnonzero(segment.any(axis=1)), np.flatnonzero(segment.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if _is_single(above[box], segment[box]):
        return segment
    from photutils.segmentation import SegmentationImage, deblend_sources

    piece = SegmentationImage(segment[box].astype(np.int32))
    parts = deblend_sources(
        above[box], piece, LEAST_PIXELS, n_levels=LEVELS, contrast=LEAST_CONTRAST, progress_bar=False
    )
    labels = np.asarray(parts.data)
    own = np.zeros_like(segment)
    own[box] = labels == labels[peak[0] - rows[0], peak[1] - columns[0]]
    return own


def _is_single(above: Array, segment: Mask) -> bool:
    """Whether the segment is one group above each of the levels that photutils would look at, as most are."""
    light = above[segment]
    low, high = float(light.min()), float(light.max())
    if light.size < 2 * LEAST_PIXELS or low == high:
        return True
    if low <= 0.0:
        return False
    even = (np.linspace(low, high, LEVELS + 2) - low) / (high - low)
    levels = low * (high / low) ** even
    bright = (light > levels[1:-1, None]).sum(axis=1)
    several = levels[1:-1][bright >= 2 * LEAST_PIXELS]  # fewer pixels are no two groups
    return all(_groups((above > level) & segment)[1] <= 1 for level in several)


def _moments(plane: _Plane, segment: Mask, fwhm_arcsec: float) -> _Ellipse:
    """Centre and shape from the second moments of a segment's light, those of a Gaussian PSF removed."""
    rows, columns = np.nonzero(segment)
    x, y, light = plane.axis[columns], plane.axis[rows], np.maximum(plane.image[rows, columns], 0.0)
    total = light.sum()
    centre_x, centre_y = float(x @ light / total), float(y @ light / total)
    dx, dy = x - centre_x, y - centre_y
    moments = np.array([[(light * dx * dx).sum(), (light * dx * dy).sum()], [0.0, (light * dy * dy).sum()]]) / total
    moments[1, 0] = moments[0, 1]
    (low, high), directions = np.linalg.eigh(moments)
    point = (fwhm_arcsec / math.sqrt(8 * math.log(2))) ** 2
    low, high = max(low - point, 0.05 * low), max(high - point, 0.05 * high)
    ratio = min(max(math.sqrt(low / high), 0.2), 1.0)
    angle = math.atan2(directions[1, 1], directions[0, 1]) % math.pi
    return _Ellipse(centre_x, centre_y, ratio, angle)


def _aperture(plane: _Plane, segment: Mask, shape: _Ellipse) -> _Ellipse:
    """The ellipse that holds the object's light (Kron 1980): 2.5 first moments of radius, taken within twice the
    radius of its isophote, or the isophote where that is larger."""
    pixel = float(plane.axis[1] - plane.axis[0])
    isophotal = max(math.sqrt(segment.sum() / math.pi), 2.0) * pixel
    radius = shape.radius(plane.axis[None, :], plane.axis[:, None])
    inside = (radius <= 2 * isophotal) & plane.good & ~plane.others
    light = plane.image[inside]
    kron = KRON_FACTOR * float(radius[inside] @ light / light.sum()) if light.sum() > 0 else 0.0
    return replace(shape, reach=min(max(kron, isophotal), 3 * isophotal))


def _half_light(plane: _Plane, ellipse: _Ellipse) -> float:
    radius = ellipse.radius(plane.axis[None, :], plane.axis[:, None])
    inside = (radius <= ellipse.reach) & plane.good & ~plane.others
    return _half_of(radius[inside], plane.image[inside])


def _half_light_of_psf(kernel: Array, scale: float, reach: float) -> float:
    axis = (np.arange(len(kernel)) - len(kernel) // 2) * scale
    radius = np.hypot(axis[:, None], axis[None, :])
    inside = radius <= reach
    return _half_of(radius[inside], kernel[inside])


def _half_of(radius: Array, light: Array) -> float:
    """Radius that holds half of the light, between pixels by interpolation."""
    order = np.argsort(radius, kind="stable")
    grown = np.maximum.accumulate(np.cumsum(light[order]))
    return float(np.interp(0.5 * grown[-1], grown, radius[order]))


def _magnitude(host: HostCutout, band: str, seen: _Plane, ellipse: _Ellipse) -> float:
    """AB magnitude within the ellipse, without what belongs to other objects where the shape was measured."""
    image, rms, scale = host.images[band].astype(np.float64), host.rms[band], host.pixel_scale_arcsec[band]
    axis = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * scale
    good = np.isfinite(rms) & ~_on_axis(seen.others, seen.axis, axis)
    radius = ellipse.radius(axis[None, :], axis[:, None])
    around = good & (radius > 1.5 * ellipse.reach)
    sky = middle(image[around]) if around.sum() >= 50 else 0.0
    inside = good & (radius <= max(ellipse.reach, scale))
    flux = float((image[inside] - sky).sum())
    least = math.sqrt(float((rms[inside].astype(np.float64) ** 2).sum())) if inside.any() else math.inf
    if not math.isfinite(least):
        return NOT_SEEN_MAG
    return float(host.zero_point_mag[band] - 2.5 * math.log10(max(flux, least)))


def _on_axis(mask: Mask, axis: Array, other: Array) -> Mask:
    """A mask on the pixels of another band: that of the nearest pixel."""
    if np.array_equal(axis, other):
        return mask
    nearest = np.clip(np.rint((other - axis[0]) / float(axis[1] - axis[0])).astype(int), 0, len(axis) - 1)
    return mask[np.ix_(nearest, nearest)]
