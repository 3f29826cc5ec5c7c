"""Findings: what is planted is named, what is not is left alone, and the verdict says which."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.display.numbers import count
from lensaudit.errors import AuditFailed, UsageError
from lensaudit.report.findings import find, gap_interval, judge, range_text
from lensaudit.report.options import AuditOptions, check_fail_on
from lensaudit.report.performance import AXES, rate, rates_by_kind, recall_along
from lensaudit.report.quickstart import fail_where
from lensaudit.report.verdict import level, verdict
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


def planted(n: int, slope: float, seed: int = 0) -> dict:
    """Blocks of an audit whose finder finds half of all lenses, more of the large ones by `slope` per arcsec."""
    rng = np.random.default_rng(seed)
    theta, magnitude = rng.uniform(0.5, 2.5, n), rng.normal(24, 1, n)
    found = rng.random(n) < np.clip(0.5 + slope * (theta - 1.5), 0, 1)
    kinds = np.repeat(["spiral", "merger"], n // 2)
    return {
        "selection": {
            "curves": [recall_along(theta, found, AXES[0], rng), recall_along(magnitude, found, AXES[2], rng)],
            "lens_kinds": None,
            "non_lens_kinds": rates_by_kind(kinds, rng.random(len(kinds)) < 0.1, rng),
        },
        "probes": None,
    }


def test_a_planted_dependence_is_found_and_the_others_are_not():
    findings = find(planted(1000, 0.5), 0.1)
    assert [f["verdict"] for f in findings].count(SELECTION.word) == 1  # small rings: counted, not accused
    assert not any(f["verdict"] == BIAS.word for f in findings)
    assert findings[0]["title"] == "Recall against Einstein radius θ_E"
    assert "below" in findings[0]["group"]
    assert findings[0]["p_holm"] < 0.001


def test_a_clean_finder_is_rarely_accused():
    accused = sum(find(planted(400, 0.0, seed), 0.1)[0]["verdict"] in (BIAS.word, SELECTION.word) for seed in range(40))
    assert accused <= 4  # at 5 % per family, 40 audits give 2 ± 1.4


def test_few_lenses_prove_nothing():
    assert {f["verdict"] for f in find(planted(100, 0.0), 0.02)} == {INCONCLUSIVE.word}


def test_a_finder_that_finds_none_is_not_assessable_within_a_set_either():
    blocks = planted(400, 0.0)
    for curve in blocks["selection"]["curves"]:
        for one in curve["bins"]:
            one.update(rate(np.zeros(one["n"], bool)))
    blocks["performance"] = {"n_lenses": 400, "confusion": {"tp": 0}}
    assert {f["verdict"] for f in find(blocks, 0.1)} == {NOT_ASSESSABLE.word}


def test_newcombe_interval_is_the_published_one():
    """Newcombe 1998, Statistics in Medicine 17, 873, table II: 56/70 − 48/80, method 10: 0.0524 to 0.3339."""
    low, high = gap_interval(rate(np.arange(80) < 48), rate(np.arange(70) < 56))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # printed to four digits


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
def test_verdict_words(low: float, high: float, p: float, state: object):
    assert judge({"low": low, "high": high, "p_holm": p}, 0.1) is state


def test_what_is_accused_comes_first_and_the_likeliest_losses_next(audit: dict):
    states = [state_of(f["verdict"]) for f in audit["findings"]]
    assert states[0] is BIAS
    settled = [not state.open and not state.beyond for state in states]
    assert settled == sorted(settled)
    waiting = [f["gap"] for f in audit["findings"] if state_of(f["verdict"]).open and not f["difficult"]]
    assert waiting == sorted(waiting, reverse=True)


def test_an_inconclusive_difference_is_named_with_what_would_settle_it(audit: dict):
    """A difference that is significant but may be tolerable is no all-clear."""
    audit["probes"] = None
    audit["findings"] = [f for f in find(audit, 0.1) if f["verdict"] == INCONCLUSIVE.word]
    assert audit["findings"]
    first = audit["findings"][0]
    assert f"inconclusive as to more than the tolerated 0.1; about {count(first['needed'])} lenses" in first["text"]
    said = verdict(audit)
    assert said["level"] == "inconclusive"
    assert f"inconclusive for {first['group']}" in said["headline"] or f"loss: {first['group']}" in said["headline"]


def test_ranges_in_words():
    bins = [{"start": 0.0, "end": 0.8}, {"start": 0.8, "end": 1.25}, {"start": 1.25, "end": 3.0}]
    assert [range_text(b, bins, "″") for b in bins] == ["below 0.8″", "between 0.8 and 1.25″", "above 1.25″"]
    assert range_text(bins[2], bins, "mag") == "above 1.25 mag"


def test_the_verdict_names_numbers_with_their_n(audit: dict):
    said = verdict(audit)
    assert said["level"] == BIAS.word
    assert any("θ_E below" in sentence for sentence in said["sentences"])
    assert "of 200 lenses" in said["sentences"][1]
    assert any("n = " in sentence for sentence in said["sentences"])
    assert "200 non-lenses" in said["sentences"][2]


def test_a_guess_is_called_a_guess(audit: dict):
    area = next(m for m in audit["performance"]["metrics"] if m["name"] == "auroc")
    area.update(value=0.52, low=0.46, high=0.58)
    assert level(audit) == "chance"
    assert (
        "cannot be told from guessing on this set (AUROC 0.520, 95 % interval 0.460–0.580)"
        in verdict(audit)["headline"]
    )


def test_worse_than_guessing_is_no_guess(audit: dict):
    """Issue 11, A.2: AUROC .208 [.139, .299] was "cannot be told from guessing"."""
    area = next(m for m in audit["performance"]["metrics"] if m["name"] == "auroc")
    area.update(value=0.208, low=0.139, high=0.299)
    said = verdict(audit)
    assert said["level"] == "inverted"
    assert said["headline"] == (
        "ou66 is worse than guessing (AUROC 0.208, 95 % interval 0.139–0.299): "
        "are the labels or the lens output swapped?"
    )
    audit["verdict"] = said
    with pytest.raises(AuditFailed, match="worse than guessing"):
        fail_where(audit, "chance")
    area.update(value=0.5, low=0.4, high=0.5)
    assert level(audit) == "chance"  # the interval holds 0.5


def test_without_labels_there_is_no_verdict(bare_audit: dict):
    said = verdict(bare_audit)
    assert said["level"] == "unlabelled"
    assert "400 cutouts" in said["sentences"][0]


def test_failing_on_what_was_found(audit: dict, bare_audit: dict):
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
