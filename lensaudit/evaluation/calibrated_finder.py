"""A finder calibrated on a set: what is refused before it is scored, the page, and the finder's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.figures import axes_or_new, figure_of, save_figure, styled
from lensaudit.display.numbers import MISSING, count, decimal, significant, significant_with_interval, with_interval
from lensaudit.display.page import markdown_table, write_html
from lensaudit.documents import read_text
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.calibrating import Calibrated, CalibrationSettings, Reliability, calibrate_scores
from lensaudit.evaluation.calibration_fit import Sample, checked_weights
from lensaudit.evaluation.finder_record import refuse_training_set
from lensaudit.files import write_text
from lensaudit.provenance import Provenance
from lensaudit.statistics.rare_class import FEW_ABOVE, TopN
from lensaudit.untrusted import in_markdown

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import Cutouts

DETECTIONS_FILE = "detections.fits"


def weights_of(lens_set: Cutouts, column: str | None) -> NDArray[Any] | None:
    """The column of sampling weights; None where none is asked for.

    Raises
    ------
    DataError
        The set has no such column.
    """
    if column is None:
        return None
    if column not in lens_set.columns:
        have = ", ".join(lens_set.columns)
        raise DataError(f"{lens_set.path}: --weights {column}: the catalogue has no such column; it has {have}")
    return lens_set.column(column)


def refuse_unfit(finder: Finder, lens_set: Cutouts, column: str | None) -> None:
    """Refuse what cannot be calibrated before any image is scored.

    Raises
    ------
    UsageError
        The finder is calibrated already.
    DataError
        The set trained the finder, lacks labels or one class, or its weights are no weights.
    """
    if finder.calibrator is not None:
        raise UsageError(
            f"finder {finder.name}: is calibrated already ({finder.calibrator.method}, prevalence "
            f"{finder.calibrator.prevalence:.3g}); give the finder it was made from"
        )
    refuse_training_set(finder, lens_set, "calibrate it on another set")
    labels = lens_set.labels
    known = (labels == 0) | (labels == 1)
    weights = checked_weights(weights_of(lens_set, column), known, column or "")
    y, none = (labels[known] == 1).astype(float), np.zeros(int(known.sum()))
    Sample(y, none, weights[known], str(lens_set.path)).refuse_few()


def calibrate_finder(
    finder: Finder, lens_set: Cutouts, scores: Scores, settings: CalibrationSettings, column: str | None = None
) -> tuple[Finder, Calibrated, Scores]:
    """The calibrated finder, what its calibration is worth, and the scores with probabilities from outside the fit.

    Parameters
    ----------
    scores
        Of the finder for this set, in its order.
    column
        Of sampling weights in the catalogue.

    Raises
    ------
    UsageError, DataError
        As `refuse_unfit` and `lensaudit.evaluation.calibrating.calibrate_scores`.
    """
    record, probabilities = calibrate_scores(
        lens_set.labels,
        scores.logit,
        weights_of(lens_set, column),
        settings,
        source=(f"{lens_set.path}", lens_set.content_hash, column or ""),
    )
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    made = Provenance.here(seed=settings.seed, inputs=inputs)
    record = replace(record, finder=finder.name, set=str(lens_set.path), provenance=made)
    return replace(finder, calibrator=record.calibrator), record, replace(scores, calibrated=probabilities)


def write_calibrated(made: tuple[Finder, Calibrated, Scores], lens_set: Cutouts, out: Path) -> list[str]:
    """Write the folder `out` of what `calibrate_finder` made; returns the names of the files beside the finder's own.

    ``calibration.json``, ``calibration.md``, the same as ``calibration.html``, two PNGs, and ``detections.fits`` with
    the probabilities of the set's images from outside the fit.
    """
    from lensaudit.finders.detections import detection_cards, write_detections
    from lensaudit.finders.load import stored_in
    from lensaudit.finders.store import read_record, save_finder
    from lensaudit.lensset import sky_positions

    finder, record, scores = made
    folder = stored_in(finder)
    before = None if folder is None else read_record(folder)
    calibrator = record.calibrator
    (out / RESULT_FILE).unlink(missing_ok=True)  # written last: where it lies, the rest lies too
    done = f"calibrated ({calibrator.method}) on {record.n_lenses} lenses and {record.n_non_lenses} non-lenses"
    save_finder(
        finder,
        out,
        origin=f"{before.origin if before else finder.origin}; {done}",
        training_data=before.training_data if before else None,
        metrics=before.metrics if before else None,
        provenance=record.provenance,
        card=None if folder is None else _card(folder, record),
    )
    title = f"{finder.name} on {lens_set.path}"
    _draw(record, out)
    text = markdown(record, title)
    write_text(out / "calibration.md", text)
    write_html(out / "calibration.html", text, "The same as calibration.md; every number stands in calibration.json.")
    inputs = record.provenance.inputs if record.provenance else {}
    cards = detection_cards(finder.name, inputs, calibrator.method, calibrator.prevalence)
    write_detections(out / DETECTIONS_FILE, scores, cards, sky_positions(lens_set))
    record.write(out / RESULT_FILE)
    return [RESULT_FILE, "calibration.md", "calibration.html", *_FIGURES, DETECTIONS_FILE]


RESULT_FILE = "calibration.json"
_FIGURES = ("reliability.png", "top.png")


@styled
def _draw(record: Calibrated, out: Path) -> None:
    for file, plot, height in zip(_FIGURES, (record.plot, record.plot_top), (5.0, 4.2), strict=True):
        save_figure(out / file, figure_of(plot(axes_or_new(None, 5.4, height))))


def markdown(record: Calibrated, title: str) -> str:
    """The page: what was done, reliability before and after, the highest N, the bound."""
    calibrator = record.calibrator
    weights = f" Sampling weights: column {in_markdown(calibrator.weights)}." if calibrator.weights else ""
    left = {"unlabelled": record.n_unlabelled, "without a score": record.n_unscored}
    out = "".join(f" {number} {what} left out." for what, number in left.items() if number)
    lines = [
        f"# Calibration: {in_markdown(title)}",
        "",
        f"{calibrator.method.capitalize()} on {count(record.n_lenses)} lenses and {count(record.n_non_lenses)} "
        f"non-lenses{_effective(record)}; {record.measured_on}.{weights}{out}",
        "",
        f"Probabilities are for a fraction of lenses of {significant(calibrator.prevalence)}: odds are those at the "
        f"{significant(calibrator.fitted_fraction)} of the set, times one factor. That holds where only the number of "
        f"lenses differs, not how lenses and non-lenses look. The score stays the log-odds of the finder, so ranks and "
        f"ROC are those from before.",
        "",
        "## Reliability",
        "",
        "![Fraction of lenses against mean probability](reliability.png)",
        "",
        markdown_table(RELIABILITY_HEAD, reliability_rows(record)),
        "",
        "At the set's own fraction of lenses. ECE: expected calibration error over ten bins; by chance: what it "
        "stays below in 95 % of such sets were every probability right.",
        "",
        "## The highest N of a survey",
        "",
        "![Purity and completeness of the highest N](top.png)",
        "",
        markdown_table(TOP_HEAD, top_rows(record)),
        "",
        f"Of {count(record.top[0].images)} images, {significant(calibrator.prevalence)} of them lenses. Purity is "
        f"lenses per inspected image. Intervals are 95 %, from order statistics: beyond the set's highest non-lens "
        f"nothing is known of the purity, and the lower end says so{few_remark(record.top)}.",
        "",
        "## False positives bounded",
        "",
        bound_sentence(record),
        "",
        "After Holloway et al. 2024 (MNRAS 530, 1297).",
        "",
    ]
    return "\n".join(lines)


RELIABILITY_HEAD = ("", "ECE", "by chance", "Brier score", "n")
TOP_HEAD = ("N", "purity", "completeness", "lenses", "the set's non-lenses above")


def reliability_rows(record: Calibrated) -> list[tuple[str, ...]]:
    """Cells of both sides under `RELIABILITY_HEAD`."""
    return [_side("before", record.before), _side("after", record.after)]


def _side(name: str, side: Reliability) -> tuple[str, ...]:
    metrics = [with_interval(one.value, one.low, one.high, 4) for one in (side.ece, side.brier)]
    return name, metrics[0], decimal(side.ece_by_chance, 4), metrics[1], count(side.ece.n)


def few_remark(top: Sequence[TopN]) -> str:
    """What the stars of `top_rows` mean, as a clause; empty where there are none."""
    return f"; * fewer than {FEW_ABOVE} of the set's non-lenses score so high" if any(one.few for one in top) else ""


def top_rows(record: Calibrated) -> list[tuple[str, ...]]:
    """Cells of the highest N under `TOP_HEAD`."""
    rows = []
    for one in record.top:
        cells = [
            significant_with_interval(part.value, part.low, part.high, 3)
            for part in (one.purity, one.completeness, one.lenses)
        ]
        rows.append((count(one.n), *cells, f"{count(one.non_lenses_above)}{'*' if one.few else ''}"))
    return rows


def bound_sentence(record: Calibrated) -> str:
    """What the bound on false positives guarantees, or why there is none."""
    bound, recall = record.bound, record.recall_at_bound
    if bound.status:
        return f"No threshold bounds the false-positive rate at {bound.fpr:g}: {bound.status}."
    thinned = (
        f" ({count(bound.n)} of {count(bound.n_given)}, kept by a seeded draw in proportion to their weights)"
        if bound.n < bound.n_given
        else ""
    )
    found = with_interval(recall.value, recall.low, recall.high)
    return (
        f"Above a log-odds of {significant(bound.threshold, 5)} lie {count(bound.allowed)} of {count(bound.n)} "
        f"non-lenses{thinned}. With {100 * bound.confidence:g} % confidence over draws of such non-lenses at most "
        f"{bound.fpr:g} of all non-lenses exchangeable with them score so high (Clopper–Pearson, whatever the "
        f"distribution); averaged over draws it is {significant(bound.mean_fpr)}. Recall there {found}, n = "
        f"{count(recall.n)} lenses."
    )


def _effective(record: Calibrated) -> str:
    n = record.n_lenses + record.n_non_lenses
    return f" (with weights worth {count(round(record.effective))})" if record.effective < n - 0.5 else ""


def _card(folder: Path, record: Calibrated) -> str | None:
    """The finder's card with its calibration; None where it has none."""
    from lensaudit.finders.store import CARD_FILE

    path = folder / CARD_FILE
    if not lexists(path):
        return None
    card = read_text(path, "write it again in UTF-8, or remove it")
    warned = "* Scores are not calibrated probabilities of being a lens in the sky, where lenses are rare.\n"
    after = with_interval(record.after.ece.value, record.after.ece.low, record.after.ece.high)
    calibrator = record.calibrator
    return card.replace(warned, "") + (
        f"\n## Calibration\n\nColumn p_calibrated: {calibrator.method}, for a fraction of lenses of "
        f"{significant(calibrator.prevalence)}, fitted on {record.n_lenses} lenses and {record.n_non_lenses} "
        f"non-lenses of set `{calibrator.set[:16] or MISSING}`. Expected calibration error {after}, "
        f"{record.measured_on}. The score stays the log-odds.\n"
    )
