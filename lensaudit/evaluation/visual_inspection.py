"""For visual inspection: the worst false positives as a gallery, and scores beside grades that people gave."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.display.colour import SERIES
from lensaudit.display.figures import draw_pixels, legend_below, new_figure, save_figure, styled
from lensaudit.display.images import grey
from lensaudit.display.numbers import MISSING, decimal, interval
from lensaudit.display.page import markdown_table
from lensaudit.errors import DataError
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import Proportion, bootstrap_interval
from lensaudit.tables import read_table
from lensaudit.untrusted import in_markdown, printable

Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class KindFrequency(Record):
    """How often a kind of non-lens is among the worst, beside its fraction of all non-lenses.

    Attributes
    ----------
    kind
        Such as ``spiral``.
    among_worst, among_all
        How many of the worst, and of all scored non-lenses, are of it.
    """

    ALSO = ("overrepresented",)

    kind: str
    among_worst: Proportion
    among_all: Proportion

    @property
    def overrepresented(self) -> bool:
        """Whether its fraction of all lies below the interval of its fraction among the worst."""
        return self.among_worst.low > self.among_all.value

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "n_worst" not in words:
            return words
        counts = {"among_worst": ("n_worst", "worst"), "among_all": ("n_all", "others")}
        return {"kind": words["kind"]} | {name: Proportion.of(words[k], words[n]) for name, (k, n) in counts.items()}


def worst_rows(labels: ArrayLike, logit: ArrayLike, count: int) -> NDArray[np.int64]:
    """Rows of the `count` non-lenses of highest log-odds, the worst first; fewer where there are fewer.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown (n,).
    logit
        Log-odds (n,); NaN is left out.

    Raises
    ------
    DataError
        No non-lens has a score.
    """
    label, scores = np.asarray(labels), np.asarray(logit, dtype=np.float64)
    rows = np.flatnonzero((label == 0) & np.isfinite(scores))
    if not len(rows):
        raise DataError("the set has no scored non-lens, so that there is no false positive; give one that has some")
    return rows[np.argsort(-scores[rows], kind="stable")][:count]


def frequencies_by_kind(kinds: Sequence[str], others: Rows, worst: Rows) -> list[KindFrequency]:
    """Fraction of every kind among the rows `worst` and among all `others`, the most frequent of the worst first."""
    among_worst = [kinds[row] for row in worst]
    among_all = [kinds[row] for row in others]
    found = [
        KindFrequency(
            kind,
            Proportion.of(among_worst.count(kind), len(worst)),
            Proportion.of(among_all.count(kind), len(others)),
        )
        for kind in dict.fromkeys(among_all)
    ]
    return sorted(found, key=lambda one: (-one.among_worst.k, one.kind))


COLUMNS = 6
_INCHES = 1.7


@styled
def plot_gallery(
    path: Path, images: Sequence[NDArray[np.float32]], captions: Sequence[str], arcsec: float, title: str
) -> None:
    """Write `path` as PNG: cutouts of one band, the worst first, each on its own grey scale, dark sky.

    Parameters
    ----------
    images
        Native cutouts (h, w), not necessarily finite.
    captions
        One short line each.
    arcsec
        Width of a cutout on the sky, for the bar.
    """
    rows = math.ceil(len(images) / COLUMNS)
    figure = new_figure(COLUMNS * _INCHES, rows * (_INCHES + 0.25) + 0.5)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat[len(images) :]:
        axes.set_axis_off()
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        draw_pixels(axes, grey(image), arcsec)
        axes.set_title(caption, fontsize=7)
    figure.suptitle(title, fontsize=9)
    save_figure(path, figure)


CONFIDENCE = 0.95
LONGEST_GRADE = 60
_NAMED = 3
_INTERVAL = "bootstrap over candidates, bias-corrected and accelerated"


@dataclass(frozen=True)
class Grade(Record):
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
    mean: Number
    deviation: Number
    low: Number
    high: Number
    status: str = ""


def read_grades(path: Path, ids: Iterable[str] = ()) -> dict[str, str]:
    """Id → grade of a table with the columns ``id`` and ``grade``, others ignored.

    Parameters
    ----------
    ids
        Ids of the set, whose spelling those of the table take where they mean the same: `lensaudit.tables.same_id`.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It is no table, a column is missing, an id comes twice, or a grade is empty; one line names the file and the
        row.
    """
    table = read_table(path, "a table of grades")
    key, column = table.need("id"), table.need("grade", "grades")
    names, words = table.ids(key, ids), column.text
    empty = next((row for row, word in enumerate(words) if not word), None)
    if empty is not None:
        shown = printable(names[empty], 60)
        raise DataError(f"{table.where(empty)}: the grade of {shown} is empty; fill it in or remove the row")
    return {name: printable(word, LONGEST_GRADE) for name, word in zip(names, words, strict=True)}


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
            f"{what}: {len(foreign)} of {len(grades)} ids are not in the set ({printable(shown, 200)}); remove or "
            f"correct them"
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
    rows = [(in_markdown(grade), *cells) for grade, *cells in grade_rows(found)]
    lines = [f"{in_markdown(title)}.", "", markdown_table(HEADS, rows)]
    return "\n".join([*lines, "", f"Interval: {_INTERVAL}. The deviation is that between candidates (n − 1).", ""])


HEADS = ("grade", "candidates", "mean p(lens)", "95 % interval of the mean", "standard deviation")


def grade_rows(found: Sequence[Grade]) -> list[tuple[str, ...]]:
    """Cells of the grades under `HEADS`."""
    rows: list[tuple[str, ...]] = []
    for one in found:
        counted = f"{one.n}" + (f" ({one.n_unscored} could not be scored)" if one.n_unscored else "")
        ends = interval(one.low, one.high, 4) if math.isfinite(one.low) else f"{MISSING} ({one.status})"
        rows.append((one.grade, counted, decimal(one.mean, 4), ends, decimal(one.deviation, 4)))
    return rows


_WIDTH = 0.3


@styled
def plot_grades(path: Path, found: Sequence[Grade], grades: Sequence[str], p_lens: ArrayLike, title: str) -> None:
    """Write `path` as PNG.

    Parameters
    ----------
    found
        As `by_grade` gives it.
    grades, p_lens
        Of each candidate (n,).
    """
    named, p = np.asarray(grades), np.asarray(p_lens, float)
    figure = new_figure(1.8 + 1.3 * max(len(found), 3), 4.2)
    axes = figure.subplots()
    for place, one in enumerate(found):
        values = np.sort(p[(named == one.grade) & np.isfinite(p)])
        shift = _WIDTH * (np.arange(len(values)) * 0.618034 % 1 - 0.5)  # golden section: even, and nothing is drawn
        axes.plot(place + shift, values, ".", color=SERIES[0], alpha=0.5, label="one candidate" if not place else None)
        if np.isfinite(one.low):
            reach = [[max(one.mean - one.low, 0)], [max(one.high - one.mean, 0)]]
            axes.errorbar(
                place + _WIDTH,
                one.mean,
                reach,
                fmt="s",
                color=SERIES[1],
                capsize=3,
                label=None if place else "mean, 95 %",
            )
    axes.set_xticks(range(len(found)), [f"{one.grade}\nn = {one.n}" for one in found])
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("grade")
    axes.set_ylabel("p(lens)")
    legend_below(figure, axes)
    axes.set_title(title, fontsize="medium", wrap=True)
    save_figure(path, figure)
