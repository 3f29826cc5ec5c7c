"""A finder whose preprocessing is declared, everywhere else: prepared sets, maps, dreams, ensembles, probes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lens_sets import write_set
from pydantic import ValidationError
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import Explainer, dream, paper_settings
from lensaudit.explaining.dreaming.objective import ClassTarget
from lensaudit.finders import declare_finder, load_recipe, score_set
from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import Recipe
from lensaudit.probes import ProbeOptions, run_probe
from lensaudit.training.network import starting_weights
from lensaudit.training.prepared import decoded, prepare_set

BANDS, SIDE, SIZE = ("g", "r", "i"), 30, 24
RGB = (
    {"step": "lupton", "stretch": 3},
    {"step": "jpeg"},
    {"step": "crop", "size": SIZE},
    {"step": "from-8-bit"},
    {"step": "mean-std", "of": "imagenet"},
)


def net(channels: int) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 8 * 8, 2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def rgb() -> Finder:
    return declare_finder(net(3), BANDS, SIZE, name="rgb", stretch=RGB)


@pytest.fixture(scope="module")
def lens_set(tmp_path_factory):
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    light = 9 * np.exp(-np.hypot(x, y) / 3)
    rng = np.random.default_rng(4)
    images = {band: (light + rng.normal(size=(4, SIDE, SIDE))).astype(np.float32) for band in BANDS}
    scales = dict.fromkeys(BANDS, 20 / SIDE)
    return write_set(tmp_path_factory.mktemp("set") / "set", images, scales, {"label": np.arange(4) % 2}, unit="nJy")


def test_training_reads_prepared_images_of_the_pipeline_and_no_others(rgb, lens_set, tmp_path):
    prepared = prepare_set(rgb, lens_set, tmp_path)
    wanted = rgb.preprocess(lens_set.cutouts(range(4)))
    found = decoded(*prepared.read(np.arange(4)))
    assert found.shape == wanted.shape
    step = (wanted.amax() - wanted.amin()) / 65534  # they are kept as 16-bit numbers of each image's range
    assert (found - wanted).abs().max() <= step
    other = declare_finder(net(3), BANDS, SIZE, name="rgb", stretch=[*RGB[:2], {"step": "crop", "size": SIZE}])
    assert prepare_set(other, lens_set, tmp_path).folder != prepared.folder


def test_exact_occlusion_is_captums_and_says_what_a_hidden_patch_is(rgb, lens_set):
    cutouts = lens_set.cutouts([0, 1])
    exact, captum = (Explainer(rgb, patch=4, engine=one).explain(cutouts, "occlusion") for one in ("exact", "captum"))
    np.testing.assert_allclose(exact.maps, captum.maps, atol=1e-5 * np.abs(captum.maps).max())
    assert exact.patches.fallbacks == ()
    assert "hidden as 0 of the finder's input, which its preprocessing makes of a mean" in " ".join(exact.notes)
    plain = Explainer(declare_finder(net(3), BANDS, SIZE), patch=4).explain(cutouts, "occlusion")
    assert plain.notes == ()


def test_attributions_are_per_band_only_where_channels_are_bands(rgb, lens_set):
    cutouts = lens_set.cutouts([0])
    assert Explainer(rgb).explain(cutouts, "saliency").attributions is None
    own = declare_finder(net(3), BANDS, SIZE, stretch=["zscale", "resize", "asinh"])
    assert Explainer(own).explain(cutouts, "saliency").attributions.shape == (1, 3, SIZE, SIZE)
    grey = declare_finder(net(3), BANDS[:1], SIZE, stretch=["resize", "minmax", "repeat"])
    found = Explainer(grey).explain(cutouts, "saliency")
    assert found.attributions is None
    assert found.maps.shape == (1, SIZE, SIZE)


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (["minmax", "resize", {"step": "asinh", "a": 0.05}], ""),
        (
            [{"step": "percentile", "low": 1, "high": 99}, {"step": "crop", "fraction": 0.7}, "resize", "sqrt", "log"],
            "",
        ),
        (["zscale", "to-8-bit", {"step": "jpeg", "quality": 50}, "from-8-bit", "resize"], ""),
        (["resize", {"step": "scale", "factor": 3.0}, {"step": "clip", "low": 0.0, "high": 1.0}], ""),
        (["minmax", "resize", {"step": "clip", "high": 0.5}], ""),
        (["resize"], "no step brings pixels there"),
        (["resize", {"step": "clip", "low": 0.0}], "no step brings pixels there"),
        (["minmax", "resize", {"step": "mean-std", "mean": 0.5, "std": 0.2}], "step mean-std leaves it"),
        (["minmax", {"step": "resize", "kind": "pillow-lanczos"}], "step resize leaves it"),
        (["minmax", "resize", {"step": "asinh", "normalised": False}], "step asinh leaves it"),
        (["minmax", "resize", "to-8-bit"], "step to-8-bit leaves it"),
        ([*RGB], "step lupton makes other channels of the bands"),
    ],
)
def test_dreams_are_drawn_where_the_steps_end_within_the_unit_range(steps, why, lens_set):
    finder = declare_finder(net(3), BANDS, SIZE, stretch=steps)
    settings = replace(paper_settings(kernels=False, from_cutout=True), steps=5)
    start = finder.preprocess(lens_set.cutouts([3]))[0]
    if why:
        with pytest.raises(UsageError, match=f"in the preprocessing of custom {why}: make that the network's first"):
            dream(finder, [ClassTarget(True)], start, settings)
        return
    assert float(finder.preprocess(lens_set.cutouts([0, 1, 2, 3])).amin()) >= 0.0
    assert float(finder.preprocess(lens_set.cutouts([0, 1, 2, 3])).amax()) <= 1.0
    found = dream(finder, [ClassTarget(True)], start, settings)[0]
    assert found.gain > 0
    assert found.bands == BANDS
    np.testing.assert_array_equal(found.start, start)


def test_what_needs_bands_in_the_unit_range_refuses_in_one_line(rgb, tmp_path):
    words = load_recipe("ou66").model_dump(exclude={"stretch"}) | {"preprocessing": [{"step": "minmax"}, "resize"]}
    own = Recipe.model_validate(words)
    with pytest.raises(ValidationError, match="preprocessing does not fit architecture cae-bgm; take a stretch"):
        Recipe.model_validate(words | {"architecture": "cae-bgm", "size": 101, "architecture_options": {}})
    fewer = own.model_copy(update={"bands": ("VIS",)})
    with pytest.raises(UsageError, match="where preprocessing is declared bands and channels must be the same"):
        starting_weights("ou66", fewer)
    small = declare_finder(nn.Sequential(nn.Flatten(), nn.Linear(400, 1)), ("VIS",), 20, stretch=["resize", "minmax"])
    with pytest.raises(UsageError, match="has its preprocessing declared, and --stretch sqrt"):
        run_probe("orientation", small, 2, 0, tmp_path / "p", ProbeOptions(stretch="sqrt"))


def test_scores_leave_out_what_a_step_makes_no_number_of_and_sets_of_other_frames_are_refused(lens_set, tmp_path):
    finder = declare_finder(net(3), BANDS, SIZE, stretch=[{"step": "log", "a": 0.5}, "resize"])
    fine = declare_finder(net(3), BANDS, SIZE, stretch=["minmax", "resize"])
    whole = score_set(fine, lens_set)
    assert np.isfinite(whole.logit).all()
    native = {band: np.abs(images) for band, images in lens_set.cutouts(range(4)).items()}
    native["r"][2, 3, 3] = -5.0  # 1 + a x is below 0
    dark = write_set(tmp_path / "dark", native, dict.fromkeys(BANDS, 20 / SIDE), unit="nJy")
    found = score_set(finder, dark)
    assert np.isnan(found.logit).tolist() == [False, False, True, False]
    large = declare_finder(net(3), BANDS, SIZE, stretch=[{"step": "crop", "size": 40}, "resize"])
    with pytest.raises(DataError, match=r"preprocessing, step 1 \(crop\): 40×40 pixels out of 30×30 are asked for"):
        large.check(lens_set)
