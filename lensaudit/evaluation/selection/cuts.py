"""Thresholds on the score, and whom they select."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import UsageError
from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.statistics import allowed_false_positives, strict_threshold, wilson_interval

FEW = 100
"""Fewer lenses than this are marked: at n = 100 a 95 % Wilson interval is up to 0.19 wide."""


@dataclass(frozen=True)
class Share:
    """k of n with its 95 % Wilson interval; NaN where n is 0."""

    k: int
    n: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, k: int, n: int) -> Share:
        """The share of `k` in `n`."""
        return cls(k, n, k / n if n else math.nan, *wilson_interval(k, n, CONFIDENCE))


@dataclass(frozen=True)
class Threshold:
    """From which score on a system is selected.

    Attributes
    ----------
    value
        The lowest p that is selected, or the highest false-positive rate among the set's non-lenses; in [0, 1].
    of
        ``p`` or ``fpr``.
    """

    value: float
    of: Literal["p", "fpr"] = "p"

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise UsageError(f"--{'threshold' if self.of == 'p' else 'fpr'} {self.value}: must lie between 0 and 1")

    @property
    def words(self) -> str:
        """``p ≥ 0.5`` or ``FPR ≤ 1 %``."""
        return f"p ≥ {self.value:g}" if self.of == "p" else f"FPR ≤ {100 * self.value:g} %"


LADDER = (
    Threshold(0.5),
    Threshold(0.9),
    Threshold(0.99),
    Threshold(0.1, "fpr"),
    Threshold(0.01, "fpr"),
    Threshold(0.001, "fpr"),
)
"""Thresholds at which medians are compared besides the one asked for."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A threshold applied to a set.

    Attributes
    ----------
    threshold
        What was asked for.
    p
        The p it comes to; at a false-positive rate, the p of the highest non-lens that is still rejected.
    found
        Which lenses are selected, bool (lenses,).
    recall, false_positives
        Shares of the lenses and of the non-lenses that are selected.
    note
        Empty, or what is to be said of it.
    """

    threshold: Threshold
    p: float
    found: NDArray[np.bool_]
    recall: Share
    false_positives: Share
    note: str = ""

    @property
    def words(self) -> str:
        """How tables name it."""
        return self.threshold.words

    def as_json(self) -> dict[str, Any]:
        """Plain values, with NaN where something does not exist."""
        words = {"threshold": self.words, "of": self.threshold.of, "asked": self.threshold.value, "p": self.p}
        return {
            **words,
            "recall": asdict(self.recall),
            "false_positives": asdict(self.false_positives),
            "few": self.recall.k < FEW,
            "note": self.note,
        }


@dataclass(frozen=True, eq=False)
class Classes:
    """Scores of both classes: p and logit of the lenses (n1,) and of the non-lenses (n0,), float64."""

    p_lenses: NDArray[np.float64]
    logit_lenses: NDArray[np.float64]
    p_others: NDArray[np.float64]
    logit_others: NDArray[np.float64]

    def cut(self, threshold: Threshold) -> Cut | None:
        """Apply `threshold`; None where it is a false-positive rate and there is no non-lens to measure it on."""
        if threshold.of == "p":
            return self._cut(
                threshold, threshold.value, self.p_lenses >= threshold.value, self.p_others >= threshold.value
            )
        n = len(self.p_others)
        if not n:
            return None
        allowed = allowed_false_positives(n, threshold.value)
        limit = strict_threshold(self.logit_others, allowed)  # logits rank where p has long become 1
        note = "" if allowed else f"{n} non-lenses are too few for this rate: it lies above all of them"
        return self._cut(threshold, float(expit(limit)), self.logit_lenses > limit, self.logit_others > limit, note)

    def _cut(
        self, threshold: Threshold, p: float, found: NDArray[np.bool_], called: NDArray[np.bool_], note: str = ""
    ) -> Cut:
        recall, false_positives = (Share.of(int(some.sum()), len(some)) for some in (found, called))
        return Cut(threshold, p, found, recall, false_positives, note)
