"""Hugging Face datasets as ``save_to_disk`` leaves them: Arrow files and two JSON files; read by pyarrow alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lensaudit.documents import read_json
from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.containers.adapter import Adapter, Numbers, Rows, runs
from lensaudit.lensset.containers.arrow_images import Shapes, images_of, values_of
from lensaudit.untrusted import path_within, printable, regular_size

_FIX = "save the data set again"


class ArrowFile(Adapter):
    """One Arrow file, mapped: the operating system reads what is asked for, and nothing is held.

    Parameters
    ----------
    classes
        Column of classes → their names.
    """

    def __init__(
        self, path: Path, images: Sequence[str], values: Sequence[str], shapes: Shapes,
        classes: dict[str, list[str]],
    ) -> None:  # fmt: skip
        self.path, self._flat, self._classes = path, shapes, classes
        regular_size(path)
        self._table: pa.Table | None = None
        self.n = self._opened().num_rows
        names = self._opened().column_names
        for name in (*images, *values):
            if name not in names:
                there = printable(", ".join(names), 300)
                raise DataError(f"{path}: has no column {printable(name, 60)}; correct the name, it has {there}")
        self._shapes = {name: self.block(name, np.zeros(1, np.intp)).shape[1:] for name in images} if self.n else {}
        self.close()

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._shapes[name]

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        where = f"{self.path}: column {printable(name, 60)}"
        column = self._opened().column(name)
        try:
            parts = [
                images_of(piece, self._flat.get(name), where)
                for first, end, row in runs(rows)
                for piece in column.slice(row, end - first).chunks
                if len(piece)
            ]
        except (pa.ArrowException, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{where}: is damaged ({printable(error, 80)}); {_FIX}") from error
        if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            raise DataError(f"{where}: images differ in shape; cut all to one size")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """Numbers or words; of classes their names."""
        return values_of(self._opened().column(name).take(pa.array(rows)), self._classes.get(name))

    def close(self) -> None:
        """Let go of the map."""
        self._table = None

    def _opened(self) -> pa.Table:
        if self._table is None:
            try:
                with pa.memory_map(str(self.path)) as source:
                    begin = source.read(6)
                    source.seek(0)
                    reader = pa.ipc.open_file(source) if begin == b"ARROW1" else pa.ipc.open_stream(source)
                    self._table = reader.read_all()
                    self._table.validate()
            except (pa.ArrowException, OSError, ValueError) as error:
                reason = printable(" ".join(str(error).split()), 80)
                raise DataError(f"{self.path}: cannot be read as Arrow ({reason}); {_FIX}") from error
        return self._table


def huggingface_adapter(
    files: Sequence[Path], images: Sequence[str], values: Sequence[str], shapes: Shapes
) -> list[Adapter]:
    """An adapter for each Arrow file of the data sets in the folders `files`, in their order."""
    if not all(images):
        raise UsageError(f"{files[0]}: images is not given; name the column, or one for each band")
    found: list[Adapter] = []
    for one in files:
        arrows, classes = ([one], {}) if one.is_file() else _inside(one)
        found += [ArrowFile(arrow, images, values, shapes, classes) for arrow in arrows]
    return found


def _inside(folder: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """Arrow files of a data set in order, and the names of its classes."""
    if (folder / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(one.name for one in folder.iterdir() if one.is_dir()))
        raise DataError(f"{folder}: holds several data sets ({printable(splits, 100)}); name one of them as data")
    state, info = folder / "state.json", folder / "dataset_info.json"
    if not state.is_file():
        arrows = sorted(folder.glob("*.arrow"))
        if not arrows:
            raise DataError(f"{folder}: holds no state.json and no Arrow file, so it is no data set; correct data")
        return [path_within(folder, arrow.name) for arrow in arrows], _classes(info)
    words = read_json(state, _FIX)
    if not isinstance(words, dict) or words.get("_indices_data_files"):
        raise DataError(f"{state}: rows are picked by an index, which is not followed; save flatten_indices() of it")
    listed = words.get("_data_files")
    names = (
        [str(one.get("filename", "")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    )
    if not names:
        raise DataError(f"{state}: _data_files names no file; {_FIX}")
    try:
        return [path_within(folder, *name.split("/")) for name in names], _classes(info)
    except UsageError as error:
        raise DataError(f"{state}: _data_files names a file outside the folder; {_FIX}") from error


def _classes(info: Path) -> dict[str, list[str]]:
    """Column → names of its classes, as ``dataset_info.json`` says."""
    words = read_json(info, _FIX) if info.is_file() else {}
    features = words.get("features") if isinstance(words, dict) else None
    found: dict[str, list[str]] = {}
    for name, about in (features or {}).items() if isinstance(features, dict) else ():
        if isinstance(about, dict) and about.get("_type") == "ClassLabel" and isinstance(about.get("names"), list):
            found[name] = [str(one) for one in about["names"]]
    return found
