"""A container of cutouts, read in place: a lens set without truth, whose files are other programs'."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lensaudit.documents import complaint
from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.containers.adapter import Adapter, Rows
from lensaudit.lensset.containers.adapters import adapter_of, has_ids
from lensaudit.lensset.containers.beside import Beside
from lensaudit.lensset.containers.blocks import Blocks
from lensaudit.lensset.containers.content import content_hash, hashed_whole
from lensaudit.lensset.containers.declaration import ContainerFile, Format, read_declaration
from lensaudit.lensset.containers.stamps import Stamps
from lensaudit.lensset.cutouts import Index, distinct
from lensaudit.lensset.header import BandHeader, CatalogueColumn, Header, Source, chunk_for
from lensaudit.lensset.ingest.plan import ALLOWED_LABELS, LABEL, UNKNOWN, label_of
from lensaudit.lensset.store import LensSet
from lensaudit.records import card
from lensaudit.untrusted import printable

_AT_ONCE = 100_000


class Container(LensSet):
    """Cutouts in files of another program, read as they are asked for.

    Attributes
    ----------
    path
        The YAML that declares it.
    told
        What that says.
    """

    def __init__(self, path: Path, told: ContainerFile, form: Format, adapter: Adapter, beside: Beside) -> None:
        self.path, self.told, self.form = path, told, form
        self._adapter, self._beside = adapter, beside
        if adapter.n < 1:
            raise DataError(f"{adapter.path}: holds no image; correct data in {path}")
        self._images = Blocks(path, adapter, told.image_names, told.apart, told.layout, "images")
        self._images.take_centre({band: told.of_band(told.size_pixels, band) for band in told.bands})
        self._stamps = Stamps(path, told, adapter, self._images)
        self._text: dict[str, bool] = {}

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

    @cached_property
    def header(self) -> Header:
        """What the header of a lens set of these images says; its content hash is None.

        Raises
        ------
        UsageError
            A field of the declaration is none that a lens set can have.
        """
        notes = [f"read from {self.form} by {self.path.name}"]
        try:
            return Header(
                instrument=self.told.instrument,
                bands=tuple(self._band_header(band, notes) for band in self.told.bands),
                n=len(self),
                chunk=chunk_for(len(self)),
                columns=(LABEL, *(self._own_column(name, unit) for name, unit in self.told.columns.items())),
                source=Source(layout="cutouts", notes=tuple(notes)),
            )
        except ValidationError as invalid:
            raise UsageError(f"{self.path}: {complaint(invalid)}; correct the declaration") from invalid

    def _band_header(self, band: str, notes: list[str]) -> BandHeader:
        told = self.told
        scale = told.of_band(told.pixel_scale_arcsec, band)
        if scale is None:
            width = told.of_band(told.field_of_view_arcsec, band)
            assert width is not None, "one of the two is given"
            scale = width / self._images.stored[band][1]
        psf, done = self._stamps.psf_header(band, scale)
        notes += done
        return BandHeader(
            name=band,
            shape=self._images.shape[band],
            pixel_scale_arcsec=scale,
            zero_point_mag=told.of_band(told.zero_point_mag, band),
            unit=told.of_band(told.unit, band) or "unknown",
            electrons_per_unit=told.of_band(told.electrons_per_unit, band),
            filter=(told.filters or {}).get(band),
            psf=psf,
            rms=self._stamps.rms_header(band),
        )

    def _own_column(self, name: str, unit: str) -> CatalogueColumn:
        dtype = "str" if self._is_text(name) else "float64"
        return CatalogueColumn.model_validate(
            {"name": name, "unit": unit, "description": "as in the container", "dtype": dtype}
        )

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names, as declared."""
        return self.told.bands

    @property
    def instrument(self) -> str:
        """Name of the instrument; ``unknown`` where the declaration names none."""
        return self.told.instrument

    @property
    def command(self) -> str:
        """What it is read from, in place of a command that made it."""
        return f"{self.form}, read in place by {self.path.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """``id``, ``label``, and the declared ones."""
        return ("id", "label", *self.told.columns)

    @property
    def units(self) -> dict[str, str]:
        """Column → unit; ``""`` for a pure number."""
        return {"id": "", "label": "", **self.told.columns}

    @property
    def hashed_whole(self) -> bool:
        """Whether `content_hash` is of every byte."""
        return hashed_whole(self._all_files)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the declaration and the files; of large ones a sample, see `content.content_hash`."""
        return content_hash(self.path.parent, self.told, self._all_files)

    @cached_property
    def _all_files(self) -> list[Path]:
        return [*self._adapter.files, *self._beside.files, *dict.fromkeys(self._stamps.files)]

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

    def column(self, name: str) -> NDArray[Any]:
        """One column (n,); DataError names those there are."""
        return self.column_in(name, slice(None))

    def column_in(self, name: str, span: slice) -> NDArray[Any]:
        """One column of the images of `span` (m): numbers as float64, NaN where there is none, or words.

        Raises
        ------
        DataError
            There is no such column, or a word stands among numbers.
        """
        if name == "label":
            return self.labels_in(span)
        if name == "id":
            return np.array(self.ids_in(span), object)
        if name not in self.told.columns:
            there = printable(", ".join(self.columns), 400)
            raise DataError(f"{self.path}: no column '{printable(name)}'; the columns are {there}")
        rows, text = self._indices(span), self._is_text(name)
        values = self._read(name, rows)
        if text:
            return np.array(["" if value is None else _as_text(value) for value in values], object)
        found = np.empty(len(rows))
        for place, value in enumerate(values):
            try:
                found[place] = math.nan if value is None else value
            except (TypeError, ValueError):
                where, shown = f"{self._adapter.path}: image {rows[place]}", printable(_as_text(value), 30)
                raise DataError(f"{where}: {name} is '{shown}', others are numbers; correct it") from None
        return found

    def _is_text(self, name: str) -> bool:
        """Whether a declared column holds words: its first value that is there says it."""
        if name not in self._text:
            values = self._read(name, self._indices(slice(None)), at_once=100)
            self._text[name] = isinstance(next((one for one in values if one is not None), None), str | bytes)
        return self._text[name]

    def images(self, band: str, index: Index) -> NDArray[np.float32]:
        """Native-resolution pixels of `band`: float32 (m, h, w)."""
        if band not in self.bands:
            raise DataError(f"{self.path}: no band '{printable(band, 60)}'; the bands are {', '.join(self.bands)}")
        block = self._images.read(band, self._indices(index))
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(block, dtype=np.float32)

    def psf(self, band: str, index: Index) -> NDArray[np.float32]:
        """Point-spread function of each image: float32 (m, k, k), see `lensaudit.lensset.LensSet.psf`."""
        if not self.has_psf(band):
            raise DataError(f"{self.path}: band {band} has no PSF; declare it with psf")
        return self._stamps.psf(band, self._indices(index))

    def rms(self, band: str, index: Index) -> NDArray[np.float32]:
        """Standard deviation of the noise of each pixel: float32 (m, h, w), see `lensaudit.lensset.LensSet.rms`."""
        if not self.has_rms(band):
            raise DataError(f"{self.path}: band {band} has no RMS; declare it with rms, variance or weight")
        return self._stamps.rms(band, self._indices(index))

    def verify(self, seen: Callable[[int, Mapping[str, NDArray[np.float32]]], None] | None = None) -> None:
        """Read everything: nothing says what it should be."""
        for span, images in self.batches(_AT_ONCE // 1000):
            for band in self.bands:
                _ = self.has_psf(band) and self.psf(band, span), self.has_rms(band) and self.rms(band, span)
            if seen is not None:
                seen(span.stop, images)

    def index_of(self, name: str) -> int:
        """Position of the image called `name`."""
        if name not in self._positions:
            raise UsageError(f"{self.path}: no image '{name}'; ids run from {self.ids[0]} to {self.ids[-1]}")
        return self._positions[name]

    def _read(self, name: str, rows: Rows, at_once: int = _AT_ONCE) -> Iterator[Any]:
        """Values of `name`, from beside the container or from it, some at a time."""
        for first in range(0, len(rows), at_once):
            part = rows[first : first + at_once]
            ascending = bool((np.diff(part) > 0).all())
            wanted, back = (part, None) if ascending else np.unique(part, return_inverse=True)
            if self._beside.has(name):
                found: Sequence[Any] = self._beside.values(name, wanted, self._adapter.ids)
            else:
                found = self._adapter.values(name, wanted)
            yield from found if back is None else (found[place] for place in back.tolist())


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
