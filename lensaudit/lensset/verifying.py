"""Reading a whole lens set and comparing it with the content hash in its header."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.lensset.arrays import StoredArray
from lensaudit.lensset.catalogue import CATALOGUE_NAME, rows_of
from lensaudit.lensset.header import FIX, HEADER_NAME, Header
from lensaudit.lensset.writer import Records, content_hash, digest_of

Seen = Callable[[int, Mapping[str, NDArray[np.float32]]], None]
Sides = tuple[Callable[[int], Any] | None, Callable[[int], Any] | None]
"""What gives the scene and the sky coordinates of a system; None where the set has none."""


def verify(
    path: Path, header: Header, arrays: Mapping[str, StoredArray], sides: Sides, seen: Seen | None = None
) -> None:
    """Read everything in the set at `path` and compare it with its content hash; see `LensSet.verify`."""
    rows, digests = rows_of(path / CATALOGUE_NAME), []
    for chunk in range(header.n_chunks):
        records = _records(header.span(chunk), rows, arrays, sides)
        digests.append(digest_of(records, header))
        if seen is not None:
            seen(header.span(chunk).stop, records.images)
    if content_hash(header, digests) != header.content_hash:
        raise DataError(
            f"{path / HEADER_NAME}: content_hash names other content than the files hold (rows in another "
            f"order, other values, or files of another set or band); {FIX}, or restore the files"
        )


def _records(span: slice, rows: Iterator[dict[str, Any]], arrays: Mapping[str, StoredArray], sides: Sides) -> Records:
    places = np.arange(span.start, span.stop)
    part = list(islice(rows, len(places)))

    def blocks(kind: str) -> dict[str, NDArray[Any]]:
        named = {path.rpartition("/"): array for path, array in arrays.items()}
        return {
            band: array.read(places if array.spec.per_cutout else places[:1])
            for (parent, _, band), array in named.items()
            if parent == kind
        }

    scenes, wcs = ([side(int(i)) for i in places] if side else None for side in sides)
    return Records(
        ids=[row.pop("id") for row in part],
        images=blocks("images"),
        rows=part,
        source_light=blocks("truth/source_light"),
        mask=blocks("truth/mask"),
        scenes=scenes,
        wcs=wcs,
        psf=blocks("psf"),
        rms=blocks("rms"),
    )
