"""Scores into probabilities that hold where lenses are rare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from lensaudit.api.calling import AnyData, Watcher, as_pair, front_door, of_this_set
from lensaudit.api.finders import scored
from lensaudit.errors import UsageError
from lensaudit.evaluation.calibrating import Calibrated
from lensaudit.finders import Finder, Scores
from lensaudit.records import Cells, Facts, Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CalibrateOptions(TypedDict, total=False):
    """How a calibration is fitted and measured; see `lensaudit.evaluation.calibrating.CalibrationSettings` for each."""

    prevalence: float | None
    folds: int
    holdout: float | None
    fpr: float
    inspected: tuple[int, ...]
    survey: int | None
    seed: int


@dataclass(frozen=True, eq=False, repr=False)
class CalibratedFinder(Shown):
    """A calibrated finder, and what its calibration is worth.

    Attributes
    ----------
    finder
        The same finder with its ``calibrator``; `score` then gives probabilities beside the scores.
    record
        Reliability before and after, the highest N of a survey, the bound on false positives.
    scores
        Of the set; ``scores.calibrated`` are probabilities by fits that each image was kept from.
    """

    finder: Finder
    record: Calibrated
    scores: Scores

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the reliability diagram before and after, on `ax` or in a figure of its own; returns the axes."""
        return self.record.plot(ax)

    def _facts(self) -> Facts:
        return {"finder": self.finder.name, **self.record._facts()}

    def _rows(self) -> list[Cells]:
        return self.record._rows()


@front_door
def calibrate(
    finder: Finder | str | Path,
    data: AnyData,
    *,
    method: str = "isotonic",
    weights: str | None = None,
    scores: Scores | None = None,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[CalibrateOptions],
) -> CalibratedFinder:
    """Turn a finder's scores into probabilities that hold where lenses are rare, and measure how well they do.

    The score stays the log-odds of the finder: ranks, AUROC and ROC are those from before.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A labelled set that did not train the finder, or its folder; at least 20 lenses and 20 non-lenses.
    method
        ``isotonic``, ``beta`` or ``venn-abers``.
    weights
        Column of the catalogue with sampling weights: the inverse of the chance with which an image entered the set.
    scores
        Of `score` for this finder and set, to save scoring.
    out
        Becomes the folder of the calibrated finder, with page, figures and ``detections.fits``; it must be new.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.calibrating.CalibrateOptions`.

    Returns
    -------
    CalibratedFinder
        ``finder``, ``record`` and ``scores``.

    Raises
    ------
    UsageError
        An option is out of range, the finder is calibrated already, or `out` holds something. Also a `ValueError`.
    DataError
        The set lacks labels, a class or the column, or trained the finder. Also a `ValueError`.

    See Also
    --------
    evaluate : metrics of the scores.

    References
    ----------
    Holloway P. et al., 2024, MNRAS 530, 1297.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.calibrate("ou66", la.simulate("euclid", n=80, seed=7), method="beta", prevalence=0.001)
    >>> found.record.n_lenses + found.record.n_non_lenses
    80
    >>> scores = la.score(found.finder, la.simulate("euclid", n=4, seed=8))
    >>> scores.calibrated.p.shape
    (4,)
    """
    from lensaudit.evaluation.calibrated_finder import calibrate_finder, refuse_unfit, write_calibrated
    from lensaudit.evaluation.calibrating import CalibrationSettings

    if strange := options.keys() - CalibrateOptions.__annotations__.keys():
        raise TypeError(f"calibrate() got an unexpected keyword argument '{min(strange)}'")
    words = {**options, "inspected": tuple(options.get("inspected", ()))}
    settings = CalibrationSettings(method, **words)  # type: ignore[arg-type]
    if out is not None and Path(out).exists():
        raise UsageError(f"out {out}: is there already; choose another folder")
    loaded, opened = as_pair(finder, data)
    refuse_unfit(loaded, opened, weights)
    found = of_this_set(scores, opened) or scored(loaded, opened, None, progress)
    made = CalibratedFinder(*calibrate_finder(loaded, opened, found, settings, weights))
    if out is not None:
        write_calibrated((made.finder, made.record, made.scores), opened, Path(out))
    return made
