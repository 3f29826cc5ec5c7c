"""Verdict words: a table of cases, the smallest telling number of pairs, false alarms and power."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from lensaudit.probes.finding import PairedScores, concluded, measure
from lensaudit.probes.verdict import (
    BIAS,
    FALSE_POSITIVES,
    NO_EFFECT,
    SELECTION,
    TOO_FEW,
    WITHIN_TOLERANCE,
    WORDS,
    Evidence,
    judge,
    pairs_needed,
    pairs_that_never_tell,
)
from lensaudit.statistics.paired_difference import paired_difference_interval

CLEAR_LOSS = Evidence(n=200, change=-0.2, low=-0.26, high=-0.14, discordant=44, control_recall=0.8, p_holm=1e-6)


@pytest.mark.parametrize(
    ("changes", "nature", "word"),
    [
        ({}, "population", BIAS),
        ({}, "nuisance", BIAS),
        ({"p_holm": 0.06}, "population", TOO_FEW),
        ({"low": -0.30, "high": -0.02}, "population", TOO_FEW),
        ({"change": -0.03, "low": -0.04, "high": -0.01}, "population", WITHIN_TOLERANCE),
        ({"change": -0.01, "low": -0.04, "high": 0.02, "p_holm": 0.5}, "population", NO_EFFECT),
        ({"change": 0.0, "low": -0.08, "high": 0.08, "p_holm": 1.0}, "population", TOO_FEW),
        ({"change": 0.2, "low": 0.14, "high": 0.26}, "population", WITHIN_TOLERANCE),
        ({"change": 0.2, "low": 0.14, "high": 0.26}, "nuisance", BIAS),
        ({"change": 0.04, "low": -0.01, "high": 0.09, "p_holm": 0.2}, "nuisance", TOO_FEW),
        ({"change": 0.0, "low": -0.02, "high": 0.02, "control_recall": 0.04, "p_holm": 1.0}, "population", TOO_FEW),
        ({"change": 0.0, "low": -0.02, "high": 0.02, "control_recall": 0.04, "p_holm": 1.0}, "nuisance", NO_EFFECT),
        ({"change": 0.1, "low": 0.05, "high": 0.2, "control_recall": 0.04}, "population", WITHIN_TOLERANCE),
        ({"n": 0}, "population", TOO_FEW),
        ({"n": 0}, "contaminant", TOO_FEW),
        ({}, "difficulty", SELECTION),
        ({"p_holm": 0.06}, "difficulty", TOO_FEW),
        ({"low": -0.30, "high": -0.02}, "difficulty", TOO_FEW),
        ({"change": -0.03, "low": -0.04, "high": -0.01}, "difficulty", WITHIN_TOLERANCE),
        ({"change": -0.01, "low": -0.04, "high": 0.02, "p_holm": 0.5}, "difficulty", NO_EFFECT),
        ({"change": 0.2, "low": 0.14, "high": 0.26}, "difficulty", WITHIN_TOLERANCE),
        ({"change": 0.0, "low": -0.02, "high": 0.02, "control_recall": 0.04}, "difficulty", TOO_FEW),
        ({"change": 0.0, "low": -0.02, "high": 0.02, "p_holm": 1.0}, "nuisance", NO_EFFECT),
        ({"change": 0.03, "low": 0.01, "high": 0.04}, "nuisance", WITHIN_TOLERANCE),
        # A contaminant is judged by its own rate, whatever the recall does and however sure that is.
        ({"treated": (0.2, 0.12, 0.3)}, "contaminant", FALSE_POSITIVES),
        ({"treated": (0.2, 0.12, 0.3), "p_holm": 1.0}, "contaminant", FALSE_POSITIVES),
        ({"treated": (0.2, 0.12, 0.3), "control_recall": 0.0}, "contaminant", FALSE_POSITIVES),
        ({"treated": (0.01, 0.002, 0.04)}, "contaminant", WITHIN_TOLERANCE),
        ({"treated": (0.05, 0.02, 0.1)}, "contaminant", TOO_FEW),
    ],
)
def test_words(changes, nature, word):
    verdict = judge(replace(CLEAR_LOSS, **changes), tolerance=0.05, nature=nature)
    assert verdict.word == word
    assert verdict.sentence.endswith(".")
    assert "nan" not in verdict.sentence


def test_a_gain_is_called_a_gain():
    verdict = judge(replace(CLEAR_LOSS, change=0.1, low=0.05, high=0.15), tolerance=0.05, nature="population")
    assert "rises from 0.800 to 0.900" in verdict.sentence


def test_no_effect_claims_no_more_than_the_interval_shows():
    """A gain that the interval allows is not denied where only losses are judged."""
    gain = replace(CLEAR_LOSS, change=0.07, low=0.01, high=0.14, p_holm=0.12)
    assert "no loss beyond 0.05" in judge(gain, tolerance=0.05, nature="population").sentence
    assert judge(gain, tolerance=0.05, nature="nuisance").word == TOO_FEW


@pytest.mark.parametrize("tolerance", [0.02, 0.05, 0.1, 0.2])
def test_pairs_that_never_tell_is_the_exact_border(tolerance):
    n = pairs_that_never_tell(tolerance)
    assert paired_difference_interval(0, 0, n)[0] <= -tolerance
    assert paired_difference_interval(0, 0, n + 1)[0] > -tolerance


def test_advice_on_the_number_of_pairs_is_good():
    """With as many pairs as advised, and the same rates, the verdict is no longer 'too few'."""
    few = Evidence(50, 0.0, *paired_difference_interval(2, 2, 50), discordant=4, control_recall=0.8, p_holm=1.0)
    words = judge(few, 0.05, "population").sentence.split()
    advised = int(words[words.index("pairs", words.index("about")) - 1])
    scaled = round(2 * advised / 50)
    many = replace(few, n=advised, discordant=2 * scaled)
    low, high = paired_difference_interval(scaled, scaled, advised)
    assert judge(replace(many, low=low, high=high), 0.05, "population").word == NO_EFFECT


def audit(rng, n, lost, gained, base=0.7):
    """Two populations of `n` pairs with the given rates of lost and gained pairs."""
    findings = []
    for name in ("arcs", "rings"):
        kind = rng.choice(4, size=n, p=[lost, gained, base - lost, 1 - base - gained])
        control, treated = np.isin(kind, (0, 2)), np.isin(kind, (1, 2))
        scores = PairedScores(np.where(control, 2.0, -2.0), np.where(treated, 2.0, -2.0), 0.5)
        findings.append(measure(name, "all pairs", scores, rng))
    return [finding.verdict.word for finding in concluded(findings, 0.05, "population")]


@pytest.mark.parametrize("n", [50, 200])
def test_fair_finders_are_hardly_ever_accused(n, monkeypatch):
    monkeypatch.setattr("lensaudit.probes.finding.RESAMPLES", 10)  # the logit interval plays no part in the word
    rng = np.random.default_rng(5)
    accused = sum(BIAS in audit(rng, n, lost=0.04, gained=0.04) for _ in range(200))
    assert accused <= 3  # the goal is 5 %; an interval wholly beyond the tolerance is far rarer under no effect


def test_a_large_loss_is_nearly_always_found(monkeypatch):
    monkeypatch.setattr("lensaudit.probes.finding.RESAMPLES", 10)
    rng = np.random.default_rng(6)
    found = sum(BIAS in audit(rng, 100, lost=0.30, gained=0.01) for _ in range(100))
    assert found >= 95


def test_the_gravest_word_comes_first():
    assert WORDS == (BIAS, FALSE_POSITIVES, SELECTION, TOO_FEW, WITHIN_TOLERANCE, NO_EFFECT)


@pytest.mark.parametrize("tolerance", [0.02, 0.05, 0.1])
def test_pairs_needed_without_discordance_is_the_first_number_that_tells(tolerance):
    assert pairs_needed(tolerance, 0.0) == pairs_that_never_tell(tolerance) + 1


def test_pairs_needed_by_hand():
    """Nam's formula for ψ = 0.1 and a tolerance of 0.05, with the quantiles 1.960 and 1.282 of a table.

    If 0.05 were lost, the likeliest share of lost pairs would be
    q = (√(0.2² − 4 · 0.1 · 0.05 · 1.05) + 0.2) / 4 = 0.0845, so
    v₀ = 2 q − 0.05 · 1.05 = 0.1164, and n = (1.960 · √0.1164 + 1.282 · √0.1)² / 0.05² = 461.4.
    """
    assert pairs_needed(0.05, 0.1) == 462


def acquittal(n, tolerance, discordant):
    """Exact probability that Tango's interval ends above −tolerance: a sum over all tables of a fair finder."""
    total = 0.0
    for different in range(n + 1):
        chance = binom.pmf(different, n, discordant)
        if chance < 1e-6:
            continue
        most_lost = -1
        for lost in range(different + 1):  # the interval falls with each further loss
            if paired_difference_interval(different - lost, lost, n)[0] <= -tolerance:
                break
            most_lost = lost
        total += chance * binom.cdf(most_lost, different, 0.5)
    return total


@pytest.mark.parametrize(
    ("tolerance", "discordant", "power"), [(0.05, 0.02, 0.9), (0.05, 0.05, 0.8), (0.05, 0.1, 0.9), (0.1, 0.2, 0.9)]
)
def test_pairs_needed_acquit_as_often_as_they_say(tolerance, discordant, power):
    """Whole pairs make the power jump by some hundredths, and the formula is asymptotic: it errs on the safe side."""
    assert power <= acquittal(pairs_needed(tolerance, discordant, power), tolerance, discordant) < power + 0.05
