"""The table of images to label: with its plan, on disk as CSV to fill in or as Parquet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lensaudit.errors import UsageError
from lensaudit.evaluation.to_label import LabelPlan
from lensaudit.files import replacing
from lensaudit.records import Cells, Facts, Shown

ENDINGS = (".csv", ".parquet")
SHOWN = 5


@dataclass(frozen=True, eq=False, repr=False)
class LabelTable(Shown):
    """Which images to label, why each, and how many it stands for.

    Attributes
    ----------
    plan
        What was chosen, and from what.
    table
        A row an image, in the order of labelling; see `lensaudit.evaluation.to_label.to_label`.
    """

    plan: LabelPlan
    table: pa.Table

    @property
    def ids(self) -> list[str]:
        """Names of the images, in the order of labelling."""
        names: list[str] = self.table["id"].to_pylist()
        return names

    def write(self, path: Path | str) -> Path:
        """Write it as Parquet with the plan in its metadata, or as CSV with an empty column ``label`` to fill in.

        Raises
        ------
        UsageError
            The name ends otherwise.
        """
        import pyarrow.csv as csv
        import pyarrow.parquet as pq

        path = checked_ending(Path(path))
        with replacing(path) as partial:
            if path.suffix.lower() == ".parquet":
                words = json.dumps(self.plan.to_json(), sort_keys=True).encode()
                pq.write_table(self.table.replace_schema_metadata({b"lensaudit": words}), partial)
            else:
                blank = pa.nulls(len(self.table), pa.string())
                csv.write_csv(self.table.add_column(2, "label", blank), partial)
        return path

    def _facts(self) -> Facts:
        plan = self.plan
        return {"images": plan.images, "by_gain": plan.by_gain, "at_random": plan.at_random, "gain": plan.gain}

    def _rows(self) -> list[Cells]:
        rows: list[Cells] = self.table.slice(0, SHOWN).to_pylist()
        return rows


def checked_ending(path: Path) -> Path:
    """The path, which must end in .csv or .parquet; UsageError if not."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {path}: a table of images to label is .csv or .parquet; choose one of these endings")
    return path
