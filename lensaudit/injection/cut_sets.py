"""Sets that galaxies are cut out of: whether they go together, and the header of what is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

from lensaudit.errors import DataError, UsageError
from lensaudit.injection.galaxies import CutSettings
from lensaudit.injection.hosts import fwhm_pixels
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, PsfHeader, RmsHeader, chunk_for
from lensaudit.lensset.header import Source
from lensaudit.provenance import Provenance
from lensaudit.untrusted import printable

SAME = 1e-4
"""Relative difference of pixel scales and gains that comes from rounding."""


def header_of(one: LensSet, band: str) -> BandHeader:
    """What a set says of a band."""
    return one.header.bands[one.bands.index(band)]


def zero_point(one: LensSet, band: str) -> float:
    """AB magnitude of one pixel unit of a band that has one."""
    found = header_of(one, band).zero_point_mag
    assert found is not None, "was checked"
    return found


def band_of(sets: Sequence[LensSet], settings: CutSettings) -> str:
    """The band that is named, or the one of the narrowest point-spread function."""
    first = sets[0]
    if settings.detect_in:
        if settings.detect_in not in first.bands:
            named = printable(settings.detect_in, 60)
            raise UsageError(f"--detect-in '{named}': {first.path} has the bands {', '.join(first.bands)}")
        return settings.detect_in
    widths = {band: fwhm_pixels(first.psf(band, 0)[0].astype(float)) for band in first.bands if first.has_psf(band)}
    return min(widths, key=lambda band: widths[band] * first.pixel_scale_arcsec[band], default=first.bands[0])


def check_sets(sets: Sequence[LensSet], settings: CutSettings) -> None:
    """Raise DataError where galaxies cannot be cut out of these sets, or not into one."""
    first = sets[0]
    for one in sets:
        if one.bands != first.bands:
            raise DataError(f"{one.path}: has the bands {', '.join(one.bands)}, {first.path} {', '.join(first.bands)}")
        shape, scale = next(iter(one.shape.values())), first.pixel_scale_arcsec[first.bands[0]]
        for band in one.header.bands:
            where = f"{one.path}: band {band.name}"
            if band.shape != shape or abs(band.pixel_scale_arcsec / scale - 1) > SAME:
                raise DataError(
                    f"{where}: has pixels of {band.pixel_scale_arcsec:g}″ in {band.shape[0]}×{band.shape[1]}, all "
                    f"bands need the same pixels ({scale:g}″); ingest the bands of one grid, or resample them"
                )
            for what, there in (("PSF", band.psf), ("zero point", band.zero_point_mag)):
                if there is None:
                    option = "--psf" if what == "PSF" else "--zero-point"
                    raise DataError(f"{where}: has no {what}; ingest it with {option}")
            if (band.rms is None) != (first.header.bands[one.bands.index(band.name)].rms is None):
                raise DataError(
                    f"{where}: only one of {one.path.name}, {first.path.name} has its noise; ingest it with both"
                )
        if settings.edge_arcsec is None and min(shape) < settings.side:
            raise DataError(
                f"{one.path}: images of {shape[0]}×{shape[1]} pixels are smaller than --side {settings.side}; give a "
                "smaller one, or --edge-arcsec to fill what lies beyond the edge by the mirrored image"
            )
    names = Counter(name for one in sets for name in one.ids)
    if twice := next((name for name, times in names.items() if times > 1), None):
        raise DataError(f"image {twice} is in two of the sets; give each set once, or ingest it under another name")


_COLUMNS = (
    ("label", "", "1 lens, 0 non-lens, -1 unknown", "int8"),
    ("image_id", "", "image it was cut out of", "str"),
    ("image_x_pixel", "pixel", "column of its centroid there, from 0", "float64"),
    ("image_y_pixel", "pixel", "row of its centroid there, from 0", "float64"),
    ("ra_deg", "deg", "right ascension (ICRS) of its centroid", "float64"),
    ("dec_deg", "deg", "declination (ICRS) of its centroid", "float64"),
    ("detection_snr", "", "S/N of its light above the threshold", "float64"),
    ("detection_pixels", "pixel", "pixels above the threshold", "int64"),
    ("r_half_arcsec", "arcsec", "half-light radius, the PSF's removed", "float64"),
    ("axis_ratio", "", "axis ratio of its light, the PSF removed", "float64"),
    ("neighbour_arcsec", "arcsec", "distance of the next brighter object in its image; NaN: none near", "float64"),
    ("edge_arcsec", "arcsec", "distance of its centroid from the edge of its image", "float64"),
    ("mirrored_fraction", "", "fraction of pixels beyond the edge of its image: the mirrored image", "float64"),
    ("painted_fraction", "", "fraction of pixels of excluded discs, replaced by blank sky of its image", "float64"),
)


def cut_header(sets: Sequence[LensSet], settings: CutSettings, n: int, note: str) -> Header:
    """Header of the set that `cut` writes; `note` says what was left out."""
    first = sets[0]
    columns = [
        CatalogueColumn.model_validate({"name": name, "unit": unit, "description": words, "dtype": kind})
        for name, unit, words, kind in _COLUMNS
    ]
    columns += [
        CatalogueColumn(name=f"host_mag_{band}", unit="mag", description=f"AB magnitude in {band}", dtype="float64")
        for band in first.bands
    ]
    hashes = {one.path.name: one.content_hash for one in sets}
    return Header(
        instrument=first.instrument,
        bands=tuple(_band_header(sets, band, settings.side) for band in first.bands),
        n=n,
        chunk=chunk_for(n),
        has_wcs=any(one.header.has_wcs for one in sets),
        columns=tuple(columns),
        source=Source.model_validate(
            {
                "layout": "cut",
                "images": hashes,
                "cut": asdict(settings) | {"exclude": [list(one) for one in settings.exclude]},
                "notes": [note],
            }
        ),
        provenance=replace(
            Provenance.here(inputs=hashes),
            command=f"lensaudit cut {' '.join(hashes)} --side {settings.side}",  # the settings stand beside it
        ),
    )


def _band_header(sets: Sequence[LensSet], band: str, side: int) -> BandHeader:
    """That of the first set; the electrons of a pixel unit where they are the same in all sets."""
    ones = [header_of(one, band) for one in sets]
    first = ones[0]
    gains = [
        gain * 10 ** (0.4 * (zero_point(own, band) - zero_point(sets[0], band)))
        for one, own in zip(ones, sets, strict=True)
        if (gain := one.electrons_per_unit) is not None
    ]
    alike = len(gains) == len(ones) and max(gains) <= (1 + SAME) * min(gains)
    sides = [one.psf.side for one in ones if one.psf is not None]
    shared = len(ones) == 1 and first.psf is not None and not first.psf.per_cutout
    return first.model_copy(
        update={
            "shape": (side, side),
            "electrons_per_unit": first.electrons_per_unit if alike else None,
            "psf": PsfHeader(side=max(sides), per_cutout=not shared),
            "rms": None if first.rms is None else RmsHeader(per_cutout=True),
        }
    )
