"""The public function: signs, defaults, captum, overlap, and finders that disturb their own trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from occlusion_nets import finder_of
from plain_occlusion import plain_logits, plain_map
from scipy.special import expit
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import Explainer, default_patch, occlusion
from lensaudit.finders import Finder, initialised, load_recipe

FLOAT32 = 2e-6  # float32 sums of some 1e4 terms, carried to a probability


def cutout(size: int, bands: tuple[str, ...] = ("VIS", "H"), seed: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {band: rng.random((size, size)).astype(np.float32) for band in bands}


def small_finder(make_module, size: int = 16, outputs: int = 1) -> Finder:
    layers = nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3, padding=1), nn.ELU(), nn.Flatten()
    width = 6 * ((size - 2) // 2) ** 2
    return finder_of(make_module(nn.Sequential(*layers, nn.Linear(width, outputs))).float(), size, outputs)


def test_the_papers_patches_are_the_defaults():
    assert default_patch(200) == 4
    assert default_patch(66) == 1
    assert default_patch(45) == 1


def test_attribution_is_positive_where_hiding_lowers_the_log_odds():
    """logit = VIS light in the upper left − light in the lower right: positive there, negative here, 0 elsewhere."""
    weight = torch.zeros(1, 2, 8, 8)
    weight[0, 0, :4, :4], weight[0, 0, 4:, 4:] = 0.1, -0.1
    dense = nn.Linear(128, 1, bias=False)
    with torch.no_grad():
        dense.weight.copy_(weight.reshape(1, -1))
    finder = finder_of(nn.Sequential(nn.Flatten(), dense), 8)
    bands = cutout(8)
    result = occlusion(finder, bands, patch=2)
    light = finder.preprocess({band: image[None] for band, image in bands.items()})[0, 0].double().numpy()
    blocks = light.reshape(4, 2, 4, 2).sum((1, 3))
    signs = np.zeros((4, 4))
    signs[:2, :2], signs[2:, 2:] = 0.1, -0.1
    logit = float((blocks * signs).sum())
    expected = np.kron(expit(logit) - expit(logit - blocks * signs), np.ones((2, 2)))
    np.testing.assert_allclose(result.patches.p_lost[0], expected, rtol=0, atol=1e-6)  # 16 float32 terms of order 0.1
    log_odds = np.kron(blocks * signs, np.ones((2, 2)))
    np.testing.assert_allclose(result.maps[0], log_odds, rtol=0, atol=1e-6)  # the same
    assert result.p_lens[0] == pytest.approx(expit(logit), abs=1e-6)
    for values in (result.maps[0], result.patches.p_lost[0]):  # one sign
        assert (values[:4, :4] > 0).all()
        assert (values[4:, 4:] < 0).all()


@pytest.mark.parametrize(
    ("patch", "stride", "outputs"), [(4, 4, 1), (4, 4, 2), (4, 4, 3), (3, 3, 2), (4, 2, 1), (5, 3, 2), (1, 1, 1)]
)
def test_both_engines_and_the_slow_reference_agree(patch, stride, outputs, make_module):
    finder, bands = small_finder(make_module, outputs=outputs), cutout(16)
    ours = occlusion(finder, bands, patch=patch, stride=stride)
    theirs = occlusion(finder, bands, patch=patch, stride=stride, engine="captum", batch=8)
    np.testing.assert_allclose(ours.patches.p_lost[0], theirs.patches.p_lost[0], rtol=0, atol=FLOAT32)
    np.testing.assert_allclose(ours.maps[0], theirs.maps[0], rtol=0, atol=10 * FLOAT32)  # p changes by ¼ at most
    image = finder.preprocess({band: image[None] for band, image in bands.items()})
    logits, base = plain_logits(_Logit(finder), image, patch, stride)
    slow = plain_map(expit(base) - expit(logits), 16, patch, stride)
    np.testing.assert_allclose(ours.patches.p_lost[0], slow, rtol=0, atol=FLOAT32)
    in_log_odds = plain_map(base - logits, 16, patch, stride)
    np.testing.assert_allclose(ours.maps[0], in_log_odds, rtol=0, atol=10 * FLOAT32)
    assert np.abs(slow).max() > 100 * FLOAT32, "an effect too small to tell"
    assert theirs.patches.layers == ()
    assert theirs.patches.cost is None
    assert ours.patches.note == ""
    assert not ours.patches.fallbacks


class _Logit(nn.Module):
    def __init__(self, finder: Finder) -> None:
        super().__init__()
        self.logit = finder.logit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logit(images)


def test_ou66_with_large_patches_equals_captum():
    recipe = load_recipe("ou66")
    module = initialised("ou66", 4, generator=torch.Generator().manual_seed(1))
    finder, bands = Finder(recipe, module, "test"), cutout(66, recipe.bands)
    ours = occlusion(finder, bands, patch=11)
    theirs = occlusion(finder, bands, patch=11, engine="captum", batch=12)
    np.testing.assert_allclose(ours.patches.p_lost[0], theirs.patches.p_lost[0], rtol=0, atol=FLOAT32)
    assert ours.patches.layers[0].mode == "window"


def test_ou66_at_every_pixel_is_incremental_to_the_last_convolutions():
    recipe = load_recipe("ou66")
    finder = Finder(recipe, initialised("ou66", 4, generator=torch.Generator().manual_seed(1)), "test")
    bands = cutout(66, recipe.bands)
    result = occlusion(finder, bands)
    assert (result.patches.patch, result.patches.stride, result.maps.shape) == (1, 1, (1, 66, 66))
    assert result.patches.cost.bound > 15  # the arithmetic of Wilde's OU-66; design.md puts it near 20
    image = finder.preprocess({band: image[None] for band, image in bands.items()})
    for row, column in [(0, 0), (65, 65), (0, 40), (33, 33), (20, 65), (7, 12)]:
        hidden = image.clone()
        hidden[:, :, row, column] = 0
        with torch.no_grad():
            plain = float(finder.logit(image).double().sigmoid() - finder.logit(hidden).double().sigmoid())
        assert result.patches.p_lost[0][row, column] == pytest.approx(plain, abs=FLOAT32)


class Aliased(nn.Module):
    """Changes a tensor in place and goes on with another name of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kept = self.conv(images)
        alias = kept
        kept += 0.5 * kept.square()
        return alias.flatten(1).mean(1, keepdim=True)


def test_a_module_that_disturbs_its_trace_is_run_plainly_and_the_map_says_so(make_module):
    """Two names for one tensor changed in place: the trace sees two values, the module one."""
    finder, bands = finder_of(make_module(Aliased()).float(), 10), cutout(10)
    ours = occlusion(finder, bands, patch=5)
    assert ours.patches.note.startswith("plain batches throughout")
    assert [layer.mode for layer in ours.patches.layers] == ["fallback"]
    theirs = occlusion(finder, bands, patch=5, engine="captum")
    np.testing.assert_allclose(ours.patches.p_lost[0], theirs.patches.p_lost[0], rtol=0, atol=FLOAT32)


def test_a_certain_finder_has_a_map_of_its_log_odds(make_module):
    """p is 1 to the last bit of float64 wherever the patch stands, so only the log-odds tell."""
    finder, bands = small_finder(make_module), cutout(16)
    with torch.no_grad():
        finder.module[-1].bias += 60.0
    plain = occlusion(small_finder(make_module), bands, patch=4)
    sure = occlusion(finder, bands, patch=4)
    assert sure.patches.note == ""
    assert np.abs(sure.patches.p_lost[0]).max() < 1e-15
    atol = 60 * FLOAT32  # float32 numbers near 60
    np.testing.assert_allclose(sure.maps[0], plain.maps[0], rtol=0, atol=atol)


@pytest.mark.parametrize("bias", [0.0, 60.0])
def test_an_engine_that_is_wrong_is_found_out_by_the_log_odds(bias, make_module):
    """At 60 the probability could not tell."""
    module = make_module(Aliased()).float()
    finder = finder_of(nn.Sequential(module, nn.Linear(1, 1)), 10)
    with torch.no_grad():
        finder.module[1].bias.fill_(bias)
        finder.module[1].weight.fill_(3.0)
    ours, theirs = (occlusion(finder, cutout(10), patch=5, engine=engine) for engine in ("exact", "captum"))
    assert ours.patches.note.startswith("plain batches throughout: log-odds differ by")
    np.testing.assert_allclose(ours.maps[0], theirs.maps[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "lime"}, "engine 'lime' is not known; allowed: exact, captum"),
        ({"patch": 17}, "patch 17 does not fit; choose 1 to 16"),
        ({"patch": 2, "stride": 3}, "stride 3 is larger"),
        ({"stride": 0}, "stride 0"),
        ({"batch": 0}, "batch 0"),
    ],
)
def test_wrong_words_are_refused(options, message, make_module):
    with pytest.raises(UsageError, match=message):
        occlusion(small_finder(make_module), cutout(16), **options)


def test_wrong_data_are_refused(make_module):
    finder, bands = small_finder(make_module), cutout(16)
    with pytest.raises(DataError, match="needs band H"):
        occlusion(finder, {"VIS": bands["VIS"]})
    with pytest.raises(DataError, match="band VIS has 2 images"):
        occlusion(finder, {band: np.stack([image, image]) for band, image in bands.items()})
    with pytest.raises(DataError, match=r"image odd-one: H is constant"):
        Explainer(finder).explain(
            {"VIS": bands["VIS"][None], "H": np.ones((1, 16, 16))}, "occlusion", names=["odd-one"]
        )


def test_a_finder_that_gives_no_number_is_refused(make_module):
    finder = small_finder(make_module)
    with torch.no_grad():
        finder.module[0].weight.fill_(float("nan"))
    with pytest.raises(DataError, match="finder toy gives nan"):
        occlusion(finder, cutout(16))


@pytest.mark.parametrize("engine", ["exact", "captum"])
def test_progress_ends_at_all_positions_and_the_finder_is_left_as_it_was(engine, make_module):
    finder, seen = small_finder(make_module), []
    before = {name: value.clone() for name, value in finder.module.state_dict().items()}
    finder.module.train()
    occlusion(finder, cutout(16), patch=4, engine=engine, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (16, 16)
    assert finder.module.training
    assert all(torch.equal(value, before[name]) for name, value in finder.module.state_dict().items())
