"""Formats of files of scores, told by the ending of the name, and where each keeps the record of how it was made."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit.errors import UsageError
from lensaudit.untrusted import kind_of, printable

if TYPE_CHECKING:
    from astropy.table import Table

KEY = b"lensaudit"
"""Of the record in the metadata of a Parquet file."""

NAME = "LENSAUDI"
"""Of the record elsewhere: a keyword of FITS has eight characters."""

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    "": "parquet",
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".vot": "votable",
    ".xml": "votable",
}
"""Ending of the name → format, as astropy calls it; a CSV has no place for the record."""


def format_of(path: Path) -> str:
    """Format that the ending of `path` asks for.

    Raises
    ------
    UsageError
        It asks for none that is known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{path}: scores are written as {', '.join(filter(None, FORMATS))}; choose one of these endings"
        )
    return FORMATS[suffix]


def check_scores_path(path: Path, ids: Sequence[str]) -> None:
    """Make sure that a file of scores of these images can be written to `path`, before they are scored.

    Raises
    ------
    UsageError
        The ending is not known, or the format cannot hold one of the names.
    """
    kind = format_of(path)
    able: dict[str, Callable[[str], bool]] = {
        "fits": lambda name: name.isascii() and printable(name) == name,
        "votable": lambda name: printable(name) == name,
    }
    wrong = next((name for name in ids if kind in able and not able[kind](name)), None)
    if wrong is not None:
        raise UsageError(f"{path}: this format cannot hold the id '{printable(wrong, 60)}'; write .ecsv or .parquet")


def write_table(table: pa.Table, record: str, path: Path, kind: str) -> None:
    """Write `table` with the JSON `record` to `path` in the format `kind` of `FORMATS`."""
    if kind == "parquet":
        pq.write_table(table.replace_schema_metadata({KEY: record.encode()}), path)
        return
    found = _as_astropy(table)
    if kind == "votable":
        _write_votable(found, record, path)
        return
    found.meta = {} if kind == "ascii.csv" else {NAME: record}
    found.write(path, format=kind, overwrite=True)


def record_text(path: Path) -> bytes | None:
    """JSON of the record that `write_table` put into the file; None where it has none.

    Raises
    ------
    DataError, OSError, ValueError, pyarrow.ArrowException
        The file is torn.
    """
    kind = kind_of(path).key
    if kind == "parquet":
        return (pq.read_schema(path).metadata or {}).get(KEY)
    words = {"fits": _of_fits, "votable": _of_votable}.get(kind, _of_text)(path)
    return None if words is None else words.encode()


def _of_text(path: Path) -> str | None:
    with path.open("rb") as file:
        ecsv = file.read(10).removeprefix(codecs.BOM_UTF8).startswith(b"# %ECSV")
    return _of_ecsv(path) if ecsv else None


def _of_fits(path: Path) -> str | None:
    from lensaudit.fits_input import open_fits

    with open_fits(path) as file:
        return next((str(part.header[NAME]) for part in file if NAME in part.header), None)


def _of_votable(path: Path) -> str | None:
    from astropy.io.votable import parse

    resources = parse(str(path), verify="ignore").resources
    return next((str(info.value) for part in resources for info in part.infos if info.name == NAME), None)


def _of_ecsv(path: Path) -> str | None:
    from astropy.table import Table

    words = Table.read(path.read_text(encoding="utf-8-sig"), format="ascii.ecsv").meta.get(NAME)
    return None if words is None else str(words)


def _as_astropy(table: pa.Table) -> Table:
    from astropy.table import Column, Table

    columns = []
    for field in table.schema:
        about = {name.decode(): value.decode() for name, value in (field.metadata or {}).items()}
        values = table.column(field.name)
        filled = values.to_pylist() if field.type == pa.string() else values.to_numpy()
        columns.append(Column(filled, name=field.name, unit=about.get("unit"), description=about.get("description")))
    return Table(columns)


def _write_votable(table: Table, record: str, path: Path) -> None:
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import Info

    document = from_table(table)
    document.resources[0].infos.append(Info(name=NAME, value=record))
    document.to_xml(str(path))
