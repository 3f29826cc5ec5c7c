"""What one population of pairs shows: recall of both arms, the paired change, its significance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.display.colour import CONTROL, TREATED
from lensaudit.display.figures import light_grid
from lensaudit.display.numbers import p_short, shortest, with_interval
from lensaudit.probes.verdict import Estimate, Evidence, Verdict, judge
from lensaudit.records import Cells, Json, Number, Record, plain
from lensaudit.statistics import (
    RESAMPLES,
    GroupedMean,
    Proportion,
    beyond_tolerance_p,
    binomial_exact,
    grouped_fraction_interval,
    grouped_mean,
    holm,
    paired_bootstrap_interval,
    paired_difference_interval,
    student_beyond_p,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFIDENCE = 0.95
ALL_PAIRS = "all pairs"
ARMS = ("control", "treated")
SCORE, BINOMIAL = "Tango’s score against the tolerance", "binomial, against the tolerance"
OVER_HOSTS = "Tango’s score against the tolerance, or Student’s t over hosts where its p is larger"
_OVER_HOSTS_BEFORE = "McNemar, or Student’s t over hosts where its p is larger"
"""What an earlier version tested on hosts: that nothing changes."""

P_IS = (
    "p tests the change against the tolerance (Tango’s score; of contaminants the exact binomial test), "
    "corrected after Holm over all findings of all probes"
)

_CALLED = {"arcs": "compound arcs", "rings": "double rings"}


def called(population: str) -> str:
    """How a population is called in a sentence; labels that say it already stay as they are."""
    return _CALLED.get(population, population)


@dataclass(frozen=True)
class PairedScores:
    """Logits of both arms of the same n pairs, float64 (n,), and the threshold on p = sigmoid(logit).

    `groups` are numbers (n,) of what pairs have in common, where several have: the host that they are put into.
    """

    control: NDArray[np.float64]
    treated: NDArray[np.float64]
    threshold: float
    groups: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self.control)

    def found(self, arm: str) -> NDArray[np.bool_]:
        """Which pairs the finder calls a lens in ``control`` or ``treated``: p ≥ threshold."""
        return probability(getattr(self, arm)) >= self.threshold

    def where(self, keep: NDArray[np.bool_]) -> PairedScores:
        """The pairs for which `keep` is true."""
        groups = None if self.groups is None else self.groups[keep]
        return PairedScores(self.control[keep], self.treated[keep], self.threshold, groups)


@dataclass(frozen=True)
class Recall(Proportion):
    """Fraction of the pairs of one arm that is called a lens; in ``probe.json`` `k` is ``found``."""

    def to_json(self) -> Json:
        """``{found, n, value, low, high}``."""
        words = {name: plain(getattr(self, name)) for name in ("n", "value", "low", "high")}
        return {"found": self.k, **words}

    @classmethod
    def over(cls, called: NDArray[np.bool_], groups: NDArray[np.intp] | None) -> Recall:
        """Of `called` (n,); with the interval over `groups` where pairs have something in common."""
        found = cls.among(called)
        if groups is None:
            return found
        low, high = grouped_fraction_interval(called, groups, CONFIDENCE)
        return replace(found, low=low, high=high)


@dataclass(frozen=True)
class Change(Estimate):
    """A paired change, treated − control, with its interval and the method that gave it."""

    method: str


@dataclass(frozen=True)
class Finding(Record):
    """One comparison of the probe: one treated arm of one population with its control.

    `dose` is the strength of the treated arm, None where there is one such arm only. `gained` and `lost` count the
    discordant pairs: found only in the treated arm, found only in the control. `p_value` is that of `test`: of the
    hypothesis that the change (of a contaminant, the fraction called a lens) is no more than is tolerated; NaN before
    `against_tolerance`. `p_holm` is the same corrected over the `family` findings of the probe or the audit. On hosts,
    `host_error` is the standard error of the change over `hosts` hosts.
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
    p_value: Number = math.nan
    p_holm: Number = math.nan
    family: int = 1
    test: str = ""
    verdict: Verdict | None = None
    hosts: int = 0
    host_error: Number = math.nan

    @property
    def which(self) -> str:
        """Which pairs, in words: ``double rings, all pairs, dose 0.5``."""
        dose = () if self.dose is None else (f"dose {shortest(self.dose)}",)
        return ", ".join((called(self.population), self.subset, *dose))

    @property
    def p_is(self) -> str:
        """Of what test `p_value` is, in words."""
        over_hosts = "; intervals are the wider of those over pairs and over hosts" if self.test == OVER_HOSTS else ""
        return f"that of {self.test}{over_hosts}"

    def as_row(self) -> Cells:
        """Of a table of findings."""
        change = self.recall_change
        return {
            "population": self.population,
            "subset": self.subset,
            "dose": "" if self.dose is None else self.dose,
            "n": self.n,
            "change of recall": with_interval(change.value, change.low, change.high, sign=True),
            "p (Holm)": p_short(self.p_holm),
            "verdict": self.verdict.word if self.verdict else "",
        }


def measure(
    population: str, subset: str, scores: PairedScores, rng: np.random.Generator, dose: float | None = None
) -> Finding:
    """Measure one population; the verdict waits for `concluded`, which sees all findings."""
    control, treated = scores.found("control"), scores.found("treated")
    gained, lost = int(np.sum(treated & ~control)), int(np.sum(control & ~treated))
    n = len(scores)
    low, high = paired_difference_interval(gained, lost, n, CONFIDENCE)
    measured = Finding(
        population=population,
        subset=subset,
        dose=dose,
        n=n,
        control=Recall.over(control, scores.groups),
        treated=Recall.over(treated, scores.groups),
        recall_change=Change((gained - lost) / n if n else math.nan, low, high, "Tango 1998 score interval"),
        logit_change=_logit_change(scores, rng),
        gained=gained,
        lost=lost,
    )
    return measured if scores.groups is None or not n else _over_hosts(measured, scores, scores.groups)


def _over_hosts(finding: Finding, scores: PairedScores, groups: NDArray[np.intp]) -> Finding:
    """With the wider of the intervals over pairs and over hosts: arcs of a host are not independent.

    One host alone says nothing of others: the interval of its recall is as wide as can be, of its logit there is none.
    Where no pair changes, nothing is seen of how hosts differ, and a host counts as one pair.
    """
    if not (finding.gained or finding.lost):
        hosts = len(np.unique(groups))
        low, high = paired_difference_interval(0, 0, hosts, CONFIDENCE)
        finding = replace(finding, recall_change=replace(finding.recall_change, low=low, high=high))
    found = grouped_mean(scores.found("treated").astype(float) - scores.found("control"), groups, CONFIDENCE)
    logit = grouped_mean(scores.treated - scores.control, groups, CONFIDENCE)
    recall = replace(_wider(finding.recall_change, found, 1.0), method=f"{finding.recall_change.method}, or {_STUDENT}")
    return replace(
        finding,
        recall_change=recall,
        logit_change=replace(_wider(finding.logit_change, logit, math.nan), method=f"bootstrap, or {_STUDENT}"),
        hosts=found.freedom + 1,
        host_error=found.error,
    )


_STUDENT = "Student’s over hosts, the wider"


def _wider(change: Change, over_hosts: GroupedMean, bound: float) -> Change:
    """The wider interval, within ± `bound` where there is one; ± `bound` where there is one host."""
    if math.isnan(over_hosts.error):
        return replace(change, low=-bound, high=bound)
    low, high = min(change.low, over_hosts.low), max(change.high, over_hosts.high)
    return replace(change, low=float(np.fmax(low, -bound)), high=float(np.fmin(high, bound)))


def against_tolerance(findings: Iterable[Finding], tolerance: float, nature: str) -> tuple[Finding, ...]:
    """The findings with the p-value that no more than the tolerance is lost (of a nuisance, changed; of a contaminant,
    called a lens), before any correction.

    An earlier version tested whether anything changes, which Holm's correction then did not protect from too many
    intervals that lie beyond the tolerance by chance; its findings are tested anew.
    """
    return tuple(_against_tolerance(finding, tolerance, nature) for finding in findings)


def _against_tolerance(finding: Finding, tolerance: float, nature: str) -> Finding:
    if nature == "contaminant":
        p = binomial_exact(finding.treated.k, finding.n, tolerance) if finding.n else math.nan
        return replace(finding, p_value=p, test=BINOMIAL)
    either = nature == "nuisance"
    p = beyond_tolerance_p(finding.gained, finding.lost, finding.n, tolerance, either=either)
    if finding.test == _OVER_HOSTS_BEFORE:  # the spread over hosts was not kept: that p cannot be made again
        return replace(finding, p_value=max(p, finding.p_value), test=OVER_HOSTS)
    if not finding.hosts:
        return finding if finding.test == OVER_HOSTS else replace(finding, p_value=p, test=SCORE)
    changes = (finding.recall_change.value, -finding.recall_change.value)[: 1 + either]
    over_hosts = [student_beyond_p(one, finding.host_error, finding.hosts - 1, tolerance) for one in changes]
    return replace(finding, p_value=1.0 if finding.hosts < 2 else max(p, min(over_hosts)), test=OVER_HOSTS)


def corrected(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings with Holm's correction of their p-values over all of them that have pairs."""
    tested = [k for k, finding in enumerate(findings) if finding.n > 0]
    values = dict(zip(tested, holm([findings[k].p_value for k in tested]), strict=True)) if tested else {}
    return tuple(
        replace(finding, p_holm=float(values.get(k, math.nan)), family=max(len(tested), 1))
        for k, finding in enumerate(findings)
    )


def judged(findings: Iterable[Finding], tolerance: float, nature: str) -> tuple[Finding, ...]:
    """The findings, tested and corrected, with their verdicts."""
    return tuple(replace(finding, verdict=judge(_evidence(finding), tolerance, nature)) for finding in findings)


def concluded(findings: Sequence[Finding], tolerance: float, nature: str) -> tuple[Finding, ...]:
    """The findings of one probe with their verdicts, corrected among themselves."""
    return judged(corrected(against_tolerance(findings, tolerance, nature)), tolerance, nature)


def leading_finding(findings: Iterable[Finding], nature: str) -> Finding:
    """The finding a probe is known by: of the gravest verdict, the one that costs most.

    That is the largest loss; of a nuisance the largest change, of a contaminant the largest fraction called a lens. A
    subset may hold too few pairs for ever, which must not hide what all pairs show: it counts only where its interval
    lies beyond the tolerance.
    """
    known = [(finding, finding.verdict) for finding in findings if finding.verdict is not None]
    counted = [(f, v) for f, v in known if v.state.beyond or f.subset == ALL_PAIRS]
    return min(counted, key=lambda pair: (pair[1].state.gravity, -cost(pair[0], nature)))[0]


def cost(finding: Finding, nature: str) -> float:
    """Recall lost, changed (nuisance), or fraction called a lens (contaminant); −∞ without pairs."""
    change = finding.recall_change.value
    value = {"nuisance": abs(change), "contaminant": finding.treated.value}.get(nature, -change)
    return value if math.isfinite(value) else -math.inf


def headline(findings: Sequence[Finding], nature: str) -> Verdict:
    """The verdict of a whole probe: that of its leading finding, which it names."""
    finding = leading_finding(findings, nature)
    assert finding.verdict is not None
    return replace(finding.verdict, sentence=f"{finding.which}: {finding.verdict.sentence}")


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


def _evidence(finding: Finding) -> Evidence:
    arms, counts = (finding.control, finding.treated), (finding.gained, finding.lost)
    over_hosts = finding.test == OVER_HOSTS
    return Evidence(finding.n, finding.recall_change, *arms, *counts, finding.p_holm, finding.family, over_hosts)


class BothArms(Protocol):
    """Both arms of one comparison: a `Finding`, or a group of the report."""

    @property
    def control(self) -> Proportion: ...
    @property
    def treated(self) -> Proportion: ...


def draw_arms(axes: Axes, arms: Sequence[BothArms], names: Sequence[str]) -> Axes:
    """Fraction called a lens of control and treated, one line for each of `names`, 95 % intervals; those without pairs
    stay empty."""
    from matplotlib.ticker import PercentFormatter

    for y, one in enumerate(arms):
        each = (("control", one.control, y - 0.14, CONTROL), ("treated", one.treated, y + 0.14, TREATED))
        for word, fraction, place, colour in each:
            if fraction.n:
                axes.hlines(place, fraction.low, fraction.high, color=colour, linewidth=1.5)
                axes.plot(fraction.value, place, "o", color=colour, markersize=6, label=word if y == 0 else None)
    axes.set(xlim=(-0.02, 1.02), xlabel="Called a lens at the threshold, 95 % interval")
    axes.set_ylim(len(names) - 0.4, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    light_grid(axes, "x")
    return axes
