"""Findings: what is planted is named, what is not is left alone, and the verdict says which."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from lensaudit.display.numbers import count
from lensaudit.errors import AuditFailed, UsageError
from lensaudit.report.build import concluded
from lensaudit.report.findings import find, judge, range_text
from lensaudit.report.options import AuditOptions, check_fail_on
from lensaudit.report.performance import AXES, rates_by_kind, recall_along
from lensaudit.report.quickstart import fail_where
from lensaudit.report.schema import Audit, Bin, Selection
from lensaudit.report.verdict import level, verdict
from lensaudit.statistics import Confusion, Proportion, gap_beyond_p, gap_interval
from lensaudit.verdicts import (
    BIAS,
    EQUIVALENT,
    INCONCLUSIVE,
    NOT_ASSESSABLE,
    SELECTION,
    TENTATIVE,
    fail_words,
    state_of,
)
from tests.report.conftest import with_metric


def planted(audit: Audit, n: int, slope: float, seed: int = 0) -> Audit:
    """An audit whose finder finds half of all lenses, more of the large ones by `slope` per arcsec."""
    rng = np.random.default_rng(seed)
    theta, magnitude = rng.uniform(0.5, 2.5, n), rng.normal(24, 1, n)
    found = rng.random(n) < np.clip(0.5 + slope * (theta - 1.5), 0, 1)
    kinds = np.repeat(["spiral", "merger"], n // 2)
    curves = (recall_along(theta, found, AXES[0], rng), recall_along(magnitude, found, AXES[2], rng))
    non_lenses = rates_by_kind(kinds, rng.random(len(kinds)) < 0.1, rng)
    return replace(audit, selection=Selection(curves, (), None, non_lenses), probes=None)


def test_a_planted_dependence_is_found_and_the_others_are_not(audit: Audit):
    findings = find(planted(audit, 1000, 0.5), 0.1)
    assert [finding.verdict for finding in findings].count(SELECTION.word) == 1  # small rings: counted, not accused
    assert not any(finding.verdict == BIAS.word for finding in findings)
    assert findings[0].title == "Recall against Einstein radius θ_E"
    assert "below" in findings[0].group
    assert findings[0].p_holm < 0.001


def test_a_clean_finder_is_rarely_accused(audit: Audit):
    first = [find(planted(audit, 400, 0.0, seed), 0.1)[0].verdict for seed in range(40)]
    accused = sum(word in (BIAS.word, SELECTION.word) for word in first)
    assert accused <= 4  # at 5 % per family, 40 audits give 2 ± 1.4


def test_few_lenses_prove_nothing(audit: Audit):
    assert {finding.verdict for finding in find(planted(audit, 100, 0.0), 0.02)} == {INCONCLUSIVE.word}


def test_a_finder_that_finds_none_is_not_assessable_within_a_set_either(audit: Audit):
    blocks = planted(audit, 400, 0.0)
    rng, theta = np.random.default_rng(0), np.linspace(0.5, 2.5, 400)
    curve = recall_along(theta, np.zeros(400, bool), AXES[0], rng)
    lost = replace(audit.performance, n_lenses=400, confusion=Confusion(tp=0, fp=20, fn=400, tn=380))
    selection = replace(blocks.selection, curves=(curve,))
    assert {f.verdict for f in find(replace(blocks, selection=selection, performance=lost), 0.1)} == {
        NOT_ASSESSABLE.word
    }


def test_newcombe_interval_is_the_published_one():
    """Newcombe 1998, Statistics in Medicine 17, 873, table II: 56/70 − 48/80, method 10: 0.0524 to 0.3339."""
    low, high = gap_interval(Proportion.of(48, 80), Proportion.of(56, 70))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # printed to four digits


def test_the_p_of_a_gap_is_that_of_the_interval_that_reaches_the_tolerance():
    worse, better = Proportion.of(48, 80), Proportion.of(56, 70)
    low, _ = gap_interval(worse, better)
    assert gap_beyond_p(worse, better, low) == pytest.approx(0.05, rel=1e-6)
    assert gap_beyond_p(worse, better, 0.0) < 0.05 < gap_beyond_p(worse, better, 0.1)
    assert gap_beyond_p(worse, better, 0.2) == gap_beyond_p(better, worse, 0.0) == 1  # the gap is 0.2
    assert gap_beyond_p(Proportion.of(0, 900), Proportion.of(900, 900), 0.1) == pytest.approx(1e-12)  # no smaller


def test_the_worst_of_many_groups_is_not_accused_of_what_is_tolerated(audit: Audit):
    """Eight groups, one of which loses just the tolerance: it is chosen for being worst, and its p times eight."""
    rng, theta = np.random.default_rng(1), np.repeat(np.linspace(0.5, 2.5, 8), 60)
    accused = by_itself = 0
    for _ in range(200):
        found = rng.random(480) < np.where(theta < 0.6, 0.6, 0.7)
        curve = recall_along(theta, found, AXES[0], np.random.default_rng(0))
        selection = replace(audit.selection, curves=(curve,), lens_kinds=None, non_lens_kinds=None)
        [one] = find(replace(audit, probes=None, selection=selection), 0.1)
        accused += one.significant
        by_itself += one.p < 0.05 and one.low > 0.1
    assert accused <= 16  # 5 % of 200, and two standard errors
    assert by_itself > accused


@pytest.mark.parametrize(
    ("low", "high", "p", "state"),
    [
        (0.15, 0.3, 0.01, BIAS),
        (0.05, 0.3, 0.01, INCONCLUSIVE),
        (0.15, 0.3, 0.2, TENTATIVE),
        (0.01, 0.09, 0.01, EQUIVALENT),
        (0.0, 0.09, 0.5, EQUIVALENT),
    ],
)
def test_verdict_words(audit: Audit, low: float, high: float, p: float, state: object):
    finding = replace(audit.findings[0], low=low, high=high, p_holm=p, difficult=False)
    assert judge(finding, 0.1) is state


def test_what_is_accused_comes_first_and_the_likeliest_losses_next(audit: Audit):
    states = [state_of(finding.verdict) for finding in audit.findings]
    assert states[0] is BIAS
    settled = [not state.open and not state.beyond for state in states]
    assert settled == sorted(settled)
    waiting = [one.gap for one in audit.findings if state_of(one.verdict).open and not one.difficult]
    assert waiting == sorted(waiting, reverse=True)


def test_an_inconclusive_difference_is_named_with_what_would_settle_it(audit: Audit):
    """A difference that may be tolerable is no all-clear."""
    audit = replace(audit, probes=None)
    findings = [finding for finding in find(audit, 0.1) if finding.verdict == INCONCLUSIVE.word]
    assert findings
    first = findings[0]
    said = f"against the tolerated 0.1): inconclusive; about {count(first.needed)} lenses"
    assert said in first.text
    said = verdict(audit, findings)
    assert said.level == "inconclusive"
    assert f"inconclusive for {first.group}" in said.headline or f"loss: {first.group}" in said.headline


def test_ranges_in_words():
    edges = (0.0, 0.8, 1.25, 3.0)
    bins = [Bin(3, 4, 0.3, 0.95, start=start, end=end) for start, end in pairwise(edges)]
    assert [range_text(b, bins, "″") for b in bins] == ["below 0.8″", "between 0.8 and 1.25″", "above 1.25″"]
    assert range_text(bins[2], bins, "mag") == "above 1.25 mag"


def test_the_verdict_names_numbers_with_their_n(audit: Audit):
    said = audit.verdict
    assert said.level == BIAS.word
    assert any("θ_E below" in sentence for sentence in said.sentences)
    assert "of 200 lenses" in said.sentences[1]
    assert any("n = " in sentence for sentence in said.sentences)
    assert "200 non-lenses" in said.sentences[2]


def test_a_guess_is_called_a_guess(audit: Audit):
    guess = concluded(with_metric(audit, "auroc", value=0.52, low=0.46, high=0.58), 0.1)
    assert guess.verdict.level == "chance"
    assert "cannot be told from guessing on this set (AUROC 0.520, 95 % interval 0.460–0.580)" in guess.verdict.headline


def test_worse_than_guessing_is_no_guess(audit: Audit):
    """Issue 11, A.2: AUROC .208 [.139, .299] was "cannot be told from guessing"."""
    worse = concluded(with_metric(audit, "auroc", value=0.208, low=0.139, high=0.299), 0.1)
    assert worse.verdict.level == "inverted"
    assert worse.verdict.headline == (
        "ou66 is worse than guessing (AUROC 0.208, 95 % interval 0.139–0.299): "
        "are the labels or the lens output swapped?"
    )
    with pytest.raises(AuditFailed, match="worse than guessing"):
        fail_where(worse, "chance")
    touching = with_metric(audit, "auroc", value=0.5, low=0.4, high=0.5)
    assert level(touching, audit.findings) == "chance"  # the interval holds 0.5


def test_without_labels_there_is_no_verdict(bare_audit: Audit):
    assert bare_audit.verdict.level == "unlabelled"
    assert "400 cutouts" in bare_audit.verdict.sentences[0]


def test_failing_on_what_was_found(audit: Audit, bare_audit: Audit):
    with pytest.raises(AuditFailed, match="1 found, first: Probe: Red sources"):
        fail_where(audit, "bias")
    fail_where(audit, "chance")
    fail_where(audit, "")
    fail_where(bare_audit, "bias")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": -1}, "--seed"),
        ({"seed": 2**32}, "--seed"),
        ({"batch": 0}, "--batch"),
        ({"occlusion_n": -1}, "--occlusion-n"),
        ({"probe_n": 1}, "--probe-n"),
        ({"tolerance": 1.0}, "--tolerance"),
        ({"beta": 0.0}, "beta 0.0"),
        ({"workers": 0}, "--workers"),
    ],
)
def test_wrong_options_are_named(options: dict, named: str):
    with pytest.raises(UsageError, match=named):
        AuditOptions(**options)


def test_unknown_fail_on_lists_what_is_allowed():
    with pytest.raises(UsageError, match=f"allowed: {', '.join(fail_words())}, chance"):
        check_fail_on("bug")
