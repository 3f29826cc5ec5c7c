"""What labels of a planned sample say of all the images it was taken from: recall, precision, calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from lensaudit.display.figures import axes_or_new, figure_of, legend_under, save_figure, styled
from lensaudit.display.numbers import count, decimal, interval, significant, with_interval
from lensaudit.display.page import markdown_table, write_html
from lensaudit.errors import DataError
from lensaudit.evaluation.audit_plan import AuditPlan, PlanStratum
from lensaudit.evaluation.measure import draw_reliability
from lensaudit.evaluation.scored_rows import lowest_called
from lensaudit.files import write_text
from lensaudit.provenance import Provenance
from lensaudit.records import Number, Record
from lensaudit.statistics import Estimate, WeightedBin, WeightedFraction, weighted_calibration_error
from lensaudit.statistics.stratified import (
    stratified_fraction,
    stratified_recall,
    stratified_reliability,
    stratified_total,
)
from lensaudit.tables import read_table
from lensaudit.untrusted import in_markdown, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledStratum(Record):
    """A stratum of the plan: images it stands for, looked at, with a label, and lenses among these.

    Attributes
    ----------
    into
        Number of the stratum that it was taken together with, for want of labels of its own; its own number otherwise.
    """

    words: str
    images: int
    planned: int
    labelled: int
    lenses: int
    into: int


@dataclass(frozen=True)
class AuditLabels(Record):
    """What labels of a planned sample say of all its images, each number with its 95 % interval.

    Attributes
    ----------
    threshold
        On p, at which lenses are called.
    recall, precision
        Of how many labelled lenses, and labelled images that are called.
    false_positive_rate
        Of how many labelled non-lenses.
    fraction, lenses
        Lenses among all images, and their number.
    expected
        What the finder's probabilities add up to.
    bins
        Reliability of the finder's p.
    calibration_error, calibration_low, calibration_high
        Expected calibration error of p, weighted.
    """

    finder: str
    threshold: float
    recall: WeightedFraction
    precision: WeightedFraction
    false_positive_rate: WeightedFraction
    fraction: WeightedFraction
    lenses: Estimate
    expected: Number
    bins: tuple[WeightedBin, ...]
    calibration_error: Number
    calibration_low: Number
    calibration_high: Number
    strata: tuple[LabelledStratum, ...]
    images: int
    labelled: int
    planned: int
    provenance: Provenance

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of the labels, a sentence each."""
        found = []
        if self.labelled < self.planned:
            found.append(
                f"{self.planned - self.labelled} of {self.planned} images have no label; those that have one stand for "
                f"their strata, which is right where it is chance which are missing."
            )
        if joined := [one.words for place, one in enumerate(self.strata) if one.into != place]:
            found.append(f"Without labels of their own, and taken together with the next stratum: {'; '.join(joined)}.")
        return tuple(found)

    @styled
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the fraction of lenses against the mean p, with intervals; returns the axes."""
        axes = draw_reliability(axes_or_new(ax), self.bins)
        axes.set_title(f"{self.labelled} labels stand for {count(self.images)} images")
        legend_under(axes)
        return axes


def read_labels(path: Path, ids: tuple[str, ...]) -> NDArray[np.int8]:
    """Label of each of `ids` in a table with the columns id and label: 1, 0, or −1 where there is none (n,).

    Raises
    ------
    DataError
        A label is something else than 1, 0, −1 or empty, or an id is not one of the plan's, or there twice; or there
        is no label.
    """
    table = read_table(path, "a table of labels")
    names = table.ids(table.need("id"), ids)
    column = table.need("label")
    values = table.numbers(column)
    place = {name: row for row, name in enumerate(ids)}
    found = np.full(len(ids), -1, np.int8)
    for row, (name, value) in enumerate(zip(names, values.tolist(), strict=True)):
        if name not in place:
            raise DataError(f"{table.where(row)}: id {printable(name, 60)} is not in the plan; give its own labels")
        if not math.isnan(value) and value not in (-1, 0, 1):
            raise DataError(f"{table.where(row)}: label {value:g}; write 1 (lens), 0 (non-lens), or leave it empty")
        found[place[name]] = -1 if math.isnan(value) else int(value)
    if (found < 0).all():
        raise DataError(f"{path}: no image has a label; write 1 (lens) or 0 (non-lens) into the column label")
    return found


def measure_labels(
    plan: AuditPlan, stratum: ArrayLike, logit: ArrayLike, labels: ArrayLike, threshold: float | None = None
) -> AuditLabels:
    """Measure a finder by the labels of the images of a plan.

    Parameters
    ----------
    stratum, logit
        Number of each image's stratum in the plan, and its log-odds (n,).
    labels
        1, 0, or −1 where it has none (n,); at least one has one.
    threshold
        On p; by default the plan's. At another one the fraction of a stratum that is called is estimated too.
    """
    of, z, label = np.asarray(stratum, np.intp), np.asarray(logit, float), np.asarray(labels)
    known = label >= 0
    into = _joined(plan.strata, np.bincount(of[known], minlength=len(plan.strata)))
    images = np.bincount(into, [one.images for one in plan.strata], len(into))
    group = into[of[known]]
    y, p = label[known].astype(float), expit(z[known])
    w = (images / np.maximum(np.bincount(group, minlength=len(into)), 1))[group]
    cut = plan.threshold if threshold is None else threshold
    called = z[known] >= lowest_called(cut)
    # cells are strata cut by the threshold, which is an edge unless another one is asked for
    cell = 2 * group + called
    error = weighted_calibration_error(y, p, w, np.random.default_rng([plan.seed, 23]))
    counted = [np.bincount(of[known], one, len(plan.strata)).astype(int).tolist() for one in (np.ones(len(y)), y)]
    return AuditLabels(
        finder=plan.finder,
        threshold=cut,
        recall=stratified_recall(y, called, w, cell),
        precision=stratified_fraction(y[called], w[called], cell[called]),
        false_positive_rate=stratified_recall(1 - y, called, w, cell),
        fraction=stratified_fraction(y, w, cell),
        lenses=stratified_total(y, w, cell),
        expected=plan.expected,
        bins=stratified_reliability(y, p, w, cell),
        calibration_error=error.value,
        calibration_low=error.low,
        calibration_high=error.high,
        strata=tuple(
            LabelledStratum(one.words, one.images, one.planned, n, k, int(where))
            for one, n, k, where in zip(plan.strata, *counted, into, strict=True)
        ),
        images=plan.images,
        labelled=int(known.sum()),
        planned=plan.planned,
        provenance=Provenance.here(seed=plan.seed, inputs=plan.provenance.inputs),
    )


def _joined(strata: tuple[PlanStratum, ...], labelled: NDArray[np.int64]) -> NDArray[np.intp]:
    """Number of the stratum that each is taken with: itself, or the nearest with labels on its side of the threshold.

    On no side of it a stratum is left out: where none there has labels, the nearest of all takes it.
    """
    into = np.arange(len(strata))
    have = np.flatnonzero(labelled > 0)
    for place in np.flatnonzero(labelled == 0).tolist():
        same = [one for one in have.tolist() if strata[one].called == strata[place].called]
        into[place] = min(same or have.tolist(), key=lambda one: (abs(one - place), one))
    return into


HEAD = ("of all images", "value", "95 % interval", "labels it rests on")


def measured_rows(found: AuditLabels) -> list[tuple[str, ...]]:
    """Rows of the table of results."""
    rows = [
        (name, decimal(one.value, 4), interval(one.low, one.high, 4), f"{one.n} {what}")
        for name, one, what in (
            ("recall (completeness)", found.recall, "lenses"),
            ("precision (purity)", found.precision, "images called lenses"),
            ("false-positive rate", found.false_positive_rate, "non-lenses"),
        )
    ]
    few, whole = found.fraction, found.lenses
    ends = f"[{significant(few.low)}, {significant(few.high)}]"
    rows.append(("fraction of lenses", significant(few.value), ends, f"{few.n} images"))
    ends = f"[{significant(whole.low)}, {significant(whole.high)}]"
    said = f"{few.n} images; the finder expects {significant(found.expected)}"
    return [*rows, ("lenses", significant(whole.value), ends, said)]


STRATUM_HEAD = ("stratum", "images", "planned", "labelled", "lenses")


def labelled_rows(found: AuditLabels) -> list[tuple[str, ...]]:
    """Rows of the table of strata, the highest first."""
    return [
        (one.words, count(one.images), count(one.planned), count(one.labelled), count(one.lenses))
        for one in reversed(found.strata)
    ]


MEASURED_FILE = "audit-labels.json"
_METHOD = (
    "Every labelled image counts as often as there are images in its stratum for each label there. Intervals are those "
    "of stratified samples that keep what a stratum without a lens may hide (Clopper and Pearson 1934, Fay and Feuer "
    "1997; recall, a ratio, by melding, Fay et al. 2015): 95 % at least. They are of the finder on images like these, "
    "not narrower where a stratum was looked at whole. Where all weights are alike they are Wilson’s."
)


def markdown(found: AuditLabels) -> str:
    """The page: results, strata, reliability."""
    who = in_markdown(found.finder) or "a finder"
    lines = [
        f"# {who} by {count(found.labelled)} labels of {count(found.images)} images",
        "",
        f"Lenses are called at p ≥ {significant(found.threshold)}.",
        *(line for note in found.notes for line in ("", in_markdown(note))),
        "",
        markdown_table(HEAD, measured_rows(found)),
        "",
        _METHOD,
        "",
        "## Strata",
        "",
        markdown_table(STRATUM_HEAD, labelled_rows(found)),
        "",
        "## Calibration",
        "",
        "Expected calibration error of p, weighted: "
        f"{with_interval(found.calibration_error, found.calibration_low, found.calibration_high)}.",
        "",
        "![Fraction of lenses against mean p](reliability.png)",
        "",
        markdown_table(
            ("p", "mean p", "fraction of lenses", "95 % interval", "n"),
            [
                (
                    f"{one.left:.1f} to {one.right:.1f}", significant(one.mean_p), significant(one.lenses.value),
                    f"[{significant(one.lenses.low)}, {significant(one.lenses.high)}]", count(one.lenses.n),
                )
                for one in found.bins if one.lenses.n
            ],
        ),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def write_measured(found: AuditLabels, out: Path) -> list[str]:
    """Write record, page and figure into `out`, the record last; returns their names."""
    (out / MEASURED_FILE).unlink(missing_ok=True)  # where it lies, everything else lies too
    save_figure(out / "reliability.png", figure_of(found.plot()))
    text = markdown(found)
    write_text(out / "audit-labels.md", text)
    write_html(out / "audit-labels.html", text, f"The same as audit-labels.md; every number stands in {MEASURED_FILE}.")
    found.write(out / MEASURED_FILE)
    return [MEASURED_FILE, "audit-labels.md", "audit-labels.html", "reliability.png"]
