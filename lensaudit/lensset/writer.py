"""Writing a lens set chunk by chunk, so that a killed run goes on where it stopped and ends bit-identical.

While it is written, a set has a folder ``.unfinished`` with the requested header and one part file per finished
chunk, and no ``lensset.json``. A chunk counts as done once its part file has its name, which it gets last.
The header is renamed into place as the last act. Nothing written depends on time, machine, number of workers or
number of interruptions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from google_crc32c import value as crc32c
from numpy.typing import NDArray

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.files import LOCK, explained, replacing, sha256, writable_folder
from lensaudit.lensset.arrays import ARRAYS, StoredArray, array_specs, chunk_checksums, create_arrays, write_block
from lensaudit.lensset.catalogue import CATALOGUE_NAME, coerced, rows_of, write_catalogue
from lensaudit.lensset.header import FIX, HEADER_NAME, Header, read_header, refuse_other


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
    psf, rms
        Band → float32 (m, k, k) and (m, h, w), for the bands whose header has them; (1, …) where one is for the whole
        set.
    """

    ids: Sequence[str]
    images: Mapping[str, NDArray[np.float32]]
    rows: Sequence[Mapping[str, Any]]
    source_light: Mapping[str, NDArray[np.float32]] | None = None
    mask: Mapping[str, NDArray[np.bool_]] | None = None
    scenes: Sequence[Mapping[str, Any]] | None = None
    wcs: Sequence[Mapping[str, str]] | None = None
    psf: Mapping[str, NDArray[np.float32]] | None = None
    rms: Mapping[str, NDArray[np.float32]] | None = None

    def block(self, path: str) -> NDArray[Any]:
        """The array stored at `path` (``images/VIS``, ``truth/mask/J``, ``psf/VIS`` …)."""
        kind, band = path.rsplit("/", 1)
        source: Mapping[str, NDArray[Any]] | None = {
            "images": self.images,
            "truth/source_light": self.source_light,
            "truth/mask": self.mask,
            "psf": self.psf,
            "rms": self.rms,
        }[kind]
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
    for spec in array_specs(header):
        if spec.path.startswith(("psf/", "rms/")):
            sha.update(np.ascontiguousarray(records.block(spec.path), "<f4").tobytes())
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


WORK_NAME = ".unfinished"
SCENES_NAME = "scenes.jsonl"
WCS_NAME = "wcs.jsonl"


def side_files(header: Header) -> list[str]:
    """Files of a set beside its header and its arrays."""
    return [CATALOGUE_NAME, *([SCENES_NAME] if header.has_scenes else []), *([WCS_NAME] if header.has_wcs else [])]


class LensSetWriter:
    """Writes one lens set; any number of them, in any processes, may write different chunks of it.

    Parameters
    ----------
    root
        Folder of the set. Call `start` on it once before the first `write`, in one process.
    header
        What the set will be; its `content_hash` is ``None``.
    """

    def __init__(self, root: Path, header: Header) -> None:
        self.root = Path(root)
        self.header = header

    @property
    def finished(self) -> bool:
        """Whether the set is whole."""
        return (self.root / HEADER_NAME).is_file()

    def start(self) -> None:
        """Begin the set, or take up the one an interrupted run left.

        Raises
        ------
        UsageError
            The folder holds another set or other files, or cannot be written.
        MachineError
            The images cannot fit on the disk.
        """
        if self.finished:
            refuse_other(self.root, read_header(self.root / HEADER_NAME), self.header)
            shutil.rmtree(self._work, ignore_errors=True)
            return
        writable_folder(self.root)
        with explained(self.root):
            self._take_up() if self._wanted.is_file() else self._begin()
        self._check_space()

    def missing(self) -> list[int]:
        """Chunks that are still to be written."""
        if self.finished:
            return []
        return [chunk for chunk in range(self.header.n_chunks) if not self._part(chunk).is_file()]

    def write(self, chunk: int, records: Records) -> None:
        """Write chunk `chunk`: its pixels, and then the part file that makes it count.

        Raises
        ------
        MachineError
            The disk is full.
        """
        span = self.header.span(chunk)
        checked = _checked(records, self.header, span)
        with explained(self.root):
            for spec in array_specs(self.header):
                if spec.per_cutout or chunk == 0:
                    write_block(self.root, spec, span if spec.per_cutout else slice(1), checked.block(spec.path))
        write_part(self._part(chunk), digest_of(checked, self.header), checked.lines())

    def finish(self) -> None:
        """Join the parts, name the content, and make the set whole."""
        if self.finished:
            return
        assert not self.missing(), "finish() before every chunk was written"
        digests = [self._read_part(chunk).digest for chunk in range(self.header.n_chunks)]
        with explained(self.root):
            write_catalogue(self.root / CATALOGUE_NAME, self.header.columns, self._lines())
            if self.header.has_scenes:
                self._join(SCENES_NAME, lambda line: line["scene"])
            if self.header.has_wcs:
                self._join(WCS_NAME, lambda line: line["wcs"])
            self._sweep()
            final = self._work / "final.json"
            files = {name: sha256(self.root / name) for name in side_files(self.header)}
            named = self.header.model_copy(update={"content_hash": content_hash(self.header, digests)})
            named.write(final, files, chunk_checksums(self.root, self.header))
            os.replace(final, self.root / HEADER_NAME)
            shutil.rmtree(self._work)

    @property
    def _work(self) -> Path:
        return self.root / WORK_NAME

    @property
    def _wanted(self) -> Path:
        return self._work / HEADER_NAME

    def _part(self, chunk: int) -> Path:
        return self._work / "parts" / f"{chunk:06d}.jsonl"

    @property
    def _has_parts(self) -> bool:
        return any((self._work / "parts").glob("*.jsonl"))

    def _forget(self) -> None:
        """Remove a set of which no chunk was finished, such as one whose first file could not be read."""
        for name in (*ARRAYS, WORK_NAME):
            place = self.root / name
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

    def _begin(self) -> None:
        others = sorted(p.name for p in self.root.iterdir() if p.name not in (WORK_NAME, LOCK))
        if others:
            raise UsageError(f"{self.root}: holds other files ({', '.join(others[:3])}); choose another --out")
        (self._work / "parts").mkdir(parents=True, exist_ok=True)
        self.header.write(self._wanted)
        create_arrays(self.root, self.header)

    def _take_up(self) -> None:
        self._refuse_links()
        if self._has_parts:
            refuse_other(self.root, read_header(self._wanted), self.header)
            self._sweep()
            create_arrays(self.root, self.header)
        else:
            self._forget()
            self._begin()

    def _refuse_links(self) -> None:
        """Pixels are written in place, so a link would have them written to where it points."""
        for path in self.root.rglob("*"):
            if path.is_symlink():
                raise UsageError(f"{path}: is a link; remove it or choose another --out")

    def _sweep(self) -> None:
        """Remove what a killed process left under temporary names."""
        for stray in list(self.root.rglob("*.partial")):
            with suppress(FileNotFoundError):
                stray.unlink()

    def _check_space(self) -> None:
        plain = [spec for spec in array_specs(self.header) if spec.per_cutout and not spec.compressed]
        system = sum(4 * spec.shape[0] * spec.shape[1] for spec in plain)
        needed, free = system * self.header.chunk * len(self.missing()), shutil.disk_usage(self.root).free
        if needed > free:
            raise MachineError(
                f"{self.root}: the disk is too full: the images need {needed / 1e9:.3g} GB more, "
                f"{free / 1e9:.3g} GB are free; free some space, ask for fewer or choose another --out"
            )

    def _read_part(self, chunk: int) -> Part:
        return read_part(self._part(chunk))

    def _lines(self) -> Iterator[dict[str, Any]]:
        for chunk in range(self.header.n_chunks):
            yield from self._read_part(chunk).lines

    def _join(self, name: str, pick: Callable[[dict[str, Any]], Any]) -> None:
        import json

        with replacing(self.root / name) as partial, open(partial, "w", encoding="utf-8", newline="\n") as stream:
            for line in self._lines():
                stream.write(json.dumps(pick(line), sort_keys=True, ensure_ascii=False) + "\n")


def why_unfinished(path: Path) -> str:
    """Why `path`, which has no header, is no lens set that can be opened, and what to do."""
    if path.is_file():
        needed = "the folder of a lens set is needed here; make one with lensaudit simulate, or ingest"
        return f"{path}: is a file, and {needed}"
    work = path / WORK_NAME
    if not (work / HEADER_NAME).is_file():
        return f"{path}: no {HEADER_NAME} in it, so it is no lens set; make one with lensaudit simulate or ingest"
    wanted = read_header(work / HEADER_NAME)
    spans = [wanted.span(int(part.stem)) for part in work.glob("parts/*.jsonl")]
    done = sum(span.stop - span.start for span in spans)
    command = wanted.provenance.command or "the command that made it"
    return f"{path}: unfinished, {done} of {wanted.n} systems are there; run the same command again: {command}"


def _checked(records: Records, header: Header, span: slice) -> Records:
    """Records with images of the right dtype and shape and rows of the schema's types."""
    n = span.stop - span.start
    assert len(records.ids) == len(records.rows) == n, f"a chunk of {n} systems got {len(records.ids)} ids"
    for spec in array_specs(header):
        block = records.block(spec.path)
        wanted = (n if spec.per_cutout else 1, *spec.shape)
        assert block.shape == wanted, f"{spec.path}: {block.shape} instead of {wanted}"
        assert np.dtype(block.dtype) == np.dtype(spec.dtype), f"{spec.path}: {block.dtype}, not {spec.dtype}"
    assert (records.scenes is not None) == header.has_scenes
    assert (records.wcs is not None) == header.has_wcs
    rows = [coerced(row, header.columns) for row in records.rows]
    return replace(records, rows=rows)


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
