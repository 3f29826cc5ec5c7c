"""Lens sets from arrays, by the real writer: for tests that need no sky."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, Records, chunk_for

EUCLID = {"VIS": (200, 0.1), "Y": (66, 0.3), "J": (66, 0.3), "H": (66, 0.3)}
"""Band → pixels along a side, arcsec per pixel."""

LABEL = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens, -1 unknown", dtype="int64")


def write_set(
    path: Path,
    images: Mapping[str, np.ndarray],
    scales: Mapping[str, float],
    table: Mapping[str, ArrayLike] | None = None,
    *,
    columns: Sequence[CatalogueColumn] = (LABEL,),
    ids: str = "image-{:04d}",
    **more: Any,
) -> LensSet:
    """Write cutouts as a lens set.

    Parameters
    ----------
    images, scales
        Band → pixels (n, h, w), and arcsec per pixel.
    table
        Column → values (n); by default all are of label 0.
    columns
        What the catalogue says of them.
    ids
        Format of the number of an image.
    more
        ``unit`` and ``zero_point_mag`` of the pixels, ``light`` (band → lensed light; above 0.5 it is the mask), and
        fields of the header.
    """
    n = len(next(iter(images.values())))
    values = {name: np.asarray(column).tolist() for name, column in (table or {"label": [0] * n}).items()}
    unit, zero_point, light = (
        more.pop("unit", "electron / s"),
        more.pop("zero_point_mag", None),
        more.pop("light", None),
    )
    bands = tuple(
        BandHeader(
            name=band, shape=block.shape[1:], pixel_scale_arcsec=scales[band], unit=unit, zero_point_mag=zero_point
        )
        for band, block in images.items()
    )
    fields = {"instrument": "euclid", "n": n, "chunk": chunk_for(n), "columns": tuple(columns), "bands": bands}
    writer = LensSetWriter(path, Header(**(fields | {"has_truth": light is not None} | more)))
    writer.start()
    for chunk in range(writer.header.n_chunks):
        span = writer.header.span(chunk)
        part = None if light is None else {band: block[span] for band, block in light.items()}
        writer.write(
            chunk,
            Records(
                ids=[ids.format(i) for i in range(n)[span]],
                images={band: block[span] for band, block in images.items()},
                rows=[{name: column[i] for name, column in values.items()} for i in range(n)[span]],
                source_light=part,
                mask=None if part is None else {band: block > 0.5 for band, block in part.items()},
            ),
        )
    writer.finish()
    return LensSet.open(path)


def digest(folder: Path) -> str:
    """Of all files in a folder, and their names."""
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sha.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return sha.hexdigest()
