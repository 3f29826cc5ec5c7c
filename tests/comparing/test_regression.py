"""A new finder against a baseline: planted losses are found where they are, equal finders pass, words and records."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from lensaudit.comparing.against import baseline_of, probe_changes
from lensaudit.comparing.comparison import Comparison
from lensaudit.comparing.entrants import CompareOptions
from lensaudit.comparing.limits import AREA, AT_FPR, FALSE_ALARMS, RECALL, Limits
from lensaudit.comparing.regression import (
    Baseline,
    Check,
    ProbeChange,
    _needed,
    checks_of,
    concluded,
    corrected,
    fail_where_worse,
    regressions_of,
)
from lensaudit.comparing.subgroups import subgroups_of
from lensaudit.comparing.tables import against, counted_states
from lensaudit.errors import AuditFailed, UsageError
from lensaudit.probes.finding import Change
from tests.comparing.against import Catalogue, catalogue, told, two_finders
from tests.comparing.made_up import comparison, verdict
from tests.reference.plain_regression import plain_holm


@pytest.fixture(scope="module")
def made() -> Comparison:
    """Of two finders, without a baseline."""
    return comparison(("ou66", "ou200"), 200)


def everything(drawn: Catalogue) -> list:
    return subgroups_of(drawn, drawn.labels >= 0)


def checked(drawn: Catalogue, old: np.ndarray, new: np.ndarray, limits: Limits, seed: int = 0) -> list:
    found = checks_of(drawn.labels, (told("old", old), told("new", new)), everything(drawn), limits, seed)
    return concluded(found, limits)


def test_groups_are_kinds_and_terciles_of_what_the_set_has():
    drawn = catalogue(600, np.random.default_rng(1))
    groups = everything(drawn)
    assert [group.words for group in groups[:5]] == [
        "all lenses", "all non-lenses", "lenses of kind compound-arcs", "lenses of kind compound-rings",
        "lenses of kind single",
    ]  # fmt: skip
    radii = [group for group in groups if group.column == "theta_e_arcsec"]
    assert [int(group.rows.sum()) for group in radii] == [100, 100, 100]
    assert radii[0].words.startswith("lenses with Einstein radius θ_E below 1.")
    assert {group.column for group in groups} == {
        "", "kind", "theta_e_arcsec", "arc_snr", "colour_source_VIS_H", "mag_lens_VIS",
    }  # fmt: skip
    assert not any(group.rows[drawn.labels == 0].any() for group in groups if group.lenses)


def test_named_columns_divide_non_lenses_too_and_words_are_groups():
    drawn = catalogue(60, np.random.default_rng(1))
    drawn.table["field"] = np.array(["north", "south"])[np.arange(60) // 30].astype(object)
    words = [group.words for group in subgroups_of(drawn, drawn.labels >= 0, ("field",))]
    assert words[-4:] == [f"{one} with field {name}" for one in ("lenses", "non-lenses") for name in ("north", "south")]
    with pytest.raises(UsageError, match="--by grade: sets/gate has no such column; it has label, kind"):
        subgroups_of(drawn, drawn.labels >= 0, ("grade",))


def test_a_loss_planted_in_one_group_is_found_there_and_nowhere_else():
    rng = np.random.default_rng(5)
    drawn = catalogue(3000, rng)
    old, new = two_finders(drawn, rng)
    rings = drawn.column("kind") == "compound-rings"
    limits = Limits(tolerance=0.1, auroc_tolerance=0.04)  # a tenth of every group are rings
    worse = checked(drawn, old, new - np.where(rings, 2.5, 0), limits)
    assert {one.group for one in worse if one.word == "regression"} == {"lenses of kind compound-rings"}
    assert {one.metric for one in worse if one.word == "regression"} == {RECALL, AT_FPR, AREA}
    assert not any(one.word == "regression" for one in checked(drawn, old, new, limits))
    baseline = Baseline("old", limits)
    assert regressions_of(worse, baseline)[0].startswith(
        "lenses of kind compound-rings, recall at its own threshold: 0."
    )
    with pytest.raises(AuditFailed, match=r"^--fail-on regression: 3 found against old, first: lenses of kind"):
        fail_where_worse(worse, baseline, "regression")
    fail_where_worse(worse, baseline, "")


def test_false_positives_of_one_kind_are_a_regression_and_fewer_of_them_a_gain():
    rng = np.random.default_rng(6)
    drawn = catalogue(2000, rng)
    old, new = two_finders(drawn, rng)
    spirals = drawn.column("kind") == "spiral"
    found = {(one.group, one.metric): one for one in checked(drawn, old, new + 3.0 * spirals, Limits())}
    spiral = found["non-lenses of kind spiral", FALSE_ALARMS]
    assert (spiral.word, spiral.gained > spiral.lost, spiral.change > 0) == ("regression", True, True)
    assert found["non-lenses of kind merger", FALSE_ALARMS].word != "regression"
    better = {(one.group, one.metric): one for one in checked(drawn, old, new - 3.0 * spirals, Limits())}
    assert better["non-lenses of kind spiral", FALSE_ALARMS].word == "gain"


def test_equal_finders_are_rarely_called_worse_anywhere():
    """The familywise error; 500 repetitions of 1 000 images each are in benchmarks/regression_null.py."""
    wrong = 0
    for seed in range(16):
        rng = np.random.default_rng([11, seed])
        drawn = catalogue(300, rng)
        scores = [told(name, logit) for name, logit in zip(("old", "new"), two_finders(drawn, rng), strict=True)]
        found = corrected(checks_of(drawn.labels, (scores[0], scores[1]), everything(drawn), Limits(), seed))
        wrong += any(one.p_holm < 0.05 for one in found)
    assert wrong <= 3  # 5 % of 16 and 2.5 standard errors


def test_few_images_are_not_tested_and_what_would_settle_is_said():
    rng = np.random.default_rng(3)
    drawn = catalogue(160, rng)
    old, new = two_finders(drawn, rng)
    found = checked(drawn, old, new, Limits())
    assert np.allclose(
        [one.p_holm for one in found if math.isfinite(one.p)],
        plain_holm([one.p for one in found if math.isfinite(one.p)]),
    )
    few = [one for one in found if one.n < 10]
    assert few
    assert all(math.isnan(one.p) and one.word == "inconclusive" for one in few)
    open_ = [one for one in found if one.word == "inconclusive" and one.metric == RECALL]
    assert all(one.needed is None or one.needed > one.n for one in open_)
    assert any(one.needed for one in open_)
    assert {one.family for one in found} == {sum(math.isfinite(one.p) for one in found)}


def check(metric: str, word: str = "", **more) -> Check:
    facts = {"old": 0.2, "new": 0.23, "low": -0.01, "high": 0.09, "gained": 21, "lost": 12, "p": 0.2, "family": 3}
    return Check("new", metric, "all", "", metric == RECALL, 300, **{**facts, **more}, word=word)


def test_what_would_settle_false_positives_is_what_would_settle_as_large_a_loss():
    """More calls of non-lenses are for the worse, so that the two ways to differ change places."""
    worse = check(FALSE_ALARMS)
    lost = check(RECALL, old=0.23, new=0.2, low=-0.09, high=0.01, gained=12, lost=21)
    assert _needed(worse, Limits()) == _needed(lost, Limits())
    assert _needed(worse, Limits()) != _needed(replace(lost, gained=21, lost=12), Limits())


def test_to_fail_on_a_lesser_verdict_is_to_fail_on_graver_ones_and_on_probes():
    found = [check(RECALL, word) for word in ("regression", "tentative", "inconclusive", "gain")]
    probes = tuple(ProbeChange("new", "p", word, "", "", word, "moved") for word in ("regression", "tentative", ""))
    baseline = Baseline("old", Limits(), probes)
    counts = {word: regressions_of(found, baseline, word) for word in ("regression", "tentative", "inconclusive")}
    assert {word: len(lines) for word, lines in counts.items()} == {"regression": 2, "tentative": 4, "inconclusive": 5}
    assert counts["tentative"][2:] == ["probe regression: moved", "probe tentative: moved"]
    with pytest.raises(AuditFailed, match="--fail-on regression: 1 found against old, first: probe regression: moved"):
        fail_where_worse([], baseline, "regression")


def test_an_image_at_an_edge_lies_above_it():
    drawn = catalogue(60, np.random.default_rng(1))
    drawn.table["steps"] = np.resize(np.arange(7.0), 60)  # whose terciles are values that images have
    groups = {one.words: drawn.table["steps"][one.rows] for one in subgroups_of(drawn, drawn.labels >= 0, ("steps",))}
    for edges, (low, high) in {"below 2": (0, 1), "from 2 to 4": (2, 3), "from 4": (4, 6)}.items():
        values = groups[f"lenses with steps {edges}"]
        assert (values.min(), values.max()) == (low, high)


def probe(word: str, change: tuple[float, float, float]):
    return replace(verdict("red-source", word, 1.0), change=Change(*change, "Tango"))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (probe("equivalent within tolerance", (0.0, -0.03, 0.03)), probe("bias", (-0.2, -0.3, -0.1)), "regression"),
        (probe("inconclusive", (-0.1, -0.2, 0.0)), probe("bias", (-0.2, -0.3, -0.1)), "tentative"),
        (probe("bias", (-0.2, -0.3, -0.1)), probe("bias", (-0.22, -0.32, -0.12)), ""),
        (probe("bias", (-0.2, -0.3, -0.1)), probe("bias", (-0.6, -0.7, -0.5)), "regression"),
        (probe("bias", (-0.2, -0.3, -0.1)), probe("equivalent within tolerance", (0.0, -0.03, 0.03)), ""),
    ],
)
def test_a_bias_that_the_baseline_did_not_have_is_a_regression(old, new, word, made):
    probes = made.probes
    assert probes is not None
    finders = [replace(one, verdicts=(said,)) for one, said in zip(probes.finders[:2], (old, new), strict=True)]
    [change] = probe_changes(replace(probes, finders=tuple(finders)), "ou66")
    assert (change.finder, change.word) == ("ou200", word)
    assert change.sentence.startswith(f"{old.word} (")


def test_a_comparison_with_a_baseline_is_written_read_and_shown(made, tmp_path):
    plain = made.to_json()
    assert "baseline" not in plain
    assert "checks" not in plain["sets"][0]
    rng = np.random.default_rng(2)
    drawn = catalogue(200, rng)
    old, new = two_finders(drawn, rng)
    options = CompareOptions(baseline="old")
    found = checked(drawn, old, new - 3 * (drawn.labels == 1), options.limits)
    with_it = replace(
        made, sets=(replace(made.sets[0], checks=tuple(found)),), baseline=baseline_of(None, options), options=options
    )
    with_it.write(tmp_path)
    again = Comparison.read(tmp_path)
    assert again.to_json() == json.loads(json.dumps(with_it.to_json()))
    [table] = against(again.sets[0], again.baseline)
    assert (table.finder, table.baseline) == ("new", "old")
    assert len(table.telling) + len(table.others) == len(found)
    assert counted_states(found).startswith(table.counted.split(",")[0])
    assert table.telling[0].word == "regression"

    from lensaudit.comparing import render_comparison

    page = render_comparison(tmp_path).read_text(encoding="utf-8")
    assert "new against the baseline old" in page
    assert page.count('class="badge regression"') == sum(one.word == "regression" for one in found) + 1
