"""What an ingest will do, decided before the first pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.lensset.header import CatalogueColumn

BAD_PIXEL_POLICIES = ("fail", "zero", "median", "keep")
"""What happens to NaN (or masked) pixels: refuse the file, set them to 0, or to the median of the good ones, or keep
them as NaN, for finders that mask such pixels (stretch ``noise``)."""

LABEL = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens, -1 unknown", dtype="int8")


@dataclass(frozen=True)
class Plate:
    """One image inside a FITS file: the first of `extensions` (names or numbers) that the file has."""

    path: Path
    extensions: tuple[str | int, ...] = (0,)


@dataclass(frozen=True)
class System:
    """One system: where each band's image lies, and its catalogue values (pixel counts are added on reading)."""

    name: str
    plates: Mapping[str, Plate]
    row: Mapping[str, Any]


@dataclass(frozen=True)
class PixelPolicy:
    """How images become cutouts.

    Attributes
    ----------
    nan
        One of `BAD_PIXEL_POLICIES`, for NaN and infinite pixels.
    masked_value, masked
        Pixels of this value are masked by the archive; what becomes of them (a bad-pixel policy).
    size_arcsec
        Side of the central square kept; ``None`` keeps the whole image.
    told_scale
        Band (or ``*``, every other band) → arcsec per pixel as told by the user; wins over the header.
    known_scale
        Band → arcsec per pixel of the layout, where neither the user nor the header says.
    """

    nan: str = "fail"
    masked_value: float | None = None
    masked: str = "zero"
    size_arcsec: float | None = None
    told_scale: Mapping[str, float] = field(default_factory=dict)
    known_scale: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option, value in (("--nan", self.nan), ("--masked", self.masked)):
            if value not in BAD_PIXEL_POLICIES:
                raise UsageError(f"{option} '{value}' is not one of {', '.join(BAD_PIXEL_POLICIES)}")
        if self.size_arcsec is not None and not self.size_arcsec > 0:
            raise UsageError(f"--size-arcsec must be positive, not {self.size_arcsec}")
        for band, scale in self.told_scale.items():
            if not scale > 0:
                raise UsageError(f"--pixel-scale of band {band} must be positive, not {scale}")

    def words(self, bands: tuple[str, ...]) -> dict[str, Any]:
        """The policy as JSON, for the header of the set."""
        counted = ", ".join(f"n_nan_{band}" for band in bands)
        said: dict[str, Any] = {"nan": f"{self.nan} (counted in {counted})", "size_arcsec": self.size_arcsec}
        if self.masked_value is not None:
            said["masked"] = f"pixels of value {self.masked_value:g}: {self.masked} (counted in n_masked_*)"
        if self.told_scale:
            said["pixel_scale_told_arcsec"] = dict(sorted(self.told_scale.items()))
        return said


@dataclass(frozen=True)
class Plan:
    """Every system of an ingest, and how it is read.

    Attributes
    ----------
    layout
        ``blf1``, ``blf2``, ``euclid-q1`` or ``fits``.
    columns
        Catalogue columns of `System.row`, `label` first.
    unit
        Unit of a pixel, as far as the layout says.
    source
        Facts for the header: label rule, what was missing.
    notes
        Sentences to print and to store.
    inputs
        Catalogue file → SHA-256.
    root
        Folder the files' names are given relative to.
    """

    layout: str
    instrument: str
    bands: tuple[str, ...]
    systems: tuple[System, ...]
    columns: tuple[CatalogueColumn, ...]
    policy: PixelPolicy
    unit: str
    root: Path
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.policy.told_scale) - set(self.bands) - {"*"})
        if unknown:
            raise UsageError(f"--pixel-scale: '{unknown[0]}' is not one of the bands {', '.join(self.bands)}")


def count_columns(plan: Plan) -> tuple[CatalogueColumn, ...]:
    """Columns with the numbers of bad pixels per band, filled while reading."""
    kinds = [("nan", "NaN or infinite")]
    if plan.policy.masked_value is not None:
        kinds.append(("masked", "masked by the archive"))
    return tuple(
        CatalogueColumn(name=f"n_{kind}_{band}", unit="pixel", description=f"{words} pixels in {band}", dtype="int64")
        for kind, words in kinds
        for band in plan.bands
    )
