"""The selection block: recall along every axis the catalogue has, and rates per kind of scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from lensaudit.report.selection import AXES, rates_by_kind, recall_along

_STREAM = 0x5E1EC7  # keeps these permutations apart from other draws of the same seed


def selection_block(lens_set: Any, p: np.ndarray, threshold: float, seed: int) -> dict[str, Any] | None:
    """Recall along the axes and rates by kind; ``None`` where the set has no scored lens or no column to sort by.

    Parameters
    ----------
    p
        Scores, float64 (n,); images without a score (NaN) are left out.
    """
    lens = (lens_set.labels == 1) & np.isfinite(p)
    other = (lens_set.labels == 0) & np.isfinite(p)
    axes = [axis for axis in AXES if axis.column in lens_set.columns]
    has_kinds = "kind" in lens_set.columns
    if not (lens.any() and axes) and not (has_kinds and (lens | other).any()):
        return None
    called, rng = p >= threshold, np.random.default_rng([seed, _STREAM])
    kinds = lens_set.column("kind").astype(str) if has_kinds else None
    return {
        "curves": [recall_along(lens_set.column(axis.column)[lens], called[lens], axis, rng) for axis in axes],
        "absent": [axis.label for axis in AXES if axis not in axes],
        "lens_kinds": _kinds(kinds, called, lens, rng),
        "non_lens_kinds": _kinds(kinds, called, other, rng),
    }


def _kinds(
    kinds: np.ndarray | None, called: np.ndarray, members: np.ndarray, rng: np.random.Generator
) -> dict[str, Any] | None:
    if kinds is None or not members.any():
        return None
    return rates_by_kind(kinds[members], called[members], rng)
