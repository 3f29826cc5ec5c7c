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
from pydantic import ValidationError

from lensaudit.errors import DataError, UsageError
from lensaudit.files import replacing, write_json
from lensaudit.imaging import TRUTH_COLUMNS
from lensaudit.probes.collect import typed
from lensaudit.probes.experiment import Experiment
from lensaudit.probes.outside.plan import Asked, ExportPlan

FORMAT = "lensaudit-probe-export/1"
KEY_FILE = "key.parquet"
PLAN_FILE = "export.json"
PARTS = "parts"
_METADATA = b"lensaudit"

SCHEMA = pa.schema(
    [
        pa.field("probe", pa.string()),
        pa.field("population", pa.string()),
        pa.field("arm", pa.int64()),
        pa.field("index", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("changed", pa.int64()),
        *(pa.field(c.name, pa.string() if c.dtype == "str" else pa.float64()) for c in TRUTH_COLUMNS),
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
        One row of `SCHEMA` per probe, population, arm and system.
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
        return typed({c.name: self.column(c.name) for c in TRUTH_COLUMNS})


def part_file(folder: Path, unit: int) -> Path:
    """Where the rows of a unit are kept."""
    return folder / PARTS / f"{unit:06d}.parquet"


def write_part(folder: Path, unit: int, columns: Mapping[str, Any]) -> None:
    """Keep the rows of a unit; that the file is there says that all its cutouts are."""
    with replacing(part_file(folder, unit)) as partial:
        pq.write_table(pa.table(dict(columns), schema=SCHEMA), partial, compression="zstd")


def read_part(folder: Path, unit: int) -> pa.Table | None:
    """The rows of a unit, None where it is not done."""
    path = part_file(folder, unit)
    try:
        return pq.read_table(path, schema=SCHEMA) if path.is_file() else None
    except (pa.ArrowException, OSError):
        return None  # torn by the machine: it is made again


def claim(folder: Path, plan: ExportPlan) -> None:
    """Write down that this key belongs to `plan`, or make sure that it does.

    Raises
    ------
    UsageError
        The folder holds the key of another export.
    """
    path = folder / PLAN_FILE
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: is torn; choose another --out") from error
        if known != plan.fingerprint:
            raise UsageError(
                f"{folder}: holds another export (probes, --n, --seed, --bands, --format or version differ); choose "
                "another --out, or give the command it was made with"
            )
    else:
        write_json(path, {"format": FORMAT, "fingerprint": plan.fingerprint, "plan": plan.to_json()})


def write_key(folder: Path, plan: ExportPlan, tables: Iterable[pa.Table], manifest_hash: str) -> Path:
    """Put the parts together into ``key.parquet``."""
    words = {"format": FORMAT, "plan": plan.to_json(), "manifest": manifest_hash}
    # Not sorted: pages list populations and curves in the order of their definition.
    metadata = {_METADATA: json.dumps(words).encode()}
    path = folder / KEY_FILE
    with (
        replacing(path) as partial,
        pq.ParquetWriter(partial, SCHEMA.with_metadata(metadata), compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table.replace_schema_metadata(metadata))
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
        raise DataError(f"{path}: no such key; finish the export (run it again), or say where the key lies with --key")
    try:
        table = pq.read_table(path)
        words = json.loads((table.schema.metadata or {})[_METADATA])
        plan = ExportPlan.from_json(words["plan"])
        key = Key(plan, str(words["manifest"]), table.select(SCHEMA.names))
        whole = words["format"] == FORMAT and table.num_rows == sum(_sizes(plan))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise DataError(f"{path}: is torn or no key of an export; run the export again") from error
    if not whole:
        raise DataError(f"{path}: is torn or of another version; run the export again")
    return key


def _sizes(plan: ExportPlan) -> Iterator[int]:
    return (len(one.experiment.arms) * plan.n for one in plan.asked)
