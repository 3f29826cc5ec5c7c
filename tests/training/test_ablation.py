"""Ablations: what an arm changes, and what is counted."""

import numpy as np
import pytest
import torch
from scipy import stats

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, initialised_module, load_recipe
from lensaudit.training import Trained, TrainingOptions, arms_of
from lensaudit.training.ablation import (
    BASELINE,
    AblationResult,
    Run,
    Spread,
    arm_results,
    differences,
    kept_scores,
    table,
)


def arms(name, *ablations):
    recipe = load_recipe(name)
    return arms_of(recipe, TrainingOptions.of(recipe.training), ablations)


def test_each_arm_changes_one_thing():
    first, *others = arms("lastro", "clip", "augmentation", "nir", "dropout")
    assert (first.name, first.recipe) == (BASELINE, load_recipe("lastro"))
    changed = {}
    for arm in others:
        before = {**first.recipe.model_dump(), **first.options.model_dump()}
        after = {**arm.recipe.model_dump(), **arm.options.model_dump()}
        changed[arm.name] = {key: after[key] for key in after if after[key] != before[key]}
    assert changed == {
        "without-clip": {"stretch": "log-minmax"},
        "without-augmentation": {"augment": "none"},
        "without-nir": {"bands": ("VIS",)},
        "plain-dropout": {"architecture_options": {"spatial_dropout": False}},
    }


def test_what_the_recipe_lacks_is_put_in():
    _, clip, nir = arms("epfl-resnet", "clip", "nir")
    assert (clip.name, clip.recipe.stretch) == ("with-clip", "clip-log")
    assert (nir.name, nir.recipe.bands) == ("with-nir", ("VIS", "J", "Y", "H"))


@pytest.mark.parametrize(
    ("name", "ablation", "says"),
    [
        ("epfl-resnet", ("dropout",), "names no spatial_dropout"),
        ("ou-jyh", ("nir",), "has no band but J, Y, H"),
        ("lastro", ("colour",), "allowed: clip, augmentation, nir, dropout"),
        ("lastro", ("clip", "clip"), "named twice"),
    ],
)
def test_what_cannot_be_ablated_is_named(name, ablation, says):
    with pytest.raises(UsageError, match=says):
        arms(name, *ablation)


def test_spreads_are_scipys():
    values = (0.7, 0.74, 0.69)
    spread = Spread(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert spread.interval == pytest.approx((low, high))
    gain = differences((0.8, 0.9), (0.7, 0.6))
    assert gain.values == pytest.approx((0.1, 0.3))
    assert np.isnan(Spread((0.5,)).interval).all()


def test_the_table_says_what_was_measured_and_hides_what_was_not():
    runs = [Run(arm, seed, np.zeros(5), auroc, 0.5, 3) for arm, seed, auroc in
            ((BASELINE, 1, 0.6), (BASELINE, 2, 0.7), ("without-clip", 1, 0.65), ("without-clip", 2, 0.65))]  # fmt: skip
    rows = arm_results(runs, [BASELINE, "without-clip"])
    result = AblationResult(rows, 2, 2, {"name": "lastro"}, {}, {})
    assert result.counted == "2 + 2 test images"
    words = result.to_json()
    assert words["arms"][1]["auroc_gain"]["values"] == [0.05, -0.05]
    assert "auroc_gain" not in words["arms"][0]
    assert "| without-clip | 2 | 3, 3 | 0.6500 ± 0.0000 | +0.0000 [" in table(result)
    assert table(AblationResult.from_json(words)) == table(result)
    (_, single) = arm_results([runs[0], runs[2]], [BASELINE, "without-clip"])
    assert single.to_json()["auroc_gain"]["low"] is None


def test_scores_of_an_earlier_run_are_taken_up_for_the_same_weights_and_set(tiny, mixed, make_set, tmp_path):
    path, other = tmp_path / "test-scores.parquet", make_set("other", mixed.labels, 4)
    first, second = (
        Trained(Finder(tiny, initialised_module(tiny, torch.Generator().manual_seed(seed)), "here"), None, [])
        for seed in (1, 2)
    )
    before = kept_scores(first, mixed, path).logit
    written = path.read_bytes()
    assert np.array_equal(kept_scores(first, mixed, path).logit, before)
    assert path.read_bytes() == written
    assert not np.array_equal(kept_scores(second, mixed, path).logit, before)
    assert not np.array_equal(kept_scores(first, other, path).logit, before)
    path.write_bytes(written[:-9])
    assert np.array_equal(kept_scores(first, mixed, path).logit, before)
    assert path.read_bytes() == written
