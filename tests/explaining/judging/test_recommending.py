"""What is recommended over many finders, and whose measurement comes first."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from believing_toys import BOTH, judged
from judging_toys import wide

from lensaudit.documents import keep_json
from lensaudit.errors import DataError
from lensaudit.explaining import METHODS, JudgeSettings, judge
from lensaudit.explaining.judging.recommending import (
    ALL_LENSES,
    ALL_NON_LENSES,
    Found,
    JudgedFinder,
    Study,
    advise,
    found_in,
    found_of,
    our_study,
)
from lensaudit.scenes.scene import LENS_KINDS, NON_LENS_KINDS

BY_OCCLUSION = Found(8, believable=("occlusion",), no_better=("edges-like",), undecided=("saliency",))
NONE = Found(8, undecided=("occlusion", "saliency"), no_better=("edges-like",))


def study(believable: int, finders: int, kind: str = "single") -> Study:
    found = [BY_OCCLUSION] * believable + [NONE] * (finders - believable)
    named = tuple(JudgedFinder(f"f{i}", f"hash{i}", {kind: one}) for i, one in enumerate(found))
    return Study("2026-11-27", "0", named)


@pytest.mark.parametrize(
    ("k", "m", "recommended"), [(4, 4, True), (3, 3, False), (7, 8, True), (6, 8, False), (0, 8, False)]
)
def test_a_method_is_recommended_where_more_than_half_of_finders_are_sure_to_believe_it(k, m, recommended):
    found = study(k, m).recommended("single")
    assert (found is not None) == recommended
    count = next(one for one in study(k, m).counts("single") if one.method == "occlusion")
    assert (count.believable, count.finders, count.no_better) == (k, m, 0)
    assert study(k, m).recommended("spiral") is None


def test_advice_follows_the_study_and_names_the_doubts():
    advice = advise("single", "another", study=study(4, 4))
    assert advice.method == "occlusion"
    assert advice.why == "believable in 4 of 4 finders (0.51–1.00), judged on single"
    assert advice.doubts["saliency"] == "believable in 0 of 4 finders (0.00–0.49)"
    assert "occlusion" not in advice.doubts
    assert advice.order(("saliency", "occlusion", "deeplift")) == ("occlusion", "saliency", "deeplift")


def test_none_is_said_plainly():
    advice = advise("single", "another", study=study(2, 8))
    assert advice.method == ""
    assert "no method is believable in enough finders" in advice.why
    assert "pictures only" in advice.sentence
    assert set(advice.doubts) == {"occlusion", "saliency", "edges-like"}
    assert advice.order(("saliency", "occlusion")) == ("saliency", "occlusion")
    assert "no finder was judged" in advise("merger", "another", study=study(4, 4)).why


def test_what_was_measured_on_this_finder_comes_first_and_the_users_own_before_ours():
    of_all = study(8, 8)
    ours = replace(of_all, finders=(*of_all.finders, JudgedFinder("mine", "mine", {"single": NONE})))
    assert advise("single", "other", study=ours).method == "occlusion"
    assert "as we judged this finder" in advise("single", "mine", study=ours).why
    assert advise("single", "mine", study=ours).method == ""
    own = {"single": Found(20, believable=("saliency",), undecided=("occlusion",))}
    advice = advise("single", "mine", own, ours)
    assert (advice.method, list(advice.doubts)) == ("saliency", ["occlusion"])
    assert "by your judgement of this finder (20 images)" in advice.why
    assert advise("compound-arcs", "mine", own, ours).method == ""  # which it did not judge


def test_no_map_is_named_that_was_not_asked_for():
    """The next best of those that were is; else none, and the reader is told which map to ask for."""
    both = Found(8, believable=("occlusion", "deeplift"), undecided=("saliency",))
    named = tuple(JudgedFinder(f"f{i}", f"hash{i}", {"single": both}) for i in range(4))
    ours = Study("day", "0", named)
    for finder in ("another", "hash0"):
        chosen = [advise("single", finder, study=ours, among=names) for names in (["deeplift"], ["saliency"])]
        assert [advice.method for advice in chosen] == ["deeplift", ""]
        assert "occlusion, whose map is not among these, is be" in chosen[1].why  # believable, better
        assert list(chosen[1].doubts) == (["deeplift", "saliency"] if finder == "another" else ["saliency"])


def test_labels_stand_for_all_of_their_kinds_and_an_unknown_image_needs_both():
    finders = tuple(
        JudgedFinder(f"f{i}", f"hash{i}", {ALL_LENSES: BY_OCCLUSION, ALL_NON_LENSES: NONE}) for i in range(4)
    )
    both = tuple(replace(one, kinds=dict.fromkeys(one.kinds, BY_OCCLUSION)) for one in finders)
    some, every = Study("day", "0", finders), Study("day", "0", both)
    assert advise("lens", "x", study=some).method == "occlusion"
    assert advise("non-lens", "x", study=some).method == ""
    assert advise("unlabelled", "x", study=some).method == ""
    assert advise("unlabelled", "x", study=every).method == "occlusion"


def test_methods_stand_by_verdict_with_the_lowest_infidelity_first():
    beliefs = judged({"saliency": BOTH, "deeplift": (0.4, 0.3, 0.6), "gradcam": BOTH}, gradcam="fails").values()
    found = found_of(tuple(beliefs))
    assert found["single"].believable == ("deeplift", "saliency")
    assert found["single"].no_better == ("gradcam",)
    assert found["single"].amount == ("deeplift", "saliency", "gradcam")
    assert found_of(tuple(judged({"saliency": BOTH}, n=7).values())) == {}


def test_our_study_can_be_read_and_names_methods_and_kinds_there_are():
    found = our_study()
    assert Study.from_json(json.loads(json.dumps(found.to_json()))) == found
    kinds = {*LENS_KINDS, *NON_LENS_KINDS, ALL_LENSES, ALL_NON_LENSES}
    for finder in found.finders:
        assert set(finder.kinds) <= kinds
        for one in finder.kinds.values():
            assert set(one.methods) <= set(METHODS)
            assert len(set(one.methods)) == len(one.methods)


def test_a_judgement_of_another_finder_or_without_verdicts_is_refused(tmp_path, mixed_set):
    settings = JudgeSettings(("saliency",), ("deletion", "insertion", "infidelity"), per_kind=8, kinds=("single",))
    found = judge(wide(), [mixed_set], tmp_path, settings)
    assert [(one.kind, one.n, one.check) for one in found.beliefs] == [("single", 8, "")]
    assert found_in(tmp_path, found.finder, found.finder_hash) == found_of(found.beliefs)
    assert "small: which maps to believe" in (tmp_path / "explanation-scores.md").read_text("utf-8")
    with pytest.raises(DataError, match="is of another finder"):
        found_in(tmp_path, "other", "ab" * 32)
    keep_json(tmp_path / "explanation-scores.json", replace(found, beliefs=()).to_json())
    with pytest.raises(DataError, match="says of no method whether it may be believed"):
        found_in(tmp_path, found.finder, found.finder_hash)
