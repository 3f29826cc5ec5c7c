"""What an earlier run left is taken up by the next: one way for all pieces of all results.

A piece is one file. It lies there with its key, which is all that it rests on; `Piece.load` hands it over only where
the file is whole and the key is the same, and what it does not hand over is made again. Where a piece's path already
names all that it rests on, there is no key. A form says how a kind of file is read and written; the forms below are
JSON, arrays (``.npz``), tables (Parquet) and tensors (safetensors).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.documents import keep_json, kept_json
from lensaudit.files import replacing, write_bytes
from lensaudit.tables import kept_table, sealed_table

T = TypeVar("T")

KEY = "key"
LARGEST_ARRAYS = 1 << 30
"""Bytes that the arrays of one file may take once unpacked."""


class Form(Protocol[T]):
    """How pieces of one kind are read and written."""

    def read(self, path: Path) -> tuple[Any, T]:
        """(key, value) of a whole file; raises anything where it is torn, changed or of another kind."""

    def write(self, path: Path, key: Any, value: T) -> None:
        """Write the value with its key, whole or not at all."""


@dataclass(frozen=True)
class Piece(Generic[T]):
    """A file that a later run takes up.

    Attributes
    ----------
    path
        Where it lies.
    form
        How it is read and written.
    key
        What it rests on, as the form keeps it; None where the path says it all.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> Piece(folder / "sum.json", JsonForm("sum"), "1 + 1").or_made(lambda: 2)
    2
    >>> Piece(folder / "sum.json", JsonForm("sum"), "1 + 1").load()
    2
    >>> Piece(folder / "sum.json", JsonForm("sum"), "1 + 2").load() is None
    True
    """

    path: Path
    form: Form[T]
    key: Any = None

    def load(self) -> T | None:
        """What an earlier run left; None where there is nothing, it is torn or changed, or rests on something else."""
        if not self.path.is_file():  # a pipe would be waited for
            return None
        try:
            key, value = self.form.read(self.path)
        except Exception:  # zipfile, zlib, numpy, Arrow and safetensors have no common exception for what is torn
            return None
        return value if key == self.key else None

    def write(self, value: T) -> None:
        """Leave `value` for later runs, whole or not at all."""
        self.form.write(self.path, self.key, value)

    def or_made(self, make: Callable[[], T]) -> T:
        """What an earlier run left, or else what `make` gives, which is written."""
        value = self.load()
        if value is None:
            value = make()
            self.write(value)
        return value


def key_of(facts: Any) -> str:
    """SHA-256 of all that a piece rests on, as JSON; the order of a mapping's keys does not matter."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class JsonForm(Generic[T]):
    """Sealed JSON (`lensaudit.documents.keep_json`) with its key under `key_name`.

    Attributes
    ----------
    under
        Name of the value beside the key; empty for a mapping whose entries stand beside the key.
    encode, decode
        To JSON and back; `decode` raises where it is not what is kept there.
    """

    under: str = ""
    key_name: str = KEY
    encode: Callable[[T], Any] = _as_it_is
    decode: Callable[[Any], T] = _as_it_is

    def read(self, path: Path) -> tuple[Any, T]:
        """(key, value); see `Form`."""
        record = kept_json(path)
        key = record.pop(self.key_name, None)
        return key, self.decode(record[self.under] if self.under else record)

    def write(self, path: Path, key: Any, value: T) -> None:
        """Write; see `Form`."""
        words = self.encode(value)
        keyed = {} if key is None else {self.key_name: key}
        keep_json(path, {**keyed, **({self.under: words} if self.under else words)})


Arrays = dict[str, NDArray[Any]]


def arrays_in(path: Path) -> Arrays:
    """All arrays of an ``.npz`` file; nothing pickled is read, and raises anything where it is torn or too large."""
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
        if sum(member.file_size for member in archive.zip.infolist()) > LARGEST_ARRAYS:
            raise ValueError("too large")
        return {name: archive[name] for name in archive.files}


def read_arrays(path: Path) -> Arrays | None:
    """Arrays of an ``.npz`` file by name; None where it is missing or torn."""
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        return arrays_in(path)
    except Exception:  # zipfile, zlib and numpy have no common exception for what is torn
        return None


@dataclass(frozen=True)
class ArraysForm:
    """Arrays by name (``.npz``), with the key as one more array.

    Attributes
    ----------
    key_name
        Of that array.
    binary
        Whether the key, hexadecimal digits, lies there as bytes, and nothing is compressed: for what is written often.
    """

    key_name: str = KEY
    binary: bool = False

    def read(self, path: Path) -> tuple[Any, Arrays]:
        """(key, arrays); see `Form`."""
        arrays = arrays_in(path)
        key = arrays.pop(self.key_name)
        return key.tobytes().hex() if self.binary else str(key), arrays

    def write(self, path: Path, key: Any, value: Arrays) -> None:
        """Write; see `Form`."""
        stream = io.BytesIO()
        if self.binary:
            np.savez(
                stream, allow_pickle=False, **{self.key_name: np.frombuffer(bytes.fromhex(key), np.uint8), **value}
            )
        else:
            np.savez_compressed(stream, allow_pickle=False, **{**value, self.key_name: np.array(key)})
        write_bytes(path, stream.getvalue())


_TABLE_KEY = b"lensaudit-key"


@dataclass(frozen=True)
class TableForm(Generic[T]):
    """A Parquet table with the digest of its rows, its key in the metadata.

    Attributes
    ----------
    encode, decode
        To a table and back; `decode` raises where it is not the one that is kept there.
    compression
        Of Parquet.
    """

    encode: Callable[[T], pa.Table] = _as_it_is
    decode: Callable[[pa.Table], T] = _as_it_is
    compression: str = "snappy"

    def read(self, path: Path) -> tuple[Any, T]:
        """(key, value); see `Form`."""
        table = kept_table(path)
        if table is None:
            raise ValueError("torn or changed")
        key = (table.schema.metadata or {}).get(_TABLE_KEY)
        return None if key is None else key.decode(), self.decode(table)

    def write(self, path: Path, key: Any, value: T) -> None:
        """Write; see `Form`."""
        table = self.encode(value)
        if key is not None:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), _TABLE_KEY: key.encode()})
        with replacing(path) as partial:
            pq.write_table(sealed_table(table), partial, compression=self.compression)


@dataclass(frozen=True)
class TensorsForm:
    """Arrays by name (safetensors), their key as JSON in the metadata.

    Attributes
    ----------
    check
        Raises where the arrays are not what is kept there.
    """

    key_name: str = "identity"
    check: Callable[[Arrays], object] = field(default=_as_it_is)

    def read(self, path: Path) -> tuple[Any, Arrays]:
        """(key, arrays); see `Form`."""
        from safetensors import safe_open

        with safe_open(path, framework="np") as stored:
            words = stored.metadata() or {}
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - it is no mapping
        self.check(arrays)
        return json.loads(words[self.key_name]) if self.key_name in words else None, arrays

    def write(self, path: Path, key: Any, value: Arrays) -> None:
        """Write; see `Form`."""
        from safetensors.numpy import save

        contiguous = {name: np.ascontiguousarray(array) for name, array in value.items()}
        write_bytes(path, save(contiguous, None if key is None else {self.key_name: json.dumps(key)}))
