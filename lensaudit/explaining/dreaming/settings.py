"""How an image is optimised; by default as Wilde et al. 2022 write and, where they are silent, as their code does.

The paper (Sections 5.3 to 5.5) gives rates and steps: 0.1 and 5 000 from noise, 0.001 and 1 000 from a cutout. It names
neither the optimiser nor what keeps pixels within [0, 1], and for kernels no number at all. The authors' public code
(github.com/JoshWilde/LensFindery-McLensFinderFace, folder Interpretability) does, and we follow it:

* **Classes**: plain gradient ascent on the class's own output (before softmax); after each step the image is clipped to
  [0, 1], then stretched, all bands alike, so that its minimum is 0 and its maximum 1.
* **Kernels**: Adam, rate 0.1, 50 steps, weight decay 1e-6; nothing bounds the pixels, they are clipped for the picture
  only. The decay matters: Adam does not care how small a gradient is, so pixels that the kernel hardly sees fade to
  black at the same pace at which the others grow. (There each kernel began from noise of its own in every band; here
  all begin from the same noise in all bands, as the paper says for classes.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.layers import find_layer
from lensaudit.finders import Finder
from lensaudit.finders.stretch import resized

OPTIMISERS = ("ascent", "adam")
"""``ascent``: image + rate × gradient. ``adam``: Kingma & Ba 2015, with torch's own constants."""

BOUNDS = ("rescale", "clip", "free")
"""What is done to the pixels after a step.

``rescale``: clip to [0, 1], then stretch the whole image to just fill it. ``clip``: clip to [0, 1].
``free``: nothing; pictures and scores of such an image are of its clipped copy only where they say so.
"""

OBJECTIVES = ("output", "log-odds")
"""What "maximise the class" means.

``output``: the class's own output before softmax, as the authors' code. ``log-odds``: that of the class against the
others, which can also be raised by pushing the other outputs down. With one output both are the same.
"""

REGULARISERS = ("jitter", "fourier", "tv")

JITTER_SHARE = 16
"""The default jitter is ± one pixel for every so many along the image's side."""

TV_STRENGTH = 0.25
"""Default length of the total variation's gradient, as a fraction of the objective's."""


@dataclass(frozen=True)
class Regularisation:
    """What is done to get smoother, rounder images; nothing by default, as in the paper.

    Attributes
    ----------
    jitter
        The image is rolled by up to so many pixels in both directions before each step, and back (Mordvintsev et al.
        2015).
    tv
        Each step also goes down the image's total variation (Mahendran & Vedaldi 2015): the length of that part as a
        fraction of the objective's gradient, so that a number means the same for any finder and target.
    fourier
        Steps are taken in the image's spectrum with amplitudes weighed by 1 / frequency (Olah et al. 2017).
    """

    jitter: int = 0
    tv: float = 0.0
    fourier: bool = False

    def __post_init__(self) -> None:
        if self.jitter < 0:
            raise UsageError(f"jitter {self.jitter} is not possible; give a number of pixels, 0 for none")
        if not (self.tv >= 0 and math.isfinite(self.tv)):
            raise UsageError(f"tv {self.tv:g} is not possible; give a fraction such as {TV_STRENGTH:g}, 0 for none")

    def __str__(self) -> str:
        words = [f"jitter {self.jitter} px"] if self.jitter else []
        words += ["Fourier"] if self.fourier else []
        words += [f"total variation {self.tv:g}"] if self.tv else []
        return ", ".join(words) or "none"


@dataclass(frozen=True)
class DreamSettings:
    """One optimisation.

    Attributes
    ----------
    steps, rate
        Number and size of the steps.
    optimiser, bounds, objective
        One of `OPTIMISERS`, `BOUNDS`, `OBJECTIVES`.
    decay
        Weight decay: the gradient less `decay` × image.
    seed
        Of the noise at the start, and of the jitter.
    regularisation
        None by default.
    """

    steps: int
    rate: float
    optimiser: str = "ascent"
    bounds: str = "rescale"
    objective: str = "output"
    decay: float = 0.0
    seed: int = 0
    regularisation: Regularisation = Regularisation()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"--steps {self.steps} is not possible; give 1 or more")
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise UsageError(f"--rate {self.rate:g} is not possible; give a number above 0, as 0.1")
        if not (self.decay >= 0 and math.isfinite(self.decay)):
            raise UsageError(f"--decay {self.decay:g} is not possible; give 0 or a small number above")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed {self.seed} is not possible; give 0 or a positive integer")
        for option, value, allowed in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("bounds", self.bounds, BOUNDS),
            ("objective", self.objective, OBJECTIVES),
        ):
            if value not in allowed:
                raise UsageError(f"--{option} '{value}' is not known; allowed: {', '.join(allowed)}")


def paper_settings(kernels: bool, from_cutout: bool) -> DreamSettings:
    """The settings for classes or `kernels`, from noise or from a cutout (Deep Dream).

    The paper has no Deep Dream of a kernel: such a one takes the rate and steps of Deep Dream, the rest as kernels do.
    """
    steps, rate = (1000, 0.001) if from_cutout else (5000, 0.1)
    if not kernels:
        return DreamSettings(steps, rate)
    return DreamSettings(steps if from_cutout else 50, rate, optimiser="adam", bounds="free", decay=1e-6)


def regularisation(words: str, size: int) -> Regularisation:
    """What a user names, as ``jitter,fourier,tv`` or ``jitter=8,tv=0.5``.

    Parameters
    ----------
    words
        Names of `REGULARISERS`, with a strength where another than the default is wanted.
    size
        Pixels along the image's side; the default jitter is one for every 16.

    Raises
    ------
    UsageError
        A name or strength is not known.
    """
    given: dict[str, str] = {}
    for word in filter(None, (part.strip() for part in words.split(","))):
        name, _, strength = word.partition("=")
        if name not in REGULARISERS:
            raise UsageError(f"--regularise '{word}' is not known; allowed: {', '.join(REGULARISERS)}")
        given[name] = strength
    if given.get("fourier"):
        raise UsageError(f"--regularise fourier={given['fourier']}: fourier has no strength; write fourier")
    jitter = _number("jitter", given.get("jitter"), max(1, size // JITTER_SHARE))
    if not float(jitter).is_integer():
        raise UsageError(f"--regularise jitter={jitter:g} is not a whole number of pixels; write jitter=4")
    return Regularisation(int(jitter), _number("tv", given.get("tv"), TV_STRENGTH), "fourier" in given)


def _number(name: str, strength: str | None, default: float) -> float:
    """0 where not named, the default where named without a strength."""
    if strength is None:
        return 0
    try:
        return float(strength) if strength else default
    except ValueError:
        raise UsageError(f"--regularise {name}={strength} is not a number; write {name}={default:g}") from None


NOISE_SIZE = 66
"""Pixels along a side of the noise in Wilde et al. 2022; for OU-200 it is scaled up to 200."""


def noise_start(finder: Finder, seed: int) -> torch.Tensor:
    """Uniform noise in [0, 1], the same in every band: float32 (bands, size, size) on the finder's device.

    It is drawn on 66×66 pixels and scaled up with scikit-image's ``resize`` for finders of more; for those of fewer
    it is drawn on their own grid.
    """
    size = finder.recipe.size
    drawn = min(size, NOISE_SIZE)
    generator = torch.Generator().manual_seed(seed)
    noise = resized(torch.rand((1, drawn, drawn), generator=generator), size)
    return noise.expand(len(finder.recipe.bands), size, size).to(finder.device)


def cutout_start(finder: Finder, cutout: Mapping[str, np.ndarray], name: str = "") -> torch.Tensor:
    """One cutout as the finder sees it: float32 (bands, size, size) in [0, 1] on the finder's device.

    Parameters
    ----------
    finder
        The finder.
    cutout
        Band → native image (h, w) or (1, h, w).
    name
        Of the cutout, for messages.

    Raises
    ------
    DataError
        A band is missing, constant or not finite, or there are several images.
    """
    single = {band: np.asarray(image) for band, image in cutout.items()}
    single = {band: image[None] if image.ndim == 2 else image for band, image in single.items()}
    several = next((band for band, image in single.items() if len(image) != 1), None)
    if several is not None:
        raise DataError(f"band {several} has {len(single[several])} images; give the cutouts of one")
    return finder.preprocess(single, [name] if name else None)[0]


CLASSES = ("lens", "non-lens")


@dataclass(frozen=True)
class ClassTarget:
    """A class of the finder.

    Attributes
    ----------
    lens
        Whether it is "lens"; otherwise "non-lens".
    """

    lens: bool

    @property
    def name(self) -> str:
        """As the user types it."""
        return CLASSES[0] if self.lens else CLASSES[1]

    @property
    def stem(self) -> str:
        """As part of a file name."""
        return self.name


@dataclass(frozen=True)
class KernelTarget:
    """One kernel of one convolution: the mean of its feature map before ReLU, the KAV of Wilde et al. 2022.

    Attributes
    ----------
    layer
        Dotted path of the convolution in the module, see `lensaudit.explaining.layers`.
    kernel
        Index of its output channel.
    """

    layer: str
    kernel: int

    @property
    def name(self) -> str:
        """As the paper writes it."""
        return f"layer {self.layer} kernel {self.kernel}"

    @property
    def stem(self) -> str:
        """As part of a file name; kernels of a layer sort in their order."""
        return f"layer-{self.layer}-kernel-{self.kernel:02d}"


Target = ClassTarget | KernelTarget


def class_target(name: str) -> ClassTarget:
    """The class called `name`.

    Raises
    ------
    UsageError
        It is neither ``lens`` nor ``non-lens``.
    """
    if name not in CLASSES:
        raise UsageError(f"class '{name}' is not known; allowed: {', '.join(CLASSES)}")
    return ClassTarget(name == CLASSES[0])


def kernel_target(module: nn.Module, words: str) -> KernelTarget:
    """The kernel that a user names ``LAYER:KERNEL``, as ``13:4``.

    Raises
    ------
    UsageError
        That is not the form, or `module` has no such layer or kernel; the line lists those that exist.
    """
    name, colon, number = words.rpartition(":")
    if not colon or not number.strip().isdecimal():
        raise UsageError(f"--kernel {words} is not of the form LAYER:KERNEL, as 13:4")
    layer = find_layer(module, name)
    layer.check(int(number))
    return KernelTarget(layer.name, int(number))


def layer_targets(module: nn.Module, name: str) -> tuple[KernelTarget, ...]:
    """All kernels of one layer.

    Raises
    ------
    UsageError
        `module` has no such layer; the line lists those that exist.
    """
    layer = find_layer(module, name)
    return tuple(KernelTarget(layer.name, kernel) for kernel in range(layer.kernels))


def chosen_targets(
    module: nn.Module, classes: Sequence[str], kernels: Sequence[str], layers: Sequence[str]
) -> tuple[Target, ...]:
    """What the user named, each once, in the order classes, layers, kernels; both classes where nothing is named.

    Parameters
    ----------
    module
        The finder's.
    classes, kernels, layers
        Words such as ``lens``, ``13:4`` and ``13``.

    Raises
    ------
    UsageError
        One of them does not exist.
    """
    if not (classes or kernels or layers):
        classes = CLASSES
    found: list[Target] = [class_target(name) for name in classes]
    for name in layers:
        found += layer_targets(module, name)
    found += [kernel_target(module, words) for words in kernels]
    return tuple(dict.fromkeys(found))
