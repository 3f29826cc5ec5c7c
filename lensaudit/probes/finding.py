"""What one population of pairs shows: recall of both arms, the paired change, its significance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.probes.verdict import BIAS, WORDS, Evidence, Verdict, judge
from lensaudit.statistics import (
    RESAMPLES,
    holm,
    mcnemar_exact,
    paired_bootstrap_interval,
    paired_difference_interval,
    wilson_interval,
)

CONFIDENCE = 0.95
ALL_PAIRS = "all pairs"
ARMS = ("control", "treated")


@dataclass(frozen=True)
class PairedScores:
    """Logits of both arms of the same n pairs, float64 (n,), and the threshold on p = sigmoid(logit)."""

    control: NDArray[np.float64]
    treated: NDArray[np.float64]
    threshold: float

    def __len__(self) -> int:
        return len(self.control)

    def found(self, arm: str) -> NDArray[np.bool_]:
        """Which pairs the finder calls a lens in ``control`` or ``treated``: p ≥ threshold."""
        return probability(getattr(self, arm)) >= self.threshold

    def where(self, keep: NDArray[np.bool_]) -> PairedScores:
        """The pairs for which `keep` is true."""
        return PairedScores(self.control[keep], self.treated[keep], self.threshold)


@dataclass(frozen=True)
class Recall:
    """Lenses found out of n, with the Wilson interval; value and interval are NaN if n = 0."""

    found: int
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """A paired change, treated − control, with its interval and the method that gave it."""

    value: float
    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Finding:
    """One comparison of the probe: one treated arm of one population with its control.

    `dose` is the strength of the treated arm, None where there is one such arm only. `gained` and `lost` count the
    discordant pairs: found only in the treated arm, found only in the control. `p_value` is McNemar's exact two-sided
    one, `p_holm` the same corrected over all findings of the probe.
    """

    population: str
    subset: str
    dose: float | None
    n: int
    control: Recall
    treated: Recall
    recall_change: Change
    logit_change: Change
    gained: int
    lost: int
    p_value: float
    p_holm: float = math.nan
    verdict: Verdict | None = None


def measure(
    population: str, subset: str, scores: PairedScores, rng: np.random.Generator, dose: float | None = None
) -> Finding:
    """Measure one population; the verdict waits for `concluded`, which sees all findings."""
    control, treated = scores.found("control"), scores.found("treated")
    gained, lost = int(np.sum(treated & ~control)), int(np.sum(control & ~treated))
    n = len(scores)
    low, high = paired_difference_interval(gained, lost, n, CONFIDENCE)
    return Finding(
        population=population,
        subset=subset,
        dose=dose,
        n=n,
        control=recall(control),
        treated=recall(treated),
        recall_change=Change((gained - lost) / n if n else math.nan, low, high, "Tango 1998 score interval"),
        logit_change=_logit_change(scores, rng),
        gained=gained,
        lost=lost,
        p_value=mcnemar_exact(lost, gained) if n else math.nan,
    )


def corrected(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings with Holm's correction of McNemar's p over all of them that have pairs."""
    tested = [k for k, finding in enumerate(findings) if finding.n > 0]
    values = dict(zip(tested, holm([findings[k].p_value for k in tested]), strict=True)) if tested else {}
    return tuple(replace(finding, p_holm=float(values.get(k, math.nan))) for k, finding in enumerate(findings))


def concluded(
    findings: Sequence[Finding], tolerance: float, nature: str, *, keep_holm: bool = False
) -> tuple[Finding, ...]:
    """The findings with their verdicts, corrected among themselves, or as they are already (`keep_holm`)."""
    ready = findings if keep_holm else corrected(findings)
    return tuple(_with_verdict(finding, finding.p_holm, tolerance, nature) for finding in ready)


def headline(findings: Sequence[Finding]) -> Verdict:
    """The verdict of a whole probe: a bias in any finding, else the gravest one over all pairs.

    A subset may hold too few pairs for ever, which must not hide what all pairs show.
    """
    judged = [(finding, finding.verdict) for finding in findings if finding.verdict is not None]
    counted = [(f, v) for f, v in judged if v.word == BIAS or f.subset == ALL_PAIRS]
    finding, verdict = min(counted, key=lambda pair: (WORDS.index(pair[1].word), -abs(pair[0].recall_change.value)))
    dose = "" if finding.dose is None else f", dose {finding.dose:g}"
    return Verdict(verdict.word, f"{finding.population}, {finding.subset}{dose}: {verdict.sentence}")


def recall(found: NDArray[np.bool_]) -> Recall:
    """Recall of n lenses of which `found` were found."""
    k, n = int(np.sum(found)), len(found)
    low, high = wilson_interval(k, n, CONFIDENCE)
    return Recall(k, n, k / n if n else math.nan, low, high)


def probability(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """p = sigmoid(logit), without overflow."""
    return np.asarray(expit(logit), dtype=np.float64)


def _logit_change(scores: PairedScores, rng: np.random.Generator) -> Change:
    """Mean change of logit; percentile bootstrap over pairs."""
    low, high = paired_bootstrap_interval(
        scores.control, scores.treated, rng, resamples=RESAMPLES, confidence=CONFIDENCE
    )
    value = float(np.mean(scores.treated - scores.control)) if len(scores) else math.nan
    return Change(value, low, high, f"percentile bootstrap over pairs, {RESAMPLES} resamples")


def _with_verdict(finding: Finding, p_holm: float, tolerance: float, nature: str) -> Finding:
    evidence = Evidence(
        n=finding.n,
        change=finding.recall_change.value,
        low=finding.recall_change.low,
        high=finding.recall_change.high,
        discordant=finding.gained + finding.lost,
        control_recall=finding.control.value,
        p_holm=p_holm,
        treated=(finding.treated.value, finding.treated.low, finding.treated.high),
    )
    return replace(finding, p_holm=p_holm, verdict=judge(evidence, tolerance, nature))
