"""Every two finders on the same images: whether one is better, and in what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.evaluation import FPR
from lensaudit.statistics import (
    RESAMPLES,
    allowed_false_positives,
    holm,
    mcnemar_exact,
    paired_auroc,
    strict_threshold,
)

SIGNIFICANCE = 0.05
"""Holm-corrected p-value below which a difference is shown."""

FEWEST = 2
"""Images of each class that a comparison needs."""

_STREAM = 21


@dataclass(frozen=True, eq=False)
class Told:
    """What one finder said of the images that all finders of the set could score.

    Attributes
    ----------
    finder
        Its label.
    p_lens, logit
        Scores, float64 (n,).
    threshold
        On p.
    """

    finder: str
    p_lens: NDArray[np.float64]
    logit: NDArray[np.float64]
    threshold: float


def pairs_of(labels: NDArray[np.int8], told: Sequence[Told], seed: int) -> list[dict[str, Any]]:
    """Compare every two finders on the same labelled images.

    Parameters
    ----------
    labels
        1 or 0 (n,).
    told
        One per finder, on these images in this order.

    Returns
    -------
    list of dict
        One per pair, in the order of `told`: ``a``, ``b``, and three comparisons. ``own``: which images each calls
        right at its own threshold. ``fpr``: which lenses each finds at a false-positive rate of at most 1 % of
        these non-lenses. ``auroc``: difference a − b. ``p`` is McNemar's exact one, for ``auroc`` DeLong's; ``p_holm``
        is corrected over all pairs of that comparison. Empty with one finder, or fewer than two of a class.
    """
    lens = labels == 1
    if len(told) < 2 or min(lens.sum(), (~lens).sum()) < FEWEST:
        return []
    right = {one.finder: (one.p_lens >= one.threshold) == lens for one in told}
    found = {one.finder: _found_at_fpr(one, lens) for one in told}
    logits = np.stack([one.logit for one in told], axis=1)
    areas = paired_auroc(logits[lens], logits[~lens], np.random.default_rng([seed, _STREAM]))
    pairs: list[dict[str, Any]] = []
    for (i, a), (j, b) in combinations(enumerate(told), 2):
        difference, low, high = areas.difference(i, j)
        area = {"n": len(lens), "difference": difference, "low": low, "high": high, "p": areas.p_value(i, j)}
        pairs.append(
            {
                "a": a.finder,
                "b": b.finder,
                "own": _mcnemar(right[a.finder], right[b.finder]),
                "fpr": _mcnemar(found[a.finder], found[b.finder]),
                "auroc": {**area, "method": f"paired bootstrap, {RESAMPLES} resamples; p by DeLong"},
            }
        )
    for name in ("own", "fpr", "auroc"):
        for pair, adjusted in zip(pairs, holm([pair[name]["p"] for pair in pairs]), strict=True):
            pair[name]["p_holm"] = float(adjusted)
    return pairs


def ranking_of(rows: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Finders by AUROC, the highest first, each with those below and above it that it cannot be told from.

    Returns
    -------
    list of dict
        ``place``, ``finder``, ``not_told_from`` (labels whose AUROC differs with a Holm-corrected p of 0.05 or more;
        None where no pair was tested).
    """
    areas = {row["finder"]: row["metrics"]["auroc"]["value"] for row in rows}
    order = sorted(areas, key=lambda name: (areas[name] is None, -(areas[name] or 0.0), name))
    alike: dict[str, list[str]] = {name: [] for name in order}
    for pair in pairs:
        if pair["auroc"]["p_holm"] >= SIGNIFICANCE:
            alike[pair["a"]].append(pair["b"])
            alike[pair["b"]].append(pair["a"])
    return [
        {
            "place": place,
            "finder": name,
            "not_told_from": sorted(alike[name], key=order.index) if pairs else None,
        }
        for place, name in enumerate(order, 1)
    ]


def _found_at_fpr(one: Told, lens: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the lenses (n1,) lie above the score that leaves at most 1 % of the non-lenses above it."""
    others = one.logit[~lens]
    return one.logit[lens] > strict_threshold(others, allowed_false_positives(len(others), FPR))


def _mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, Any]:
    """Counts of a 2 × 2 table and McNemar's exact p-value."""
    alone, other_alone = int((first & ~second).sum()), int((~first & second).sum())
    return {
        "n": len(first),
        "both": int((first & second).sum()),
        "a_alone": alone,
        "b_alone": other_alone,
        "neither": int((~first & ~second).sum()),
        "p": mcnemar_exact(alone, other_alone),
    }
