"""A finder's weights in fewer bits, and what that does to its scores on a labelled set."""

from __future__ import annotations

from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.numbers import count, decimal, with_interval
from lensaudit.display.page import markdown_table
from lensaudit.documents import read_text
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.finder_record import facts_of, refuse_training_set
from lensaudit.evaluation.measure import evaluate
from lensaudit.evaluation.metric import Evaluation, Metric
from lensaudit.provenance import Provenance
from lensaudit.records import Cells, Facts, Number, Record, Shown
from lensaudit.statistics import Changed, area_change, fraction_change, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import Cutouts

KEEPS = 0.005
"""A finder keeps its scores where the 95 % interval of the change of its AUROC lies within ± this: a third of the
half-width of the AUROC's own interval on 4 000 images of which half are lenses."""

Kept = Literal["kept", "changed", "not shown"]

IN_WORDS: dict[Kept, str] = {
    "kept": f"the scores are kept: the interval of the change of the AUROC lies within ±{KEEPS:g}",
    "changed": f"the scores are changed: the interval of the change of the AUROC lies outside ±{KEEPS:g}",
    "not shown": f"not shown whether the scores are kept: the interval of the change of the AUROC reaches beyond "
    f"±{KEEPS:g}; measure more images, or keep more bits",
}


@dataclass(frozen=True)
class Change(Record):
    """A metric with the weights as they were and in fewer bits, on the same images; `change` is after − before.

    Attributes
    ----------
    change, low, high
        The paired difference and its 95 % interval: DeLong's of areas, Tango's of fractions.
    """

    name: str
    before: Metric
    after: Metric
    change: Number
    low: Number
    high: Number


@dataclass(frozen=True, repr=False)
class Compacted(Shown, Record):
    """What fewer bits did to a finder's scores.

    Attributes
    ----------
    bits
        Of each weight of a large matrix.
    file_bytes
        Of ``weights.safetensors`` with these weights.
    n_lenses, n_non_lenses, n_unscored
        Images that were compared, and labelled ones without a score.
    auroc, recall, false_positive_rate
        The last two at the finder's threshold.
    called_otherwise
        Images that are a lens with one of the two and none with the other.
    logit_change_median, logit_change_largest
        Of the absolute change of the log-odds over the compared images.
    logit_spread
        Standard deviation of the log-odds before, to compare them with.
    kept
        By `KEEPS`, a rule that was set before anything was measured.
    provenance
        Names the weights before and the set.
    """

    finder: str
    set: str
    bits: int
    file_bytes: int
    n_lenses: int
    n_non_lenses: int
    n_unscored: int
    threshold: float
    auroc: Change
    recall: Change
    false_positive_rate: Change
    called_otherwise: int
    logit_change_median: Number
    logit_change_largest: Number
    logit_spread: Number
    kept: Kept
    provenance: Provenance

    def _facts(self) -> Facts:
        return {"finder": self.finder, "bits": self.bits, "bytes": self.file_bytes, "scores": self.kept}

    def _rows(self) -> list[Cells]:
        return [dict(zip(HEAD, row, strict=True)) for row in rows_of_changes(self)]


HEAD = ("", "before", "after", "change")


def rows_of_changes(record: Compacted) -> list[tuple[str, ...]]:
    """Cells under `HEAD`: AUROC, and recall and false-positive rate at the threshold."""
    called = f"at p ≥ {record.threshold:g}"
    named = {
        "AUROC": record.auroc,
        f"recall {called}": record.recall,
        f"false-positive rate {called}": record.false_positive_rate,
    }
    return [
        (
            name,
            *(with_interval(side.value, side.low, side.high, 4) for side in (one.before, one.after)),
            with_interval(one.change, one.low, one.high, 4, sign=True),
        )
        for name, one in named.items()
    ]


def sentence(record: Compacted) -> str:
    """How far log-odds and calls moved."""
    n = record.n_lenses + record.n_non_lenses
    return (
        f"log-odds change by {decimal(record.logit_change_median, 4)} (median) and at most "
        f"{decimal(record.logit_change_largest, 3)}, of a standard deviation of {decimal(record.logit_spread, 2)}; "
        f"{count(record.called_otherwise)} of {count(n)} images are called otherwise"
    )


def refuse_uncompactable(finder: Finder, lens_set: Cutouts) -> None:
    """Refuse what cannot be made smaller and measured, before any image is scored.

    Raises
    ------
    UsageError
        The finder is the user's own network, or calibrated.
    DataError
        The set trained the finder, or lacks one of the two classes.
    """
    from lensaudit.finders.recipe import CUSTOM

    if finder.recipe.architecture == CUSTOM:
        raise UsageError(
            f"finder {finder.name}: is a network in your own code or file, whose weights are not stored here; give a "
            f"finder's folder"
        )
    if finder.calibrator is not None:
        raise UsageError(
            f"finder {finder.name}: is calibrated, and its scores would change; give the finder it was made from, and "
            f"calibrate what comes out"
        )
    refuse_training_set(finder, lens_set, "give another set")
    labels = lens_set.labels
    if not ((labels == 0).any() and (labels == 1).any()):
        raise DataError(
            f"{lens_set.path}: lenses and non-lenses with labels are needed to compare scores; give another set"
        )


def compact_finder(
    finder: Finder, lens_set: Cutouts, bits: int, scores: Scores, progress: Callable[[int, int], None] | None = None
) -> tuple[Finder, Compacted, Evaluation]:
    """Round a finder's large matrices to `bits` bit, in place, and compare its scores with those from before.

    Parameters
    ----------
    finder
        Of one of our own architectures; see `lensaudit.finders.rounded_to_bits`.
    lens_set
        With labels; it must not have trained the finder.
    scores
        Of the finder as it is, in the order of the set.

    Returns
    -------
    Finder, Compacted, Evaluation
        With the rounded weights, what changed, and the metrics with the rounded weights.
    """
    from lensaudit.finders import rounded_to_bits, score_set
    from lensaudit.finders.store import weights_bytes

    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    rounded = rounded_to_bits(finder, bits)
    after = score_set(rounded, lens_set, progress=progress)
    labels = lens_set.labels
    usable = ((labels == 0) | (labels == 1)) & np.isfinite(scores.logit) & np.isfinite(after.logit)
    y, old, new = labels[usable] == 1, scores.logit[usable], after.logit[usable]
    threshold = finder.recipe.threshold
    called = [one.p_lens[usable] >= threshold for one in (scores, after)]
    before, now = (evaluate(labels, one.p_lens, one.logit, threshold=threshold) for one in (scores, after))
    area = area_change((old[y], old[~y]), (new[y], new[~y]))
    moved = np.abs(new - old)
    record = Compacted(
        finder=finder.name,
        set=str(lens_set.path),
        bits=bits,
        file_bytes=len(weights_bytes(rounded)),
        n_lenses=int(y.sum()),
        n_non_lenses=int((~y).sum()),
        n_unscored=int(((labels == 0) | (labels == 1)).sum() - usable.sum()),
        threshold=threshold,
        auroc=_change("auroc", before, now, area),
        recall=_change("recall", before, now, fraction_change(*(one[y] for one in called))),
        false_positive_rate=_rates(*(one[~y] for one in called)),
        called_otherwise=int((called[0] != called[1]).sum()),
        logit_change_median=float(np.median(moved)),
        logit_change_largest=float(moved.max()),
        logit_spread=float(old.std()),
        kept=_kept(area),
        provenance=Provenance.here(inputs=inputs),
    )
    return rounded, record, now


def _change(name: str, before: Evaluation, after: Evaluation, changed: Changed) -> Change:
    first, second = (next(one for one in side.metrics if one.name == name) for side in (before, after))
    return Change(name, first, second, changed.change, changed.low, changed.high)


def _rates(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Change:
    first, second = (
        Metric("false_positive_rate", float(one.mean()), *wilson_interval(int(one.sum()), len(one)), len(one), "Wilson")
        for one in (before, after)
    )
    changed = fraction_change(before, after)
    return Change("false_positive_rate", first, second, changed.change, changed.low, changed.high)


def _kept(area: Changed) -> Kept:
    if area.low >= -KEEPS and area.high <= KEEPS:
        return "kept"
    return "changed" if area.high < -KEEPS or area.low > KEEPS else "not shown"


RESULT_FILE = "compact.json"


def write_compacted(
    made: tuple[Finder, Compacted, Evaluation], folder: Path | None, lens_set: Cutouts, out: Path
) -> None:
    """Write the finder of `compact_finder` to `out`, and ``compact.json``.

    Its record has the rounded weights' own metrics; what the training measured before them is left out. The card of
    `folder`, from which the finder was loaded, goes along with what was done to it.
    """
    from lensaudit.finders.facts import FinderMetrics, TrainingFacts
    from lensaudit.finders.store import read_record, save_finder

    finder, record, evaluation = made
    before = None if folder is None else read_record(folder)
    known = {} if before is None else before.metrics.to_json()
    kept = {
        name: value
        for name, value in known.items()
        if name not in ("validation", "validation_loss", "validation_accuracy")
    }
    data = {} if before is None else before.training_data.to_json()
    tested = {"test_set": lens_set.content_hash, "n_test": len(lens_set), "bits": record.bits}
    (out / RESULT_FILE).unlink(missing_ok=True)
    save_finder(
        finder,
        out,
        origin=f"{(before.origin if before else finder.origin).rstrip('.')}; weights then rounded to {record.bits} bit",
        training_data=TrainingFacts.model_validate(data | tested),
        metrics=FinderMetrics.model_validate(kept | {"test": facts_of(evaluation).to_json()}),
        provenance=record.provenance,
        card=None if folder is None else _card(folder, record, finder.weights_hash),
    )
    record.write(out / RESULT_FILE)


def _card(folder: Path, record: Compacted, weights_hash: str) -> str | None:
    """The finder's card with the hash of the new weights and what was done; None where it has none."""
    from lensaudit.finders.store import CARD_FILE

    path = folder / CARD_FILE
    if not lexists(path):
        return None
    full = record.provenance.inputs["finder"]
    card = read_text(path, "write it again in UTF-8, or remove it").replace(full, weights_hash)
    return f"{card}\n## Weights in {record.bits} bit\n\n{in_words(record)}\n"


def in_words(record: Compacted) -> str:
    """The section of the card."""
    return (
        f"Rounded afterwards from the weights `{record.provenance.inputs['finder']}`, which the tables above are of: "
        f"large matrices are integers of {record.bits} bit with a scale for each row. On set "
        f"`{record.provenance.inputs['set'][:16]}` ({count(record.n_lenses)} lenses, {count(record.n_non_lenses)} "
        f"non-lenses; 95 % intervals, of the change paired) {IN_WORDS[record.kept]}; {sentence(record)}.\n\n"
        f"{markdown_table(HEAD, rows_of_changes(record))}"
    )
