"""A chunk of systems in memory, its SHA-256, and the part file that says it is on disk.

The content hash of a set is the SHA-256 of its bands and of its chunks' digests, in order. A chunk's digest
covers ids, catalogue rows, scenes, WCS and the bytes of every image; truth enters by its CRC-32C only, for it
follows from the scene, and SHA-256 would cost a tenth of the rendering time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google_crc32c import value as crc32c
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.files import replacing
from lensaudit.lensset.header import Header


@dataclass(frozen=True)
class Records:
    """Consecutive systems, as handed to the writer.

    Attributes
    ----------
    ids
        One name per system, distinct within the set.
    images
        Band → float32 (m, h, w).
    rows
        Catalogue values by column name; one mapping per system.
    source_light, mask
        Band → float32, bool (m, h, w), where the header has truth.
    scenes
        One JSON-able scene per system, where the header has scenes.
    wcs
        Per system: band → FITS header cards, where the header has WCS.
    """

    ids: Sequence[str]
    images: Mapping[str, NDArray[np.float32]]
    rows: Sequence[Mapping[str, Any]]
    source_light: Mapping[str, NDArray[np.float32]] | None = None
    mask: Mapping[str, NDArray[np.bool_]] | None = None
    scenes: Sequence[Mapping[str, Any]] | None = None
    wcs: Sequence[Mapping[str, str]] | None = None

    def block(self, path: str) -> NDArray[Any]:
        """The array stored at `path` (``images/VIS``, ``truth/mask/J`` …)."""
        kind, band = path.rsplit("/", 1)
        source = {"images": self.images, "truth/source_light": self.source_light, "truth/mask": self.mask}[kind]
        assert source is not None, f"the header promises {path}"
        return source[band]

    def lines(self) -> list[dict[str, Any]]:
        """One JSON-able record per system: everything but pixels."""
        nothing = [None] * len(self.ids)
        columns = (self.ids, self.rows, self.scenes or nothing, self.wcs or nothing)
        return [
            {"id": name, "row": dict(row), "scene": scene, "wcs": wcs}
            for name, row, scene, wcs in zip(*columns, strict=True)
        ]


@dataclass(frozen=True)
class Part:
    """What a part file holds: the chunk's digest and its records without pixels."""

    digest: str
    lines: list[dict[str, Any]]


def digest_of(records: Records, header: Header) -> str:
    """SHA-256 of a chunk's logical content, the same on every machine."""
    sha = hashlib.sha256()
    for line in records.lines():
        sha.update(_canonical(line))
    for band in header.bands:
        sha.update(np.ascontiguousarray(records.images[band.name], "<f4").tobytes())
    if header.has_truth:
        for kind, dtype in (("truth/source_light", "<f4"), ("truth/mask", "?")):
            for band in header.bands:
                block = np.ascontiguousarray(records.block(f"{kind}/{band.name}"), dtype)
                sha.update(crc32c(block.tobytes()).to_bytes(4, "little"))
    return sha.hexdigest()


def content_hash(header: Header, digests: Sequence[str]) -> str:
    """SHA-256 naming the content of a whole set."""
    core = header.model_dump(mode="json", include={"instrument", "bands", "n", "chunk", "columns"})
    return hashlib.sha256(_canonical({"header": core, "chunks": list(digests)})).hexdigest()


def write_part(path: Path, digest: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write a part file; once it has its name, the chunk counts as done."""
    with replacing(path) as partial, open(partial, "wb") as stream:
        for line in ({"digest": digest}, *lines):
            stream.write(_canonical(line) + b"\n")


def read_part(path: Path) -> Part:
    """Read a part file back."""
    try:
        head, *lines = (json.loads(line) for line in _lines(path))
        if not all(isinstance(line, dict) and line.keys() == {"id", "row", "scene", "wcs"} for line in lines):
            raise ValueError("a line lacks a field")
        return Part(str(head["digest"]), lines)
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise DataError(f"{path}: part of an unfinished set is damaged; delete it and run the same command") from error


def _lines(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        yield from stream


def _canonical(value: Any) -> bytes:
    """Compact JSON with sorted keys; NaN is written as such, since a catalogue value may not apply."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
