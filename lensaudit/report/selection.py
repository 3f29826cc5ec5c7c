"""Which lenses are found: recall against what the lenses are, false positives against what the others are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lensaudit.report.options import MIN_BIN
from lensaudit.statistics import wilson_interval

MAX_BINS = 8
LENSES_PER_BIN = 25  # aimed at, so that rounding the edges seldom leaves a bin below MIN_BIN
PERMUTATIONS = 9999  # smallest reachable p is 1e-4


@dataclass(frozen=True)
class Axis:
    """A catalogue column along which recall is measured."""

    column: str
    label: str
    unit: str
    phrase: str
    """How a group is named in a sentence; holds ``{range}``."""


AXES = (
    Axis("theta_e_arcsec", "Einstein radius θ_E", "″", "θ_E {range}"),
    Axis("arc_snr", "Arc signal-to-noise", "", "arc S/N {range}"),
    Axis("mag_source_VIS", "Source magnitude, VIS, unlensed", "mag", "source magnitude {range}"),
    Axis("colour_source_VIS_H", "Source colour VIS − H", "mag", "source colour VIS − H {range}"),
)


def recall_along(values: np.ndarray, found: np.ndarray, axis: Axis, rng: np.random.Generator) -> dict[str, Any]:
    """Recall per bin of one column, with Wilson intervals and a permutation test of "the same in every bin".

    Parameters
    ----------
    values
        Column of the lenses, shape (n,); NaN where it does not apply.
    found
        Whether each lens scored at or above the threshold, shape (n,).
    axis
        The column.
    rng
        Source of the permutations.
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    edges = bin_edges(values[finite])
    place = np.clip(np.searchsorted(edges, values[finite], side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = [_bin(edges, i, found[finite][place == i]) for i in range(len(edges) - 1)]
    return {
        "column": axis.column,
        "label": axis.label,
        "unit": axis.unit,
        "phrase": axis.phrase,
        "bins": bins,
        "n": int(finite.sum()),
        "n_missing": int((~finite).sum()),
        "p": heterogeneity([b for b in bins if not b["few"]], rng),
    }


def rates_by_kind(kinds: np.ndarray, called: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Rate of "called a lens" per scene kind with Wilson intervals, largest n first."""
    names, counts = np.unique(np.asarray(kinds).astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = [{"kind": str(names[i]), **rate(called[np.asarray(kinds).astype(str) == names[i]])} for i in order]
    return {"rows": rows, "n": len(called), "p": heterogeneity([r for r in rows if not r["few"]], rng)}


def rate(called: np.ndarray) -> dict[str, Any]:
    """k of n with its 95 % Wilson interval; an empty group has ``None`` and no interval."""
    n, k = len(called), int(np.sum(called))
    low, high = wilson_interval(k, n) if n else (None, None)
    return {"k": k, "n": n, "rate": k / n if n else None, "low": low, "high": high, "few": n < MIN_BIN}


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins of about equal n, rounded to readable numbers; shape (bins + 1,), empty without values.

    An edge is rounded to the power of ten below half the distance to its nearer neighbour, so that it reads 1.2 and
    not 1.2483 while each bin keeps about its number; the ends are rounded outwards.
    """
    if len(values) == 0:
        return np.empty(0)
    bins = int(np.clip(len(values) // LENSES_PER_BIN, 1, MAX_BINS))
    raw = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
    if len(raw) < 2:
        return np.floor(raw[0]) + np.array([0.0, 1.0])
    gaps = np.diff(raw)
    steps = _readable(np.concatenate([[gaps[0]], np.minimum(gaps[:-1], gaps[1:]), [gaps[-1]]]))
    edges = np.round(raw / steps) * steps
    edges[0], edges[-1] = np.floor(raw[0] / steps[0]) * steps[0], np.ceil(raw[-1] / steps[-1]) * steps[-1]
    return np.unique(np.round(edges, 10))


def heterogeneity(groups: list[dict[str, Any]], rng: np.random.Generator) -> float | None:
    """Permutation p-value that all groups share one rate (Pearson χ² as the statistic).

    Under the null the k of the groups follow the multivariate hypergeometric law given n and Σk, so no
    large-sample approximation is made. ``None`` with fewer than two groups.
    """
    if len(groups) < 2:
        return None
    n = np.array([g["n"] for g in groups])
    k = np.array([g["k"] for g in groups])
    if k.sum() in (0, n.sum()):
        return 1.0
    drawn = rng.multivariate_hypergeometric(n, int(k.sum()), size=PERMUTATIONS, method="marginals")
    expected = n * k.sum() / n.sum()
    variance = expected * (1 - k.sum() / n.sum())
    observed = ((k - expected) ** 2 / variance).sum()
    null = ((drawn - expected) ** 2 / variance).sum(axis=1)
    return float((1 + np.sum(null >= observed * (1 - 1e-12))) / (1 + PERMUTATIONS))


def _bin(edges: np.ndarray, i: int, found: np.ndarray) -> dict[str, Any]:
    return {"from": float(edges[i]), "to": float(edges[i + 1]), **rate(found)}


def _readable(gaps: np.ndarray) -> np.ndarray:
    return np.asarray(10.0 ** np.floor(np.log10(gaps / 2)))
