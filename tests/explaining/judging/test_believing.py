"""The rule by which a method may be believed: closed-form cases of every verdict."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from believing_toys import AMOUNT, BOTH, ORDER, RIVAL, judged, scores

from lensaudit.explaining.judging.believing import (
    BELIEVABLE,
    FEW,
    NO_BETTER,
    RIVALS,
    UNDECIDED,
    beliefs_of,
    better_p,
)
from lensaudit.explaining.judging.records import ImageScore


def test_a_method_that_beats_all_rivals_in_both_and_passes_is_believable():
    one = judged({"saliency": BOTH})["saliency", "single"]
    assert one.verdict == BELIEVABLE
    assert one.amount.value == pytest.approx(0.3 + 0.035)
    assert one.order.value == pytest.approx(0.2 + 2 * 0.035)
    assert one.p == pytest.approx(1 / 2**8)  # all eight images agree
    assert one.infidelity == pytest.approx(0.5 - 0.035)


@pytest.mark.parametrize(
    ("check", "verdict"), [("passes", BELIEVABLE), ("fails", NO_BETTER), ("inconclusive", UNDECIDED), ("", UNDECIDED)]
)
def test_the_randomisation_check_must_be_passed(check, verdict):
    assert judged({"gradcam": BOTH}, gradcam=check)["gradcam", "single"].verdict == verdict


@pytest.mark.parametrize(("values", "holds"), [(AMOUNT, (True, False)), (ORDER, (False, True))])
def test_amount_or_order_alone_is_not_enough(values, holds):
    one = judged({"saliency": values})["saliency", "single"]
    assert (one.amount.holds, one.order.holds) == holds
    assert one.verdict == NO_BETTER  # shown to be worse in the other


def test_what_is_better_on_average_but_not_shown_to_be_is_undecided():
    values = scores(BOTH)
    for place in (21, 22, 23):  # insertion of the last three images: a little below the rivals
        values[place] = dataclasses.replace(values[place], value=0.25 - 0.01 * (place - 20))
    scored = {(rival, "single"): scores(RIVAL, spread=0) for rival in RIVALS} | {("saliency", "single"): values}
    (one,) = beliefs_of("toy", scored, {"saliency": "passes"})
    assert (one.amount.holds, one.order.holds, one.verdict) == (True, False, UNDECIDED)
    assert one.order.value > 0
    assert one.p == one.order.p > 0.05 > one.amount.p


def test_one_rival_as_good_is_enough_to_lose():
    scored = {(rival, "single"): scores(RIVAL, spread=0) for rival in RIVALS}
    scored["centre-blob", "single"] = scores((0.4, 0.4, 0.5), spread=0.02)
    (one,) = beliefs_of("toy", scored | {("saliency", "single"): scores(BOTH)}, {"saliency": "passes"})
    assert (one.verdict, one.amount.rival) == (NO_BETTER, "centre-blob")
    assert one.amount.value == pytest.approx(0.4 - 0.07 - (0.5 - 0.035))


def test_p_is_corrected_for_the_number_of_methods():
    nine = {f"method-{i}": BOTH for i in range(9)}
    assert judged(nine)["method-0", "single"].verdict == BELIEVABLE  # 9 / 256 < .05
    thirteen = {f"method-{i}": BOTH for i in range(13)}
    one = judged(thirteen)["method-0", "single"]
    assert (one.verdict, one.p) == (UNDECIDED, pytest.approx(13 / 256))


def test_few_images_are_no_verdict_and_kinds_are_pooled():
    few = judged({"saliency": BOTH}, n=7, kinds=("single", "compound-arcs", "spiral"))
    assert {few["saliency", kind].verdict for kind in ("single", "compound-arcs", "spiral")} == {FEW}
    pool = few["saliency", "all lenses"]
    assert (pool.n, pool.verdict) == (14, UNDECIDED if pool.p >= 0.05 else BELIEVABLE)
    assert ("saliency", "all non-lenses") not in few  # one kind is no pool


def test_images_without_all_scores_do_not_count():
    values = scores(BOTH, 9)
    values[0] = ImageScore(values[0].system, values[0].score, float("nan"), status="no tile changes the score")
    scored = {(rival, "single"): scores(RIVAL, 9, spread=0) for rival in RIVALS} | {("saliency", "single"): values}
    (one,) = beliefs_of("toy", scored, {"saliency": "passes"})
    assert one.n == 8


def test_without_rivals_or_their_scores_nothing_is_said():
    assert beliefs_of("toy", {("saliency", "single"): scores(BOTH)}, {}) == ()
    only = {(name, "single"): [ImageScore("set/0", "infidelity", 0.5)] for name in (*RIVALS, "saliency")}
    assert beliefs_of("toy", only, {}) == ()


def test_p_of_differences_is_wilcoxons():
    assert better_p(np.arange(1.0, 9.0)) == pytest.approx(1 / 256)
    assert better_p(-np.arange(1.0, 9.0)) == 1
    assert better_p(np.zeros(5)) == 1
    assert better_p(np.array([])) == 1
