"""What a finished ingest is said to have done: to zero points, point-spread functions, noise and sky coordinates."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import numpy as np

from lensaudit.imaging import INSTRUMENTS
from lensaudit.imaging.own_psf import kernel_fwhm_arcsec
from lensaudit.lensset.ingest.cutout import JITTER, RESCALED
from lensaudit.lensset.ingest.plan import ELECTRONS
from lensaudit.lensset.ingest.survey import COMPACT, OF_GALAXIES, OFF_CENTRE, SUM_ONE, WRONG_PSF, light_in_core
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import WCS_NAME

MOST_SKIPPED = 100
LOOKED_AT = 20
"""PSFs of a band, evenly over the set, whose width is measured."""
MOST_WIDTHS = 2.0
"""FWHM of the named instrument that a PSF may have: seeing varies by less between the nights of a survey."""
_ERROR = re.compile(r"CSYER1 *= *(\S+)")


def remarks(lens_set: LensSet) -> list[str]:
    """Sentences on what was done to zero points, PSFs and noise, and to sky coordinates.

    One pass over the stored coordinates, line by line.
    """
    return [*_zero_points(lens_set), *_kept_beside(lens_set), *_no_stars(lens_set), *_coordinates(lens_set)]


def skipped_lines(lens_set: LensSet) -> list[str]:
    """Why each system that ``--skip-bad`` left out cannot be used; `MOST_SKIPPED` of them, the header has all."""
    skipped = lens_set.header.source.skipped
    why = {} if skipped is None else skipped.why
    lines = [f"left out: {reason}" for reason in list(why.values())[:MOST_SKIPPED]]
    if len(why) > MOST_SKIPPED:
        lines.append(f"… and {len(why) - MOST_SKIPPED} more; all in {lens_set.path}/lensset.json, source.skipped")
    return lines


def _zero_points(lens_set: LensSet) -> list[str]:
    remarks = []
    for band in lens_set.header.bands:
        name = f"zero_point_mag_{band.name}"
        if name not in lens_set.columns or band.zero_point_mag is None:
            continue
        own = lens_set.column(name)
        other = np.abs(own - band.zero_point_mag) > JITTER
        if other.any():
            remarks.append(
                f"{band.name}: {other.sum()} of {len(own)} files have another zero point ({own.min():g} to "
                f"{own.max():g} mag); their pixels were brought to {band.zero_point_mag:g} mag"
            )
    return remarks


def _kept_beside(lens_set: LensSet) -> list[str]:
    remarks, n = [], len(lens_set)
    if lens_set.header.source.layout == "cutouts":  # its notes say what was done
        return []
    for band in lens_set.header.bands:
        name = band.name
        if band.psf is not None and band.psf.per_cutout:
            total, offset, side = (lens_set.column(f"psf_{kind}_{name}") for kind in ("sum", "offset", "side"))
            done = (
                (
                    np.abs(total - 1) > SUM_ONE,
                    f"did not sum to 1 ({total.min():.4g} to {total.max():.4g}) and were normalised",
                ),
                (offset > OFF_CENTRE, f"lay up to {offset.max():.2g} pixels off their middle and were moved there"),
                (side % 2 == 0, "had an even number of pixels along a side; their centre is that of a pixel now"),
                (side != band.psf.side, f"were brought to the {band.psf.side} pixels of the set, from {side.min()} up"),
            )
            remarks += [f"{name}: {which.sum()} of {n} PSFs {words}" for which, words in done if which.any()]
        if band.rms is not None and band.rms.per_cutout and (lost := lens_set.column(f"n_no_rms_{name}")).any():
            remarks.append(
                f"{name}: {lost.sum()} pixels in {(lost > 0).sum()} of {n} cutouts have no weight (n_no_rms_{name}); "
                "their noise is kept as +inf"
            )
        if f"{ELECTRONS}{name}" in lens_set.columns:
            own = lens_set.column(f"{ELECTRONS}{name}")
            if (other := np.abs(own / (band.electrons_per_unit or np.nan) - 1) > JITTER).any():
                remarks.append(f"{name}: {other.sum()} of {n} files have another gain or exposure ({ELECTRONS}{name})")
    return remarks


def _no_stars(lens_set: LensSet) -> list[str]:
    """Of PSFs that are no point sources: galaxies, or those of another instrument."""
    remarks, known = [], INSTRUMENTS.get(lens_set.instrument)
    for band in lens_set.header.bands:
        if band.psf is None:
            continue
        n = min(len(lens_set), LOOKED_AT) if band.psf.per_cutout else 1
        looked_at = lens_set.psf(band.name, np.unique(np.linspace(0, len(lens_set) - 1, n).astype(int)))
        some = f"{band.name}: {{}} of {n} PSFs looked at" if band.psf.per_cutout else f"{band.name}: the PSF of the set"
        inside = np.array([light_in_core(one) for one in looked_at])
        if band.psf.per_cutout and (odd := inside < COMPACT).any():  # that of a set says so in its notes
            low, high = inside[odd].min(), inside[odd].max()
            remarks.append(f"{some.format(odd.sum())} have {OF_GALAXIES} ({low:.2f} to {high:.2f}): {WRONG_PSF}")
        elif known is not None and band.name in known.band_names:
            usual = known.band(band.name).fwhm_arcsec
            wide = np.array([kernel_fwhm_arcsec(one.astype(float), band.pixel_scale_arcsec) for one in looked_at])
            if (odd := wide > MOST_WIDTHS * usual).any():
                widths = f"FWHM up to {wide.max():.2g}″, {known.name} has {usual:.2g}″"
                remarks.append(f"{some.format(odd.sum())}: {widths}: {WRONG_PSF}")
    return remarks


def _coordinates(lens_set: LensSet) -> list[str]:
    if not lens_set.has_wcs:
        return []
    missing: Counter[str] = Counter()
    rescaled: Counter[str] = Counter()
    errors: dict[str, list[float]] = defaultdict(list)
    with open(lens_set.path / WCS_NAME, encoding="utf-8") as stream:
        for line in stream:
            cards = json.loads(line)
            for band in lens_set.bands:
                text = cards.get(band)
                missing[band] += text is None
                rescaled[band] += text is not None and RESCALED in text
                if text is not None and (error := _ERROR.search(text)):
                    errors[band].append(float(error[1]) * 3600)
    n, remarks = len(lens_set), []
    for band in lens_set.bands:
        if errors[band]:
            remarks.append(
                f"{band}: distortions that header cards cannot hold were fitted by a tangential projection in "
                f"{len(errors[band])} of {n} cutouts, at most {max(errors[band]):.2g}″ off (CSYERi of each)"
            )
        if rescaled[band]:
            remarks.append(
                f"{band}: --pixel-scale contradicts the headers; sky coordinates of {rescaled[band]} of {n} cutouts "
                "were scaled about their reference pixel"
            )
        if 0 < missing[band] < n:
            remarks.append(f"{band}: {missing[band]} of {n} cutouts have no sky coordinates that can be used")
    return remarks
