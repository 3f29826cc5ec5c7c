"""How wide the cutouts of a set are, against those a finder takes as input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lensaudit.errors import DataError

FIELD_TOLERANCE = 0.03  # 66 pixels of 0.3″ are 19.8″: one per cent off the 20″ of the VIS cutouts


class Declared(Protocol):
    """What `Finder.check` asks of a lens set."""

    @property
    def bands(self) -> tuple[str, ...]: ...
    @property
    def instrument(self) -> str: ...
    @property
    def pixel_scale_arcsec(self) -> Mapping[str, float]: ...
    @property
    def shape(self) -> Mapping[str, tuple[int, int]]: ...


def refuse_other_field(finder: str, band: str, wanted: float, lens_set: Declared) -> None:
    """Make sure that cutouts of `band` are `wanted` arcseconds wide, within 3 %.

    Raises
    ------
    DataError
        They are not; the line says what to do, and what it advises is never refused in turn.
    """
    shape, scale = lens_set.shape[band], lens_set.pixel_scale_arcsec[band]
    widths = [pixels * scale for pixels in shape]
    if all(abs(width - wanted) <= FIELD_TOLERANCE * wanted for width in widths):
        return
    measured = " × ".join(dict.fromkeys(f"{width:.4g}" for width in widths))
    raise DataError(
        f"band {band} is {shape[0]}×{shape[1]} pixels of {scale:g}″ = {measured}″, finder {finder} needs {wanted:g}″ "
        f"(±3 %); {_advice(shape, scale, wanted)}"
    )


def _advice(shape: tuple[int, int], scale: float, wanted: float) -> str:
    side, middle = min(shape) * scale, sum(shape) / 2 * scale
    square = max(shape) * scale - middle <= FIELD_TOLERANCE * middle
    pixels = min(shape) if side < wanted else round(wanted / scale)
    crop = f"crop to {pixels} pixels with lensaudit ingest --size-arcsec {pixels * scale:.5g}"
    read = "have it read at another scale than it was trained on with --field-of-view"
    if side >= (1 - FIELD_TOLERANCE) * wanted:
        return f"{crop}, or {read} {middle:.5g}" if square else crop
    return f"{read} {middle:.5g}" if square else f"{crop}, then {read} {side:.5g}"
