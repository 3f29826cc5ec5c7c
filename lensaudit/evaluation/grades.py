"""Scores of candidates that people graded: mean and standard deviation per grade (Akhazhanov 2018, Table 5-2)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.errors import DataError
from lensaudit.statistics import bootstrap_interval

CONFIDENCE = 0.95
_COLUMNS = ("id", "grade")
_NAMED = 3
_INTERVAL = "bootstrap over candidates, bias-corrected and accelerated"


@dataclass(frozen=True)
class Grade:
    """The candidates of one grade.

    Attributes
    ----------
    grade
        Its name, such as ``A``.
    n, n_unscored
        Candidates measured on, and those left out because they could not be scored.
    mean, deviation
        Of p(lens); the standard deviation between candidates (n − 1). NaN where there are too few.
    low, high
        95 % interval of the mean.
    status
        Empty, or why a number does not exist.
    """

    grade: str
    n: int
    n_unscored: int
    mean: float
    deviation: float
    low: float
    high: float
    status: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values; what does not exist is None."""
        words = asdict(self)
        numbers = {name: words[name] for name in ("mean", "deviation", "low", "high")}
        return {**words, **{name: value if math.isfinite(value) else None for name, value in numbers.items()}}


def read_grades(path: Path) -> dict[str, str]:
    """Id → grade of a CSV file with the columns ``id`` and ``grade``, others ignored.

    Raises
    ------
    DataError
        A column is missing, an id comes twice, or a grade is empty; one line names the file and the line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            lines = list(reader)
            columns = reader.fieldnames or []
    except FileNotFoundError as missing:
        raise DataError(f"{path}: no such file; give a CSV file with the columns id and grade") from missing
    except (UnicodeDecodeError, csv.Error) as broken:
        raise DataError(f"{path}: is not readable as CSV ({broken}); give the columns id and grade") from broken
    for name in _COLUMNS:
        if name not in columns:
            raise DataError(f"{path}: has no column {name!r} (it has {', '.join(columns) or 'none'}); add it")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        name, grade = ((line[column] or "").strip() for column in _COLUMNS)
        if not name or not grade:
            empty = "id" if not name else f"grade of {name}"
            raise DataError(f"{path}: line {number}: the {empty} is empty; fill it in or remove the line")
        if name in found:
            raise DataError(f"{path}: line {number}: {name} is graded a second time; keep one line for each id")
        found[name] = grade
    if not found:
        raise DataError(f"{path}: has no lines below its header; give a line for each candidate")
    return found


def grades_of_column(ids: Sequence[str], values: NDArray[Any], name: str) -> dict[str, str]:
    """Id → grade from a column of the catalogue; systems whose entry is empty are not graded.

    Raises
    ------
    DataError
        All entries are empty.
    """
    words = ["" if value is None or value != value else str(value).strip() for value in values.tolist()]
    found = {name: word for name, word in zip(ids, words, strict=True) if word}
    if not found:
        raise DataError(f"column {name} of the catalogue grades nothing; give another --column, or --grades FILE")
    return found


def rows_of(grades: Mapping[str, str], ids: Sequence[str], what: str) -> NDArray[np.intp]:
    """Positions of the graded systems among `ids`, in the order of the set.

    Parameters
    ----------
    what
        Where the grades come from, for the message.

    Raises
    ------
    DataError
        An id is not in the set; the message names up to three.
    """
    known = set(ids)
    foreign = [name for name in grades if name not in known]
    if foreign:
        shown = ", ".join(foreign[:_NAMED]) + (", …" if len(foreign) > _NAMED else "")
        raise DataError(
            f"{what}: {len(foreign)} of {len(grades)} ids are not in the set ({shown}); remove or mend them"
        )
    return np.flatnonzero([name in grades for name in ids])


def by_grade(grades: Sequence[str], p_lens: ArrayLike, seed: int = 1) -> tuple[Grade, ...]:
    """Mean and standard deviation of the score per grade, in alphabetical order of the grades.

    Parameters
    ----------
    grades
        Of each candidate (n,).
    p_lens
        Probabilities of "lens" (n,); NaN is left out and counted.
    seed
        Root of the bootstrap's draws.
    """
    named, p = np.asarray(grades), np.asarray(p_lens, float)
    found = []
    for number, grade in enumerate(sorted(set(grades))):
        all_of = p[named == grade]
        there = all_of[np.isfinite(all_of)]
        draws = np.random.default_rng([seed, number])
        few = len(there) < 2
        low, high = (math.nan,) * 2 if few else bootstrap_interval([there], np.mean, draws, method="bca")
        found.append(
            Grade(
                grade=str(grade),
                n=len(there),
                n_unscored=len(all_of) - len(there),
                mean=float(there.mean()) if len(there) else math.nan,
                deviation=math.nan if few else float(there.std(ddof=1)),
                low=low,
                high=high,
                status="no spread and no interval with fewer than two candidates" if few else "",
            )
        )
    return tuple(found)


def grades_table(found: Sequence[Grade], title: str) -> str:
    """Markdown of the grades."""
    lines = [
        f"{title}.",
        "",
        "| grade | candidates | mean p(lens) | 95 % interval of the mean | standard deviation |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in found:
        counted = f"{one.n}" + (f" ({one.n_unscored} could not be scored)" if one.n_unscored else "")
        mean = f"{one.mean:.4f}" if math.isfinite(one.mean) else "–"
        interval = f"{one.low:.4f} … {one.high:.4f}" if math.isfinite(one.low) else f"– ({one.status})"
        deviation = f"{one.deviation:.4f}" if math.isfinite(one.deviation) else "–"
        lines.append(f"| {one.grade} | {counted} | {mean} | {interval} | {deviation} |")
    return "\n".join([*lines, "", f"Interval: {_INTERVAL}. The deviation is that between candidates (n − 1).", ""])
