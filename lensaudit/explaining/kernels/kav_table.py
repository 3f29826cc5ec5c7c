"""Kernel activation values on disk: Parquet, one row per image, one column per kernel, written as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.documents import json_of
from lensaudit.errors import DataError, LensauditError, NoSuchData, UsageError
from lensaudit.files import replacing
from lensaudit.records import plain
from lensaudit.untrusted import regular_size

RECORD_KEY = b"lensaudit"
MOST_KERNELS = 1_000_000
SILENCE_KEY = b"lensaudit-highest"

GROUP_BYTES = 16 << 20
"""Kernel values per row group at most: what is held in memory while writing."""

LARGEST_GROUP = 4096

_FIXED = (
    pa.field("id", pa.string(), nullable=False, metadata={"description": "name of the image in its set"}),
    pa.field("label", pa.int8(), metadata={"description": "1 lens, 0 non-lens, −1 unknown"}),
    pa.field("kind", pa.string(), metadata={"description": "kind of scene, where the set knows it"}),
    pa.field("p_lens", pa.float64(), metadata={"description": "probability of lens; NaN if not scored"}),
    pa.field("logit", pa.float64(), metadata={"description": "log-odds of lens; p_lens = sigmoid(logit)"}),
    pa.field("status", pa.string(), metadata={"description": "ok, or why the image was not scored"}),
)


@dataclass(frozen=True, order=True)
class Kernel:
    """A kernel by the layer's name and its own number: "[layer 13 kernel 4]" of Wilde et al. 2022."""

    layer: str
    number: int

    @property
    def column(self) -> str:
        """Name of its column, ``layer13_kernel4``."""
        return f"layer{self.layer}_kernel{self.number}"

    def __str__(self) -> str:
        return f"layer {self.layer} kernel {self.number}"


@dataclass(frozen=True, eq=False)
class KavTable:
    """A finished table of kernel activation values.

    Attributes
    ----------
    path
        The Parquet file.
    n
        Images.
    kernels
        All kernels, in the order of the columns.
    record
        Finder, set and provenance.
    highest
        Highest pixel of each kernel's maps in the images that were searched for it, float64 (kernels); NaN if unused.
    n_searched
        How many images were.
    """

    path: Path
    n: int
    kernels: tuple[Kernel, ...]
    record: Mapping[str, Any]
    highest: NDArray[np.float64]
    n_searched: int

    @classmethod
    def open(cls, path: Path) -> KavTable:
        """Open a table written by `writing`.

        Raises
        ------
        DataError
            There is none, or it is torn or something else.
        """
        try:
            regular_size(Path(path))
            with pq.ParquetFile(path) as stored:
                metadata, n = stored.schema_arrow.metadata | (stored.metadata.metadata or {}), stored.metadata.num_rows
            fix = "make it anew with lensaudit kernels"
            record, search = (json_of(metadata[key], f"{path}", fix) for key in (RECORD_KEY, SILENCE_KEY))
            if sum(int(count) for _, count in record["layers"]) > MOST_KERNELS:
                raise ValueError("more kernels than a table can have")
            kernels = tuple(Kernel(layer, k) for layer, count in record["layers"] for k in range(count))
            highest = np.array([np.nan if value is None else value for value in search["highest"]])
            return cls(Path(path), n, kernels, record, highest, search["n_searched"])
        except UsageError as missing:
            raise NoSuchData(f"{path}: no such file; make it with lensaudit kernels") from missing
        except LensauditError:
            raise
        except (pa.ArrowException, LookupError, OSError, TypeError, ValueError, AttributeError) as broken:
            raise DataError(f"{path}: is torn or no table of kernels; make it anew with lensaudit kernels") from broken

    def column(self, name: str) -> NDArray[Any]:
        """One column (n,): ``id``, ``label``, ``kind``, ``p_lens``, ``logit``, ``status`` or a kernel's."""
        with pq.ParquetFile(self.path) as stored:
            return np.array(stored.read(columns=[name], use_threads=False).column(0).to_numpy())

    def values(self, kernel: Kernel) -> NDArray[np.float32]:
        """Activation values of one kernel, float32 (n,); NaN for images that were not scored."""
        return self.column(kernel.column)

    def blocks(self, width: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield (kernels, their values float32 (n, m)) of `width` kernels at a time."""
        with pq.ParquetFile(self.path) as stored:
            for first in range(0, len(self.kernels), width):
                span = slice(first, min(first + width, len(self.kernels)))
                columns = [kernel.column for kernel in self.kernels[span]]
                table = stored.read(columns=columns, use_threads=False)
                yield span, np.stack([table.column(name).to_numpy() for name in columns], axis=1)


class KavWriter:
    """Collects rows and writes them in row groups; see `writing`."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, kernels: int) -> None:
        self._writer, self._schema = writer, schema
        self._capacity = max(1, min(LARGEST_GROUP, GROUP_BYTES // (4 * kernels)))
        self._highest = np.full(kernels, np.nan, np.float32)
        self._n_searched = 0
        self._facts: dict[str, list[Any]] = {}
        self._values: list[NDArray[np.float32]] = []
        self._rows = 0

    def add(self, facts: Mapping[str, Sequence[Any] | NDArray[Any]], values: NDArray[np.float32]) -> None:
        """Add images: columns ``id``, ``label`` … of what is known of each, and float32 (images, kernels)."""
        for name, column in facts.items():
            self._facts.setdefault(name, []).extend(column)
        self._values.append(values)
        self._rows += len(values)
        if self._rows >= self._capacity:
            self.flush()

    def search(self, highest: NDArray[np.float32]) -> None:
        """Note the highest pixels of maps, float32 (images, kernels)."""
        if len(highest):
            self._highest = np.fmax(self._highest, np.fmax.reduce(highest, axis=0))
            self._n_searched += len(highest)

    def flush(self) -> None:
        """Write what was collected as a row group."""
        if not self._rows:
            return
        known = self._schema.names[: -len(self._highest)]
        columns = [pa.array(self._facts[name], self._schema.field(name).type) for name in known]
        columns += [pa.array(column) for column in np.concatenate(self._values).T.copy()]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._facts, self._values, self._rows = {}, [], 0

    def finish(self) -> None:
        """Write the rest, and what was searched."""
        self.flush()
        words = json.dumps(plain({"highest": self._highest, "n_searched": self._n_searched})).encode()
        self._writer.add_key_value_metadata({SILENCE_KEY: words})


@contextmanager
def writing(path: Path, kernels: Sequence[Kernel], record: Mapping[str, Any], kind: bool) -> Iterator[KavWriter]:
    """Write a table to `path`, whole or not at all.

    Parameters
    ----------
    kernels
        In the order of the values.
    record
        Finder, set and provenance; ``layers`` are (name, kernels) in order.
    kind
        Whether there is a column ``kind``.
    """
    fixed = [field for field in _FIXED if kind or field.name != "kind"]
    values = [pa.field(kernel.column, pa.float32(), metadata={"description": f"KAV of {kernel}"}) for kernel in kernels]
    words = json.dumps(dict(record), sort_keys=True, allow_nan=False).encode()
    schema = pa.schema([*fixed, *values], metadata={RECORD_KEY: words})
    # Values hardly repeat: dictionaries, statistics and compression would cost time and save nothing.
    plain = {"compression": "none", "use_dictionary": ["kind", "status"], "write_statistics": False}
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, **plain) as writer:
        collected = KavWriter(writer, schema, len(kernels))
        yield collected
        collected.finish()
