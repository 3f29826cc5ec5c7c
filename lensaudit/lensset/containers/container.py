"""A container of cutouts, read in place: what a lens set is to those who only read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.containers.adapter import Adapter, Rows, refuse_other_numbers
from lensaudit.lensset.containers.adapters import adapter_of, has_ids
from lensaudit.lensset.containers.beside import Beside
from lensaudit.lensset.containers.declaration import ContainerFile, Format, read_declaration
from lensaudit.lensset.cutouts import Index, distinct, in_batches, positions
from lensaudit.lensset.header import LARGEST_SIDE
from lensaudit.lensset.ingest.plan import ALLOWED_LABELS, UNKNOWN, label_of
from lensaudit.records import card
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from astropy.wcs import WCS

WHOLE_BYTES = 256 << 20
"""Containers up to this size are hashed whole."""
SAMPLED_FILES, SAMPLED_BYTES = 256, 1 << 16
"""Of larger ones so many files, evenly over all, and of each so many bytes at its begin, in its middle, at its end."""
SAMPLED = "sampled:"
"""Begins the content hash of a container that was not read whole; 56 digits of SHA-256 follow."""
_AT_ONCE = 100_000


class Container:
    """Cutouts in files of another program, read as they are asked for; see `lensaudit.lensset.Cutouts`.

    Attributes
    ----------
    path
        The YAML that declares it.
    told
        What that says.
    """

    has_truth = has_scenes = has_wcs = False

    def __init__(self, path: Path, told: ContainerFile, form: Format, adapter: Adapter, beside: Beside) -> None:
        self.path, self.told, self.form = path, told, form
        self._adapter, self._beside = adapter, beside
        self._kept: dict[str, tuple[bytes, NDArray[Any]]] = {}
        if adapter.n < 1:
            raise DataError(f"{adapter.path}: holds no image; correct data in {path}")
        self._names = told.image_names
        self._axes = {band: self._axis(band) for band in told.bands}
        self._shapes = {band: self._shape(band) for band in told.bands}

    @classmethod
    def open(cls, path: Path | str) -> Container:
        """The container that the YAML `path` declares.

        Raises
        ------
        UsageError
            A field of the declaration is wrong, or a file lies outside its folder or is not there.
        DataError
            A file is damaged, of another kind, or not as declared.
        """
        path = Path(path)
        told, form, files = read_declaration(path)
        adapter = adapter_of(path, told, form, files)
        if has_ids(form) and told.ids is not None and told.catalogue is None:
            raise UsageError(f"{path}: ids: images of format {form} have ids of their own; leave it out")
        return cls(path, told, form, adapter, Beside(path, told, adapter.n, has_ids(form)))

    def __len__(self) -> int:
        return self._adapter.n

    def __repr__(self) -> str:
        return f"Container({str(self.path)!r}, {self.form}, n={len(self)}, bands={self.bands})"

    def _repr_html_(self) -> str:
        pixels = (f"{b} {self.shape[b][0]}×{self.shape[b][1]} at {self.pixel_scale_arcsec[b]:g}″" for b in self.bands)
        facts = {"format": self.form, "images": len(self), "pixels": ", ".join(pixels), "hash": self.content_hash[:16]}
        return card(f"Cutouts {self.path.name} ({self.instrument})", facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).open, (self.path,)

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names, as declared."""
        return self.told.bands

    @property
    def instrument(self) -> str:
        """Name of the instrument; ``unknown`` where the declaration names none."""
        return self.told.instrument

    @property
    def shape(self) -> Mapping[str, tuple[int, int]]:
        """Band → native (rows, columns)."""
        return self._shapes

    @cached_property
    def pixel_scale_arcsec(self) -> Mapping[str, float]:
        """Band → arcsec per pixel, as declared or from the field of view over the columns."""
        told, scales = self.told, {}
        for band in self.bands:
            scale = told.of_band(told.pixel_scale_arcsec, band)
            if scale is None:
                width = told.of_band(told.field_of_view_arcsec, band)
                assert width is not None, "one of the two is given"
                scale = width / self.shape[band][1]
            scales[band] = scale
        return scales

    @property
    def zero_point_mag(self) -> Mapping[str, float | None]:
        """Band → AB magnitude of one pixel unit; None where it is not known."""
        return {band: self.told.of_band(self.told.zero_point_mag, band) for band in self.bands}

    @property
    def unit(self) -> Mapping[str, str]:
        """Band → unit of a pixel."""
        return {band: self.told.of_band(self.told.unit, band) or "unknown" for band in self.bands}

    @property
    def pixel_units(self) -> Mapping[str, str]:
        """Band → ``UNIT at ZERO_POINT mag``, or the unit alone where no zero point is known."""
        zero = self.zero_point_mag
        return {b: unit + ("" if zero[b] is None else f" at {zero[b]:g} mag") for b, unit in self.unit.items()}

    @property
    def hashed_whole(self) -> bool:
        """Whether `content_hash` is of every byte."""
        return sum(file.stat().st_size for file in self._all_files) <= WHOLE_BYTES

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the declaration and the names, sizes and content of the files; of large ones a sample.

        Up to `WHOLE_BYTES` it is of every byte. Above, it is of `SAMPLED_BYTES` at the begin, in the middle and at the
        end of `SAMPLED_FILES` files, begins with ``sampled:``, and does not see a change elsewhere that keeps the size.
        """
        whole, digest = self.hashed_whole, hashlib.sha256()
        digest.update(json.dumps(self.told.model_dump(mode="json"), sort_keys=True).encode())
        files = self._all_files
        looked_at = set(np.linspace(0, len(files) - 1, min(len(files), SAMPLED_FILES)).round().astype(int).tolist())
        for place, file in enumerate(files):
            size = file.stat().st_size
            digest.update(
                f"\n{file.relative_to(self.path.parent).as_posix()} {size}\n".encode("utf-8", "surrogateescape")
            )
            with open(file, "rb") as stream:
                if whole:
                    while piece := stream.read(1 << 20):
                        digest.update(piece)
                elif place in looked_at:
                    for at in (0, size // 2, max(0, size - SAMPLED_BYTES)):
                        stream.seek(at)
                        digest.update(stream.read(SAMPLED_BYTES))
        return digest.hexdigest() if whole else SAMPLED + digest.hexdigest()[: 64 - len(SAMPLED)]

    @cached_property
    def _all_files(self) -> list[Path]:
        return [*self._adapter.files, *self._beside.files]

    @cached_property
    def ids(self) -> list[str]:
        """Names of all images, distinct; without names of their own they are counted, ``NAME-0000000``.

        Raises
        ------
        DataError
            One is there twice, in one file or over several.
        """
        return distinct(self.ids_in(slice(None)), f"{self._adapter.path}", "give each image an id of its own")

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 lens, 0 non-lens, −1 unknown: int8 (n,)."""
        return self.labels_in(slice(None))

    def ids_in(self, span: slice) -> list[str]:
        """Names of the images of `span`; nothing else is read, so that they may be doubled elsewhere."""
        rows = self._indices(span)
        if self.told.ids is not None and not self._beside.by_id:
            return [_as_id(value, self._adapter.path) for value in self._read(self.told.ids, rows)]
        found = self._adapter.ids(rows)
        return [f"{self.path.stem}-{row:07d}" for row in rows.tolist()] if found is None else found

    def labels_in(self, span: slice) -> NDArray[np.int8]:
        """Labels of the images of `span`: int8 (m,); nothing else is read.

        Raises
        ------
        DataError
            A label is none; the line says which are allowed.
        """
        rows = self._indices(span)
        if self.told.labels is None:
            return np.full(len(rows), label_of(self.told.label), np.int8)
        found = np.empty(len(rows), np.int8)
        for place, value in enumerate(self._read(self.told.labels, rows)):
            label = _label(value)
            if label is None:
                where, shown = f"{self._adapter.path}: image {rows[place]}", printable(_as_text(value), 30)
                raise DataError(f"{where}: {self.told.labels} is '{shown}'; allowed: {ALLOWED_LABELS}")
            found[place] = label
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """``id``, ``label``, and the declared ones."""
        return ("id", "label", *self.told.columns)

    @property
    def units(self) -> Mapping[str, str]:
        """Column → unit; ``""`` for a pure number."""
        return {"id": "", "label": "", **self.told.columns}

    def column(self, name: str) -> NDArray[Any]:
        """One column (n,); DataError names those there are."""
        if name == "label":
            return self.labels
        if name == "id":
            return np.array(self.ids, object)
        if name not in self.told.columns:
            there = printable(", ".join(self.columns), 400)
            raise DataError(f"{self.path}: no column '{printable(name)}'; the columns are {there}")
        return self.column_in(name, slice(None))

    def column_in(self, name: str, span: slice) -> NDArray[Any]:
        """A declared column of the images of `span` (m); nothing else is read."""
        values = np.asarray(list(self._read(name, self._indices(span))))
        return values if values.dtype.kind in "fiub" else np.array([_as_text(value) for value in values], object)

    def images(self, band: str, index: Index) -> NDArray[np.float32]:
        """Native-resolution pixels of `band`: float32 (m, h, w)."""
        if band not in self._names:
            raise DataError(f"{self.path}: no band '{printable(band, 60)}'; the bands are {', '.join(self.bands)}")
        rows = self._indices(index)
        block, axis = self._block(self._names[band], rows), self._axes[band]
        if axis is not None:
            block = np.take(block, self.bands.index(band), axis=axis)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(block, dtype=np.float32)

    def cutouts(self, index: Index) -> dict[str, NDArray[np.float32]]:
        """Every band's native-resolution pixels: band → float32 (m, h, w)."""
        return {band: self.images(band, index) for band in self.bands}

    def batches(self, size: int) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
        """Yield (images, cutouts) of `size` at a time; memory does not grow with the container."""
        return in_batches(self, size)

    def has_psf(self, band: str) -> bool:
        """False: `ingest` a set with them."""
        return False

    def has_rms(self, band: str) -> bool:
        """False: `ingest` a set with them."""
        return False

    def index_of(self, name: str) -> int:
        """Position of the image called `name`."""
        if name not in self._positions:
            raise UsageError(f"{self.path}: no image '{name}'; ids run from {self.ids[0]} to {self.ids[-1]}")
        return self._positions[name]

    def wcs(self, i: int, band: str) -> WCS:
        """A tangential projection with the pixel scale of `band`, north up, centred on (0°, 0°)."""
        from lensaudit.lensset.coordinates import plain_wcs

        return plain_wcs(self.shape[band], self.pixel_scale_arcsec[band])

    def own_wcs(self, i: int, band: str) -> None:
        """None: containers keep none."""

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.ids)}

    def _indices(self, index: Index) -> NDArray[np.intp]:
        return positions(index, len(self), self.path)

    def _read(self, name: str, rows: Rows) -> Iterator[Any]:
        """Values of `name`, from beside the container or from it, some at a time."""
        for first in range(0, len(rows), _AT_ONCE):
            part = rows[first : first + _AT_ONCE]
            ascending = bool((np.diff(part) > 0).all())
            wanted, back = (part, None) if ascending else np.unique(part, return_inverse=True)
            if self._beside.has(name):
                found: Sequence[Any] = self._beside.values(name, wanted, self._adapter.ids)
            else:
                found = self._adapter.values(name, wanted)
            yield from found if back is None else (found[place] for place in back.tolist())

    def _block(self, name: str, rows: Rows) -> NDArray[Any]:
        """Images `rows` of `name`; the last ones that several bands share are kept for the next of them."""
        shared = len(self._names) > 1 and not self.told.apart
        key = rows.tobytes() if shared else b""
        kept = self._kept.get(name) if shared else None
        if kept is not None and kept[0] == key:
            return kept[1]
        if len(rows) == 0:
            return np.empty((0, *self._adapter.shape_of(name)), np.float32)
        ascending = bool((np.diff(rows) > 0).all())
        wanted, back = (rows, None) if ascending else np.unique(rows, return_inverse=True)
        block = self._adapter.block(name, wanted)
        refuse_other_numbers(block.dtype, f"{self._adapter.path}: {printable(name, 60)}")
        block = block if back is None else block[back]
        if shared:
            self._kept[name] = (key, block)
        return block

    def _axis(self, band: str) -> int | None:
        """Which axis of a block the bands are along; None where each band has images of its own.

        Raises
        ------
        DataError
            Shape, bands and layout do not go together, or the file itself names other bands.
        """
        name, told = self._names[band], self.told
        shape, where = self._adapter.shape_of(name), f"{self._adapter.path}: {printable(name, 60) or 'images'}"
        if len(shape) == 2:
            if len(told.bands) > 1 and not told.apart:
                named = ", ".join(told.bands)
                raise DataError(f"{where}: images have shape {shape}, but bands {named} are declared; correct bands")
            return None
        n = 1 if told.apart else len(told.bands)
        fitting = [layout for layout, side in (("NCHW", 0), ("NHWC", -1)) if len(shape) == 3 and shape[side] == n]
        if told.layout is not None:
            fitting = [layout for layout in fitting if layout == told.layout]
        if not fitting:
            said = "" if told.layout is None else f" and layout {told.layout}"
            raise DataError(
                f"{where}: images have shape {shape}, which {n} band{'s' * (n > 1)}{said} do not fit; correct bands, "
                f"images or layout in {self.path.name}"
            )
        if len(fitting) > 1:
            raise DataError(
                f"{where}: images have shape {shape}, bands may come first or last; give layout, NCHW or NHWC"
            )
        named_there = self._adapter.bands_of(name)
        if named_there is not None and n > 1 and named_there != told.bands:
            raise DataError(
                f"{where}: the file names its bands {printable(', '.join(named_there), 100)}, {self.path.name} "
                f"{', '.join(told.bands)}; correct bands"
            )
        return 1 if fitting[0] == "NCHW" else -1

    def _shape(self, band: str) -> tuple[int, int]:
        found = self._adapter.shape_of(self._names[band])
        axis = self._axes[band]
        rows, columns = found if axis is None else found[1:] if axis == 1 else found[:2]
        if not 1 <= min(rows, columns) <= max(rows, columns) <= LARGEST_SIDE:
            raise DataError(f"{self._adapter.path}: band {band}: {rows}×{columns} pixels are no image; name another")
        return int(rows), int(columns)


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace").rstrip("\0 ") if isinstance(value, bytes) else str(value)


def _as_id(value: Any, path: Path) -> str:
    text = _as_text(value).strip()
    if not text or printable(text) != text or len(text) > 128:
        raise DataError(f"{path}: id '{printable(text, 60)}' is not 1 to 128 printable characters; correct it")
    return text


def _label(value: Any) -> int | None:
    """The label that a value says; NaN and nothing are unknown."""
    text = _as_text(value).strip()
    if text.casefold() in ("", "nan", "none"):
        return UNKNOWN
    return label_of(text)
