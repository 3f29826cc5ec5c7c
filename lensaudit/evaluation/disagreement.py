"""Does a committee's disagreement tell where it is wrong?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.numbers import with_interval
from lensaudit.records import Number, Record
from lensaudit.statistics import auroc, auroc_interval


@dataclass(frozen=True)
class Signal(Record):
    """Chance that an image called wrongly has more of something than one called rightly; DeLong's 95 % interval."""

    name: str
    auroc: Number
    low: Number
    high: Number

    @property
    def words(self) -> str:
        """``disagreement 0.81 [0.74, 0.86]``."""
        return f"{self.name} {with_interval(self.auroc, self.low, self.high, digits=2)}"


@dataclass(frozen=True)
class ErrorSignals(Record):
    """How well the members' disagreement tells errors, beside the nearness of the score to the threshold, which any
    finder has.

    Attributes
    ----------
    n_wrong, n_right
        Labelled images called wrongly and rightly.
    signals
        Of disagreement (standard deviation of the log-odds), split votes, mutual information and nearness.
    """

    n_wrong: int
    n_right: int
    signals: tuple[Signal, ...]

    @property
    def sentence(self) -> str:
        """What was found, in one line."""
        if not self.n_wrong or not self.n_right:
            return "Disagreement of its members: no errors to tell from right calls, or nothing else"
        told = ", ".join(one.words for one in self.signals)
        return f"What tells its {self.n_wrong} errors from {self.n_right} right calls (AUROC): {told}"


def error_signals(
    labels: NDArray[np.int8], log_odds: NDArray[np.float64], cut: float, members: dict[str, NDArray[np.float64]]
) -> ErrorSignals:
    """Measure what tells the errors of a committee.

    Parameters
    ----------
    labels, log_odds
        1 or 0, others are left out; NaN is left out (n,).
    cut
        Log-odds from which an image is called a lens.
    members
        ``disagreement``, ``votes`` and ``information`` of `lensaudit.finders.committee.Disagreement` (n,).
    """
    kept = ((labels == 0) | (labels == 1)) & np.isfinite(log_odds)
    wrong = ((log_odds >= cut) != (labels == 1))[kept]
    votes = members["votes"][kept]
    more = {
        "disagreement": members["disagreement"][kept],
        "split votes": votes * (1 - votes),
        "mutual information": members["information"][kept],
        "nearness to the threshold": -np.abs(log_odds[kept] - cut),
    }
    signals = [
        Signal(name, auroc(one[wrong], one[~wrong]), *auroc_interval(one[wrong], one[~wrong]))
        for name, one in more.items()
    ]
    return ErrorSignals(int(wrong.sum()), int((~wrong).sum()), tuple(signals))
