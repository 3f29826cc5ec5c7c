"""What a lens set says about itself, checked when read: ``lensset.json``."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from lensaudit.documents import digest_of, read_json, validated
from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_json
from lensaudit.imaging.band import Instrument as WholeInstrument
from lensaudit.provenance import Provenance
from lensaudit.untrusted import Identifier, Label

HEADER_NAME = "lensset.json"
LARGEST_CHUNK = 100
"""Systems per chunk at most: 16 MB of Euclid VIS pixels, a second or so of simulation."""

# Never part of a path, and sets ingested before names were checked hold "HST ACS" or "HST/ACS".
Instrument = Annotated[Label, Field(pattern=r"^\w([^./\\]|[./][^./\\])*$")]
Dtype = Literal["float64", "float32", "int64", "int32", "int8", "str", "bool"]


LARGEST_SIDE = 20_000
"""Pixels of an image; a tile of Euclid's has 19 200."""
LARGEST_PSF = 1025
"""Pixels along a side of a point-spread function."""
MOST_PIXELS = 1 << 29
"""Of a chunk in one band: 2 GB, which is held in memory while it is written."""
MOST_SYSTEMS = 100_000_000
MOST_COLUMNS = 10_000
FIX = "make the set again"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Listed(_Frozen):
    """Ids that one side lacks: of images without a catalogue row, or the other way round."""

    count: int
    ids: tuple[str, ...]


class Skipped(_Frozen):
    """Systems that ``--skip-bad`` left out: how many, and why each."""

    count: int
    why: dict[str, str]


class Source(BaseModel):
    """What the data of an ingested set were made from; all None or empty where the set was simulated.

    Written are the facts that were given and no others; what only other versions know is kept beside them.

    Attributes
    ----------
    layout, challenge, release, label_rule
        Words for the archive, and how labels follow from its catalogue.
    catalogue
        Name of its file.
    ids_without_image, ids_without_catalogue_row
        What the catalogue and the images do not have in common.
    skipped
        Systems that were left out as bad.
    zero_point_cards
        Band → header card that the zero point is from.
    notes
        Sentences for people.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    layout: str | None = None
    challenge: str | None = None
    release: str | None = None
    label_rule: str | None = None
    catalogue: str | None = None
    ids_without_image: Listed | None = None
    ids_without_catalogue_row: Listed | None = None
    skipped: Skipped | None = None
    zero_point_cards: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _as_given(self, words: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in sorted(words(self).items()) if name in self.model_fields_set}


class PsfHeader(_Frozen):
    """The point-spread functions of a band: pixels along a side (odd), and whether each cutout has its own."""

    side: int = Field(ge=1, le=LARGEST_PSF)
    per_cutout: bool

    @field_validator("side")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side % 2 == 0:
            raise ValueError(f"{side} pixels along a side have no central one; an odd number is needed")
        return side


class RmsHeader(_Frozen):
    """The noise maps of a band: whether each cutout has its own."""

    per_cutout: bool


_SINCE_0_3 = ("electrons_per_unit", "filter", "psf", "rms")
"""Fields of a band that are not written where they are None, so that earlier sets keep their bytes and hashes."""


class BandHeader(_Frozen):
    """One band of a set.

    Attributes
    ----------
    shape
        Native (rows, columns).
    zero_point_mag
        AB magnitude of one pixel unit; None where it is not known.
    unit
        Unit of a pixel.
    electrons_per_unit
        Electrons that one pixel unit stands for (gain × exposure); None where it is not known.
    filter
        Name of the filter curve in speclite; None where it is not known.
    psf, rms
        What is stored of point-spread function and noise; None for nothing.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$", max_length=64)
    shape: tuple[Side, Side]
    pixel_scale_arcsec: float = Field(ge=1e-6, le=3600)
    zero_point_mag: float | None = Field(default=None, ge=-100, le=100)
    unit: str = Field(max_length=200)
    electrons_per_unit: float | None = Field(default=None, gt=0, le=1e30)
    filter: str | None = Field(default=None, min_length=1, max_length=200)
    psf: PsfHeader | None = None
    rms: RmsHeader | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        words: dict[str, Any] = handler(self)
        return {name: value for name, value in words.items() if value is not None or name not in _SINCE_0_3}

    @property
    def pixel_unit(self) -> str:
        """What a pixel value means: ``UNIT at ZERO_POINT mag``, or the unit alone where no zero point is known."""
        return self.unit + ("" if self.zero_point_mag is None else f" at {self.zero_point_mag:g} mag")


class CatalogueColumn(_Frozen):
    """One column of the catalogue; `unit` is ``""`` for a pure number."""

    name: str = Field(min_length=1, max_length=200)
    unit: str = Field(max_length=200)
    description: str = Field(max_length=2000)
    dtype: Dtype


class Checksums(_Frozen):
    """What the files of a set held when it was finished, so that a change is seen before it is believed.

    Attributes
    ----------
    header
        SHA-256 of all other fields of ``lensset.json``.
    files
        SHA-256 of the catalogue, the scenes and the WCS, by file name.
    chunks
        Path of each array → CRC-32C of its chunk files in order, eight hexadecimal digits each.
    """

    header: Sha256
    files: Annotated[dict[str, Sha256], Field(max_length=16)]
    chunks: Annotated[dict[str, Annotated[str, Field(pattern=r"^([0-9a-f]{8})*$")]], Field(max_length=512)]


class Header(_Frozen):
    """The whole header of a lens set.

    Attributes
    ----------
    n
        Number of systems.
    chunk
        Systems per chunk, the unit of writing and of resuming; follows from `n` alone (`chunk_for`).
    source
        What the data were made from: for ingested sets the layout, its policies and what was missing.
    provenance
        What made the set; empty words where it does not say.
    redden
        Bounds between which the strength of `lensaudit.scenes.edits.arc_colour` was drawn; None where nothing was
        reddened.
    full_instrument
        The whole instrument a simulated set was rendered with, so that its scenes can be rendered again; None of the
        instruments whose numbers never change, and of ingested sets.
    content_hash
        SHA-256 over the logical content (see `records`); ``None`` until the set is finished.
    checksums
        Of the files; ``None`` until the set is finished, and in sets of earlier versions.
    """

    format: Literal["lensaudit-lensset"] = "lensaudit-lensset"
    version: Literal[1] = 1
    instrument: Instrument
    bands: tuple[BandHeader, ...] = Field(min_length=1, max_length=64)
    n: int = Field(gt=0, le=MOST_SYSTEMS)
    chunk: int = Field(gt=0, le=MOST_SYSTEMS)
    seed: int | None = Field(default=None, ge=0)
    population: Identifier | None = None
    redden: Annotated[tuple[float, float], Field(min_length=2, max_length=2)] | None = None
    has_truth: bool = False
    has_scenes: bool = False
    has_wcs: bool = False
    columns: tuple[CatalogueColumn, ...] = Field(max_length=MOST_COLUMNS)
    source: Source = Field(default_factory=Source)
    provenance: Provenance = Field(default_factory=dict, validate_default=True)
    full_instrument: WholeInstrument | None = None
    content_hash: Sha256 | None = None
    checksums: Checksums | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        words: dict[str, Any] = handler(self)
        if self.redden is None:  # sets of before keep their bytes
            words.pop("redden", None)
        if self.full_instrument is None:
            words.pop("full_instrument", None)
        else:
            words["full_instrument"] = self.full_instrument.to_json()
        return words

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: tuple[BandHeader, ...]) -> tuple[BandHeader, ...]:
        names = [band.name for band in bands]
        if len(set(names)) < len(names):
            raise ValueError(f"a band is named twice among {', '.join(names)}")
        return bands

    @field_validator("provenance", mode="before")
    @classmethod
    def _whole(cls, words: Any) -> Any:
        """Sets of other makers name a command alone, nothing, or what we do not know."""
        return Provenance.of(words)

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns: tuple[CatalogueColumn, ...]) -> tuple[CatalogueColumn, ...]:
        counted = Counter(["id", *(column.name for column in columns)])
        twice, times = counted.most_common(1)[0]
        if times > 1:
            raise ValueError(f"column {twice} is there twice; the first column, id, is always there")
        return columns

    @model_validator(mode="after")
    def _fits_memory(self) -> Self:
        for band in self.bands:
            pixels = max(math.prod(band.shape), 0 if band.psf is None else band.psf.side**2)
            if self.chunk * pixels > MOST_PIXELS:
                raise ValueError(
                    f"band {band.name}: {self.chunk} images of {band.shape[0]}×{band.shape[1]} pixels are more than "
                    f"{MOST_PIXELS} pixels at once; take smaller cutouts"
                )
        return self

    @property
    def n_chunks(self) -> int:
        """Number of chunks; the last may be short."""
        return -(-self.n // self.chunk)

    def span(self, chunk: int) -> slice:
        """Systems of chunk `chunk`."""
        return slice(chunk * self.chunk, min((chunk + 1) * self.chunk, self.n))

    def write(
        self, path: Path, files: Mapping[str, str] | None = None, chunks: Mapping[str, str] | None = None
    ) -> None:
        """Write the header as JSON, whole or not at all; of a finished set with the checksums of its files."""
        words = json.loads(json.dumps(self.model_dump(mode="json", exclude={"checksums"})))  # as it will be read
        if files is not None and chunks is not None:
            words["checksums"] = {"header": digest_of(words), "files": dict(files), "chunks": dict(chunks)}
        write_json(path, words)


def chunk_for(n: int) -> int:
    """Systems per chunk for a set of `n`: small sets are cut finer, so that two workers share them evenly."""
    return min(n, LARGEST_CHUNK, max(8, -(-n // 32)))


def read_header(path: Path) -> Header:
    """Read and check a header.

    Raises
    ------
    DataError
        The file is not JSON, is of another format or version, or a field is wrong.
    """
    words = read_json(path, FIX)
    header = validated(words, Header, f"{path}", FIX)
    if header.checksums is not None:
        found = digest_of({name: value for name, value in words.items() if name != "checksums"})
        if found != header.checksums.header:
            raise DataError(f"{path}: was changed after the set was made; {FIX}, or restore the file")
    return header


def refuse_other(path: Path, found: Header, wanted: Header) -> None:
    """Raise UsageError naming each field in which the set at `path` differs from the requested one."""
    before, now = _comparable(found), _comparable(wanted)
    differing = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if differing:
        shown = "; ".join(
            f"{key} is {_brief(before.get(key))}, you ask for {_brief(now.get(key))}" for key in differing[:3]
        )
        raise UsageError(
            f"{path}: holds another lens set ({shown}); choose another --out, give the same options, or remove that "
            f"folder"
        )


def _comparable(header: Header) -> dict[str, str]:
    """Every field by its dotted name, but for those that follow from others."""
    flat: dict[str, str] = {}
    for key, value in header.model_dump(mode="json", exclude={"content_hash", "checksums"}).items():
        for name, part in value.items() if isinstance(value, dict) else [(None, value)]:
            flat[f"{key}.{name}" if name else key] = json.dumps(part, sort_keys=True)
    for derived in ("provenance.command", "provenance.seed", "chunk"):
        flat.pop(derived, None)
    return flat


def _brief(text: str | None) -> str:
    return str(text) if text is None or len(text) <= 60 else text[:57] + "..."
