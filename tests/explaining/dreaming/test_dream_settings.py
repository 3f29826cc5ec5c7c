"""Settings, targets and regularisers: each does what it says, and wrong words get one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dream_nets import plain, seeded

from lensaudit.errors import UsageError
from lensaudit.explaining.dreaming.ascent import (
    EDGE,
    Pixels,
    Spectrum,
    hartley,
    jitter_shift,
    rolled,
    total_variation,
    variation_gradient,
)
from lensaudit.explaining.dreaming.dream import dream
from lensaudit.explaining.dreaming.settings import (
    ClassTarget,
    DreamSettings,
    KernelTarget,
    Regularisation,
    chosen_targets,
    noise_start,
    paper_settings,
    regularisation,
)


def images(n: int = 2, size: tuple[int, int] = (9, 8), seed: int = 4) -> torch.Tensor:
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_papers_settings():
    noise, cutout = paper_settings(False, False), paper_settings(False, True)
    assert (noise.steps, noise.rate, cutout.steps, cutout.rate) == (5000, 0.1, 1000, 0.001)
    assert all(
        (s.optimiser, s.bounds, s.decay, s.objective) == ("ascent", "rescale", 0, "output") for s in (noise, cutout)
    )
    kernels = paper_settings(True, False)
    assert (kernels.steps, kernels.rate, kernels.optimiser, kernels.bounds, kernels.decay) == (
        50,
        0.1,
        "adam",
        "free",
        1e-6,
    )
    assert str(noise.regularisation) == "none"


def test_total_variation_in_closed_form():
    flat, ramp = torch.full((1, 1, 4, 5), 0.3), torch.arange(5.0).expand(1, 1, 4, 5)
    assert float(total_variation(flat)) == pytest.approx(0, abs=1e-9)
    assert float(total_variation(ramp)) == pytest.approx(
        0.8 * (np.hypot(1, EDGE) - EDGE), rel=1e-6
    )  # the last has none
    noise = total_variation(torch.rand(1, 1, 400, 400, generator=torch.Generator().manual_seed(1)))
    assert float(noise) == pytest.approx(0.52, abs=0.01)  # mean length of two independent differences of uniforms


def test_the_variations_gradient_is_autograds():
    pixels = images().requires_grad_()
    (total_variation(pixels).sum() * pixels[0].numel()).backward()
    torch.testing.assert_close(variation_gradient(pixels.detach()), pixels.grad, rtol=0, atol=1e-12)


def test_jitter_rolls_both_ways_within_its_bounds_and_comes_of_seed_and_step():
    shifts = [jitter_shift(3, step, 2) for step in range(200)]
    assert {value for shift in shifts for value in shift} == {-2, -1, 0, 1, 2}
    assert shifts == [jitter_shift(3, step, 2) for step in range(200)]
    assert shifts != [jitter_shift(4, step, 2) for step in range(200)]
    pixels = images()
    moved = rolled(pixels, (1, -2))
    assert torch.equal(moved[:, :, 1:, :-2], pixels[:, :, :-1, 2:])
    assert torch.equal(rolled(moved, (-1, 2)), pixels)


def test_the_hartley_transform_is_its_own_inverse_and_keeps_lengths():
    pixels = images()
    spectrum = hartley(pixels)
    torch.testing.assert_close(hartley(spectrum), pixels, rtol=0, atol=1e-12)
    torch.testing.assert_close(spectrum.norm(), pixels.norm(), rtol=1e-12, atol=0)
    waves = np.arange(8) * 2 * np.pi * 3 / 8
    cas = torch.from_numpy(np.cos(waves) + np.sin(waves)).expand(1, 1, 9, 8)
    peak = hartley(cas)[0, 0]
    assert float(peak[0, 3]) == pytest.approx(np.sqrt(72), rel=1e-12)
    assert float(peak.abs().sum() - peak[0, 3].abs()) < 1e-10


def test_the_fourier_parametrisation_gives_the_start_back_and_passes_the_gradient_on():
    form, pixels = Spectrum(9, 8, torch.device("cpu")), images()
    parameters = form.parameters(pixels)
    torch.testing.assert_close(form.image(parameters), pixels, rtol=0, atol=1e-6)  # weights are float32
    parameters.requires_grad_()
    towards = images(seed=9)
    (form.image(parameters) * towards).sum().backward()
    torch.testing.assert_close(form.slope(towards), parameters.grad, rtol=0, atol=1e-10)
    assert torch.equal(Pixels().slope(towards), towards)


def _share_of_high_frequencies(change: np.ndarray) -> float:
    power = np.abs(np.fft.fft2(change)) ** 2
    frequency = np.hypot(np.fft.fftfreq(12)[:, None], np.fft.fftfreq(12)[None, :])
    return float(power[..., frequency > 0.25].sum() / power.sum())


def test_each_regulariser_does_what_it_says_to_a_dream(make_finder):
    finder = make_finder(seeded(plain()))
    start = noise_start(finder, 1)

    def dreamt(**regular: object) -> np.ndarray:
        settings = DreamSettings(15, 0.02, bounds="free", regularisation=Regularisation(**regular))
        return dream(finder, [ClassTarget(True)], start, settings)[0].image

    free = dreamt()
    rough = [float(total_variation(torch.from_numpy(image)[None])) for image in (free, dreamt(tv=0.5), dreamt(tv=2))]
    assert rough[0] > rough[1] > rough[2]
    high = [_share_of_high_frequencies(image - start.numpy()) for image in (free, dreamt(fourier=True))]
    assert high[1] < 0.5 * high[0]
    assert np.abs(dreamt(jitter=2) - free).max() > 1e-3


def test_the_tv_part_has_the_length_that_its_strength_says(make_finder):
    finder = make_finder(seeded(plain()))
    start = noise_start(finder, 1)
    made = [
        dream(
            finder,
            [ClassTarget(True)],
            start,
            DreamSettings(1, 1.0, bounds="free", regularisation=Regularisation(tv=s)),
        )
        for s in (0.0, 0.4)
    ]
    plain_step, smooth_step = (one.image - start.numpy() for (one,) in made)
    part = plain_step - smooth_step
    assert np.linalg.norm(part) == pytest.approx(0.4 * np.linalg.norm(plain_step), rel=1e-4)


def test_fourier_with_bounds_keeps_pixels_within_them(make_finder):
    finder = make_finder(seeded(plain()))
    settings = DreamSettings(10, 0.5, optimiser="adam", regularisation=Regularisation(fourier=True, jitter=1, tv=0.1))
    (made,) = dream(finder, [ClassTarget(True)], noise_start(finder, 1), settings)
    assert made.image.min() == pytest.approx(0, abs=1e-6)
    assert made.image.max() == pytest.approx(1, abs=1e-6)
    assert made.gain > 0


def test_words_for_regularisers():
    assert regularisation("jitter,fourier,tv", 66) == Regularisation(4, 0.25, True)
    assert regularisation("jitter", 200) == Regularisation(jitter=12)
    assert regularisation(" tv=0.5 , jitter=3", 66) == Regularisation(3, 0.5)
    assert regularisation("", 66) == Regularisation()
    assert str(regularisation("jitter,fourier,tv", 66)) == "jitter 4 px, Fourier, total variation 0.25"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("jitters", "'jitters' is not known; allowed: jitter, fourier, tv"),
        ("tv=much", "tv=much is not a number; write tv=0.25"),
        ("jitter=1.5", "jitter=1.5 is not a whole number of pixels"),
        ("jitter=-1", "jitter -1 is not possible"),
        ("jitter=nan", "not a whole number"),
        ("tv=nan", "tv nan is not possible"),
        ("tv=-0.1", "tv -0.1 is not possible"),
        ("fourier=2", "fourier has no strength"),
    ],
)
def test_wrong_words_for_regularisers(words, message):
    with pytest.raises(UsageError, match=message):
        regularisation(words, 66)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps 0"),
        ({"rate": 0.0}, "--rate 0"),
        ({"rate": float("nan")}, "--rate nan"),
        ({"decay": -1.0}, "--decay -1"),
        ({"seed": -1}, "--seed -1"),
        ({"optimiser": "sgd"}, "--optimiser 'sgd' is not known; allowed: ascent, adam"),
        ({"bounds": "none"}, "--bounds 'none' is not known; allowed: rescale, clip, free"),
        ({"objective": "p"}, "--objective 'p' is not known; allowed: output, log-odds"),
    ],
)
def test_wrong_settings(change, message):
    with pytest.raises(UsageError, match=message):
        DreamSettings(**{"steps": 5, "rate": 0.1, **change})


def test_targets_by_name():
    module = plain()
    assert chosen_targets(module, [], [], []) == (ClassTarget(True), ClassTarget(False))
    chosen = chosen_targets(module, ["non-lens"], ["4:1", "0:7", "4:1"], [])
    assert chosen == (ClassTarget(False), KernelTarget("4", 1), KernelTarget("0", 7))
    assert chosen_targets(module, [], ["0:3"], ["0"]) == tuple(KernelTarget("0", n) for n in range(8))
    assert [target.stem for target in chosen] == ["non-lens", "layer-4-kernel-01", "layer-0-kernel-07"]
    assert chosen[1].name == "layer 4 kernel 1"


@pytest.mark.parametrize(
    ("classes", "kernels", "layers", "message"),
    [
        (["ring"], [], [], "class 'ring' is not known; allowed: lens, non-lens"),
        ([], ["4"], [], "--kernel 4 is not of the form LAYER:KERNEL, as 13:4"),
        ([], ["4:x"], [], "not of the form"),
        ([], ["4:-1"], [], "not of the form"),
        ([], ["4:6"], [], "layer 4 has no kernel 6; it has 0 to 5"),
        ([], ["1:0"], [], "no convolution '1'; this finder's are 0, 4"),
        ([], [], ["9"], "no convolution '9'; this finder's are 0, 4"),
    ],
)
def test_wrong_targets(classes, kernels, layers, message):
    with pytest.raises(UsageError, match=message):
        chosen_targets(plain(), classes, kernels, layers)
