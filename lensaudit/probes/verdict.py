"""From measured rates to one word and one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from lensaudit.display.numbers import decimal, p_value, shortest
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
        p-value after Holm's correction, of the hypothesis that no more than the tolerance is lost; of a nuisance,
        changed; of a contaminant, called a lens.
    family
        Findings that are corrected together.
    over_hosts
        Whether hosts are used for several pairs each, so that more pairs of them settle nothing.
    """

    n: int
    change: Estimate
    control: Proportion
    treated: Proportion
    gained: int
    lost: int
    p_holm: float
    family: int = 1
    over_hosts: bool = False

    @property
    def significant(self) -> bool:
        """Whether the test, corrected for the other findings, says that it is more than is tolerated."""
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
    countable = state.open and evidence.n and not evidence.over_hosts
    needed = _needed(state, evidence, tolerance, nature) if countable else None
    advice = _advice(state, needed, over_hosts=evidence.over_hosts)
    if state is NOT_ASSESSABLE:
        return Verdict(state.word, _not_assessable(evidence, tolerance, nature) + advice + ".", needed)
    words = _contaminant_words if contaminant else _change_words
    return Verdict(state.word, words(state, evidence, tolerance, nature) + advice + ".", needed)


def _needed(state: State, evidence: Evidence, tolerance: float, nature: str) -> int | None:
    if state is NOT_ASSESSABLE:
        rates = evidence.control.value, evidence.treated.value
        return pairs_to_assess(*rates, evidence.n, tolerance, contaminant=nature == "contaminant")
    if nature == "contaminant":
        return scenes_to_settle(round(evidence.treated.value * evidence.n), evidence.n, tolerance, evidence.family)
    either = nature == "nuisance"
    return pairs_to_settle(evidence.gained, evidence.lost, evidence.n, tolerance, evidence.family, either=either)


def _advice(state: State, needed: int | None, *, over_hosts: bool) -> str:
    if over_hosts:
        return "; more hosts would tell, more arcs in the same ones would not" if state.open else ""
    if state is NOT_ASSESSABLE:
        return f"; about {needed} pairs would do" if needed else ""
    if not state.open:
        return ""
    if needed is None:
        return "; it lies too near the tolerance for more pairs to settle it"
    return f"; about {needed} pairs would settle it"


def _change_words(state: State, evidence: Evidence, tolerance: float, nature: str) -> str:
    numbers, p, tolerated = _numbers(evidence), p_text(evidence.p_holm), shortest(tolerance)
    what = "change" if nature == "nuisance" else "loss"
    if state in (BIAS, SELECTION):
        count = ", which the survey must count" if state is SELECTION else ""
        return f"{numbers}: a {what} significantly beyond the tolerated {tolerated} ({p}){count}"
    if state is TENTATIVE:
        return f"{numbers}: likely a {what} beyond the tolerated {tolerated}, but not significantly so ({p})"
    if state is INCONCLUSIVE:
        return f"{numbers}: inconclusive as to a {what} beyond the tolerated {tolerated} ({p})"
    if state is GAIN:
        return f"{numbers}: a gain"
    assert state is EQUIVALENT
    small = "; a change within it is shown" if evidence.change.low > 0 or evidence.change.high < 0 else ""
    return f"{numbers}: no {what} beyond the tolerated {tolerated}{small}"


def _numbers(evidence: Evidence) -> str:
    """Both recalls, the change, its interval and n."""
    change, control, treated = evidence.change, evidence.control.value, evidence.treated.value
    fate = "falls" if change.value < 0 else "rises" if change.value > 0 else "stays"
    moved = f"{fate} from {decimal(control)} to {decimal(treated)}" if change.value else f"stays at {decimal(control)}"
    value, low, high = (decimal(one, sign=True) for one in (change.value, change.low, change.high))
    return f"Recall {moved} (change {value}, 95 % interval {low} to {high}, n = {evidence.n} pairs)"


def _contaminant_words(state: State, evidence: Evidence, tolerance: float, nature: str) -> str:
    treated, p, tolerated = evidence.treated, p_text(evidence.p_holm), shortest(tolerance)
    numbers = (
        f"{_counted(treated.value, evidence.n)} scenes without a lens are called one ({_with_ends(treated)}; with the "
        f"lensing {decimal(evidence.control.value)})"
    )
    if state is FALSE_POSITIVES:
        return f"{numbers}: significantly more than the tolerated {tolerated} ({p})"
    if state is TENTATIVE:
        return f"{numbers}: likely more than the tolerated {tolerated}, but not significantly so ({p})"
    if state is INCONCLUSIVE:
        return f"{numbers}: inconclusive as to more than the tolerated {tolerated} ({p})"
    assert state is EQUIVALENT
    return f"{numbers}: fewer than the tolerated {tolerated}"


def _not_assessable(evidence: Evidence, tolerance: float, nature: str) -> str:
    if evidence.n == 0:
        return "No pair fulfils the condition, so nothing can be said"
    control = evidence.control
    found = f"The finder finds {_counted(control.value, evidence.n)} control lenses ({_with_ends(control)})"
    if nature == "contaminant":
        scenes = _counted(evidence.treated.value, evidence.n)
        return (
            f"{found}, not shown to be more than of the scenes without a lens ({scenes}): how few of those it calls a "
            "lens says nothing at this threshold"
        )
    what = "change" if nature == "nuisance" else "loss"
    return f"{found}, too few for a {what} beyond the tolerated {shortest(tolerance)} to show at this threshold"


def _with_ends(fraction: Proportion) -> str:
    value, low, high = (decimal(one) for one in (fraction.value, fraction.low, fraction.high))
    return f"{value}, 95 % interval {low} to {high}"


def _counted(fraction: float, n: int) -> str:
    return f"{round(fraction * n)} of {n}"


def p_text(p: float) -> str:
    """``p = 0.012 after Holm’s correction``; ``no test`` without pairs."""
    return "no test" if p != p else f"{p_value(p)} after Holm’s correction"
