"""The 101-pixel finders on images of Bologna challenge 1, space and ground; skipped where they are not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lensaudit.errors import DataError
from lensaudit.finders import Finder, Recipe, initialised_module, load_finder, load_recipe, refitted, score_set
from lensaudit.finders.recipe import builtin_finder_folder
from lensaudit.finders.store import FINDER_FILE
from lensaudit.finders.stretch import STRETCHES
from lensaudit.lensset.ingest import PixelPolicy, ingest, plan_blf1

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at {REAL}; set LENSAUDIT_REAL_DATA")

NAMES = ("lastro-101", "epfl-resnet-101", "deeplens", "petrillo")
GROUND_BANDS, GROUND_FIELD = ("R", "I", "G", "U"), 20.2
SPACE_FIELD = 10.1


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return ingest(plan_blf1(REAL / "blf-challenge1" / "space"), tmp_path_factory.mktemp("space") / "set")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """Masked pixels kept as NaN, for the finders that mask them."""
    plan = plan_blf1(REAL / "blf-challenge1" / "ground", policy=PixelPolicy(masked="keep"))
    return ingest(plan, tmp_path_factory.mktemp("ground") / "set")


@pytest.fixture(scope="module")
def filled_ground(tmp_path_factory):
    return ingest(plan_blf1(REAL / "blf-challenge1" / "ground"), tmp_path_factory.mktemp("filled") / "set")


def untrained(name: str, bands: tuple[str, ...], field: float, lens_set) -> Finder:
    """The recipe for these bands at 101 pixels, with He-normal weights and figures of the set."""
    words = load_recipe(name).model_dump(mode="json")
    recipe = Recipe.model_validate({**words, "bands": bands, "size": 101, "field_of_view_arcsec": field})
    module = initialised_module(recipe, torch.Generator().manual_seed(1))
    finder = Finder(recipe, module, "test")
    return refitted(finder, lens_set) if STRETCHES[recipe.stretch].fitted else finder


@pytest.mark.parametrize("name", NAMES)
def test_every_101_pixel_finder_scores_the_space_images(name, space):
    scores = score_set(untrained(name, ("VIS",), SPACE_FIELD, space), space)
    assert set(scores.status) == {"ok"}
    assert len(np.unique(scores.logit)) == 8


@pytest.mark.parametrize("name", NAMES)
def test_every_101_pixel_finder_scores_the_ground_images(name, ground, filled_ground):
    lens_set = ground if load_recipe(name).stretch == "noise" else filled_ground
    scores = score_set(untrained(name, GROUND_BANDS, GROUND_FIELD, lens_set), lens_set)
    empty = [word for word in scores.status if "has no pixel between the limits" in word]  # U is faint on the ground
    assert scores.status.count("ok") == 6 - len(empty) >= 4
    assert len(np.unique(scores.logit[np.isfinite(scores.logit)])) == 6 - len(empty)


def test_masked_pixels_of_the_ground_images_are_zero_to_deeplens(ground):
    finder = untrained("deeplens", GROUND_BANDS, GROUND_FIELD, ground)
    native = ground.cutouts(slice(None))
    prepared = finder.preprocess(native)
    masked = sum(int(np.isnan(native[band]).sum()) for band in GROUND_BANDS)
    assert masked > 0
    for index, band in enumerate(GROUND_BANDS):
        assert not prepared[:, index][torch.from_numpy(np.isnan(native[band]))].any()


@pytest.mark.parametrize("name", ["lastro-101", "epfl-resnet-101", "cae-bgm"])
def test_trained_finders_take_challenge_pixels_or_say_how(name, space):
    if not (builtin_finder_folder(name) / FINDER_FILE).is_file():
        pytest.skip(f"{name} has no weights here")
    finder = load_finder(name)
    if STRETCHES[finder.recipe.stretch].fitted:
        with pytest.raises(DataError, match="--refit"):
            finder.check(space)
        finder = refitted(finder, space)
    scores = score_set(finder, space)
    assert set(scores.status) == {"ok"}
    assert len(np.unique(scores.logit)) == 8
