"""The key of an export: which cutout is which probe, population, system and arm, with the truth of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.documents import json_of, read_json
from lensaudit.errors import DataError, LensauditError, NoSuchData, UsageError
from lensaudit.files import replacing, write_json
from lensaudit.kept import Piece, TableForm
from lensaudit.probes.collect import typed
from lensaudit.probes.experiment import Experiment
from lensaudit.probes.outside.plan import Asked, ExportPlan
from lensaudit.tables import RowsDigest

FORMAT = "lensaudit-probe-export/1"
KEY_FILE = "key.parquet"
PLAN_FILE = "export.json"
PARTS = "parts"
MOST_ROWS = 50_000_000
"""Of a key; all probes on a million systems each would have as many."""
_METADATA = b"lensaudit"


def schema_of(plan: ExportPlan) -> pa.Schema:
    """Columns of the key of an export."""
    return pa.schema(
        [
            pa.field("probe", pa.string()),
            pa.field("population", pa.string()),
            pa.field("arm", pa.int64()),
            pa.field("index", pa.int64()),
            pa.field("id", pa.string()),
            pa.field("changed", pa.int64()),
            *(pa.field(c.name, pa.string() if c.dtype == "str" else pa.float64()) for c in plan.columns),
        ]
    )


@dataclass(frozen=True)
class Key:
    """A finished key.

    Attributes
    ----------
    plan
        What was exported.
    manifest_hash
        SHA-256 of ``manifest.csv``.
    table
        One row of `schema_of` per probe, population, arm and system.
    """

    plan: ExportPlan
    manifest_hash: str
    table: pa.Table

    @property
    def ids(self) -> list[str]:
        """Names of all cutouts, sorted."""
        return sorted(set(self.table.column("id").to_pylist()))

    def rows(self, asked: Asked) -> Rows:
        """The rows of one population of one probe."""
        probe, population = (self.table.column(name).to_numpy() for name in ("probe", "population"))
        here = (probe == asked.definition.name) & (population == asked.label)
        table = self.table.filter(pa.array(here)).sort_by([("arm", "ascending"), ("index", "ascending")])
        return Rows(table, asked.experiment)


@dataclass(frozen=True)
class Rows:
    """The rows of one population of one probe, by arm and then by system."""

    table: pa.Table
    experiment: Experiment

    def column(self, name: str) -> NDArray[Any]:
        """One column (arms, n)."""
        shape = (len(self.experiment.arms), self.experiment.source.n)
        return np.asarray(self.table.column(name).to_pylist()).reshape(shape)

    def truth(self) -> dict[str, NDArray[Any]]:
        """Truth column → values (arms, n), in their own types."""
        columns = self.experiment.source.columns
        return typed({c.name: self.column(c.name) for c in columns}, columns)


def part_file(folder: Path, unit: int) -> Path:
    """Where the rows of a unit are kept."""
    return folder / PARTS / f"{unit:06d}.parquet"


def write_part(folder: Path, plan: ExportPlan, unit: int, columns: Mapping[str, Any]) -> None:
    """Keep the rows of a unit; that the file is there says that all its cutouts are."""
    _part(folder, plan, unit).write(pa.table(dict(columns), schema=schema_of(plan)))


def read_part(folder: Path, plan: ExportPlan, unit: int) -> pa.Table | None:
    """The rows of a unit; None where it is not done, or its file is torn or was changed: it is made again."""
    return _part(folder, plan, unit).load()


def _part(folder: Path, plan: ExportPlan, unit: int) -> Piece[pa.Table]:
    schema = schema_of(plan)

    def same_columns(table: pa.Table) -> pa.Table:
        if not table.schema.equals(schema):
            raise ValueError("other columns")
        return table

    return Piece(part_file(folder, unit), TableForm(decode=same_columns, compression="zstd"))


def claim(folder: Path, plan: ExportPlan) -> bool:
    """Write down that this key belongs to `plan`, or make sure that it does.

    Returns
    -------
    bool
        Whether the claim of another export was replaced, none of whose units was finished.

    Raises
    ------
    UsageError
        The folder holds the key of another export.
    """
    path = folder / PLAN_FILE
    known = _claimed(path)
    if known == plan.fingerprint:
        return False
    if any((folder / PARTS).glob("*.parquet")) or (folder / KEY_FILE).is_file():
        if known is None:
            raise UsageError(f"{path}: is missing or torn beside a key; choose another --out")
        raise UsageError(
            f"{folder}: holds another export (probes, --n, --seed, --bands, --format or version differ); choose "
            "another --out, or give the command it was made with"
        )
    replaced = path.is_file()
    write_json(path, {"format": FORMAT, "fingerprint": plan.fingerprint, "plan": plan.to_json()})
    return replaced


def _claimed(path: Path) -> str | None:
    """Fingerprint of the export that a claim is of; None where there is none that can be read."""
    try:
        found = read_json(path, "choose another --out") if path.is_file() else None
    except DataError:
        return None
    return str(found.get("fingerprint")) if isinstance(found, dict) else None


def write_key(folder: Path, plan: ExportPlan, tables: Iterable[pa.Table], manifest_hash: str) -> Path:
    """Put the parts together into ``key.parquet``."""
    schema = schema_of(plan)
    rows = RowsDigest(schema.names)
    path = folder / KEY_FILE
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for table in tables:
            rows.add(table)
            writer.write_table(table.replace_schema_metadata(None))
        words = {"format": FORMAT, "plan": plan.to_json(), "manifest": manifest_hash, "rows": rows.digest}
        # Not sorted: pages list populations and curves in the order of their definition.
        writer.add_key_value_metadata({_METADATA: json.dumps(words)})
    return path


def read_key(path: Path) -> Key:
    """Read ``key.parquet``, or the one in the folder `path`.

    Raises
    ------
    DataError
        It is not there, torn, or of another format.
    """
    path = path / KEY_FILE if path.is_dir() else path
    if not path.is_file():
        raise NoSuchData(f"{path}: no such key; finish the export (run it again), or say where the key lies with --key")
    try:
        if pq.read_metadata(path).num_rows > MOST_ROWS:
            raise ValueError("more rows than an export of all probes has")
        table = pq.read_table(path)
        words = json_of((pq.read_metadata(path).metadata or {})[_METADATA], f"{path}", "run the export again")
        plan = ExportPlan.from_json(words["plan"])
        names = schema_of(plan).names
        rows = RowsDigest(names)
        rows.add(table)
        key = Key(plan, str(words["manifest"]), table.select(names))
        whole = words["format"] == FORMAT and table.num_rows == sum(_sizes(plan))
    except LensauditError:
        raise
    except (pa.ArrowException, OSError, LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: is torn or no key of an export; run the export again") from error
    if not whole:
        raise DataError(f"{path}: is torn or of another version; run the export again")
    if words.get("rows", rows.digest) != rows.digest:  # keys of earlier versions have none
        raise DataError(f"{path}: was changed after the export; run the export again")
    return key


def _sizes(plan: ExportPlan) -> Iterator[int]:
    return (len(one.experiment.arms) * one.source.n for one in plan.asked)
