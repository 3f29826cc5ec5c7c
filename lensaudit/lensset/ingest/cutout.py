"""One band of one system, from an image in a file to what is stored: cut, checked, brought to the set's units."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.coordinates import Sky, rescaled_about_reference, scale_arcsec, shifted_cards
from lensaudit.lensset.header import BandHeader
from lensaudit.lensset.ingest.flux import Electrons
from lensaudit.lensset.ingest.plan import UNKNOWN_UNIT, PixelPolicy, Plan
from lensaudit.lensset.ingest.sources import Image, Sources
from lensaudit.lensset.ingest.survey import (
    SAME_SCALE,
    Frame,
    Psf,
    centre_crop,
    cut,
    masked_pixels,
    read_noise,
    read_psf,
    times,
)
from lensaudit.lensset.ingest.systems import Plate, System
from lensaudit.untrusted import printable


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
    frame
        The image, and what became of it.
    electrons
        What one pixel unit of the set stands for; None where it is not known.
    no_sky
        Why it has no coordinates although its header names some.
    psf, rms
        What is kept beside it, of this cutout alone: the point-spread function, and float32 (rows, columns).
    """

    pixels: NDArray[np.float32]
    values: dict[str, float]
    cards: str | None
    pixel_scale_arcsec: float
    zero_point_mag: float | None
    frame: Frame
    electrons: Electrons | None = None
    no_sky: str = ""
    zero_point_cards: str = ""
    psf: Psf | None = None
    rms: NDArray[np.float32] | None = None


Model = Mapping[str, BandHeader]


def read_system(system: System, plan: Plan, model: Model | None = None, sources: Sources | None = None) -> Cutouts:
    """Every band of one system, cut and checked, with what is kept beside it.

    Parameters
    ----------
    model
        Bands of the set, as its first system fixed them: scales that differ by rounding are taken as the set's, and
        pixels are brought to its zero point. None for the first system itself.
    sources
        Files that stay open from system to system.

    Raises
    ------
    DataError
        Naming file, band and what is wrong.
    """
    if sources is None:
        with Sources() as own:
            return read_system(system, plan, model, own)
    _check_id(system)
    cutouts: Cutouts = {}
    for band in plan.bands:
        plate = _need(system.plates, band, system, plan, "")
        given = plan.policy.of_band(plan.policy.given_zero_point, band)
        image = sources.get(plate).image(plate, band, zero_point=given is None)
        if band in system.masks:
            image = replace(image, masked=masked_pixels(system.masks[band], band, plan.policy, sources, image))
        where = f"{plate.path}: band {band}"
        near = [made.pixel_scale_arcsec for made in cutouts.values()]
        cutout = _cutout(image, plan.policy, band, where, near if model is None else model[band])
        if model is not None and plan.unit == UNKNOWN_UNIT:
            _refuse_other_unit(image.unit, model[band], cutout.zero_point_mag, where)
        cutouts[band] = _with_survey(cutout, band, system, plan, sources, None if model is None else model[band])
    sources.next_system()
    return cutouts


Cutouts = dict[str, Cutout]


def _need(plates: Mapping[str, Plate], band: str, system: System, plan: Plan, what: str) -> Plate:
    plate = plates.get(band)
    if plate is None:
        name = f"band {band} is" if not what else f"the {what} of band {band} is"
        raise DataError(f"{plan.root}: system {printable(system.name, 60)}: {name} missing; fetch its file")
    return plate


def _with_survey(
    cutout: Cutout, band: str, system: System, plan: Plan, sources: Sources, model: BandHeader | None
) -> Cutout:
    """`cutout` with its own point-spread function and noise, where the plan keeps them of each."""
    beside, values = plan.beside, dict(cutout.values)
    if band in beside.psfs and band not in beside.one_psf:
        side = None if model is None or model.psf is None else model.psf.side
        psf = read_psf(_need(system.psfs, band, system, plan, "PSF"), band, sources, cutout.frame, side)
        values |= {f"psf_sum_{band}": psf.total, f"psf_offset_{band}": psf.offset, f"psf_side_{band}": max(psf.shape)}
        cutout = replace(cutout, psf=psf)
    if band in beside.kinds:
        rms = None
        if band not in beside.one_noise:
            rms = read_noise(
                _need(system.noise, band, system, plan, "noise"), band, beside.kinds[band], sources, cutout.frame
            )
            values[f"n_no_rms_{band}"] = int(np.isinf(rms).sum())
        cutout = replace(cutout, rms=rms)
    return replace(cutout, values=values)


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
    if image.masked is not None:
        masked |= cut(image.masked, crop)
    pixels = filled(pixels, masked, policy.masked, where, "masked")
    pixels = filled(pixels, nan, policy.nan, where, "NaN")
    refuse_constant(pixels, ~(nan | masked), where)
    values: dict[str, float] = {f"n_nan_{band}": int(nan.sum())}
    if policy.masked_values or image.masked is not None:
        values[f"n_masked_{band}"] = int(masked.sum())
    given = policy.of_band(policy.given_zero_point, band)
    zero_point = given
    if given is None and image.zero_point is not None:
        values[f"zero_point_mag_{band}"] = zero_point = image.zero_point.mag
    if zero_point is None:
        zero_point = policy.known_zero_point.get(band)
    by = 1.0
    if model is not None:
        by = _factor(zero_point, model.zero_point_mag, where)
        pixels = times(pixels, by, where)
        if pixels.shape != model.shape:
            raise DataError(
                f"{where}: {pixels.shape[0]}×{pixels.shape[1]} pixels, the set has {model.shape[0]}×{model.shape[1]}; "
                "give --size-arcsec or --size-pixels to cut all to one size, or ingest it into a set of its own"
            )
    cards = shifted_cards(sky, crop.row, crop.column, crop.shape)
    text = None if cards is None else "\n".join([cards.text, *([f"COMMENT {comment}"] if comment else [])])
    lost = "" if cards is not None else sky.reason if sky.wcs is None else "the sky ends inside the cutout"
    from_cards = "" if image.zero_point is None else image.zero_point.cards
    electrons = _electrons(image, policy, band, by)
    if electrons is not None and electrons.cards:
        values[f"electrons_per_unit_{band}"] = electrons.per_unit
    frame = Frame(image, crop, scale, by, nan | masked)
    return Cutout(pixels, values, text, scale, zero_point, frame, electrons, lost, from_cards)


def _electrons(image: Image, policy: PixelPolicy, band: str, by: float) -> Electrons | None:
    """Electrons of one pixel unit of the set: as given, or the file's own, whose pixels are multiplied by `by`."""
    given = policy.of_band(policy.given_electrons, band)
    if given is not None:
        return Electrons(float(given), "")
    own = image.electrons
    return None if own is None else Electrons(own.per_unit / by, own.cards)


def _refuse_other_unit(unit: str, model: BandHeader, zero_point: float | None, where: str) -> None:
    """Raise DataError for pixels of another unit than the set's, which no zero point brings to it."""
    both = bool(unit) and model.unit != UNKNOWN_UNIT
    if zero_point is None and both and unit.casefold() != model.unit.casefold():
        raise DataError(
            f"{where}: its pixels are in {printable(unit, 40)}, the set's in {printable(model.unit, 40)}; give "
            "--zero-point, or ingest it into a set of its own"
        )


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


def _factor(own: float | None, wanted: float | None, where: str) -> float:
    """What pixels of zero point `own` are multiplied by to be at `wanted`: 10^(0.4 (wanted − own))."""
    if (own is None) != (wanted is None):
        names = [f"{value:g}" if value is not None else "none" for value in (own, wanted)]
        raise DataError(
            f"{where}: its header gives the zero point {names[0]}, the set has {names[1]}; "
            "give --zero-point, or ingest it into a set of its own"
        )
    if own is None or wanted is None or abs(own - wanted) <= JITTER:
        return 1.0
    return float(10 ** (0.4 * (wanted - own)))
