"""Scores of any number of images, read a piece at a time: a folder of parts, one Parquet file, or any other table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import expit, logit

from lensaudit.errors import DataError, NoSuchData
from lensaudit.parts import AT_ONCE, PartedTable, is_parted, schema_of
from lensaudit.tables import read_table
from lensaudit.untrusted import kind_of, printable

Array = NDArray[np.float64]

P_COLUMNS = ("p_lens", "p", "p(lens)")
BEST_P = ("p_calibrated", "p_lens_prior")
"""Columns whose p is right where the images are from, the better one first; else it is the finder's own."""
FURTHEST = 60.0
"""Log-odds beyond which scores are not told apart."""
AGAIN = "write it with lensaudit score"
_KEY = b"lensaudit"


@dataclass(frozen=True)
class Rows:
    """Some rows.

    Attributes
    ----------
    first
        Number of the first one.
    ids
        (m,) of text.
    logit, p
        Log-odds and the best probability there is (m,); NaN where there is no score.
    more
        Column → values (m,), of those that were asked for.
    """

    first: int
    ids: pa.ChunkedArray
    logit: Array
    p: Array
    more: dict[str, Array]


@dataclass(frozen=True)
class ScoredRows:
    """Where scores lie, and what there is of them.

    Attributes
    ----------
    p_column, best_p
        Column of the finder's p, and of the best there is.
    threshold
        Of the finder on p; None where its record does not say.
    inputs
        What the scores rest on: name → SHA-256.
    """

    path: Path
    names: tuple[str, ...]
    p_column: str
    best_p: str
    finder: str
    threshold: float | None
    inputs: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> ScoredRows:
        """The scores at `path`.

        Raises
        ------
        DataError
            There are none, they are unfinished or torn, or there is no id or p among the columns.
        """
        path = Path(path)
        if is_parted(path):
            parted = PartedTable.open(path)
            parted.refuse_other_parts()
            names, record = tuple(schema_of(parted.path(0), AGAIN).names), json.loads(parted.index.record)
            content = hashlib.sha256("".join(parted.index.digests).encode()).hexdigest()
        elif path.is_file() and kind_of(path).key == "parquet":
            schema = schema_of(path, AGAIN)
            names, record = tuple(schema.names), _record((schema.metadata or {}).get(_KEY, b"{}"))
            content = str(record.get("content", ""))
        elif path.is_file():
            names, record, content = tuple(read_table(path, "scores").names), {}, ""
        else:
            raise NoSuchData(f"{path}: no scores there; write them with lensaudit score")
        lower = {name.casefold(): name for name in names}
        p = next((lower[name] for name in P_COLUMNS if name in lower), None)
        if p is None or "id" not in lower:
            what = " or ".join(P_COLUMNS[:2]) if p is None else "id"
            raise DataError(f"{path}: no column {what}; write it with lensaudit score")
        best = next((lower[name] for name in BEST_P if name in lower), p)
        recipe, said = record.get("recipe"), record.get("provenance")
        known = said.get("inputs", {}) if isinstance(said, dict) else {}
        inputs = {"scores": content} if content else {}
        inputs |= {f"{one}": f"{known[one]}" for one in ("finder", "set") if isinstance(known, dict) and one in known}
        threshold = recipe.get("threshold") if isinstance(recipe, dict) else None
        usable = isinstance(threshold, float) and 0 < threshold < 1
        name = printable(record.get("finder", ""), 60)
        return cls(path, names, p, best, name, threshold if usable else None, inputs)

    def column(self, name: str) -> str:
        """The column called so, whatever its case; DataError names those there are."""
        found = next((one for one in self.names if one.casefold() == name.casefold()), None)
        if found is None:
            raise DataError(f"{self.path}: no column {printable(name, 60)}; the columns are {', '.join(self.names)}")
        return found

    def pieces(self, more: tuple[str, ...] = ()) -> Iterator[Rows]:
        """All rows in their order, those of the columns `more` beside their scores.

        Raises
        ------
        DataError
            A file is torn, a p lies outside [0, 1], or a column holds no numbers.
        """
        lower = {name.casefold(): name for name in self.names}
        wanted = dict.fromkeys((lower["id"], self.p_column, self.best_p, lower.get("logit", self.p_column), *more))
        for first, table in self._tables(list(wanted)):
            p, best = self._numbers(table, self.p_column), self._numbers(table, self.best_p)
            if len(wrong := np.flatnonzero((p < 0) | (p > 1) | (best < 0) | (best > 1))):
                raise DataError(f"{self.path}: row {first + wrong[0] + 1}: p lies outside [0, 1]; score it again")
            odds = self._numbers(table, lower["logit"]) if "logit" in lower else _log_odds(p)
            ids = table.column(lower["id"]).cast(pa.string())
            yield Rows(first, ids, np.clip(odds, -FURTHEST, FURTHEST), best, {n: self._numbers(table, n) for n in more})

    def _numbers(self, table: pa.Table, name: str) -> Array:
        column = table.column(name)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise DataError(f"{self.path}: column {printable(name, 60)} does not hold numbers; give another")
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)

    def _tables(self, columns: list[str]) -> Iterator[tuple[int, pa.Table]]:
        if is_parted(self.path):
            yield from PartedTable.open(self.path).rows(columns)
        elif kind_of(self.path).key == "parquet":
            done = 0
            try:
                with pq.ParquetFile(self.path) as file:
                    for batch in file.iter_batches(AT_ONCE, columns=columns):
                        yield done, pa.Table.from_batches([batch])
                        done += batch.num_rows
            except (pa.ArrowException, OSError, ValueError) as torn:
                raise DataError(f"{self.path}: is torn; {AGAIN}") from torn
        else:
            whole = read_table(self.path, "scores")
            found = {name: whole.need(name) for name in columns}
            text = next(name for name in columns if name.casefold() == "id")
            yield 0, pa.table({n: one.text if n == text else whole.numbers(one) for n, one in found.items()})


def _record(words: bytes) -> dict[str, Any]:
    try:
        found = json.loads(words)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _log_odds(p: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(logit(p))


def lowest_called(p: float) -> float:
    """The least log-odds whose p reaches `p`, in double precision: both ``expit(z) >= p`` and ``z >= logit(p)`` do.

    The two differ by rounding, and a threshold is often the p of an image.
    """
    low, high = -FURTHEST - 1, FURTHEST + 1
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (low, middle) if expit(middle) >= p else (middle, high)
    return min(high, float(logit(p)))


def p_of(log_odds: float) -> float:
    """p of log-odds, for words."""
    return float(expit(log_odds))
