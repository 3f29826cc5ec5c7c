"""Cutouts in numpy's ``.npz`` files, with their noise, masks and point-spread functions."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.header import CatalogueColumn
from lensaudit.lensset.ingest.challenges import carried_name, chosen_bands
from lensaudit.lensset.ingest.external import ExternalRows, external_rows
from lensaudit.lensset.ingest.plan import UNKNOWN_UNIT, Beside, PixelPolicy, Plan, of_instrument
from lensaudit.lensset.ingest.sources import NpzSource, open_npz
from lensaudit.lensset.ingest.systems import PlacesByKind, Plate, Systems
from lensaudit.untrusted import printable, regular_size

NPZ_ARRAYS: Mapping[str, tuple[str, ...]] = {
    "images": ("images", "image", "cutouts"),
    "psf": ("psfs", "psf"),
    "rms": ("rms", "sigma", "noise"),
    "variance": ("variance", "variances", "var"),
    "weight": ("weights", "weight", "ivar", "inverse_variance"),
    "mask": ("mask", "masks"),
    "bands": ("bands", "filters"),
    "ids": ("ids", "id", "names"),
    "labels": ("labels", "label", "is_lens"),
}
"""What an ``.npz`` file may hold, and the names that are known for it."""


@dataclass(frozen=True)
class _Npz:
    """What one file says of itself: arrays by meaning, the shape of its images (n, b, h, w), and its small arrays."""

    path: Path
    names: Mapping[str, str]
    shape: tuple[int, int, int, int]
    shapes: Mapping[str, tuple[int, ...]]
    bands: tuple[str, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.int8] | None
    columns: Mapping[str, NDArray[Any]]
    plain_mask: bool
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class NpzPlaces:
    """Planes of an array that several files have: of system j in its file, plane `j · step + plane`."""

    files: tuple[str, ...]
    starts: tuple[int, ...]
    arrays: tuple[str, ...]
    steps: tuple[int, ...]
    plane: int

    def plate(self, place: int, name: str) -> Plate:
        """See `Places`."""
        at = bisect_right(self.starts, place) - 1
        return Plate(self.files[at], (self.arrays[at],), (place - self.starts[at]) * self.steps[at] + self.plane)


def plan_npz(
    paths: Sequence[Path],
    *,
    bands: Sequence[str] = (),
    label: str = "unknown",
    catalogue: Path | None = None,
    instrument: str = "unknown",
    policy: PixelPolicy | None = None,
) -> Plan:
    """Plan the ingest of cutouts in ``.npz`` files of plain arrays (see `NPZ_ARRAYS`).

    Images are (n, b, h, w), or (b, h, w) for one system; PSFs, noise and masks likewise, those without n being of all
    systems of their file. One-dimensional arrays of n numbers or words are kept as columns.

    Parameters
    ----------
    paths
        Files, or folders of them.
    bands
        A choice among the file's bands, or their names in order where it has none.
    label, catalogue
        See `external_rows`; labels in the files come before `label`.

    Raises
    ------
    DataError
        An array is damaged, holds Python objects, or does not go with the images; or an id is there twice.
    """
    policy = policy or PixelPolicy()
    files = [_read_npz(path, bands) for path in _npz_files(paths)]
    first = files[0]
    chosen = chosen_bands(bands, first.bands)
    for file in files[1:]:
        if file.bands != first.bands or file.names.keys() != first.names.keys():
            raise DataError(
                f"{file.path}: holds {_words(file)}, {first.path} {_words(first)}; ingest them into sets of their own"
            )
    ids = [name for file in files for name in file.ids]
    twice, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise DataError(
            f"{first.path.parent}: id {printable(twice, 60)} is there twice; give each system an id of its own"
        )
    rows = _with_arrays(external_rows(ids, label, catalogue), files, catalogue)
    own, beside, notes = _planes(files, chosen, policy)
    instrument, policy = of_instrument(instrument, chosen, policy)
    return Plan(
        layout="npz",
        instrument=instrument,
        bands=chosen,
        systems=Systems(ids, rows.values, own),
        columns=rows.columns,
        policy=policy,
        unit=UNKNOWN_UNIT,
        root=first.path.parent,
        source={"arrays": dict(first.names), **rows.facts},
        beside=beside,
        notes=(*notes, *rows.notes),
        inputs=rows.inputs,
    )


def _words(file: _Npz) -> str:
    return f"{', '.join(file.names.values())} in bands {', '.join(file.bands)}"


def _npz_files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path}: holds no .npz file; check the path")
        files += inside
    for file in files:
        regular_size(file)
        if file.suffix != ".npz":
            raise UsageError(f"{file}: is not called .npz; give .npz files, or ingest FITS with lensaudit ingest fits")
    if not files:
        raise UsageError("give at least one .npz file")
    return files


def _read_npz(path: Path, bands: Sequence[str]) -> _Npz:
    with open_npz(path) as source:
        names = {
            what: found
            for what, known in NPZ_ARRAYS.items()
            if (found := next((k for k in known if k in source.names), ""))
        }
        if "images" not in names:
            there = printable(", ".join(source.names), 200)
            raise DataError(f"{path}: has no array {' or '.join(NPZ_ARRAYS['images'])}, it has {there}; rename it")
        noise = [names[kind] for kind in ("rms", "variance", "weight") if kind in names]
        if len(noise) > 1:
            raise DataError(f"{path}: has {' and '.join(noise)}, one noise map is needed; leave the others out")
        shapes = {what: source.array(names[what]).shape for what in names}
        shape = _images_shape(path, shapes["images"])
        n, b = shape[:2]
        for what in ("rms", "variance", "weight", "mask", "psf"):
            if what in shapes:
                _refuse_shape(f"{path}: array {names[what]}", shapes[what], shape, what == "psf")
        named = _text(source, names["bands"], b) if "bands" in names else ()
        ids = _text(source, names["ids"], n) if "ids" in names else ()
        others = [name for name in source.names if name not in names.values()]
        columns = {name: cells for name in others if (cells := _column(source, name, n)) is not None}
        return _Npz(
            path,
            names,
            shape,
            shapes,
            named or _given_bands(path, bands, b),
            ids or ((path.stem,) if n == 1 else tuple(f"{path.stem}-{i:06d}" for i in range(n))),
            _labels(source, names["labels"], n) if "labels" in names else None,
            columns,
            "mask" in names and source.array(names["mask"]).dtype == bool,
            tuple(name for name in others if name not in columns),
        )


def _images_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise DataError(
            f"{path}: images have shape {shape}; (n, bands, rows, columns) is needed, or (bands, rows, columns)"
        )
    n, b, h, w = (1,) * (4 - len(shape)) + shape
    return n, b, h, w


def _refuse_shape(where: str, shape: tuple[int, ...], images: tuple[int, int, int, int], psf: bool) -> None:
    """Raise DataError unless the leading axes are those of the images, or their last ones."""
    leading, wanted = shape[:-2], images[:2]
    fits = len(shape) >= 2 and leading in (wanted, wanted[1:], ())
    if not fits or 0 in shape or (not psf and shape[-2:] != images[2:]):
        last = "a PSF's rows and columns" if psf else f"{images[2]}, {images[3]}"
        raise DataError(
            f"{where}: has shape {shape}, (bands,) or (n, bands) = {wanted} and {last} are needed; correct it"
        )


def _given_bands(path: Path, bands: Sequence[str], b: int) -> tuple[str, ...]:
    if len(bands) != b:
        raise UsageError(f"{path}: does not name its {b} bands; give their names in order, --bands g,r,… ")
    return tuple(bands)


def _text(source: NpzSource, name: str, n: int) -> tuple[str, ...]:
    """An array of `n` words, or whole numbers, as text."""
    array = source.array(name)
    if array.shape != (n,) or array.dtype.kind not in "USiu":
        raise DataError(f"{array.where}: has shape {array.shape} of {array.dtype}, {n} words are needed; correct it")
    found = array.whole()
    return tuple((one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)) for one in found.tolist())


def _labels(source: NpzSource, name: str, n: int) -> NDArray[np.int8]:
    array = source.array(name)
    found = array.whole() if array.shape == (n,) and array.dtype.kind in "biuf" else None
    if found is None or not np.isin(found, (-1, 0, 1)).all():
        raise DataError(f"{array.where}: must be {n} labels, 1 (lens), 0 (non-lens) or -1 (unknown); correct it")
    return found.astype(np.int8)


def _column(source: NpzSource, name: str, n: int) -> NDArray[Any] | None:
    """One number or word for each system; None for anything else, pickles among them."""
    with suppress(DataError):
        array = source.array(name)
        if array.shape == (n,) and array.dtype.kind in "USiufb":
            found = array.whole()
            return found.astype(np.float64) if array.dtype.kind not in "US" else found
    return None


def _with_arrays(rows: ExternalRows, files: Sequence[_Npz], catalogue: Path | None) -> ExternalRows:
    """Labels and columns of the files, beside those of the catalogue, which win where both have them."""
    values, columns = dict(rows.values), list(rows.columns)
    labels = [file.labels for file in files if file.labels is not None]
    if labels and catalogue is None:
        values["label"] = np.concatenate(labels)
    notes = [f"{name} is left out: it is no array of one number or word for each system" for name in files[0].left_out]
    for name, found in files[0].columns.items():
        parts = [file.columns[name] for file in files if name in file.columns]
        kept = carried_name(name)
        if len(parts) < len(files) or kept in values:
            why = "the catalogue has it" if kept in values else "not all files have it"
            notes.append(f"{printable(name, 60)} is left out: {why}")
            continue
        text = found.dtype.kind in "US"
        words = [str(one) for part in parts for one in part.astype("U").tolist()] if text else []
        values[kept] = words if text else np.concatenate(parts)
        columns.append(
            CatalogueColumn(
                name=kept,
                unit="" if text else "unknown",
                description="as in the file",
                dtype="str" if text else "float64",
            )
        )
    return replace(rows, values=values, columns=tuple(columns), notes=(*rows.notes, *notes))


def _planes(
    files: Sequence[_Npz], chosen: Sequence[str], policy: PixelPolicy
) -> tuple[PlacesByKind, Beside, list[str]]:
    """Where everything lies, what is kept of it, and a sentence on a mask that is not used."""
    first = files[0]
    starts = np.cumsum([0, *(file.shape[0] for file in files)])[:-1]

    def places(what: str) -> dict[str, NpzPlaces]:
        bands = {band: first.bands.index(band) for band in chosen}
        return {
            band: NpzPlaces(
                tuple(str(file.path) for file in files),
                tuple(int(start) for start in starts),
                tuple(file.names[what] for file in files),
                tuple(file.shape[1] if _own(file, what) else 0 for file in files),
                place if len(first.shapes[what]) > 2 else 0,
            )
            for band, place in bands.items()
        }

    kind = next((kind for kind in ("rms", "variance", "weight") if kind in first.names), "")
    wanted = {"psf": "psf" in first.names, "noise": bool(kind)}
    keep = {what for what, there in wanted.items() if there and not policy.images_only}
    shared = {what for what in keep if len(files) == 1 and not _own(first, kind if what == "noise" else what)}
    masked = "mask" in first.names and (first.plain_mask or bool(policy.bad_bits))
    psfs, noise = places("psf") if "psf" in keep else {}, places(kind) if "noise" in keep else {}
    beside = Beside(
        dict.fromkeys(noise, kind),
        tuple(psfs),
        {band: where.plate(0, "") for band, where in psfs.items()} if "psf" in shared else {},
        {band: where.plate(0, "") for band, where in noise.items()} if "noise" in shared else {},
        masked=masked,
    )
    unused = "mask" in first.names and not masked
    notes = ["the mask, which holds bits, is not used; name those of bad pixels with --mask-bits"] if unused else []
    own = PlacesByKind(
        places("images"),
        {} if "psf" in shared else psfs,
        {} if "noise" in shared else noise,
        places("mask") if masked else {},
    )
    return own, beside, notes


def _own(file: _Npz, what: str) -> bool:
    """Whether each system has its own plane, rather than one for all of the file."""
    return file.shape[0] == 1 or len(file.shapes[what]) == 4
