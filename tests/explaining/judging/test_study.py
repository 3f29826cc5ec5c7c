"""Our study of many finders, which reports follow: its scores, its verdicts and its page say the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lensaudit.explaining.judging.believed_page import study_lines
from lensaudit.explaining.judging.believing import beliefs_of
from lensaudit.explaining.judging.recommending import found_of, our_study
from lensaudit.finders import load_finder

ROOT = Path(__file__).parents[3]
SHIPPED = [one for one in our_study().finders if (ROOT / "models" / one.name).is_dir()]


@pytest.fixture(scope="module")
def bench():
    path = ROOT / "benchmarks" / "explanation_scores.py"
    spec = importlib.util.spec_from_file_location("explanation_scores", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_finder_of_the_study_has_its_scores_kept(bench):
    kept = {facts["finder"]: facts["hash"] for _, facts in map(bench.read, bench.KEPT.glob("*.parquet"))}
    assert {one.name: one.hash for one in our_study().finders} == kept


@pytest.mark.parametrize("finder", ["deeplens", "lensflow", "ou66"])
def test_the_study_is_what_the_rule_finds_in_the_kept_scores(bench, finder):
    """On single lenses, of which every finder saw eight; all kinds of all finders take two minutes."""
    scored, facts = bench.read(bench.KEPT / f"{finder}.parquet")
    single = {key: scores for key, scores in scored.items() if key[1] == "single"}
    (ours,) = [one for one in our_study().finders if one.name == finder]
    assert found_of(beliefs_of(finder, single, facts["checks"]))["single"] == ours.kinds["single"]


@pytest.mark.parametrize("judged", SHIPPED, ids=lambda one: one.name)
def test_a_shipped_finder_is_known_by_the_weights_that_are_shipped(judged):
    assert load_finder(judged.name).weights_hash == judged.hash


def test_the_page_has_the_tables_of_the_study(bench):
    assert "\n".join(study_lines(our_study(), bench.ORDER)) in bench.PAGE.read_text("utf-8")
