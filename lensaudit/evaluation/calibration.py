"""Whether a finder's probabilities mean what they say, on one labelled set."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lensaudit.evaluation.metric import CONFIDENCE, Metric
from lensaudit.statistics import (
    RESAMPLES,
    ReliabilityBin,
    bootstrap_interval,
    brier_score,
    calibration_error,
    reliability,
)

_STREAM_BRIER, _STREAM_ECE = 5, 6  # 1 to 4 are those of `lensaudit.evaluation.measure`


@dataclass(frozen=True)
class Calibration:
    """Calibration of one finder on one set, at that set's share of lenses.

    Attributes
    ----------
    error
        Expected calibration error; `error_by_chance` is what it stays below in 95 % of such sets were every p right.
    brier
        Brier score; `brier_of_share` is that of always saying the set's share of lenses.
    bins
        The reliability diagram.
    """

    error: Metric
    error_by_chance: float
    brier: Metric
    brier_of_share: float
    bins: tuple[ReliabilityBin, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values; what does not exist is None."""
        return {
            "ece": {**self.error.as_json(), "by_chance": _or_none(self.error_by_chance)},
            "brier": {**self.brier.as_json(), "of_share": _or_none(self.brier_of_share)},
            "bins": [{k: _or_none(v) for k, v in asdict(one).items()} for one in self.bins],
        }


def calibrate(labels: ArrayLike, p_lens: ArrayLike, seed: int = 0) -> Calibration:
    """Measure calibration; images of unknown label or without a score are left out.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown (n,).
    p_lens
        Probability of "lens" (n,); NaN where not scored.
    seed
        Root of the bootstrap's draws.
    """
    label, p = np.asarray(labels), np.asarray(p_lens, float)
    kept = ((label == 0) | (label == 1)) & np.isfinite(p)
    y, said = label[kept].astype(float), p[kept]
    status = "" if len(y) else "no labelled images"
    error = calibration_error(y, said, np.random.default_rng([seed, _STREAM_ECE]), confidence=CONFIDENCE)
    squares, draws = (said - y) ** 2, np.random.default_rng([seed, _STREAM_BRIER])
    interval = bootstrap_interval([squares], np.mean, draws, confidence=CONFIDENCE)
    share = float(y.mean()) if len(y) else math.nan
    return Calibration(
        Metric("ece", error.value, error.low, error.high, len(y), f"basic bootstrap, {RESAMPLES} resamples", status),
        error.by_chance,
        Metric(
            "brier", brier_score(y, said), *interval, len(y), f"bootstrap over images, {RESAMPLES} resamples", status
        ),
        share * (1 - share),
        reliability(y, said),
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
