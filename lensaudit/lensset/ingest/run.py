"""Carrying out an ingest plan: read, cut, check, store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from pydantic import ValidationError

from lensaudit.documents import complaint
from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.coordinates import scale_arcsec, shifted_cards
from lensaudit.lensset.header import BandHeader, Header, chunk_for
from lensaudit.lensset.ingest.pixels import centre_crop, cut, filled, refuse_constant
from lensaudit.lensset.ingest.plan import PixelPolicy, Plan, Plate, System, count_columns
from lensaudit.lensset.ingest.plate import Image, opened, read_image
from lensaudit.lensset.records import Records
from lensaudit.lensset.simulation import write_chunks
from lensaudit.lensset.spread import Progress
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import LensSetWriter
from lensaudit.provenance import provenance

SAME_SCALE = 0.01
"""Largest relative difference of pixel scales within a band: a hundredth is 0.1 pixel over a 20-pixel lens."""


@dataclass(frozen=True)
class Cutout:
    """One band of one system, ready to be stored."""

    pixels: NDArray[np.float32]
    counts: dict[str, int]
    cards: str | None
    pixel_scale_arcsec: float
    zero_point_mag: float | None


@dataclass(frozen=True)
class IngestTask:
    """Reads and writes one chunk."""

    root: Path
    header: Header
    plan: Plan

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        systems = self.plan.systems[self.header.span(chunk)]
        read = [read_system(system, self.plan) for system in systems]
        for system, cutouts in zip(systems, read, strict=True):
            _check_alike(system, cutouts, self.header)
        LensSetWriter(self.root, self.header).write(chunk, _as_records(systems, read, self.plan))
        return len(systems)


def ingest(
    plan: Plan,
    out: Path | str,
    *,
    workers: int = 1,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> LensSet:
    """Store the systems of `plan` as a lens set; resumes where an interrupted run stopped.

    Parameters
    ----------
    skip_bad
        Read everything once beforehand and leave out systems that cannot be used; how many, which and why is
        stored in the header (``source.skipped``). By default the first such system ends the ingest.

    Raises
    ------
    DataError
        A file is truncated, a band is missing, constant, of another size, or has NaN against the policy.
    """
    if not plan.systems:
        raise UsageError(f"{plan.root}: holds no images in the layout {plan.layout}; check the path and the layout")
    plan = without_bad(plan) if skip_bad else plan
    return write_chunks(IngestTask(Path(out), ingest_header(plan), plan), workers, progress)


def ingest_header(plan: Plan) -> Header:
    """Header of the set; shapes, pixel scales and zero points are those of the first system."""
    first = plan.systems[0]
    cutouts = read_system(first, plan)
    n = len(plan.systems)
    files = [[s.name, *(_described(plate, plan.root) for plate in s.plates.values())] for s in plan.systems]
    rows = [dict(system.row) for system in plan.systems]
    source = {
        "layout": plan.layout,
        "files": {"first": files[0][1:], "digest": _digest(files), "rows_digest": _digest(rows)},
        "pixels": plan.policy.words(plan.bands),
        "notes": list(plan.notes),
        **plan.source,
    }
    try:
        return Header(
            instrument=plan.instrument,
            bands=tuple(_band_header(band, cutouts[band], plan.unit) for band in plan.bands),
            n=n,
            chunk=chunk_for(n),
            has_wcs=True,
            columns=(*plan.columns, *count_columns(plan)),
            source=source,
            provenance=provenance(inputs=plan.inputs) | {"command": f"lensaudit ingest {plan.layout}"},
        )
    except ValidationError as invalid:
        raise UsageError(f"{plan.root}: {complaint(invalid)}; correct the option or the files") from invalid


def without_bad(plan: Plan) -> Plan:
    """The plan less the systems that cannot be read or differ from the first one that can."""
    sound: list[System] = []
    skipped: dict[str, str] = {}
    model: Header | None = None
    for system in plan.systems:
        try:
            cutouts = read_system(system, plan)
            if model is None:
                model = ingest_header(replace(plan, systems=(system,)))
            _check_alike(system, cutouts, model)
            sound.append(system)
        except DataError as error:
            skipped[system.name] = str(error)
    if not sound:
        why = next(iter(skipped.values()))
        raise DataError(f"{plan.root}: none of {len(skipped)} systems can be used; the first: {why}")
    note = f"{len(skipped)} of {len(plan.systems)} systems were skipped as bad: {', '.join([*skipped][:20])}"
    source = {**plan.source, "skipped": {"count": len(skipped), "why": skipped}}
    return replace(plan, systems=tuple(sound), source=source, notes=(*plan.notes, *([note] if skipped else [])))


def read_system(system: System, plan: Plan) -> dict[str, Cutout]:
    """Every band of one system, cut and checked.

    Raises
    ------
    DataError
        Naming file, band and what is wrong.
    """
    cutouts: dict[str, Cutout] = {}
    with ExitStack() as stack:
        files: dict[Path, fits.HDUList] = {}
        for band in plan.bands:
            plate = system.plates.get(band)
            if plate is None:
                raise DataError(f"{plan.root}: system {system.name}: band {band} is missing; fetch its file")
            if plate.path not in files:
                files[plate.path] = stack.enter_context(opened(plate.path))
            image = read_image(files[plate.path], plate, band)
            cutouts[band] = _cutout(image, plan.policy, band, f"{plate.path}: band {band}")
    return cutouts


def _cutout(image: Image, policy: PixelPolicy, band: str, where: str) -> Cutout:
    scale = _scale(image, policy, band, where)
    size = None if policy.size_arcsec is None else max(1, round(policy.size_arcsec / scale))
    crop = centre_crop((image.pixels.shape[0], image.pixels.shape[1]), size, where, scale)
    pixels = cut(image.pixels, crop)
    nan = ~np.isfinite(pixels)
    masked = np.zeros_like(nan) if policy.masked_value is None else pixels == np.float32(policy.masked_value)
    pixels = filled(pixels, masked, policy.masked, where, "masked")
    pixels = filled(pixels, nan, policy.nan, where, "NaN")
    refuse_constant(pixels, ~(nan | masked), where)
    counts = {f"n_nan_{band}": int(nan.sum())}
    if policy.masked_value is not None:
        counts[f"n_masked_{band}"] = int(masked.sum())
    cards = None if image.wcs is None else shifted_cards(image.wcs, crop.row, crop.column)
    return Cutout(pixels, counts, cards, scale, image.zero_point_mag)


def _scale(image: Image, policy: PixelPolicy, band: str, where: str) -> float:
    told = policy.told_scale.get(band, policy.told_scale.get("*"))
    if told is not None:
        return told
    if image.wcs is not None:
        return round(scale_arcsec(image.wcs), 6)  # headers hold degrees to ten digits or so
    if band in policy.known_scale:
        return policy.known_scale[band]
    raise UsageError(f"{where}: the header has no sky coordinates; give --pixel-scale {band}=ARCSEC")


def _check_alike(system: System, cutouts: Mapping[str, Cutout], header: Header) -> None:
    """Raise DataError where a system differs in size, pixel scale or zero point from the header."""
    for info in header.bands:
        cutout, where = cutouts[info.name], f"{system.plates[info.name].path}: band {info.name}"
        if cutout.pixels.shape != info.shape:
            rows, columns = cutout.pixels.shape
            raise DataError(
                f"{where}: {rows}×{columns} pixels, the set has {info.shape[0]}×{info.shape[1]}; "
                "give --size-arcsec to cut all to one size, or ingest it into a set of its own"
            )
        if abs(cutout.pixel_scale_arcsec / info.pixel_scale_arcsec - 1) > SAME_SCALE:
            raise DataError(
                f"{where}: {cutout.pixel_scale_arcsec:g}″ per pixel, the set has {info.pixel_scale_arcsec:g}″; "
                "ingest it into a set of its own"
            )
        if cutout.zero_point_mag != info.zero_point_mag:
            raise DataError(
                f"{where}: zero point {cutout.zero_point_mag}, the set has {info.zero_point_mag}; "
                "ingest it into a set of its own"
            )


def _as_records(systems: tuple[System, ...], read: list[dict[str, Cutout]], plan: Plan) -> Records:
    rows = []
    for system, cutouts in zip(systems, read, strict=True):
        counts: dict[str, Any] = {}
        for band in plan.bands:
            counts |= cutouts[band].counts
        rows.append({**system.row, **counts})
    return Records(
        ids=[system.name for system in systems],
        images={band: np.stack([cutouts[band].pixels for cutouts in read]) for band in plan.bands},
        rows=rows,
        wcs=[{b: c for b in plan.bands if (c := cutouts[b].cards) is not None} for cutouts in read],
    )


def _band_header(band: str, cutout: Cutout, unit: str) -> BandHeader:
    return BandHeader(
        name=band,
        shape=(cutout.pixels.shape[0], cutout.pixels.shape[1]),
        pixel_scale_arcsec=cutout.pixel_scale_arcsec,
        zero_point_mag=cutout.zero_point_mag,
        unit=unit,
    )


def _described(plate: Plate, root: Path) -> str:
    name = plate.path.relative_to(root).as_posix() if plate.path.is_relative_to(root) else plate.path.name
    return f"{name}[{'|'.join(str(extension) for extension in plate.extensions)}]"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
