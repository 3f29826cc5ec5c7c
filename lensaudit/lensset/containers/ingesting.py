"""Ingest of containers that are read in place elsewhere: the same adapters, written as a lens set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from lensaudit.documents import complaint
from lensaudit.errors import UsageError
from lensaudit.lensset.containers.container import Container
from lensaudit.lensset.containers.declaration import declaration_at
from lensaudit.lensset.header import CatalogueColumn, Header, Source
from lensaudit.lensset.ingest.cutout import filled, refuse_constant
from lensaudit.lensset.ingest.plan import BAD_PIXEL_POLICIES
from lensaudit.lensset.simulation import write_chunks
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import LensSetWriter, Records
from lensaudit.provenance import Provenance
from lensaudit.spread import Progress


@dataclass(frozen=True)
class CopyTask:
    """Reads and writes one chunk."""

    root: Path
    header: Header
    cutouts: Container
    nan: str

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        span, cutouts = self.header.span(chunk), self.cutouts
        ids, labels = cutouts.ids_in(span), cutouts.labels_in(span)
        rows: list[dict[str, Any]] = [{"label": int(label)} for label in labels]
        for column in self.header.columns:
            if column.name in cutouts.told.columns:
                for row, value in zip(rows, cutouts.column_in(column.name, span).tolist(), strict=True):
                    row[column.name] = value
        images, psf, rms = {}, {}, {}
        for told in self.header.bands:
            if told.psf is not None:
                psf[told.name] = cutouts.psf(told.name, span if told.psf.per_cutout else slice(1))
            if told.rms is not None:
                rms[told.name] = cutouts.rms(told.name, span if told.rms.per_cutout else slice(1))
        for band in cutouts.bands:
            block = cutouts.images(band, span)
            bad = ~np.isfinite(block)
            for place, name in enumerate(ids):
                where = f"{cutouts.path}: image {name}: band {band}"
                block[place] = filled(block[place], bad[place], self.nan, where, "NaN")
                refuse_constant(block[place], ~bad[place], where)
                rows[place][f"n_nan_{band}"] = int(bad[place].sum())
            images[band] = block
        LensSetWriter(self.root, self.header).write(chunk, Records(ids=ids, images=images, rows=rows, psf=psf, rms=rms))
        return len(ids)


def ingest_cutouts(
    path: Path | str, out: Path | str, *, nan: str = "fail", workers: int = 1, progress: Progress | None = None
) -> LensSet:
    """Store the images of a declared container as a lens set; resumes where an interrupted run stopped.

    Parameters
    ----------
    path
        The YAML, or the container with it beside it; see `lensaudit.lensset.open_cutouts`.
    nan
        One of `BAD_PIXEL_POLICIES`.

    Raises
    ------
    UsageError
        There is no declaration, or a field of it or `nan` is wrong.
    DataError
        The container is not as declared, an image is constant, or has NaN against the policy.
    """
    if nan not in BAD_PIXEL_POLICIES:
        raise UsageError(f"--nan '{nan}' is not one of {', '.join(BAD_PIXEL_POLICIES)}")
    declared = declaration_at(Path(path))
    if declared is None:
        raise UsageError(
            f"{path}: is no YAML that declares cutouts, and has none beside it; write one, or correct the path"
        )
    cutouts = Container.open(declared)
    return write_chunks(CopyTask(Path(out), _header(cutouts, nan), cutouts, nan), workers, progress)


def _header(cutouts: Container, nan: str) -> Header:
    n, _ = len(cutouts.ids), cutouts.labels  # doubled ids and odd labels before anything is written
    told = cutouts.header
    counted = (
        CatalogueColumn(name=f"n_nan_{b}", unit="pixel", description=f"NaN or infinite pixels in {b}", dtype="int64")
        for b in cutouts.bands
    )
    source = told.source.model_dump(exclude_unset=True) | {"pixels": {"nan": f"{nan} (counted in n_nan_*)"}}
    made = Provenance.here(inputs={"cutouts": cutouts.content_hash})
    words = {name: getattr(told, name) for name in ("instrument", "bands", "chunk")}
    try:
        return Header(
            **words,
            n=n,
            columns=(*told.columns, *counted),
            source=Source.model_validate(source),
            provenance=replace(made, command="lensaudit ingest cutouts"),
        )
    except ValidationError as invalid:
        raise UsageError(f"{cutouts.path}: {complaint(invalid)}; correct the declaration") from invalid
