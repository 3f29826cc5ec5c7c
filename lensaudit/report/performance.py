"""Performance of a finder on the set, and which lenses it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit as log_odds

from lensaudit.errors import DataError
from lensaudit.evaluation import RocBand, ScoreHistogram, evaluate
from lensaudit.evaluation.disagreement import ErrorSignals, error_signals
from lensaudit.evaluation.selection import LADDER, SelectionFunction, Threshold, require_truth, selection_function
from lensaudit.evaluation.selection.function import Scored
from lensaudit.evaluation.selection.parameters import WithTruth, colour_of, own_parameters, source_band
from lensaudit.report.options import AuditOptions
from lensaudit.report.schema import (
    Bin,
    Curve,
    KindRate,
    Kinds,
    LabelledMetric,
    Performance,
    Rate,
    Selection,
    Unscored,
)
from lensaudit.statistics import Proportion, confusion

if TYPE_CHECKING:
    from lensaudit.finders import Scores
    from lensaudit.lensset import LensSet

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
"""Of Euclid's sets."""


def axes_of(lens_set: LensSet, lens: np.ndarray) -> tuple[Axis, ...]:
    """`AXES` in the bands of the set, whose lenses are `lens` (n,), and the user's own columns."""
    band, colour = source_band(lens_set, lens), colour_of(lens_set)
    words = f"ource colour {' − '.join(colour)}"
    named = (
        *AXES[:2],
        replace(AXES[2], column=f"mag_source_{band}", label=f"Source magnitude, {band}, unlensed"),
        Axis(f"colour_source_{'_'.join(colour)}", f"S{words}", "mag", f"s{words} {{range}}"),
    )
    own = own_parameters(lens_set, lens, [axis.column for axis in named])
    return (*named, *(Axis(one.name, one.words, one.unit, f"{_no_braces(one.words)} {{range}}") for one in own))


def _no_braces(words: str) -> str:
    return words.replace("{", "(").replace("}", ")")


def recall_along(values: np.ndarray, found: np.ndarray, axis: Axis, rng: np.random.Generator) -> Curve:
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
    bins = tuple(_bin(edges, i, found[finite][place == i]) for i in range(len(edges) - 1))
    return Curve(
        **asdict(axis),
        bins=bins,
        n=int(finite.sum()),
        n_missing=int((~finite).sum()),
        p=heterogeneity([one for one in bins if not one.few], rng),
    )


def rates_by_kind(kinds: np.ndarray, called: np.ndarray, rng: np.random.Generator) -> Kinds:
    """Rate of "called a lens" per scene kind with Wilson intervals, largest n first."""
    kinds = np.asarray(kinds).astype(str)
    names, counts = np.unique(kinds, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = tuple(_of_kind(str(names[i]), called[kinds == names[i]]) for i in order)
    return Kinds(rows, len(called), heterogeneity([one for one in rows if not one.few], rng))


def _bin(edges: np.ndarray, i: int, found: np.ndarray) -> Bin:
    rate = Rate.among(found)
    return Bin(rate.k, rate.n, *rate.interval, start=float(edges[i]), end=float(edges[i + 1]))


def _of_kind(kind: str, called: np.ndarray) -> KindRate:
    rate = Rate.among(called)
    return KindRate(rate.k, rate.n, *rate.interval, kind=kind)


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


def heterogeneity(groups: Sequence[Proportion], rng: np.random.Generator) -> float | None:
    """Permutation p-value that all groups share one rate (Pearson χ² as the statistic).

    Under the null the k of the groups follow the multivariate hypergeometric law given n and Σk, so no
    large-sample approximation is made. ``None`` with fewer than two groups.
    """
    if len(groups) < 2:
        return None
    n = np.array([group.n for group in groups])
    k = np.array([group.k for group in groups])
    if k.sum() in (0, n.sum()):
        return 1.0
    drawn = rng.multivariate_hypergeometric(n, int(k.sum()), size=PERMUTATIONS, method="marginals")
    expected = n * k.sum() / n.sum()
    variance = expected * (1 - k.sum() / n.sum())
    observed = ((k - expected) ** 2 / variance).sum()
    null = ((drawn - expected) ** 2 / variance).sum(axis=1)
    return float((1 + np.sum(null >= observed * (1 - 1e-12))) / (1 + PERMUTATIONS))


def _readable(gaps: np.ndarray) -> np.ndarray:
    return np.asarray(10.0 ** np.floor(np.log10(gaps / 2)))


def performance_block(labels: np.ndarray, scores: Scores, threshold: float, options: AuditOptions) -> Performance:
    """Everything about scores and labels; blocks that need a class the set does not have are ``None``.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown; int (n,).
    scores
        :class:`lensaudit.finders.Scores`; images without a score are listed and enter no number.
    """
    known = np.isfinite(scores.p_lens)
    p, logit, labels = scores.p_lens[known], scores.logit[known], labels[known]
    lens, other = labels == 1, labels == 0
    metrics, roc = measured(labels, p, logit, threshold, options)
    return Performance(
        threshold=threshold,
        n=len(p),
        n_above=int(np.sum(p >= threshold)),
        n_lenses=int(lens.sum()),
        n_non_lenses=int(other.sum()),
        unscored=tuple(Unscored(name, why) for name, why in scores.failed.items()),
        metrics=metrics,
        roc=roc,
        scores=ScoreHistogram.of(labels, p),
        confusion=confusion(labels[lens | other], (p >= threshold)[lens | other]) if (lens | other).any() else None,
        false_positive_rate=Rate.among(p[other] >= threshold),
        errors=_error_signals(labels, scores, logit, known, threshold),
    )


def _error_signals(
    labels: np.ndarray, scores: Scores, logit: np.ndarray, known: np.ndarray, threshold: float
) -> ErrorSignals | None:
    """What tells the errors of a committee; None of any other finder, or without labels."""
    members = getattr(scores, "members", None)
    if members is None or not (labels >= 0).any():
        return None
    told = {name: values[known] for name, values in members.columns().items()}
    return error_signals(labels, logit, float(log_odds(threshold)), told)


def measured(
    labels: np.ndarray, p: np.ndarray, logit: np.ndarray, threshold: float, options: AuditOptions
) -> tuple[tuple[LabelledMetric, ...], RocBand | None]:
    """Rows of the metrics table and the ROC curve; empty and ``None`` without any label."""
    if not (labels >= 0).any():
        return (), None
    result = evaluate(labels, p, logit, threshold=threshold, beta=options.beta, seed=options.seed)
    names = [result.label(one.name) for one in result.metrics]
    rows = [
        LabelledMetric(**asdict(one), label=f"{name[0].upper()}{name[1:]}")
        for one, name in zip(result.metrics, names, strict=True)
    ]
    return tuple(rows), result.roc


_STREAM = 0x5E1EC7  # keeps these permutations apart from other draws of the same seed


def selection_block(lens_set: LensSet, p: np.ndarray, threshold: float, seed: int) -> Selection | None:
    """Recall along the axes and rates by kind; ``None`` where the set has no scored lens or no column to sort by.

    Parameters
    ----------
    p
        Scores, float64 (n,); images without a score (NaN) are left out.
    """
    lens = (lens_set.labels == 1) & np.isfinite(p)
    other = (lens_set.labels == 0) & np.isfinite(p)
    all_axes = axes_of(lens_set, lens)
    axes = [axis for axis in all_axes if axis.column in lens_set.columns]
    has_kinds = "kind" in lens_set.columns
    if not (lens.any() and axes) and not (has_kinds and (lens | other).any()):
        return None
    called, rng = p >= threshold, np.random.default_rng([seed, _STREAM])
    kinds = lens_set.column("kind").astype(str) if has_kinds else None
    return Selection(
        curves=tuple(recall_along(lens_set.column(axis.column)[lens], called[lens], axis, rng) for axis in axes),
        absent=tuple(axis.label for axis in all_axes if axis not in axes),
        lens_kinds=_kinds(kinds, called, lens, rng),
        non_lens_kinds=_kinds(kinds, called, other, rng),
    )


def _kinds(kinds: np.ndarray | None, called: np.ndarray, members: np.ndarray, rng: np.random.Generator) -> Kinds | None:
    if kinds is None or not members.any():
        return None
    return rates_by_kind(kinds[members], called[members], rng)


def selection_function_block(
    lens_set: WithTruth, scores: Scored, threshold: float, seed: int
) -> SelectionFunction | None:
    """The selection function at the finder's threshold; None without lenses or truth.

    Parameters
    ----------
    scores
        :class:`lensaudit.finders.Scores` of the set, in its order.
    threshold
        p from which a system is called a lens; medians are also compared at the ladder of thresholds.
    """
    try:
        require_truth(lens_set)
    except DataError:
        return None
    if not (np.isfinite(scores.p_lens) & (lens_set.labels == 1)).any():
        return None
    return selection_function(scores, lens_set, (Threshold(threshold), *LADDER), seed=seed)
