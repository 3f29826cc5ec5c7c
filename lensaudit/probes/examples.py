"""Which pairs to show: the worst loss, the middle and the best gain of each population."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lensaudit.probes.experiment import Source
from lensaudit.probes.finding import PairedScores, probability
from lensaudit.probes.result import Example

REASONS = ("largest loss", "median change", "largest gain")


def choose_examples(
    population: str, source: Source, scores: PairedScores, visible: NDArray[np.bool_]
) -> tuple[Example, ...]:
    """Up to three pairs by their change of logit, among the `visible` ones if there are any."""
    candidates = np.flatnonzero(visible) if visible.any() else np.arange(len(scores))
    change = (scores.treated - scores.control)[candidates]
    ranked = candidates[np.argsort(change, kind="stable")]
    chosen = dict.fromkeys([int(ranked[0]), int(ranked[len(ranked) // 2]), int(ranked[-1])])
    p_control, p_treated = probability(scores.control), probability(scores.treated)
    reasons = dict(zip([int(ranked[-1]), int(ranked[len(ranked) // 2]), int(ranked[0])], REASONS[::-1], strict=True))
    return tuple(
        Example(source.id(k), population, k, reasons[k], float(p_control[k]), float(p_treated[k])) for k in chosen
    )
