"""The adapter of a declaration: the code of a format is imported where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lensaudit.errors import UsageError
from lensaudit.lensset.containers.adapter import Adapter, Joined
from lensaudit.lensset.containers.declaration import ContainerFile, Format, within

SQUARE = (0, 0)
"""Shape of images in plain lists that are squares of any size."""


def has_ids(form: Format) -> bool:
    """Whether images of a format have ids of their own."""
    return form in ("fits", "webdataset", "pictures")


def adapter_of(yaml: Path, told: ContainerFile, form: Format, files: Sequence[Path]) -> Adapter:
    """The adapter of what `yaml` declares: of one file, or of several that follow one another."""
    parts = _adapters(yaml, told, form, files)
    return parts[0] if len(parts) == 1 else Joined(files[0].parent, parts)


def _adapters(yaml: Path, told: ContainerFile, form: Format, files: Sequence[Path]) -> list[Adapter]:
    """An adapter for each file."""
    stamps = [word for names in told.stamp_names.values() for word in names.values()]
    images = list(dict.fromkeys([*told.image_names.values(), *stamps]))
    flat = dict.fromkeys(images, told.shape) | dict.fromkeys(told.stamp_names.get("psf", {}).values(), SQUARE)
    inside = [] if told.catalogue is not None else [name for name in (told.ids, told.labels, *told.columns) if name]
    values = [name for name in inside if not name.endswith(".npy")]
    match form:
        case "hdf5":
            from lensaudit.lensset.containers.hdf5 import hdf5_adapter

            return hdf5_adapter(files, images, values)
        case "npy" | "npz":
            from lensaudit.lensset.containers.numpy_files import npy_adapter, npz_adapter

            if form == "npz":
                return npz_adapter(files, images, values)
            _nothing_inside(yaml, values, "arrays in .npy files, or a catalogue")
            _no_stamps(yaml, stamps)
            return npy_adapter(files, {name: within(yaml, name, "images") for name in images} if told.apart else None)
        case "fits" | "fits-table" | "fits-cube":
            from lensaudit.lensset.containers.fits_files import cube_adapter, fits_adapter, table_adapter

            if form == "fits-table":
                return table_adapter(files, images, values)
            _nothing_inside(yaml, values, "a catalogue")
            if form == "fits-cube":
                return cube_adapter(files, [name or "0" for name in images])
            if not told.apart:
                raise UsageError(
                    f"{yaml}: images: format fits needs a pattern for each band, e.g. VIS: '*_vis.fits[1]'"
                )
            beside = {f"{kind}-{band}": p for kind, by in told.stamp_names.items() for band, p in by.items()}
            return fits_adapter(files, told.image_names | beside)
        case "webdataset":
            from lensaudit.lensset.containers.webdataset import webdataset_adapter

            return webdataset_adapter(files, images)
        case "parquet":
            from lensaudit.lensset.containers.parquet import parquet_adapter

            return parquet_adapter(files, images, values, flat)
        case "huggingface":
            from lensaudit.lensset.containers.huggingface import huggingface_adapter

            return huggingface_adapter(files, images, values, flat)
        case "pictures":
            from lensaudit.lensset.containers.pictures import pictures_adapter

            _no_stamps(yaml, stamps)
            return pictures_adapter(files)


def _no_stamps(yaml: Path, names: Sequence[str]) -> None:
    if names:
        raise UsageError(f"{yaml}: psf or noise: nothing in the files is called {names[0]}; give .npy or FITS files")


def _nothing_inside(yaml: Path, values: Sequence[str], fix: str) -> None:
    if values:
        raise UsageError(f"{yaml}: ids, labels or columns: nothing in the files is called {values[0]}; give {fix}")
