"""Orientations and group convolutions: against slow references, and invariance to float accuracy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import (
    ARCHITECTURES,
    Finder,
    Recipe,
    Symmetrised,
    initialised,
    initialised_module,
    load_finder,
    load_recipe,
    save_finder,
    score_set,
)
from lensaudit.finders.layers import DIHEDRAL, GroupPool, P4MConv, P4MLift, angle_planes, dihedral, oriented, quotients
from lensaudit.imaging.instruments import EUCLID
from lensaudit.imaging.psf import kernel
from lensaudit.scenes import Psf

EIGHT = range(DIHEDRAL)
ROUNDING = 1e-5  # float32 sums of some thousand terms of order 1, in another order


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def he_normal(layer: nn.Module, seed: int = 2) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator(seed))
    return layer


def rand(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.rand(shape, generator=generator(seed))


def spread(outputs: list[torch.Tensor]) -> float:
    return max(float((other - outputs[0]).abs().max()) for other in outputs)


# --- orientation of images, and of the PSF with them


@pytest.mark.parametrize("which", EIGHT)
@pytest.mark.parametrize("angle", [0.0, 7.5, 40.0, 100.0])
def test_the_angle_planes_follow_the_psf_in_the_turned_image(which, angle):
    """A rendered three-fold PSF, turned as an image, is the PSF rendered at the angle the planes tell."""
    band = EUCLID.bands[0]
    image = torch.from_numpy(kernel(Psf("trefoil", angle_deg=angle, trefoil_waves=0.05), band).copy())
    planes = angle_planes(torch.tensor([angle]), image.shape[0])
    turned = oriented(torch.cat([image[None, None], planes.double()], 1), which, 1)[0]
    told = math.degrees(math.atan2(float(turned[2, 0, 0]), float(turned[1, 0, 0]))) / 3
    expected = kernel(Psf("trefoil", angle_deg=told, trefoil_waves=0.05), band)
    # of a peak of 0.1; GalSim draws by Fourier transforms folded to its own accuracy of 5e-3 of the flux
    np.testing.assert_allclose(turned[0].numpy(), expected, rtol=0, atol=1e-4)
    wrong = kernel(Psf("trefoil", angle_deg=told + 30, trefoil_waves=0.05), band)
    assert np.abs(turned[0].numpy() - wrong).max() > 1e-3


def test_a_pattern_of_three_repeats_every_120_degrees():
    first, again = (angle_planes(torch.tensor([angle]), 2) for angle in (20.0, 140.0))
    torch.testing.assert_close(first, again)
    assert first.shape == (1, 2, 2, 2)
    assert first[0, 0, 0, 0].item() == pytest.approx(0.5)


# --- group convolutions, layer by layer


def slow_lift(layer: P4MLift, images: torch.Tensor) -> torch.Tensor:
    """Every orientation of every kernel at every place, as a plain sum of products."""
    width = layer.weight.shape[-1]
    maps = []
    for weight, bias in zip(layer.weight, layer.bias, strict=True):
        for which in EIGHT:
            turned = dihedral(weight, which)
            maps.append(_slid(lambda patch, w=turned: (patch * w).sum((1, 2, 3)), images, width) + bias)
    return torch.stack(maps, 1)


def slow_conv(layer: P4MConv, features: torch.Tensor) -> torch.Tensor:
    """Cohen & Welling 2016, Eq. 11, with the kernel as a function on the group: [L_g ψ](h, y) = ψ(g⁻¹h, g⁻¹y)."""
    width = layer.weight.shape[-1]
    figure = torch.arange(9).reshape(3, 3)
    maps = []
    for weight, bias in zip(layer.weight.unflatten(1, (-1, DIHEDRAL)), layer.bias, strict=True):
        for g in EIGHT:
            acted = torch.empty_like(weight)
            for h in EIGHT:
                (u,) = (u for u in EIGHT if torch.equal(dihedral(dihedral(figure, u), g), dihedral(figure, h)))
                acted[:, h] = dihedral(weight[:, u], g)
            flat = acted.flatten(0, 1)
            maps.append(_slid(lambda patch, w=flat: (patch * w).sum((1, 2, 3)), features, width) + bias)
    return torch.stack(maps, 1)


def _slid(take, images, width):
    height, across = (side - width + 1 for side in images.shape[-2:])
    rows = [
        torch.stack([take(images[..., y : y + width, x : x + width]) for x in range(across)], -1) for y in range(height)
    ]
    return torch.stack(rows, -2)


@pytest.mark.parametrize("width", [2, 3])
def test_layers_are_the_slow_reference(width):
    lift, conv = he_normal(P4MLift(2, 3, width)), he_normal(P4MConv(3, 2, width))
    images = rand(2, 2, 6, 6)
    with torch.no_grad():
        lifted = lift(images)
        torch.testing.assert_close(lifted, slow_lift(lift, images), rtol=0, atol=ROUNDING)
        torch.testing.assert_close(conv(lifted), slow_conv(conv, lifted), rtol=0, atol=ROUNDING)


def acted(features: torch.Tensor, which: int) -> torch.Tensor:
    """What turning the image does to features of the group: turn each map, permute the orientations."""
    grouped = dihedral(features, which).unflatten(1, (-1, DIHEDRAL))
    return grouped[:, :, list(quotients()[which])].flatten(1, 2)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("which", EIGHT)
def test_every_layer_follows_a_turn_of_the_image(which, size):
    lift, conv, pool = he_normal(P4MLift(2, 3, 3)), he_normal(P4MConv(3, 4, 3)), GroupPool()
    images = rand(2, 2, size, size)
    features = rand(2, 24, size, size)
    with torch.no_grad():
        torch.testing.assert_close(lift(dihedral(images, which)), acted(lift(images), which), rtol=0, atol=ROUNDING)
        torch.testing.assert_close(conv(acted(features, which)), acted(conv(features), which), rtol=0, atol=ROUNDING)
        torch.testing.assert_close(pool(acted(features, which)), pool(features), rtol=0, atol=ROUNDING)
        assert size == 7 or which == 0 or not torch.allclose(lift(images), lift(dihedral(images, which)))


def test_quotients_are_those_of_the_group():
    table = quotients()
    assert all(table[g][g] == 0 for g in EIGHT)
    assert table[0] == tuple(EIGHT)
    assert all(sorted(row) == list(EIGHT) for row in table)


# --- invariant networks


@pytest.mark.parametrize("size", [11, 12])
def test_a_small_network_of_group_convolutions_is_invariant(size):
    layers = [P4MLift(1, 3, 3), nn.ReLU(), P4MConv(3, 2, 3), nn.ReLU(), GroupPool(), nn.Linear(2, 2)]
    net = nn.Sequential(*map(he_normal, layers))
    images = rand(3, 1, size, size)
    with torch.no_grad():
        outputs = [net(dihedral(images, which)) for which in EIGHT]
    assert spread(outputs) < ROUNDING
    assert float(outputs[0].std(0).min()) > 10 * ROUNDING, "different images differ"


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.endswith("-p4m")])
def test_the_architectures_of_group_convolutions_are_invariant(name):
    net = initialised(name, 2, generator=generator()).eval()
    images = rand(2, 2, ARCHITECTURES[name].size, ARCHITECTURES[name].size)
    with torch.inference_mode():
        outputs = [net(dihedral(images, which)) for which in EIGHT]
    assert spread(outputs) < ROUNDING
    assert float((outputs[0][0] - outputs[0][1]).abs().max()) > 10 * ROUNDING


@pytest.mark.parametrize("size", [9, 10])
def test_any_module_symmetrised_is_invariant_and_the_mean_of_the_eight(size):
    body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (size - 2) ** 2, 2))
    net = Symmetrised(he_normal(body))
    images = rand(3, 2, size, size)
    with torch.no_grad():
        outputs = [net(dihedral(images, which)) for which in EIGHT]
        plain = [body(dihedral(images, which)) for which in EIGHT]
    assert spread(outputs) < ROUNDING < spread(plain)
    torch.testing.assert_close(outputs[0], torch.stack(plain).mean(0), rtol=0, atol=ROUNDING)


def test_symmetrised_with_an_angle_is_invariant_when_the_angle_turns_along():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    net = Symmetrised(he_normal(body), angles=1)
    images = torch.cat([rand(2, 1, 8, 8), angle_planes(torch.tensor([10.0, 50.0]), 8)], 1)
    with torch.no_grad():
        outputs = [net(oriented(images, which, 1)) for which in EIGHT]
        without = net(torch.cat([dihedral(images[:, :1], 1), images[:, 1:]], 1))
    assert spread(outputs) < ROUNDING < spread([outputs[0], without])


# --- as finders


def test_the_symmetrised_recipe_is_saved_loaded_and_scored(make_set, make_cutouts, tmp_path):
    recipe = load_recipe("ou-h").model_copy(update={"symmetrise": True})
    finder = Finder(recipe, initialised_module(recipe, generator()), "test")
    save_finder(finder, tmp_path / "kept", origin="a test")
    loaded = load_finder(str(tmp_path / "kept"))
    assert loaded.recipe == recipe
    assert loaded.weights_hash == finder.weights_hash
    cutouts = make_cutouts(3)
    turned = {band: np.rot90(images, axes=(1, 2)) for band, images in cutouts.items()}
    mirrored = {band: images[:, ::-1] for band, images in cutouts.items()}
    sets = {"as-is": cutouts, "turned": turned, "mirrored": mirrored}
    logits = [score_set(loaded, make_set(name, images)).logit for name, images in sets.items()]
    np.testing.assert_allclose(logits[1:], [logits[0]] * 2, rtol=0, atol=ROUNDING)


def test_a_finder_is_symmetrised_without_training(make_finder, make_cutouts):
    plain = make_finder("ou-h")
    finder = plain.symmetrised()
    images = finder.preprocess(make_cutouts(2))
    with torch.inference_mode():
        mean = torch.stack([plain.logit(dihedral(images, which)) for which in EIGHT]).mean(0)
        torch.testing.assert_close(finder.logit(images), mean, rtol=0, atol=ROUNDING)
    assert finder.symmetrised() is finder
    assert finder.recipe.symmetrise


def angled(**changes) -> Finder:
    recipe = Recipe(**({"name": "angled", "architecture": "ou66", "bands": ("H",), "size": 66} | changes))
    return Finder(recipe, initialised_module(recipe, generator()), "test")


def test_the_angle_reaches_the_module(make_cutouts):
    finder = angled(extra_inputs=("psf_angle",))
    assert finder.parameters == angled().parameters + 2 * 9 * 50
    cutouts = make_cutouts(2) | {"psf_angle_deg": np.array([0.0, 20.0])}
    images = finder.preprocess(cutouts)
    assert images.shape == (2, 3, 66, 66)
    assert images[0, 1:, 5, 5].tolist() == [1.0, 0.0]
    assert images[1, 1:, 5, 5].tolist() == pytest.approx([0.5, 0.75**0.5])
    with torch.inference_mode():
        at_another = finder.preprocess(cutouts | {"psf_angle_deg": np.array([60.0, 80.0])})
        assert float((finder.logit(images) - finder.logit(at_another)).abs().min()) > 10 * ROUNDING


def test_a_set_or_image_without_the_angle_gets_one_line(make_set, make_cutouts):
    finder = angled(extra_inputs=("psf_angle",))
    with pytest.raises(DataError, match="needs the column psf_angle_deg"):
        score_set(finder, make_set("plain", make_cutouts(2)))
    with pytest.raises(DataError, match="needs psf_angle_deg of each image beside its pixels"):
        finder.preprocess(make_cutouts(2))
    with pytest.raises(DataError, match="image b: its psf_angle_deg is nan"):
        finder.preprocess(make_cutouts(2) | {"psf_angle_deg": np.array([1.0, np.nan])}, ["a", "b"])


def test_records_without_the_new_fields_stay_as_they_were():
    words = load_recipe("ou66").model_dump(mode="json")
    assert "symmetrise" not in words
    assert "extra_inputs" not in words
    told = replace(angled(extra_inputs=("psf_angle",)), origin="x").recipe.model_dump(mode="json")
    assert told["extra_inputs"] == ["psf_angle"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"extra_inputs": ["seeing"]}, "extra_inputs.0: Input should be 'psf_angle'"),
        ({"extra_inputs": ["psf_angle", "psf_angle"]}, "names an input twice"),
        ({"extra_inputs": ["psf_angle"], "architecture": "ou66-p4m"}, "do not fit architecture ou66-p4m"),
    ],
)
def test_wrong_words_get_one_line(change, says, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "architecture": "ou66", "bands": ["J"], "size": 66} | change))
    with pytest.raises(UsageError, match=says):
        load_recipe(str(path))
