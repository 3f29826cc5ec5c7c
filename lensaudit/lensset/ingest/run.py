"""Carrying out an ingest plan: read, cut, check, store."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from lensaudit.documents import complaint
from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.header import BandHeader, CatalogueColumn, Header, Source, chunk_for
from lensaudit.lensset.ingest.cutout import JITTER, RESCALED, Cutout, read_system
from lensaudit.lensset.ingest.plan import Plan, Plate, System, count_columns
from lensaudit.lensset.simulation import write_chunks
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import WCS_NAME, LensSetWriter, Records
from lensaudit.provenance import Provenance
from lensaudit.spread import Progress
from lensaudit.untrusted import printable


@dataclass(frozen=True)
class IngestTask:
    """Reads and writes one chunk."""

    root: Path
    header: Header
    plan: Plan

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        systems = self.plan.systems[self.header.span(chunk)]
        model = {band.name: band for band in self.header.bands}
        read = [read_system(system, self.plan, model) for system in systems]
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
    files = ([s.name, *(_described(plate, plan.root) for plate in s.plates.values())] for s in plan.systems)
    rows = (dict(system.row) for system in plan.systems)
    shown = [_described(plate, plan.root) for plate in first.plates.values()]
    source = {
        "layout": plan.layout,
        "files": {"first": shown, "digest": _digest(files), "rows_digest": _digest(rows)},
        "pixels": plan.policy.to_json(plan.bands),
        "notes": [*plan.notes, *_from_cards(cutouts), *_without_sky(cutouts)],
        **plan.source,
    }
    if cards := {band: cutout.zero_point_cards for band, cutout in cutouts.items() if cutout.zero_point_cards}:
        source["zero_point_cards"] = cards
    try:
        return Header(
            instrument=plan.instrument,
            bands=tuple(_band_header(band, cutouts[band], plan.unit) for band in plan.bands),
            n=n,
            chunk=chunk_for(n),
            has_wcs=True,
            columns=(*plan.columns, *count_columns(plan), *_zero_point_columns(cutouts)),
            source=Source.model_validate(source),
            provenance=replace(Provenance.here(inputs=plan.inputs), command=f"lensaudit ingest {plan.layout}"),
        )
    except ValidationError as invalid:
        raise UsageError(f"{plan.root}: {complaint(invalid)}; correct the option or the files") from invalid


def without_bad(plan: Plan) -> Plan:
    """The plan less the systems that cannot be read or differ from the first one that can."""
    sound: list[System] = []
    skipped: dict[str, str] = {}
    model: dict[str, BandHeader] | None = None
    for system in plan.systems:
        try:
            if model is None:
                model = {band.name: band for band in ingest_header(replace(plan, systems=(system,))).bands}
            read_system(system, plan, model)
            sound.append(system)
        except (DataError, UsageError) as error:
            skipped[printable(system.name, 200)] = printable(error)
    if not sound:
        why = next(iter(skipped.values()))
        raise DataError(f"{plan.root}: none of {len(skipped)} systems can be used; the first: {why}")
    note = f"{len(skipped)} of {len(plan.systems)} systems were skipped as bad: {', '.join([*skipped][:20])}"
    source = {**plan.source, "skipped": {"count": len(skipped), "why": skipped}}
    return replace(plan, systems=tuple(sound), source=source, notes=(*plan.notes, *([note] if skipped else [])))


def _as_records(systems: tuple[System, ...], read: list[dict[str, Cutout]], plan: Plan) -> Records:
    rows = []
    for system, cutouts in zip(systems, read, strict=True):
        counts: dict[str, Any] = {}
        for band in plan.bands:
            counts |= cutouts[band].values
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


def _from_cards(cutouts: Mapping[str, Cutout]) -> list[str]:
    """From which header cards the zero points of the first system are."""
    return [
        f"{band}: zero point {cutout.zero_point_mag:.6g} mag (AB), from header card {cutout.zero_point_cards}"
        for band, cutout in cutouts.items()
        if cutout.zero_point_cards
    ]


def _without_sky(cutouts: Mapping[str, Cutout]) -> list[str]:
    """Why the first system has no sky coordinates where its header names some."""
    return [f"{band}: no sky coordinates are kept: {c.no_sky}" for band, c in cutouts.items() if c.no_sky]


def _zero_point_columns(cutouts: Mapping[str, Cutout]) -> tuple[CatalogueColumn, ...]:
    """A column per band whose header has a zero point: that of the file, before pixels were brought to the set's."""
    return tuple(
        CatalogueColumn(
            name=f"zero_point_mag_{band}",
            unit="mag",
            description=f"zero point of the file of {band} ({cutout.zero_point_cards}, in the first); "
            "the pixels stored are at the set's own",
            dtype="float64",
        )
        for band, cutout in cutouts.items()
        if f"zero_point_mag_{band}" in cutout.values
    )


def _described(plate: Plate, root: Path) -> str:
    name = plate.path.relative_to(root).as_posix() if plate.path.is_relative_to(root) else plate.path.name
    plane = "" if plate.plane is None else f"[{plate.plane}]"
    return f"{printable(name)}[{'|'.join(str(extension) for extension in plate.extensions)}]{plane}"


def _digest(values: Iterable[Any]) -> str:
    """SHA-256 of the JSON of the list of `values`, of which only one at a time is in memory."""
    digest = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        digest.update((", " if number else "").encode() + json.dumps(value, sort_keys=True).encode())
    digest.update(b"]")
    return digest.hexdigest()


MOST_SKIPPED = 100
_ERROR = re.compile(r"CSYER1 *= *(\S+)")


def remarks(lens_set: LensSet) -> list[str]:
    """Sentences on zero points that differed, and on sky coordinates that were fitted, rescaled or left out.

    One pass over the stored coordinates, line by line.
    """
    return [*_zero_points(lens_set), *_coordinates(lens_set)]


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


def _coordinates(lens_set: LensSet) -> list[str]:
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
