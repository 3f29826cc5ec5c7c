"""Findings: what is planted is named, what is not is left alone, and the verdict says which."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.errors import AuditFailed, UsageError
from lensaudit.report.findings import find, gap_interval, judge, range_text
from lensaudit.report.options import AuditOptions, check_fail_on
from lensaudit.report.outcome import fail_where
from lensaudit.report.probe_words import BIAS, NONE, SELECTION, TOO_FEW, WITHIN, words_of
from lensaudit.report.selection import AXES, rate, rates_by_kind, recall_along
from lensaudit.report.verdict import level, verdict


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
    assert [f["verdict"] for f in findings].count(SELECTION) == 1  # small rings: counted, not accused
    assert not any(f["verdict"] == BIAS for f in findings)
    assert findings[0]["title"] == "Recall against Einstein radius θ_E"
    assert "below" in findings[0]["group"]
    assert findings[0]["p_holm"] < 0.001


def test_a_clean_finder_is_rarely_accused():
    accused = sum(find(planted(400, 0.0, seed), 0.1)[0]["verdict"] in (BIAS, SELECTION) for seed in range(40))
    assert accused <= 4  # at 5 % per family, 40 audits give 2 ± 1.4


def test_few_lenses_prove_nothing():
    assert {f["verdict"] for f in find(planted(100, 0.0), 0.02)} == {TOO_FEW}


def test_newcombe_interval_is_the_published_one():
    """Newcombe 1998, Statistics in Medicine 17, 873, table II: 56/70 − 48/80, method 10: 0.0524 to 0.3339."""
    low, high = gap_interval(rate(np.arange(80) < 48), rate(np.arange(70) < 56))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # printed to four digits


@pytest.mark.parametrize(
    ("low", "high", "p", "word"),
    [
        (0.15, 0.3, 0.01, BIAS),
        (0.05, 0.3, 0.01, TOO_FEW),
        (0.15, 0.3, 0.2, TOO_FEW),
        (0.01, 0.09, 0.01, WITHIN),
        (0.0, 0.09, 0.5, NONE),
    ],
)
def test_verdict_words(low: float, high: float, p: float, word: str):
    assert judge({"low": low, "high": high, "p_holm": p}, 0.1) == word


def test_the_gravest_comes_first(audit: dict):
    ranks = [words_of(f["verdict"]) for f in audit["findings"]]
    assert ranks == sorted(ranks)
    assert audit["findings"][0]["verdict"] == BIAS


def test_a_difference_that_may_be_tolerable_is_still_named(audit: dict):
    audit["probes"] = None
    audit["findings"] = [f for f in audit["findings"] if f["verdict"] in (TOO_FEW, WITHIN, NONE)]
    audit["findings"].insert(
        0, {**audit["findings"][0], "shown": True, "group": "lenses with arc S/N below 20", "gap": 0.3}
    )
    assert audit["findings"][0]["verdict"] == TOO_FEW
    said = verdict(audit)
    assert said["headline"].endswith("and fewer of lenses with arc S/N below 20")
    assert audit["findings"][0]["text"] in said["sentences"][1]


def test_a_small_set_is_called_small(audit: dict):
    audit["probes"] = None
    audit["findings"] = [{**f, "shown": False} for f in audit["findings"] if f["verdict"] == TOO_FEW]
    assert "too small to say" in verdict(audit)["headline"]


def test_ranges_in_words():
    bins = [{"from": 0.0, "to": 0.8}, {"from": 0.8, "to": 1.25}, {"from": 1.25, "to": 3.0}]
    assert [range_text(b, bins, "″") for b in bins] == ["below 0.8″", "between 0.8 and 1.25″", "above 1.25″"]
    assert range_text(bins[2], bins, "mag") == "above 1.25 mag"


def test_the_verdict_names_numbers_with_their_n(audit: dict):
    said = verdict(audit)
    assert said["level"] == BIAS
    assert said["headline"].endswith(
        "lenses where the source's colour is 1.25 of the way from blue to the lens galaxy's"
    )
    assert any("θ_E below" in sentence for sentence in said["sentences"])
    assert "of 200 lenses" in said["sentences"][0]
    assert any("n = " in sentence for sentence in said["sentences"])
    assert "200 non-lenses" in said["sentences"][-1]


def test_a_guess_is_called_a_guess(audit: dict):
    area = next(m for m in audit["performance"]["metrics"] if m["name"] == "auroc")
    area.update(value=0.52, low=0.46, high=0.58)
    assert level(audit) == "chance"
    assert "guessing" in verdict(audit)["headline"]


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
        ({"beta": 0.0}, "--beta"),
        ({"workers": 0}, "--workers"),
    ],
)
def test_wrong_options_are_named(options: dict, named: str):
    with pytest.raises(UsageError, match=named):
        AuditOptions(**options)


def test_unknown_fail_on_lists_what_is_allowed():
    with pytest.raises(UsageError, match="allowed: bias, chance"):
        check_fail_on("bug")
