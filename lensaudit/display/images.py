"""Cutouts and maps as pixels: one grey stretch, one colour recipe, maps over their image, and PNGs inside a page.

One stretch for all native pixels, grey and colour: asinh of the light in sky sigmas, linear up to three of them and
logarithmic above (Lupton et al. 2004). So noise stays quiet, an arc of a few sigmas and a core of a thousand are seen
together, no unit matters, and a grey panel and the colour panel beside it show the same light alike. Linear scales lose
the arc, plain logarithms amplify the sky, and percentiles of each image alone hide that one is fainter. The sky is the
median and its sigma `astropy.stats.mad_std`, robust while objects fill less than half of the cutout.

What a finder's own stretch has prepared is not stretched a second time: `prepared_grey`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.colour import SignedScale
from lensaudit.errors import DataError

NISP_RGB = ("H", "J", "Y")
"""Bands shown as red, green and blue, as in Wilde et al. 2022."""

RGB = (NISP_RGB, ("i", "r", "g"), ("z", "r", "g"), ("I", "R", "G"), ("F158", "F129", "F106"))
"""The same of other surveys; the first that a cutout has is taken."""

MAIN_BANDS = (("VIS",), ("i", "z"), ("r",), ("i",), ("R",), ("F814W",), ("F129",), ("H",))
"""The first of the first of these that a cutout has is shown in grey: the deep, sharp band that surveys measure lenses
in, and the reference band of the shipped instruments. KiDS has no z, and its i is its shallowest."""

SOFTENING = 3.0
"""Sky sigmas over which the stretch turns from linear to logarithmic."""

LEAST_RANGE = 20.0
"""Sky sigmas that white lies above the sky at least, so that an empty field stays dark."""

LARGEST_RATIO = 1000.0
"""White over the softening at most, for images with hardly any noise."""

BLACK = -1.0
"""Sky sigmas above the sky that are black."""

WHITE_PERCENTILE = 99.9

CONTRAST = 0.55
"""Fraction of the image's own contrast that is kept under the colours of a map, so that these stay readable."""

MAX_SIDE = 200
"""Longest side of a panel of a page in pixels; larger cutouts are averaged down to keep the page small."""

COLOURS = 160
"""Colours of a panel's palette: a third of the bytes of true colour, and no step to be seen on noise."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GreyScale:
    """What is dark and what is white: pictures with one scale can be compared.

    Attributes
    ----------
    sky, sigma
        Level and noise of the sky, in the image's unit; sigma is 0 where all is one level.
    top
        Sky sigmas above the sky that are shown as white.
    """

    sky: float
    sigma: float
    top: float


@dataclass(frozen=True)
class ColourScale:
    """What is black and what is white, of each of the bands H, J, Y: pictures with one scale can be compared.

    Attributes
    ----------
    sky, sigma
        Level and noise of the sky, in the images' units.
    top
        Intensity, the mean of the three bands in sigmas above the sky, that is shown as white.
    """

    sky: tuple[float, float, float]
    sigma: tuple[float, float, float]
    top: float


def grey_scale(*images: np.ndarray) -> GreyScale:
    """Scale of one image, or one scale of several: the 99.9 % percentile is white, 20 sky sigmas at least."""
    finite = np.concatenate([image[np.isfinite(image)].astype(float) for image in map(np.asarray, images)])
    if not finite.size or finite.max() <= finite.min():
        return GreyScale(float(finite[0]) if finite.size else 0.0, 0.0, LEAST_RANGE)
    sky, sigma, white = _levels(finite)
    return GreyScale(sky, sigma, max((white - sky) / sigma, LEAST_RANGE))


def grey(image: np.ndarray, scale: GreyScale | None = None, black: float = BLACK) -> Floats:
    """The one stretch: native pixels (h, w) to [0, 1], the sky dark; NaN and images of one level are 0.

    Draw it with ``origin="lower"``.

    Parameters
    ----------
    image
        In any unit.
    scale
        By default the image's own; that of `grey_scale` of several shows them alike.
    black
        Sky sigmas above the sky that are 0.
    """
    from astropy.visualization import AsinhStretch

    image = np.asarray(image, dtype=float)
    scale = grey_scale(image) if scale is None else scale
    if not scale.sigma:
        return np.zeros(image.shape)
    extent = max(scale.top - black, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        light = np.clip(((image - scale.sky) / scale.sigma - black) / extent, 0, 1)
    return np.asarray(AsinhStretch(min(SOFTENING / extent, 1.0))(np.where(np.isfinite(image), light, 0.0)))


def prepared_grey(image: np.ndarray) -> Floats:
    """Pixels (…, h, w) that a finder's stretch has prepared, linear from their 1 % to their 99.5 % percentile."""
    low, high = np.nanpercentile(image, (1.0, 99.5), axis=(-2, -1), keepdims=True)
    return np.clip(np.nan_to_num((image - low) / np.where(high > low, high - low, 1)), 0, 1)


def prepared_rgb(image: np.ndarray, bands: Sequence[str], brighten: float = 0.0) -> Floats:
    """Colour picture of a prepared image, R, G, B = H, J, Y or another of `RGB`, linear: float64 (h, w, 3) in [0, 1].

    Draw it with ``origin="lower"``. Without three such bands it is grey: the main band.

    Parameters
    ----------
    image
        (bands, h, w); what is beyond [0, 1] is clipped.
    bands
        Their names.
    brighten
        Per cent that the three are made brighter by; 150 multiplies them by 2.5. Wilde et al. 2022 did so with their
        Deep Dreams (Fig. 16). Grey pictures stay as they are.
    """
    if not has_colour(tuple(bands)):
        plane = np.clip(image[list(bands).index(main_band(bands))], 0, 1)
        return np.repeat(plane[..., None].astype(np.float64), 3, axis=2)
    planes = [np.asarray(image[list(bands).index(band)], dtype=np.float64) for band in colour_bands(bands)]
    return np.clip(np.nan_to_num(np.stack(planes, axis=-1)) * (1 + brighten / 100), 0, 1)


def colour_scale(cutout: Mapping[str, np.ndarray]) -> ColourScale:
    """Scale of one cutout: sky and sigma of each band, white the 99.7 % percentile of the intensity.

    Parameters
    ----------
    cutout
        Band → image (h, w), H, J and Y (or another of `RGB`) among them, in the same pixels; others are ignored, and so
        are pixels that are not finite. A constant band is all sky.

    Raises
    ------
    DataError
        One of the three is missing, or their shapes differ.
    """
    planes = _planes(cutout)
    levels = [_levels(plane[np.isfinite(plane)]) for plane in planes]
    signal = [(plane - sky) / sigma for plane, (sky, sigma, _) in zip(planes, levels, strict=True)]
    intensity = np.mean(signal, axis=0)
    finite = intensity[np.isfinite(intensity)]
    high = float(np.percentile(finite, 99.7)) if finite.size else 0.0
    skies, sigmas, _ = zip(*levels, strict=True)
    return ColourScale(skies, sigmas, max(high, LEAST_RANGE))


def colour_picture(cutout: Mapping[str, np.ndarray], scale: ColourScale | None = None) -> Floats:
    """Colour picture of a cutout, R, G, B = H, J, Y or another of `RGB`: float64 (h, w, 3) in [0, 1], rows as there.

    Each band is taken in sigmas of its own sky; an asinh of the mean intensity keeps the colour of bright and faint
    pixels alike (Lupton et al. 2004, by astropy). Draw it with ``origin="lower"``.

    Parameters
    ----------
    cutout
        Band → image (h, w), H, J and Y (or another of `RGB`) among them, in the same pixels and any unit. Pixels that
        are not finite are black.
    scale
        By default the cutout's own, see `colour_scale`; give that of another to show both alike, as a cutout before
        and after a change.

    Raises
    ------
    DataError
        One of the three is missing, or their shapes differ.
    """
    from astropy.visualization import AsinhStretch, ManualInterval, make_lupton_rgb

    planes = _planes(cutout)
    scale = colour_scale(cutout) if scale is None else scale
    signal = [(p - sky) / sigma / scale.top for p, sky, sigma in zip(planes, scale.sky, scale.sigma, strict=True)]
    known = np.isfinite(signal).all(axis=0)
    signal = [np.where(known, plane, 0.0) for plane in signal]
    stretch = AsinhStretch(min(SOFTENING / scale.top, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):  # astropy divides by an intensity of 0, then discards it
        return make_lupton_rgb(
            *signal, interval=ManualInterval(0.0, 1.0), stretch_object=stretch, output_dtype=np.float64
        )


nisp_rgb = colour_picture
"""Its earlier name, of the time when NISP's were the only bands."""


def has_colour(bands: Sequence[str]) -> bool:
    """Whether a colour picture can be made of `bands`."""
    return bool(colour_bands(bands))


def colour_bands(bands: Sequence[str]) -> tuple[str, ...]:
    """Those of `bands` that are red, green and blue in a colour picture; none where it would be grey.

    Examples
    --------
    >>> colour_bands(["VIS", "Y", "J", "H"]), colour_bands(["g", "r", "i", "z", "y"]), colour_bands(["VIS"])
    (('H', 'J', 'Y'), ('i', 'r', 'g'), ())
    """
    return next((three for three in RGB if set(three) <= set(bands)), ())


def colour_words(bands: Sequence[str], channels: str = "RGB") -> str:
    """What a colour picture of `bands` shows, as ``NISP, RGB = H J Y``."""
    three = colour_bands(bands)
    return f"{'NISP, ' if three == NISP_RGB else ''}{channels} = {' '.join(three)}"


def main_band(bands: Sequence[str]) -> str:
    """The band shown in grey, see `MAIN_BANDS`; the first where it has none of them.

    Examples
    --------
    >>> main_band(["Y", "VIS"]), main_band(["g", "r", "i", "z"]), main_band(["u", "g", "r", "i"]), main_band(["J", "H"])
    ('VIS', 'i', 'r', 'H')
    """
    return next((group[0] for group in MAIN_BANDS if set(group) <= set(bands)), bands[0])


def shown_bands(bands: Sequence[str]) -> tuple[str, ...]:
    """Bands that `picture_of` needs: three for a colour picture, else the main band."""
    return colour_bands(bands) or (main_band(bands),)


def picture_of(cutout: Mapping[str, np.ndarray]) -> Floats:
    """A cutout as one would show it: in colour (h, w, 3) where its three bands share their pixels, else grey (h, w)."""
    same = len({image.shape for image in cutout.values()}) == 1
    return colour_picture(cutout) if has_colour(tuple(cutout)) and same else grey(cutout[main_band(list(cutout))])


def resampled_rgb(images: Mapping[str, np.ndarray]) -> Floats | None:
    """As `colour_picture`, bands of other pixel scales in the pixels of the finest; None where a band is missing."""
    if not has_colour(tuple(images)):
        return None
    small = {band: shrink(images[band]) for band in colour_bands(tuple(images))}
    finest = max((image.shape for image in small.values()), key=np.prod)
    return colour_picture({band: nearest(image, finest) for band, image in small.items()})


def over_image(values: np.ndarray, image: np.ndarray, scale: SignedScale) -> Floats:
    """Signed `values` (size, size) in colour over the negative `image` (h, w) of the same field: (n, m, 3) in [0, 1].

    It has the pixels of whichever is finer. The sky stays white, so that white is a value of 0.
    """
    fine = tuple(max(sides) for sides in zip(values.shape, image.shape, strict=True))
    backdrop = 1 - CONTRAST * nearest(grey(image, black=1.5), fine)
    return np.clip(backdrop[..., None] * nearest(scale.colours(values), fine), 0, 1)


def nearest(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`values` (h, w, …) in the pixels of `shape` (its first two entries), each the nearest one."""
    rows, columns = (
        ((np.arange(side) + 0.5) * size / side).astype(int)
        for side, size in zip(shape[:2], values.shape[:2], strict=True)
    )
    return np.asarray(values)[rows[:, None], columns[None, :]]


def shrink(image: np.ndarray, side: int = MAX_SIDE) -> np.ndarray:
    """Average blocks of pixels until no side is longer than `side`; NaN only where a whole block is NaN."""
    image = np.asarray(image, dtype=float)
    factor = -(-max(image.shape) // side)
    if factor <= 1:
        return image
    h, w = (length // factor * factor for length in image.shape)
    blocks = image[:h, :w].reshape(h // factor, factor, w // factor, factor)
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    number = known.sum(axis=(1, 3))
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def bar_length(field_arcsec: float) -> float:
    """Length [arcsec] of a scale bar: the largest of 1, 2, 5 × a power of ten that fills at most a quarter."""
    length = field_arcsec / 4
    power = 10.0 ** np.floor(np.log10(length))
    return float(next(step * power for step in (5, 2, 1) if step * power <= length * (1 + 1e-9)))


def to_bytes(unit: np.ndarray) -> NDArray[np.uint8]:
    """Bytes (h, w, 3) of a picture in [0, 1], grey or colour, with its first row at the bottom, as DS9 shows FITS."""
    rgb = unit if unit.ndim == 3 else np.repeat(unit[..., None], 3, axis=2)
    return np.round(255 * np.clip(rgb, 0, 1)).astype(np.uint8)[::-1]


def png_uri(rgb: np.ndarray, colours: int = COLOURS) -> str:
    """Encode pixels as a PNG ``data:`` URI with a palette of its own.

    Parameters
    ----------
    rgb
        uint8, shape (h, w, 3), first row on top.
    colours
        Of the palette.
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(rgb, dtype=np.uint8), mode=None)
    stream = io.BytesIO()
    picture.quantize(colours, dither=Image.Dither.NONE).save(stream, format="PNG", optimize=True)
    return data_uri("image/png", stream.getvalue())


def data_uri(mime: str, data: bytes) -> str:
    """`data` as a ``data:`` URI."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def _planes(cutout: Mapping[str, np.ndarray]) -> list[Floats]:
    three = colour_bands(tuple(cutout))
    if not three:
        raise DataError(
            f"a colour picture needs bands H, J and Y (or g, r and i), the cutout has {', '.join(cutout)}; add them"
        )
    planes = [np.asarray(cutout[band], dtype=np.float64) for band in three]
    if planes[0].ndim != 2 or any(plane.shape != planes[0].shape for plane in planes):
        shapes = ", ".join(f"{band} {plane.shape}" for band, plane in zip(three, planes, strict=True))
        raise DataError(f"a colour picture needs {', '.join(three)} of one image in the same pixels, not {shapes}")
    return planes


def _levels(finite: NDArray[Any]) -> tuple[float, float, float]:
    """Level and sigma of the sky, sigma never 0, and the white level, of finite pixels."""
    from astropy.stats import mad_std

    if not finite.size:
        return 0.0, 1.0, 0.0
    sky, white = (float(level) for level in np.percentile(finite, (50, WHITE_PERCENTILE)))
    quietest = max(white - sky, 0.0) / LARGEST_RATIO / SOFTENING
    sigma = max(float(mad_std(finite)), quietest, 1e-6 * float(finite.max() - sky))
    return sky, sigma if sigma > 0 else 1.0, white
