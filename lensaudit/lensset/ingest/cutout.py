"""One band of one system, from an image in a file to what is stored: cut, checked, brought to the set's units."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.fits_input import open_fits, pixels_of
from lensaudit.lensset.coordinates import Sky, header_sky, rescaled_about_reference, scale_arcsec, shifted_cards
from lensaudit.lensset.header import BandHeader
from lensaudit.lensset.ingest.plan import PixelPolicy, Plan, Plate, System, ZeroPoint, zero_point_of
from lensaudit.untrusted import printable


@dataclass(frozen=True)
class Crop:
    """First row and column (from 0) and the shape of the part that is kept."""

    row: int
    column: int
    shape: tuple[int, int]


def centre_crop(shape: tuple[int, int], size: int | None, where: str, pixel_scale_arcsec: float) -> Crop:
    """The central `size` × `size` pixels of an image; ``None`` keeps all.

    Raises
    ------
    DataError
        The image is smaller than that; the message begins with `where`.
    """
    if size is None:
        return Crop(0, 0, shape)
    if min(shape) < size:
        largest = min(shape) * pixel_scale_arcsec
        raise DataError(
            f"{where}: {shape[0]}×{shape[1]} pixels are too small, {size}×{size} are needed; "
            f"give --size-arcsec {largest:g} or less, or leave the file out"
        )
    return Crop((shape[0] - size) // 2, (shape[1] - size) // 2, (size, size))


def cut(pixels: NDArray[np.float32], crop: Crop) -> NDArray[np.float32]:
    """The part of `pixels` that `crop` keeps, as a copy."""
    rows, columns = crop.shape
    return pixels[crop.row : crop.row + rows, crop.column : crop.column + columns].copy()


def filled(
    pixels: NDArray[np.float32], bad: NDArray[np.bool_], policy: str, where: str, what: str
) -> NDArray[np.float32]:
    """`pixels` with the `bad` ones set as `policy` says.

    Raises
    ------
    DataError
        All pixels are bad, or some are and the policy is ``fail``.
    """
    n_bad = int(bad.sum())
    if n_bad == 0:
        return pixels
    if n_bad == bad.size:
        raise DataError(f"{where}: all {bad.size} pixels are {what}; leave the system out (or give --skip-bad)")
    if policy == "fail":
        option = "--nan" if what == "NaN" else "--masked"
        raise DataError(f"{where}: {n_bad} of {bad.size} pixels are {what}; choose {option} zero or {option} median")
    if policy == "keep":
        return np.where(bad, np.float32(np.nan), pixels)
    value = np.float32(0) if policy == "zero" else np.median(pixels[~bad])
    return np.where(bad, value, pixels).astype(np.float32)


def refuse_constant(pixels: NDArray[np.float32], good: NDArray[np.bool_], where: str) -> None:
    """Raise DataError where the `good` pixels all have one value: there is no image in such a band."""
    values = pixels[good]
    if values.size == 0 or values.min() == values.max():
        shown = f" ({values[0]:g})" if values.size else ""
        raise DataError(f"{where}: all pixels have the same value{shown}; leave the system out (or give --skip-bad)")


@dataclass(frozen=True)
class Image:
    """A 2-D image in native byte order, float32, with what its header says about sky and flux."""

    pixels: NDArray[np.float32]
    sky: Sky
    zero_point: ZeroPoint | None


def read_image(hdus: fits.HDUList, plate: Plate, band: str, *, zero_point: bool = True) -> Image:
    """The image of `band` in an open file.

    Parameters
    ----------
    zero_point
        Whether the header's zero point is read; where the user gave one, it is not looked at.

    Raises
    ------
    DataError
        No such extension or plane, or it holds no 2-D image, or the data or the zero point are damaged.
    """
    hdu, name = _extension(hdus, plate, band)
    where = f"{plate.path}: band {band}: extension {name}"
    pixels = pixels_of(hdu, where, plate.plane)
    with np.errstate(over="ignore", invalid="ignore"):
        single = pixels.astype(np.float32)  # also from big-endian, as FITS stores, to native order
    found = zero_point_of(hdu.header, hdus[0].header, where) if zero_point else None
    return Image(single, header_sky(hdu.header, hdus), found)


def _extension(hdus: fits.HDUList, plate: Plate, band: str) -> tuple[Any, str]:
    """The first of the plate's extensions that the file has, and what it is called in messages."""
    names = [str(hdu.name) for hdu in hdus]
    for wanted in plate.extensions:
        if isinstance(wanted, int) and wanted < len(hdus):
            return hdus[wanted], printable(names[wanted] or str(wanted), 60)
        if isinstance(wanted, str):
            name, _, version = wanted.upper().partition(",")
            for hdu in hdus:
                if str(hdu.name).upper() == name and version.strip() in ("", str(hdu.ver)):
                    return hdu, printable(wanted, 60)
    extensions = " or ".join(str(wanted) for wanted in plate.extensions)
    there = printable(", ".join(name or str(i) for i, name in enumerate(names)), 300)
    raise DataError(f"{plate.path}: band {band}: no extension {extensions}; the file has {there}")


SAME_SCALE = 0.01
"""Largest relative difference of pixel scales within a band: a hundredth is 0.1 pixel over a 20-pixel lens."""

JITTER = 1e-4
"""Relative difference of scales (and of fluxes, as a difference of zero points in mag) that comes from rounding in
headers: 0.02 pixel over 200."""

LONGEST_ID = 128

RESCALED = "scaled about the reference pixel to --pixel-scale"
"""Comment among the cards of coordinates that did not agree with what the user gives."""


@dataclass(frozen=True)
class Cutout:
    """One band of one system, ready to be stored.

    Attributes
    ----------
    pixels
        float32 (rows, columns), in the zero point of the set.
    values
        Catalogue values of this band: counts of bad pixels, and the file's own zero point.
    cards
        Header cards of its coordinates; None without.
    zero_point_mag, zero_point_cards
        Of the file, or as given; and the header cards it is from, empty where it was given or there is none.
    no_sky
        Why it has no coordinates although its header names some.
    """

    pixels: NDArray[np.float32]
    values: dict[str, float]
    cards: str | None
    pixel_scale_arcsec: float
    zero_point_mag: float | None
    no_sky: str = ""
    zero_point_cards: str = ""


def read_system(system: System, plan: Plan, model: Mapping[str, BandHeader] | None = None) -> dict[str, Cutout]:
    """Every band of one system, cut and checked.

    Parameters
    ----------
    model
        Bands of the set, as its first system fixed them: scales that differ by rounding are taken as the set's, and
        pixels are brought to its zero point. None for the first system itself.

    Raises
    ------
    DataError
        Naming file, band and what is wrong.
    """
    _check_id(system)
    cutouts: dict[str, Cutout] = {}
    with ExitStack() as stack:
        files: dict[str, fits.HDUList] = {}
        for band in plan.bands:
            plate = system.plates.get(band)
            if plate is None:
                raise DataError(
                    f"{plan.root}: system {printable(system.name, 60)}: band {band} is missing; fetch its file"
                )
            if plate.file not in files:
                files[plate.file] = stack.enter_context(open_fits(plate.path))
            given = plan.policy.of_band(plan.policy.given_zero_point, band)
            image = read_image(files[plate.file], plate, band, zero_point=given is None)
            where = f"{plate.path}: band {band}"
            near = [made.pixel_scale_arcsec for made in cutouts.values()]
            cutouts[band] = _cutout(image, plan.policy, band, where, near if model is None else model[band])
    return cutouts


def _check_id(system: System) -> None:
    """Ids are one line of printable text: they stand in tables, headers, figures and messages."""
    name = system.name
    hidden = [sign for sign in name if unicodedata.category(sign)[0] == "C" or sign in "\u2028\u2029"]
    if hidden or name != name.strip() or not 1 <= len(name) <= LONGEST_ID:
        path = next(iter(system.plates.values())).path
        raise DataError(
            f"{printable(path)}: id '{printable(name, 60)}' is not 1 to {LONGEST_ID} printable characters without "
            f"spaces at its ends; rename the file"
        )


def _cutout(image: Image, policy: PixelPolicy, band: str, where: str, like: BandHeader | list[float]) -> Cutout:
    """The cutout of `image`, `like` what the set has in this band, or the scales that its other bands have so far."""
    scale, sky, comment = _scale(image, policy, band, where)
    model = like if isinstance(like, BandHeader) else None
    if isinstance(like, BandHeader):
        scale = _like_the_set(scale, like, where)
    elif policy.of_band(policy.given_scale, band) is None:
        scale = next((other for other in like if abs(other / scale - 1) <= JITTER), scale)
    crop = centre_crop((image.pixels.shape[0], image.pixels.shape[1]), _size(policy, band, scale), where, scale)
    pixels = cut(image.pixels, crop)
    nan = ~np.isfinite(pixels)
    masked = np.isin(pixels, np.array(policy.masked_values, np.float32))
    pixels = filled(pixels, masked, policy.masked, where, "masked")
    pixels = filled(pixels, nan, policy.nan, where, "NaN")
    refuse_constant(pixels, ~(nan | masked), where)
    values: dict[str, float] = {f"n_nan_{band}": int(nan.sum())}
    if policy.masked_values:
        values[f"n_masked_{band}"] = int(masked.sum())
    given = policy.of_band(policy.given_zero_point, band)
    zero_point = given
    if given is None and image.zero_point is not None:
        values[f"zero_point_mag_{band}"] = zero_point = image.zero_point.mag
    if model is not None:
        pixels = _at_zero_point(pixels, zero_point, model.zero_point_mag, where)
        if pixels.shape != model.shape:
            raise DataError(
                f"{where}: {pixels.shape[0]}×{pixels.shape[1]} pixels, the set has {model.shape[0]}×{model.shape[1]}; "
                "give --size-arcsec or --size-pixels to cut all to one size, or ingest it into a set of its own"
            )
    cards = shifted_cards(sky, crop.row, crop.column, crop.shape)
    text = None if cards is None else "\n".join([cards.text, *([f"COMMENT {comment}"] if comment else [])])
    lost = "" if cards is not None else sky.reason if sky.wcs is None else "the sky ends inside the cutout"
    from_cards = "" if image.zero_point is None else image.zero_point.cards
    return Cutout(pixels, values, text, scale, zero_point, lost, from_cards)


def _size(policy: PixelPolicy, band: str, scale: float) -> int | None:
    """Pixels of the side that is kept; None keeps all."""
    if policy.size_pixels:
        side = policy.of_band(policy.size_pixels, band)
        return None if side is None else int(side)
    return None if policy.size_arcsec is None else max(1, round(policy.size_arcsec / scale))


def _scale(image: Image, policy: PixelPolicy, band: str, where: str) -> tuple[float, Sky, str]:
    """Arcsec per pixel, the coordinates that go with it, and what was done to them.

    A scale that the user gives wins. Where the header's differs from it, its coordinates are scaled about their
    reference pixel, if that lies in the image; far from it the position itself would be wrong, and they are left out.
    """
    sky, given = image.sky, policy.of_band(policy.given_scale, band)
    own = None if sky.wcs is None else scale_arcsec(sky.wcs)
    if given is None:
        if own is not None:
            return unjittered(own), sky, ""
        if band in policy.known_scale:
            return policy.known_scale[band], sky, ""
        reason = f"the header's cannot be used: {sky.reason}" if sky.reason else "the header has none"
        raise UsageError(f"{where}: no sky coordinates ({reason}); give --pixel-scale {band}=ARCSEC")
    if own is None or sky.wcs is None or abs(own / given - 1) <= SAME_SCALE:
        return given, sky, ""
    rows, columns = image.pixels.shape
    x, y = sky.wcs.wcs.crpix
    if 0.5 <= x <= columns + 0.5 and 0.5 <= y <= rows + 0.5:
        return given, rescaled_about_reference(sky.wcs, given / own), RESCALED
    return given, Sky(None, "--pixel-scale contradicts the header, and its reference pixel lies outside the image"), ""


def unjittered(scale: float) -> float:
    """`scale` to four digits where that is what the header rounds, else to the 1e-6″ that headers hold."""
    plain = float(f"{scale:.4g}")
    return plain if abs(plain / scale - 1) <= JITTER / 2 else round(scale, 6)


def _like_the_set(scale: float, model: BandHeader, where: str) -> float:
    if abs(scale / model.pixel_scale_arcsec - 1) > SAME_SCALE:
        raise DataError(
            f"{where}: {scale:g}″ per pixel, the set has {model.pixel_scale_arcsec:g}″; "
            "ingest it into a set of its own, or give --pixel-scale if the header is wrong"
        )
    return model.pixel_scale_arcsec


def _at_zero_point(
    pixels: NDArray[np.float32], own: float | None, wanted: float | None, where: str
) -> NDArray[np.float32]:
    """`pixels` in units of the zero point `wanted`: f · 10^(0.4 (wanted − own))."""
    if (own is None) != (wanted is None):
        names = [f"{value:g}" if value is not None else "none" for value in (own, wanted)]
        raise DataError(
            f"{where}: its header gives the zero point {names[0]}, the set has {names[1]}; "
            "give --zero-point, or ingest it into a set of its own"
        )
    if own is None or wanted is None or abs(own - wanted) <= JITTER:
        return pixels
    with np.errstate(over="ignore"):
        brought = (pixels * np.float64(10 ** (0.4 * (wanted - own)))).astype(np.float32)
    if not np.isfinite(brought[np.isfinite(pixels)]).all():
        raise DataError(f"{where}: pixels overflow when its zero point {own:g} is brought to the set's {wanted:g}")
    return brought
