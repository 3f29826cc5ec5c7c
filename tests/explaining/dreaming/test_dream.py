"""Dreams: closed forms, the slow reference, one at a time, and a module that is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dream_nets import Writing, seeded
from plain_dream import plain_class_image, plain_kernel_image
from torch import nn

from lensaudit.errors import DataError
from lensaudit.explaining.dreaming.dream import dream
from lensaudit.explaining.dreaming.settings import (
    ClassTarget,
    DreamSettings,
    KernelTarget,
    Regularisation,
    layer_targets,
    noise_start,
)

LENS, NON_LENS = ClassTarget(True), ClassTarget(False)
ROUNDING = 2e-6  # float32 sums of a few hundred terms of order 1
FREE = DreamSettings(5, 0.1, bounds="free")
ADAM = DreamSettings(6, 0.1, optimiser="adam", bounds="free", decay=1e-6)


def linear(outputs: int = 2) -> nn.Sequential:
    """An image's outputs are its pixels times weights."""
    return nn.Sequential(nn.Flatten(), seeded(nn.Linear(4 * 12 * 12, outputs)))


def weights(module: nn.Sequential, output: int) -> np.ndarray:
    return module[1].weight.detach().numpy()[output].reshape(4, 12, 12)


def test_a_linear_finders_dream_moves_along_the_weights(make_finder):
    module = linear()
    finder = make_finder(module)
    start = noise_start(finder, 1)
    lens, other = dream(finder, [LENS, NON_LENS], start, FREE)
    moved = [(made.image - start.numpy()) / (FREE.steps * FREE.rate) for made in (lens, other)]
    np.testing.assert_allclose(moved[0], weights(module, 1), rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(moved[1], weights(module, 0), rtol=0, atol=ROUNDING)
    slope = (weights(module, 1) ** 2).sum() * FREE.rate  # each step raises the output by rate × |w|²
    np.testing.assert_allclose(np.diff(lens.values), slope, rtol=1e-3)


def test_log_odds_push_the_other_output_down_too(make_finder):
    module = linear()
    finder = make_finder(module)
    start = noise_start(finder, 1)
    settings = DreamSettings(3, 0.1, bounds="free", objective="log-odds")
    (lens,) = dream(finder, [LENS], start, settings)
    expected = start.numpy() + 0.3 * (weights(module, 1) - weights(module, 0))
    np.testing.assert_allclose(lens.image, expected, rtol=0, atol=ROUNDING)


def test_one_output_is_raised_for_lens_and_lowered_for_non_lens(make_finder):
    module = linear(1)
    finder = make_finder(module, 1)
    start = noise_start(finder, 1)
    lens, other = dream(finder, [LENS, NON_LENS], start, FREE)
    np.testing.assert_allclose(lens.image - start.numpy(), 0.5 * weights(module, 0), rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(other.image - start.numpy(), -0.5 * weights(module, 0), rtol=0, atol=ROUNDING)
    assert lens.p_lens[-1] > lens.p_lens[0] > other.p_lens[-1]


def test_a_kernel_image_of_one_convolution_follows_its_analytic_gradient(make_finder):
    conv = seeded(nn.Conv2d(4, 3, (3, 5), stride=2))
    finder = make_finder(nn.Sequential(conv, nn.Flatten(), seeded(nn.Linear(60, 2))))
    start = noise_start(finder, 1)
    made = dream(finder, layer_targets(finder.module, "0"), start, FREE)
    expected = np.zeros((3, 4, 12, 12))
    down, right = 5, 4  # positions of the window
    for kernel, band, i, j in np.ndindex(*conv.weight.shape):
        weight = float(conv.weight.detach()[kernel, band, i, j])
        expected[kernel, band, i : i + 2 * down : 2, j : j + 2 * right : 2] += weight / (down * right)
    for kernel in range(3):
        moved = (made[kernel].image - start.numpy()) / (FREE.steps * FREE.rate)
        np.testing.assert_allclose(moved, expected[kernel], rtol=0, atol=ROUNDING)
        means = conv(torch.from_numpy(made[kernel].image)[None])[0, kernel].mean().detach()
        assert made[kernel].values[-1] == pytest.approx(float(means), abs=ROUNDING)


def test_kernel_images_equal_the_slow_reference(net):
    finder, layers = net
    start = noise_start(finder, 2)
    for layer in layers:
        targets = layer_targets(finder.module, layer)
        made = dream(finder, targets, start, ADAM)
        alive = [(target, one) for target, one in zip(targets, made, strict=True) if not one.dead]
        assert len(alive) > len(targets) / 2
        for target, one in alive:
            slow = plain_kernel_image(finder.module, layer, target.kernel, start, ADAM.steps)
            # Adam's first steps divide the gradient by its own size, which enlarges the rounding of small ones
            np.testing.assert_allclose(one.image, slow.numpy(), rtol=0, atol=1e-3)
            assert np.abs(one.image - start.numpy()).max() > 0.3


def test_class_images_equal_the_slow_reference(net):
    finder, _ = net
    start = noise_start(finder, 2)
    outputs = finder.recipe.outputs
    if outputs == 3:
        pytest.skip("with three outputs non-lens is the logsumexp of two: tested by itself")
    settings = DreamSettings(20, 0.5)
    for target, one in zip((LENS, NON_LENS), dream(finder, [LENS, NON_LENS], start, settings), strict=True):
        if outputs == 1 and not target.lens:
            continue
        slow = plain_class_image(finder.module, int(target.lens) * (outputs - 1), start, 20, 0.5, stretch=True)
        np.testing.assert_allclose(one.image, slow.numpy(), rtol=0, atol=1e-5)
        assert one.gain > 0
        assert (one.image.min(), one.image.max()) == (0, 1)


def test_a_network_that_writes_into_what_the_gradient_needs(make_finder):
    writing, harmless = seeded(Writing(True)), seeded(Writing(False))
    finder = make_finder(writing)
    start = noise_start(finder, 2)
    for layer in ("first", "second"):
        for one in dream(finder, layer_targets(writing, layer), start, ADAM):
            slow = plain_kernel_image(harmless, layer, one.target.kernel, start, ADAM.steps)
            np.testing.assert_allclose(one.image, slow.numpy(), rtol=0, atol=1e-3)
    (made,) = dream(finder, [LENS], start, DreamSettings(20, 0.5))
    slow = plain_class_image(harmless, 1, start, 20, 0.5, stretch=True)
    np.testing.assert_allclose(made.image, slow.numpy(), rtol=0, atol=1e-5)


def test_with_three_outputs_non_lens_is_the_logsumexp_of_the_others(make_finder):
    module = linear(3)
    finder = make_finder(module, 3)
    start = noise_start(finder, 1)
    (made,) = dream(finder, [NON_LENS], start, DreamSettings(1, 0.1, bounds="free"))
    leaf = start.clone().requires_grad_()
    module(leaf[None])[0, :2].logsumexp(dim=0).backward()
    np.testing.assert_allclose(made.image - start.numpy(), 0.1 * leaf.grad.numpy(), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("regular", [Regularisation(), Regularisation(jitter=2, tv=0.3, fourier=True)], ids=str)
@pytest.mark.parametrize("optimiser", ["adam", "ascent"])
def test_many_at_once_are_what_each_is_alone(plain_finder, regular, optimiser):
    start = noise_start(plain_finder, 3)
    settings = DreamSettings(5, 0.1, optimiser=optimiser, decay=1e-6, regularisation=regular)
    targets = layer_targets(plain_finder.module, "4")
    together = dream(plain_finder, targets, start, settings, batch=4)
    for target, one in zip(targets, together, strict=True):
        (alone,) = dream(plain_finder, [target], start, settings)
        np.testing.assert_allclose(one.image, alone.image, rtol=0, atol=1e-4)  # Adam enlarges rounding, see above
        np.testing.assert_allclose(one.values, alone.values, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(one.p_lens, alone.p_lens, rtol=0, atol=1e-4)


def test_the_same_seed_gives_the_same_bytes(plain_finder):
    settings = DreamSettings(4, 0.1, seed=7, regularisation=Regularisation(jitter=3))
    first, second = (dream(plain_finder, [LENS], noise_start(plain_finder, 7), settings)[0] for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    other = DreamSettings(4, 0.1, seed=8, regularisation=Regularisation(jitter=3))
    (third,) = dream(plain_finder, [LENS], noise_start(plain_finder, 7), other)
    assert first.image.tobytes() != third.image.tobytes()


class Fails(nn.Module):
    """Raises when it has run `times` times."""

    def __init__(self, body: nn.Module, times: int) -> None:
        super().__init__()
        self.body, self.left = body, torch.tensor(times)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left < 0 or bool(images.isnan().any()):
            raise RuntimeError("half-way")
        return self.body(images)


def _traces(module: nn.Module) -> list[object]:
    hooks = [(part._forward_hooks, part._forward_pre_hooks, part._backward_hooks) for part in module.modules()]
    facts = [(p.requires_grad, p.grad) for p in module.parameters()]
    modes = [part.training for part in module.modules()]
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    return [state, [[len(kind) for kind in kinds] for kinds in hooks], facts, modes]


@pytest.mark.parametrize("times", [0, 1, 4, 100])
@pytest.mark.parametrize("target", [LENS, KernelTarget("body.4", 1)], ids=["class", "kernel"])
def test_the_module_is_left_as_it_was_even_where_it_raises(make_finder, plain_finder, times, target):
    module = Fails(plain_finder.module, times)
    finder = make_finder(module)
    module.train()
    module.body[1].eval()
    before = _traces(module)
    if times < 100:
        with pytest.raises(RuntimeError, match="half-way"):
            dream(finder, [target], noise_start(finder, 0), ADAM)
    else:
        dream(finder, [target], noise_start(finder, 0), ADAM)
    after = _traces(module)
    assert before[1:] == after[1:]
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])


def test_a_dead_kernel_is_named_and_its_image_left_alone(plain_finder):
    with torch.no_grad():
        plain_finder.module[4].weight[2] = 0
    start = noise_start(plain_finder, 0)
    settings = DreamSettings(5, 0.1, optimiser="adam", bounds="free", decay=0.1, regularisation=Regularisation(tv=0.5))
    made = dream(plain_finder, layer_targets(plain_finder.module, "4"), start, settings)
    assert [one.dead for one in made] == [False, False, True, False, False, False]
    assert made[2].image.tobytes() == start.numpy().tobytes()
    assert made[2].fault == ""
    assert made[2].gain == 0
    assert all(np.isfinite(one.image).all() for one in made)


class Detached(nn.Module):
    """Its output does not depend on the image as far as gradients go."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dense(images.detach().mean(dim=(2, 3)))


def test_a_finder_that_lets_no_gradient_through_is_dead_all_over(make_finder):
    finder = make_finder(Detached())
    assert all(one.dead for one in dream(finder, [LENS, NON_LENS], noise_start(finder, 0), FREE))


class Explodes(nn.Module):
    """The lens output runs away to infinity, the other does not."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        total = images.sum(dim=(1, 2, 3))
        return torch.stack([total, (total * 0.2).exp()], dim=1)


def test_what_becomes_no_number_is_named_and_the_rest_goes_on(make_finder):
    finder = make_finder(Explodes(), size=4)
    start = noise_start(finder, 0)
    lens, other = dream(finder, [LENS, NON_LENS], start, DreamSettings(6, 0.1, bounds="free"))
    assert "no number" in lens.fault
    assert not lens.dead
    np.testing.assert_allclose(other.image, start.numpy() + 0.6, rtol=1e-5)
    assert other.fault == ""


def test_a_finder_whose_score_is_no_number_is_refused(plain_finder):
    with torch.no_grad():
        plain_finder.module[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match="a score that is no number"):
        dream(plain_finder, [LENS], noise_start(plain_finder, 0), FREE)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(4, 2, 3), nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dense(images.mean(dim=(2, 3)))


def test_a_layer_that_takes_no_part_is_told(make_finder):
    finder = make_finder(Unused())
    with pytest.raises(DataError, match="layer conv takes no part"):
        dream(finder, [KernelTarget("conv", 0)], noise_start(finder, 0), FREE)


def test_curves_and_path_cover_the_whole_way(plain_finder):
    calls = []
    start = noise_start(plain_finder, 0)
    (made,) = dream(
        plain_finder, [LENS], start, DreamSettings(40, 0.1), progress=lambda done, steps: calls.append((done, steps))
    )
    assert calls == [(n, 40) for n in range(1, 41)]
    assert len(made.values) == 41
    assert list(made.p_steps) == list(range(41))
    assert made.path_steps[0] == 0
    assert made.path_steps[-1] == 40
    assert len(made.path) == len(made.path_steps) <= 16
    np.testing.assert_allclose(made.path[-1] / 255, made.image, atol=0.51 / 255)
    with torch.no_grad():
        score = plain_finder.logit(torch.from_numpy(made.image)[None])
        output = plain_finder.module(torch.from_numpy(made.image)[None])[0, 1]
    assert made.p_lens[-1] == pytest.approx(float(score.sigmoid()), abs=1e-5)
    assert made.values[-1] == pytest.approx(float(output), abs=1e-4)
    (kernel,) = dream(plain_finder, [KernelTarget("0", 0)], start, DreamSettings(40, 0.1))
    assert list(kernel.p_steps) == [0, 1, 6, 40]
