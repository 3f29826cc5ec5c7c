"""Carrying out an ingest plan: read, cut, check, store."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lensaudit.documents import complaint
from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.header import BandHeader, CatalogueColumn, Header, PsfHeader, RmsHeader, Source, chunk_for
from lensaudit.lensset.ingest.cutout import Cutout, Cutouts, read_system
from lensaudit.lensset.ingest.plan import ELECTRONS, UNKNOWN_UNIT, Plan, count_columns
from lensaudit.lensset.ingest.sources import Sources
from lensaudit.lensset.ingest.survey import Psf, read_noise, read_psf
from lensaudit.lensset.ingest.systems import Plate, System, Systems
from lensaudit.lensset.simulation import write_chunks
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import LensSetWriter, Records
from lensaudit.provenance import Provenance
from lensaudit.spread import Progress
from lensaudit.untrusted import printable


@dataclass(frozen=True)
class IngestTask:
    """Reads and writes one chunk."""

    root: Path
    header: Header
    plan: Plan
    one: OneForAll

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        systems = self.plan.systems[self.header.span(chunk)]
        model = {band.name: band for band in self.header.bands}
        with Sources() as sources:
            read = [read_system(system, self.plan, model, sources) for system in systems]
        LensSetWriter(self.root, self.header).write(chunk, _as_records(systems, read, self.header, self.one))
        return len(systems)


@dataclass(frozen=True)
class OneForAll:
    """What stands once for all systems of a set: band → point-spread function, and noise (rows, columns)."""

    psf: Mapping[str, Psf]
    rms: Mapping[str, NDArray[np.float32]]

    @classmethod
    def read(cls, plan: Plan, first: Cutouts) -> OneForAll:
        """That of a plan whose first system is `first`; its bad pixels are its own."""
        beside, frames = plan.beside, {band: cutout.frame for band, cutout in first.items()}
        clear = {band: replace(frame, bad=np.zeros_like(frame.bad)) for band, frame in frames.items()}
        with Sources() as sources:
            return cls(
                {band: read_psf(plate, band, sources, frames[band]) for band, plate in beside.one_psf.items()},
                {
                    band: read_noise(plate, band, beside.kinds[band], sources, clear[band])
                    for band, plate in beside.one_noise.items()
                },
            )

    def notes(self) -> list[str]:
        """What was done to it."""
        done = [(band, psf.remarks()) for band, psf in self.psf.items()]
        words = [f"{band}: the PSF of the set: {'; '.join(remarks)}" for band, remarks in done if remarks]
        lost = {band: int(np.isinf(rms).sum()) for band, rms in self.rms.items()}
        return words + [f"{band}: {n} pixels of the noise of the set have no weight" for band, n in lost.items() if n]


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
    first = read_system(plan.systems[0], plan)
    one = OneForAll.read(plan, first)
    return write_chunks(IngestTask(Path(out), ingest_header(plan, first, one), plan, one), workers, progress)


def ingest_header(plan: Plan, cutouts: Cutouts, one: OneForAll) -> Header:
    """Header of the set; shapes, pixel scales, zero points and units are those of the first system, `cutouts`."""
    first, n = plan.systems[0], len(plan.systems)
    files = ([s.name, *(_described(plate, plan.root) for plate in s.plates.values())] for s in plan.systems)
    rows = (dict(system.row) for system in plan.systems)
    shown = [_described(plate, plan.root) for plate in first.plates.values()]
    source = {
        "layout": plan.layout,
        "files": {"first": shown, "digest": _digest(files), "rows_digest": _digest(rows)},
        "pixels": plan.policy.to_json(plan.bands),
        "notes": [
            *plan.notes,
            *_from_cards(cutouts),
            *_from_instrument(plan, cutouts),
            *_without_sky(cutouts),
            *_units(plan, cutouts),
            *one.notes(),
        ],
        **plan.source,
    }
    if shared := {f"{kind} {b}": _described(p, plan.root) for kind, ones in _shared(plan) for b, p in ones.items()}:
        source["one_for_all"] = shared
    if cards := {band: cutout.zero_point_cards for band, cutout in cutouts.items() if cutout.zero_point_cards}:
        source["zero_point_cards"] = cards
    try:
        return Header(
            instrument=plan.instrument,
            bands=tuple(_band_header(band, cutouts[band], plan, one) for band in plan.bands),
            n=n,
            chunk=chunk_for(n),
            has_wcs=True,
            columns=(*plan.columns, *count_columns(plan), *_zero_point_columns(cutouts), *_survey_columns(cutouts)),
            source=Source.model_validate(source),
            provenance=replace(Provenance.here(inputs=plan.inputs), command=f"lensaudit ingest {plan.layout}"),
        )
    except ValidationError as invalid:
        raise UsageError(f"{plan.root}: {complaint(invalid)}; correct the option or the files") from invalid


def without_bad(plan: Plan) -> Plan:
    """The plan less the systems that cannot be read or differ from the first one that can."""
    sound: list[int] = []
    skipped: dict[str, str] = {}
    model: Mapping[str, BandHeader] | None = None
    with Sources() as sources:
        for place, system in enumerate(plan.systems):
            try:
                if model is None:
                    model = _model(replace(plan, systems=(system,)))
                read_system(system, plan, model, sources)
                sound.append(place)
            except (DataError, UsageError) as error:
                skipped[printable(system.name, 200)] = printable(error)
                sources.next_system()
    if not sound:
        why = next(iter(skipped.values()))
        raise DataError(f"{plan.root}: none of {len(skipped)} systems can be used; the first: {why}")
    note = f"{len(skipped)} of {len(plan.systems)} systems were skipped as bad: {', '.join([*skipped][:20])}"
    source = {**plan.source, "skipped": {"count": len(skipped), "why": skipped}}
    kept = plan.systems.only(sound) if isinstance(plan.systems, Systems) else tuple(plan.systems[i] for i in sound)
    return replace(plan, systems=kept, source=source, notes=(*plan.notes, *([note] if skipped else [])))


def _model(plan: Plan) -> Mapping[str, BandHeader]:
    first = read_system(plan.systems[0], plan)
    return {band.name: band for band in ingest_header(plan, first, OneForAll.read(plan, first)).bands}


def _shared(plan: Plan) -> tuple[tuple[str, Mapping[str, Plate]], ...]:
    return ("PSF", plan.beside.one_psf), ("noise", plan.beside.one_noise)


def _as_records(systems: Sequence[System], read: list[Cutouts], header: Header, one: OneForAll) -> Records:
    bands, rows = [band.name for band in header.bands], []
    own = [column.name for column in header.columns if column.name.startswith(ELECTRONS)]
    for system, cutouts in zip(systems, read, strict=True):
        counts: dict[str, Any] = dict.fromkeys(own, math.nan)  # of a file that does not say it
        for band in bands:
            values = cutouts[band].values.items()
            counts |= {name: value for name, value in values if not name.startswith(ELECTRONS) or name in own}
        rows.append({**system.row, **counts})

    def stacked(shared: Mapping[str, NDArray[np.float32]], pick: Callable[[Cutout], Any]) -> dict[str, Any]:
        own = {band: [pick(cutouts[band]) for cutouts in read] for band in bands if band not in shared}
        kept = {band: np.stack(blocks) for band, blocks in own.items() if blocks[0] is not None}
        return kept | {band: block[None] for band, block in shared.items()}

    return Records(
        ids=[system.name for system in systems],
        images={band: np.stack([cutouts[band].pixels for cutouts in read]) for band in bands},
        rows=rows,
        wcs=[{b: c for b in bands if (c := cutouts[b].cards) is not None} for cutouts in read],
        psf=stacked({b: psf.pixels for b, psf in one.psf.items()}, lambda c: None if c.psf is None else c.psf.pixels),
        rms=stacked(one.rms, lambda cutout: cutout.rms),
    )


def _band_header(band: str, cutout: Cutout, plan: Plan, one: OneForAll) -> BandHeader:
    psf = one.psf.get(band, cutout.psf)
    rms = one.rms.get(band, cutout.rms)
    return BandHeader(
        name=band,
        shape=(cutout.pixels.shape[0], cutout.pixels.shape[1]),
        pixel_scale_arcsec=cutout.pixel_scale_arcsec,
        zero_point_mag=cutout.zero_point_mag,
        unit=_unit(plan, cutout),
        electrons_per_unit=None if cutout.electrons is None else cutout.electrons.per_unit,
        filter=_filter(plan, band),
        psf=None if psf is None else PsfHeader(side=len(psf.pixels), per_cutout=band not in one.psf),
        rms=None if rms is None else RmsHeader(per_cutout=band not in one.rms),
    )


def _filter(plan: Plan, band: str) -> str | None:
    policy = plan.policy
    return policy.given_filter.get(band, plan.beside.filters.get(band, policy.known_filter.get(band)))


def _unit(plan: Plan, cutout: Cutout) -> str:
    """What the file says, where the layout does not."""
    return (cutout.frame.image.unit if plan.unit == UNKNOWN_UNIT else "") or plan.unit


def _units(plan: Plan, cutouts: Cutouts) -> list[str]:
    """A sentence where bands differ in their units, and one on the electrons that cards gave."""
    units = {band: _unit(plan, cutout) for band, cutout in cutouts.items()}
    words = [f"bands are in different units: {', '.join(f'{b} in {u}' for b, u in units.items())}"]
    return [*(words if len({unit.casefold() for unit in units.values()}) > 1 else []), *_electrons(cutouts)]


def _electrons(cutouts: Cutouts) -> list[str]:
    return [
        f"{band}: one pixel unit is {cutout.electrons.per_unit:.4g} electrons, from header card "
        f"{cutout.electrons.cards} (--electrons-per-unit wins over it)"
        for band, cutout in cutouts.items()
        if cutout.electrons is not None and cutout.electrons.cards
    ]


def _from_cards(cutouts: Mapping[str, Cutout]) -> list[str]:
    """From which header cards the zero points of the first system are."""
    return [
        f"{band}: zero point {cutout.zero_point_mag:.6g} mag (AB), from header card {cutout.zero_point_cards}"
        for band, cutout in cutouts.items()
        if cutout.zero_point_cards
    ]


def _from_instrument(plan: Plan, cutouts: Cutouts) -> list[str]:
    """What neither options nor headers of the first system say, and the instrument does."""
    policy = plan.policy
    words = []
    for band, cutout in cutouts.items():
        if band not in policy.known_zero_point:
            continue
        taken = []
        if not cutout.zero_point_cards and policy.of_band(policy.given_zero_point, band) is None:
            taken.append(f"zero point {cutout.zero_point_mag:g} mag")
        if cutout.frame.image.sky.wcs is None and policy.of_band(policy.given_scale, band) is None:
            taken.append(f"pixel scale {cutout.pixel_scale_arcsec:g}″")
        if band in policy.known_filter and band not in policy.given_filter:
            taken.append(f"filter {policy.known_filter[band]}")
        if taken:
            words.append(f"{band}: {', '.join(taken)} from the instrument {plan.instrument} (options win over it)")
    return words


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


def _survey_columns(cutouts: Cutouts) -> tuple[CatalogueColumn, ...]:
    """What is said of the PSF and the gain of each file."""
    columns = []
    for band, cutout in cutouts.items():
        if cutout.psf is not None:
            columns += [
                (f"psf_sum_{band}", "", f"sum of the PSF of {band} in the file; that stored is 1", "float64"),
                (f"psf_offset_{band}", "pixel", f"distance of its centroid from its middle in the file of {band}", ""),
                (f"psf_side_{band}", "pixel", f"pixels along its longer side in the file of {band}", "int64"),
            ]
        if f"{ELECTRONS}{band}" in cutout.values:
            cards = "" if cutout.electrons is None else cutout.electrons.cards
            words = f"electrons of one pixel unit of the set in {band} ({cards}, in the first)"
            columns.append((f"{ELECTRONS}{band}", "electron", words, "float64"))
    return tuple(
        CatalogueColumn.model_validate({"name": n, "unit": u, "description": d, "dtype": t or "float64"})
        for n, u, d, t in columns
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
