"""From measured rates to one word and one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lensaudit.records import Number, Record
from lensaudit.statistics import Proportion, pairs_to_assess, pairs_to_settle, scenes_to_settle
from lensaudit.verdicts import (
    BIAS,
    EQUIVALENT,
    FALSE_POSITIVES,
    GAIN,
    INCONCLUSIVE,
    NOT_ASSESSABLE,
    SELECTION,
    SIGNIFICANCE,
    TENTATIVE,
    State,
    decide,
    state_of,
)


@dataclass(frozen=True)
class Estimate(Record):
    """A value with its 95 % interval; NaN where nothing was measured."""

    value: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes
    ----------
    n
        Pairs.
    change
        Change of recall, treated − control, with Tango's interval.
    control, treated
        Fraction of each arm called a lens, with Wilson's interval.
    gained, lost
        Pairs called a lens in the treated arm only, and in the control only.
    p_holm
        p-value after Holm's correction: McNemar's of the change; of a contaminant, the binomial test's that the
        fraction called a lens is the tolerance.
    family
        Findings that are corrected together.
    """

    n: int
    change: Estimate
    control: Proportion
    treated: Proportion
    gained: int
    lost: int
    p_holm: float
    family: int = 1

    @property
    def significant(self) -> bool:
        """Whether the test, corrected for the other findings, excludes its hypothesis."""
        return self.p_holm < SIGNIFICANCE


@dataclass(frozen=True)
class Verdict(Record):
    """The word of a state, why in one sentence, and the pairs that would settle it.

    Attributes
    ----------
    word
        Of a `lensaudit.verdicts.State`.
    sentence
        For an astronomer, with every number it rests on.
    needed
        Pairs that would settle an open verdict; None where it is settled, or where no number of pairs would do.
    """

    word: str
    sentence: str
    needed: int | None = None

    @property
    def state(self) -> State:
        """The state it names."""
        return state_of(self.word)


def judge(evidence: Evidence, tolerance: float, nature: str) -> Verdict:
    """The verdict on one finding; `lensaudit.verdicts.STATES` defines the words, `decide` picks one.

    Parameters
    ----------
    tolerance
        Loss of recall that is accepted; of a nuisance the change either way, of a contaminant the fraction called a
        lens.
    nature
        Of the probe.
    """
    contaminant = nature == "contaminant"
    tested = evidence.treated if contaminant else evidence.change
    assessable = evidence.n > 0 and evidence.control.low > (evidence.treated.high if contaminant else tolerance)
    state = decide(nature, (tested.low, tested.high), tolerance, evidence.significant, assessable)
    needed = _needed(state, evidence, tolerance, nature) if state.open and evidence.n else None
    if state is NOT_ASSESSABLE:
        return Verdict(state.word, _not_assessable(evidence, tolerance, nature) + _advice(state, needed) + ".", needed)
    words = _contaminant_words if contaminant else _change_words
    return Verdict(state.word, words(state, evidence, tolerance, nature) + _advice(state, needed) + ".", needed)


def _needed(state: State, evidence: Evidence, tolerance: float, nature: str) -> int | None:
    if state is NOT_ASSESSABLE:
        rates = evidence.control.value, evidence.treated.value
        return pairs_to_assess(*rates, evidence.n, tolerance, contaminant=nature == "contaminant")
    if nature == "contaminant":
        return scenes_to_settle(round(evidence.treated.value * evidence.n), evidence.n, tolerance, evidence.family)
    either = nature == "nuisance"
    return pairs_to_settle(evidence.gained, evidence.lost, evidence.n, tolerance, evidence.family, either=either)


def _advice(state: State, needed: int | None) -> str:
    if state is NOT_ASSESSABLE:
        return f"; about {needed} pairs would do" if needed else ""
    if not state.open:
        return ""
    if needed is None:
        return "; it lies too near the tolerance for more pairs to settle it"
    return f"; about {needed} pairs would settle it"


def _change_words(state: State, evidence: Evidence, tolerance: float, nature: str) -> str:
    told, p = _numbers(evidence), p_text(evidence.p_holm)
    what = "change" if nature == "nuisance" else "loss"
    if state in (BIAS, SELECTION):
        count = ", which the survey must count" if state is SELECTION else ""
        return f"{told}: a {what} beyond the tolerated {tolerance:g}, significant ({p}){count}"
    if state is TENTATIVE:
        return f"{told}: likely a {what} beyond the tolerated {tolerance:g}, but not significant ({p})"
    if state is INCONCLUSIVE:
        also = "a change is significant" if evidence.significant else "no change is significant"
        return f"{told}: inconclusive as to a {what} beyond the tolerated {tolerance:g}; {also} ({p})"
    if state is GAIN:
        return f"{told}: a gain, {'significant' if evidence.significant else 'not significant'} ({p})"
    assert state is EQUIVALENT
    small = "a significant change" if evidence.significant else "no significant change"
    return f"{told}: no {what} beyond the tolerated {tolerance:g}; {small} ({p})"


def _numbers(evidence: Evidence) -> str:
    """Both recalls, the change, its interval and n."""
    change, control, treated = evidence.change, evidence.control.value, evidence.treated.value
    fate = "falls" if change.value < 0 else "rises" if change.value > 0 else "stays"
    moved = f"{fate} from {control:.3f} to {treated:.3f}" if change.value else f"stays at {control:.3f}"
    return (
        f"Recall {moved} (change {change.value:+.3f}, 95 % interval {change.low:+.3f} to {change.high:+.3f}, "
        f"n = {evidence.n} pairs)"
    )


def _contaminant_words(state: State, evidence: Evidence, tolerance: float, nature: str) -> str:
    treated, p = evidence.treated, p_text(evidence.p_holm)
    told = (
        f"{_counted(treated.value, evidence.n)} scenes without a lens are called one ({treated.value:.3f}, 95 % "
        f"interval {treated.low:.3f} to {treated.high:.3f}; with the lensing {evidence.control.value:.3f})"
    )
    if state is FALSE_POSITIVES:
        return f"{told}: more than the tolerated {tolerance:g}, significant ({p})"
    if state is TENTATIVE:
        return f"{told}: likely more than the tolerated {tolerance:g}, but not significant ({p})"
    if state is INCONCLUSIVE:
        return f"{told}: inconclusive as to more than the tolerated {tolerance:g} ({p})"
    assert state is EQUIVALENT
    return f"{told}: fewer than the tolerated {tolerance:g}"


def _not_assessable(evidence: Evidence, tolerance: float, nature: str) -> str:
    if evidence.n == 0:
        return "No pair fulfils the condition, so nothing can be said"
    control = evidence.control
    found = (
        f"The finder finds {_counted(control.value, evidence.n)} control lenses ({control.value:.3f}, 95 % interval "
        f"{control.low:.3f} to {control.high:.3f})"
    )
    if nature == "contaminant":
        scenes = _counted(evidence.treated.value, evidence.n)
        return (
            f"{found}, not shown to be more than of the scenes without a lens ({scenes}): how few of those it calls a "
            "lens says nothing at this threshold"
        )
    what = "change" if nature == "nuisance" else "loss"
    return f"{found}, too few for a {what} beyond the tolerated {tolerance:g} to show at this threshold"


def _counted(fraction: float, n: int) -> str:
    return f"{round(fraction * n)} of {n}"


def p_text(p: float) -> str:
    """``p = 0.012 after Holm’s correction``, with as many digits as tell on which side of 0.05 it lies."""
    if math.isnan(p):
        return "no test"
    texts = (f"{p:.{digits}g}" for digits in range(2, 18))
    shown = next(text for text in texts if (float(text) < SIGNIFICANCE) == (p < SIGNIFICANCE))
    return f"p = {shown} after Holm’s correction" if p >= 1e-4 else "p < 0.0001 after Holm’s correction"
