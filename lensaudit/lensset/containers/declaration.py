"""The YAML that declares a container: where its images, bands, ids and labels are, and what a pixel means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lensaudit.documents import read_yaml
from lensaudit.errors import NoSuchFile, UsageError
from lensaudit.lensset.header import LARGEST_SIDE, Instrument
from lensaudit.untrusted import Label, path_within, printable

SUFFIXES = (".yaml", ".yml")
MOST_FILES = 100_000
MOST_BANDS = 64

Format = Literal[
    "hdf5", "npy", "npz", "fits", "fits-table", "fits-cube", "webdataset", "parquet", "huggingface", "pictures"
]
Layout = Literal["NCHW", "NHWC"]
Band = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$", max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=400)]
_Arcsec = Annotated[float, Field(ge=1e-6, le=3600)]
_Mag = Annotated[float, Field(ge=-100, le=100)]
_Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
_Electrons = Annotated[float, Field(gt=0, le=1e30)]
_Unit = Annotated[str, Field(max_length=200)]
V = TypeVar("V")

NOISE = ("rms", "variance", "weight")
"""What a noise map may hold: the standard deviation, its square, or the inverse of that."""
_FITS_FILE = re.compile(r"[^*\[\]]+\.(fits|fit|fts)(\.(gz|fz|bz2))?(\[[^\[\]]+\])?", re.IGNORECASE)

BY_SUFFIX: Mapping[str, Format] = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".npy": "npy",
    ".npz": "npz",
    ".tar": "webdataset",
    ".parquet": "parquet",
    ".arrow": "huggingface",
    ".png": "pictures",
    ".jpg": "pictures",
    ".jpeg": "pictures",
}
"""End of a file's name → its format, where the declaration names none; FITS files may hold any of three."""


class ContainerFile(BaseModel):
    """What a container holds.

    Attributes
    ----------
    data
        File or folder, in the folder of the YAML or below it; several, or a pattern with ``*``, are shards that follow
        one another in the order of their names.
    format
        By default what the name of the first file ends with.
    bands
        Their names, in the order in which they are stored.
    images
        What holds the images: a dataset, a member, a column, an extension; or band → such a name.
    layout
        Of an image with several bands: ``NCHW`` bands first, ``NHWC`` bands last; by default what fits.
    shape
        Of one image, where it is stored as a plain list of numbers.
    ids, labels, columns
        What holds the ids, the labels and further numbers or words; of `columns` with their units.
    label
        Of all images, where nothing holds labels.
    catalogue
        A table that holds ids, labels and columns instead: matched by id where the container has ids of its own, else
        a row for an image.
    size_pixels
        Only the central pixels are taken, so many along a side: of all bands, or by band.
    pixel_scale_arcsec, field_of_view_arcsec
        Of the images as they are stored, of all bands or by band; one of the two.
    zero_point_mag, unit, electrons_per_unit
        AB magnitude of one pixel unit, its name, and how many electrons it is.
    filters
        Band → name of its filter in speclite.
    psf
        Point-spread functions, of all bands or by band: what holds one for each image, as `images`; or of all images a
        FITS file, ``FILE.fits[EXTENSION]``, or a ``.npy`` file.
    rms, variance, weight
        Noise maps, one of the three, likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: Name | Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST_FILES)]
    format: Format | None = None
    bands: Annotated[tuple[Band, ...], Field(min_length=1, max_length=MOST_BANDS)]
    images: Name | dict[Band, Name] | None = None
    layout: Layout | None = None
    shape: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=LARGEST_SIDE)], ...], Field(min_length=2, max_length=3)] | None
    ) = None
    ids: Name | None = None
    labels: Name | None = None
    label: Literal["lens", "non-lens", "unknown"] = "unknown"
    columns: Annotated[dict[Label, _Unit], Field(max_length=1000)] = {}
    catalogue: Name | None = None
    pixel_scale_arcsec: _Arcsec | dict[Band, _Arcsec] | None = None
    field_of_view_arcsec: (
        Annotated[float, Field(gt=0, le=36_000)] | dict[Band, Annotated[float, Field(gt=0, le=36_000)]] | None
    ) = None
    zero_point_mag: _Mag | dict[Band, _Mag] | None = None
    unit: _Unit | dict[Band, _Unit] = "unknown"
    instrument: Instrument = "unknown"
    size_pixels: _Side | dict[Band, _Side] | None = None
    electrons_per_unit: _Electrons | dict[Band, _Electrons] | None = None
    filters: dict[Band, Name] | None = None
    psf: Name | dict[Band, Name] | None = None
    rms: Name | dict[Band, Name] | None = None
    variance: Name | dict[Band, Name] | None = None
    weight: Name | dict[Band, Name] | None = None

    @model_validator(mode="after")
    def _each_band_once(self) -> Self:
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands: one is named twice among {', '.join(self.bands)}; name each once")
        if (self.pixel_scale_arcsec is None) == (self.field_of_view_arcsec is None):
            raise ValueError("pixel_scale_arcsec or field_of_view_arcsec: give one of them")
        for field in ("images", "pixel_scale_arcsec", "field_of_view_arcsec"):
            given = getattr(self, field)
            if isinstance(given, dict) and set(given) != set(self.bands):
                raise ValueError(f"{field}: names {', '.join(given)}, the bands are {', '.join(self.bands)}")
        if len(given := [kind for kind in NOISE if getattr(self, kind) is not None]) > 1:
            raise ValueError(f"{' and '.join(given)}: each says the noise; give one of them")
        for field in ("size_pixels", "zero_point_mag", "unit", "electrons_per_unit", "filters", "psf", *NOISE):
            given = getattr(self, field)
            if isinstance(given, dict) and (odd := set(given) - set(self.bands)):
                raise ValueError(f"{field}: {min(odd)} is not one of the bands {', '.join(self.bands)}")
        if taken := {"id", "label"} & set(self.columns):
            raise ValueError(f"columns: {min(taken)} is there already; give it by ids or labels")
        return self

    @property
    def image_names(self) -> dict[str, str]:
        """Band → what holds its images; one name, perhaps empty, for all of them unless each has its own."""
        if isinstance(self.images, dict):
            return {band: self.images[band] for band in self.bands}
        return dict.fromkeys(self.bands, self.images or "")

    @property
    def stamp_names(self) -> dict[str, dict[str, str]]:
        """``psf``, or the kind of noise → band → what in the container holds one for each image."""
        found = {}
        for kind in ("psf", *NOISE):
            given = getattr(self, kind)
            words = given if isinstance(given, dict) else dict.fromkeys(self.bands, given or "")
            if inside := {band: word for band, word in words.items() if word and self.place_of(word) == "inside"}:
                found[kind] = inside
        return found

    def place_of(self, word: str) -> Literal["file", "array", "inside"]:
        """Where PSFs or noise called `word` lie: in a FITS file for all, in a ``.npy`` file, or in the container."""
        if _FITS_FILE.fullmatch(word):
            return "file"
        first = self.data if isinstance(self.data, str) else self.data[0]
        in_tar = self.format == "webdataset" or (self.format is None and first.lower().endswith(".tar"))
        return "array" if word.endswith(".npy") and not in_tar else "inside"

    def hashed(self) -> dict[str, Any]:
        """What it says, as plain values; fields that came later are there where they are given."""
        since = {"size_pixels", "electrons_per_unit", "filters", "psf", *NOISE}
        words = self.model_dump(mode="json")
        return {name: value for name, value in words.items() if value is not None or name not in since}

    @property
    def apart(self) -> bool:
        """Whether each band has images of its own."""
        return isinstance(self.images, dict)

    def of_band(self, given: V | Mapping[str, V] | None, band: str) -> V | None:
        """What a field that may be given by band says of one."""
        return given.get(band) if isinstance(given, dict) else given  # type: ignore[return-value]


def is_declaration(path: Path) -> bool:
    """Whether the name of `path` is that of a YAML."""
    return path.suffix.lower() in SUFFIXES


def declaration_at(path: Path) -> Path | None:
    """The YAML that declares the container `path`: itself, the one beside it, or the only one in it; None without."""
    path = Path(path)
    if is_declaration(path):
        return path if path.is_file() else None
    beside = [path.with_name(f"{stem}{end}") for stem in (path.name, path.stem) for end in SUFFIXES]
    if found := next((one for one in beside if one.is_file()), None):
        return found
    inside = [one for one in path.iterdir() if is_declaration(one)] if path.is_dir() else []
    return inside[0] if len(inside) == 1 else None


def read_declaration(path: Path) -> tuple[ContainerFile, Format, list[Path]]:
    """The declaration in the YAML `path`, the format, and the files or the folder it names.

    Raises
    ------
    UsageError
        A field is wrong, or a file lies outside the YAML's folder or is not there.
    """
    told = read_yaml(path, ContainerFile)
    words = (told.data,) if isinstance(told.data, str) else told.data
    files = [file for word in words for file in _files(path, word)]
    if len(files) > MOST_FILES:
        raise UsageError(f"{path}: data names {len(files)} files, at most {MOST_FILES} are read; name their folder")
    form = told.format or _format_by_name(path, files[0])
    return told, form, files


def within(yaml: Path, word: str, field: str) -> Path:
    """The path that `word` of the YAML's `field` means.

    Raises
    ------
    UsageError
        It lies outside the YAML's folder, by its words or by a link, or is not there.
    """
    parts = [part for part in word.split("/") if part != "."]
    try:
        found = path_within(yaml.parent, *parts)
    except UsageError as error:
        where = printable(word, 60)
        raise UsageError(f"{yaml}: {field}: {where!r} is not in the YAML's folder or below; move it there") from error
    if not found.exists():
        raise NoSuchFile(f"{yaml}: {field}: {printable(word, 60)!r} is not there; correct the name")
    return found


def _files(yaml: Path, word: str) -> Sequence[Path]:
    if "*" not in word:
        return [within(yaml, word, "data")]
    parts = word.split("/")
    if any(part in ("", "..", "**") for part in parts) or re.search(r"[\\\x00-\x1f\x7f]", word):
        where = printable(word, 60)
        raise UsageError(f"{yaml}: data: {where!r} is no pattern of files below the YAML's folder; correct it")
    found = sorted(yaml.parent.glob(word))
    if not found:
        raise NoSuchFile(f"{yaml}: data: no file is called {printable(word, 60)!r}; correct the pattern")
    return [within(yaml, file.relative_to(yaml.parent).as_posix(), "data") for file in found]


def _format_by_name(yaml: Path, file: Path) -> Format:
    found = BY_SUFFIX.get(file.suffix.lower())
    if found is None and file.is_dir():
        if (file / "state.json").is_file() or any(file.glob("*.arrow")):
            return "huggingface"
        if any(file.glob("*.parquet")) or any(file.glob("Norder*")) or (file / "dataset").is_dir():
            return "parquet"
    if found is None:
        names = ", ".join(Format.__args__)  # type: ignore[attr-defined]
        raise UsageError(f"{yaml}: format: {printable(file.name, 60)} does not say it; give one of {names}")
    return found
