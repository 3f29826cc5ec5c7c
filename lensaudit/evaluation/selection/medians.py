"""Medians of the selected lenses against those of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.cuts import FEW, Cut
from lensaudit.evaluation.selection.parameters import Array, Parameter
from lensaudit.statistics import median_shifts

RESAMPLES = 1000


@dataclass(frozen=True)
class Median:
    """A median, or a difference of two, with its 95 % bootstrap interval; NaN where there is nobody."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MedianRow:
    """One parameter at one threshold.

    Attributes
    ----------
    parameter
        What it is.
    threshold
        The cut's words.
    everyone, selected, shift
        Median of all lenses, of the selected ones, and the second less the first, in the parameter's unit.
    spread
        Half the distance between the 16th and the 84th percentile of all lenses: the unit in which shifts compare.
    n, n_selected
        Lenses with a value, and of them the selected ones.
    """

    parameter: Parameter
    threshold: str
    everyone: Median
    selected: Median
    shift: Median
    spread: float
    n: int
    n_selected: int

    @property
    def few(self) -> bool:
        """Fewer than 100 lenses selected."""
        return self.n_selected < FEW

    @property
    def moved(self) -> bool:
        """Whether the interval of the shift leaves out zero."""
        return self.shift.low > 0 or self.shift.high < 0

    def as_json(self) -> dict[str, Any]:
        """Plain values, with NaN where there is nobody."""
        words: dict[str, Any] = {
            "parameter": self.parameter.name,
            "label": self.parameter.label,
            "threshold": self.threshold,
        }
        for name in ("everyone", "selected", "shift"):
            median = getattr(self, name)
            words |= {name: median.value, f"{name}_low": median.low, f"{name}_high": median.high}
        counted = {"n": self.n, "n_selected": self.n_selected, "few": self.few, "moved": self.moved}
        return {**words, "spread": self.spread, **counted}


def median_rows(
    parameters: Sequence[Parameter], values: Mapping[str, Array], cuts: Sequence[Cut], generator: np.random.Generator
) -> tuple[MedianRow, ...]:
    """The table of Herle, O'Riordan & Vegetti 2024 (MNRAS 534, 1093): parameter by parameter, every threshold.

    Parameters
    ----------
    values
        Name of each parameter → values of the lenses (n,); NaN is left out for that parameter alone.
    cuts
        Thresholds with whom they select.
    generator
        Of the resamples.
    """
    if not parameters or not cuts:
        return ()
    table = np.column_stack([values[parameter.name] for parameter in parameters])
    members = np.column_stack([cut.found for cut in cuts])
    found = median_shifts(table, members, generator, resamples=RESAMPLES, confidence=CONFIDENCE)
    return tuple(
        MedianRow(
            parameter,
            cut.words,
            Median(*(float(part[i]) for part in (found.everyone, found.everyone_low, found.everyone_high))),
            Median(*(float(part[c, i]) for part in (found.members, found.members_low, found.members_high))),
            Median(*(float(part[c, i]) for part in (found.shift, found.shift_low, found.shift_high))),
            _spread(table[:, i]),
            int(found.n_everyone[i]),
            int(found.n_members[c, i]),
        )
        for i, parameter in enumerate(parameters)
        for c, cut in enumerate(cuts)
    )


def _spread(values: Array) -> float:
    low, high = np.quantile(values[np.isfinite(values)], [0.16, 0.84])
    return float(high - low) / 2
