"""What of a loss against an earlier finder is accepted, and in which numbers."""

from __future__ import annotations

from dataclasses import dataclass

from lensaudit.display.numbers import percent, shortest
from lensaudit.records import Record

RECALL, AT_FPR, FALSE_ALARMS, AREA = "recall", "recall-at-fpr", "false-positives", "auroc"
"""Metrics: fractions called a lens at each finder's own threshold (of lenses, of non-lenses), recall at one
false-positive rate, and the area under the ROC curve of the group against all of the other class."""


@dataclass(frozen=True)
class Limits(Record):
    """What of a loss is accepted, and at which false-positive rate recall is compared."""

    tolerance: float = 0.05
    auroc_tolerance: float = 0.01
    fpr: float = 0.01

    def of(self, metric: str) -> float:
        """The loss of a metric that is accepted."""
        return self.auroc_tolerance if metric == AREA else self.tolerance

    def named(self, metric: str) -> str:
        """The metric in words."""
        return {
            RECALL: "recall at its own threshold",
            AT_FPR: f"recall at FPR {percent(self.fpr)}",
            FALSE_ALARMS: "called a lens at its own threshold",
            AREA: "AUROC",
        }[metric]

    @property
    def words(self) -> str:
        """``0.05 of a fraction, 0.01 of an AUROC``."""
        return f"{shortest(self.tolerance)} of a fraction, {shortest(self.auroc_tolerance)} of an AUROC"
