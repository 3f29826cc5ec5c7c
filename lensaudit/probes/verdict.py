"""From a measured change of recall to one word and one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

NO_EFFECT = "no effect shown"
WITHIN_TOLERANCE = "within tolerance"
BIAS = "bias"
TOO_FEW = "too few to tell"
SELECTION = "selection function"
FALSE_POSITIVES = "false positives"

WORDS = (BIAS, FALSE_POSITIVES, SELECTION, TOO_FEW, WITHIN_TOLERANCE, NO_EFFECT)
"""All verdict words, the gravest first."""

SIGNIFICANCE = 0.05
"""Holm-corrected p-value below which a change counts as shown."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on: the change of recall (treated − control) over `n` pairs, with its 95 % interval."""

    n: int
    change: float
    low: float
    high: float
    discordant: int
    control_recall: float
    p_holm: float
    treated: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    """Share of the treated arm called a lens, with its Wilson interval."""

    @property
    def shown(self) -> bool:
        """Whether McNemar's test, corrected for the other findings of the probe, excludes no change."""
        return self.p_holm < SIGNIFICANCE


@dataclass(frozen=True)
class Verdict:
    """One of `WORDS`, and why in one sentence for an astronomer."""

    word: str
    sentence: str


def judge(evidence: Evidence, tolerance: float, nature: str) -> Verdict:
    """Say whether the edit costs more recall than `tolerance`.

    ``bias``: the whole interval lies beyond the tolerance and the change is shown after Holm's correction.
    ``too few to tell``: the interval reaches beyond the tolerance on one side and not on the other, or there is too
    little recall to lose. Otherwise the interval lies within the tolerance: ``within tolerance`` if a change is shown,
    else ``no effect shown``. For ``nuisance`` probes a gain counts like a loss; for the others only a loss does.

    A loss in a ``difficulty`` probe is the ``selection function``, not an accusation. In a ``contaminant`` probe the
    treated arm holds no lens: ``false positives`` where its rate lies above the tolerance, whatever the control.
    """
    if evidence.n == 0:
        return Verdict(TOO_FEW, "No pair fulfils the condition, so nothing can be said.")
    if nature == "contaminant":
        return _judge_contaminant(evidence, tolerance)
    gains = evidence.shown and evidence.change > 0
    if nature != "nuisance" and evidence.control_recall <= tolerance and not gains:
        return Verdict(TOO_FEW, _floor_sentence(evidence, tolerance))
    beyond, within = _position(evidence, tolerance, nature)
    if beyond and evidence.shown:
        if nature == "difficulty":
            return Verdict(SELECTION, _change_sentence(evidence, "a loss the survey must count"))
        return Verdict(BIAS, _change_sentence(evidence, f"more than the tolerated {tolerance:.2f}"))
    if not within:
        return Verdict(TOO_FEW, _too_few_sentence(evidence, tolerance))
    if evidence.shown:
        return Verdict(WITHIN_TOLERANCE, _change_sentence(evidence, _within_words(evidence, tolerance, nature)))
    feared = "change" if nature == "nuisance" else "loss"
    return Verdict(NO_EFFECT, f"{_numbers(evidence)}: no change beyond chance, and no {feared} beyond {tolerance:.2f}.")


def pairs_that_never_tell(tolerance: float, confidence: float = 0.95) -> int:
    """Largest number of pairs with which not even perfect agreement of the arms shows a loss below `tolerance`.

    From the closed form of Tango's interval without discordant pairs, z² / (n + z²).
    """
    z2 = float(norm.ppf(0.5 + confidence / 2)) ** 2
    return math.floor(z2 * (1 / tolerance - 1))


def _judge_contaminant(evidence: Evidence, tolerance: float) -> Verdict:
    rate, low, high = evidence.treated
    told = (
        f"{rate:.3f} of the treated scenes, which hold no lens, are called one (95 % interval {low:.3f} to {high:.3f}, "
        f"n = {evidence.n}; with the lensing {evidence.control_recall:.3f})"
    )
    if low > tolerance:
        return Verdict(FALSE_POSITIVES, f"{told}, more than the tolerated {tolerance:.2f}.")
    if high < tolerance:
        return Verdict(WITHIN_TOLERANCE, f"{told}, fewer than the tolerated {tolerance:.2f}.")
    return Verdict(TOO_FEW, f"{told}: cannot be told from the tolerated {tolerance:.2f}.")


def pairs_needed(tolerance: float, discordant: float, power: float = 0.9, confidence: float = 0.95) -> int:
    """Pairs with which a finder without any change is acquitted of a loss with probability `power`.

    Parameters
    ----------
    tolerance
        Loss of recall that must be excluded, in (0, 1).
    discordant
        Share of the pairs whose answer differs between the arms by chance alone, in [0, 1).
    power
        Probability that the interval then ends above −tolerance.

    Notes
    -----
    n ≥ (z₍₁₊c₎/₂ √v₀ + z₍power₎ √ψ)² / tolerance², with the share ψ of discordant pairs, which is the variance where
    nothing changes, and v₀ the variance that Tango's interval takes where the loss is the tolerance (Nam 1997). With
    few discordant pairs v₀ is larger than ψ by much, and (z + z)² ψ / tolerance² would promise too much.

    References
    ----------
    Nam J., 1997, Biometrics 53, 1422.
    """
    linear = 2 * tolerance + discordant
    lost = (math.sqrt(linear**2 - 4 * discordant * tolerance * (1 + tolerance)) + linear) / 4
    spread = 2 * lost - tolerance * (1 + tolerance)
    ends = float(norm.ppf(0.5 + confidence / 2)) * math.sqrt(max(spread, 0.0))
    varies = float(norm.ppf(power)) * math.sqrt(discordant)
    needed = math.ceil((max(ends + varies, 0.0) / tolerance) ** 2)
    return max(needed, pairs_that_never_tell(tolerance, confidence) + 1)


def _position(evidence: Evidence, tolerance: float, nature: str) -> tuple[bool, bool]:
    """Whether the interval lies wholly beyond the tolerance, and whether it lies wholly within."""
    lost_beyond, lost_within = evidence.high < -tolerance, evidence.low > -tolerance
    if nature != "nuisance":
        return lost_beyond, lost_within
    return lost_beyond or evidence.low > tolerance, lost_within and evidence.high < tolerance


def _numbers(evidence: Evidence) -> str:
    return (
        f"Recall changes by {evidence.change:+.3f} (95 % interval {evidence.low:+.3f} to {evidence.high:+.3f}, "
        f"n = {evidence.n} pairs)"
    )


def _change_sentence(evidence: Evidence, comparison: str) -> str:
    fate = "falls" if evidence.change < 0 else "rises"
    treated = evidence.control_recall + evidence.change
    return (
        f"Recall {fate} from {evidence.control_recall:.3f} to {treated:.3f} "
        f"(change {evidence.change:+.3f}, 95 % interval {evidence.low:+.3f} to {evidence.high:+.3f}, "
        f"n = {evidence.n} pairs), {comparison}."
    )


def _within_words(evidence: Evidence, tolerance: float, nature: str) -> str:
    if evidence.change > 0 and nature != "nuisance":
        return "a gain, so nothing is lost"
    return f"less than the tolerated {tolerance:.2f}"


def _floor_sentence(evidence: Evidence, tolerance: float) -> str:
    return (
        f"The finder finds {evidence.control_recall:.3f} of the control lenses (n = {evidence.n}), so it cannot lose "
        f"more than the tolerated {tolerance:.2f}: this finder cannot be judged by recall at this threshold."
    )


def _too_few_sentence(evidence: Evidence, tolerance: float) -> str:
    needed = _pairs_needed(evidence, tolerance)
    advice = f"about {needed} pairs would tell" if needed else "the change lies too near the tolerance to be told apart"
    shown = (
        "a change is shown, but not whether it is beyond" if evidence.shown else "cannot show or exclude a loss beyond"
    )
    return f"{_numbers(evidence)}: {shown} the tolerated {tolerance:.2f}; {advice}."


def _pairs_needed(evidence: Evidence, tolerance: float, limit: int = 100_000) -> int | None:
    """Pairs at which the interval would leave the tolerance, were the change as seen here; None beyond `limit`."""
    distance = abs(tolerance - abs(evidence.change))
    rate = (evidence.discordant + 1) / (evidence.n + 1)  # one more, so that no discordance is not taken for certainty
    spread = max(rate - evidence.change**2, 0.0)
    needed = max(3.84 * spread / distance**2, pairs_that_never_tell(tolerance) + 1) if distance > 0 else math.inf
    if needed > limit:
        return None
    step = 10 ** max(math.floor(math.log10(needed)) - 1, 0)  # two figures: it is a forecast
    return max(math.ceil(needed / step) * step, evidence.n + 1)
