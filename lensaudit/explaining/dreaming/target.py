"""What an image is optimised for: a class of the finder, or one kernel of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lensaudit.errors import UsageError
from lensaudit.explaining.layers import find_layer

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
