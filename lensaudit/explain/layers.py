"""The convolutions of a finder and their kernels, by the names a user types."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.wrapped import scripted


@dataclass(frozen=True, eq=False)
class ConvLayer:
    """One convolution of a module.

    Attributes
    ----------
    name
        Dotted path in the module. For a plain ``nn.Sequential`` this is the index: "[layer 13 kernel 4]" of Wilde
        et al. 2022 is layer ``13``.
    module
        The convolution.
    """

    name: str
    module: nn.Conv2d

    @property
    def kernels(self) -> int:
        """Number of its kernels, that is of output channels."""
        return self.module.out_channels

    def check(self, kernel: int) -> None:
        """Make sure that `kernel` is one of 0 … kernels − 1.

        Raises
        ------
        UsageError
            It is not; the line says which there are.
        """
        if not 0 <= kernel < self.kernels:
            raise UsageError(f"layer {self.name} has no kernel {kernel}; it has 0 to {self.kernels - 1}")


def convolutions(module: nn.Module) -> tuple[ConvLayer, ...]:
    """All two-dimensional convolutions of `module` in the order of definition.

    Raises
    ------
    UsageError
        There is none.
    """
    found = tuple(ConvLayer(name, part) for name, part in module.named_modules() if isinstance(part, nn.Conv2d))
    if not found and scripted(module):
        raise UsageError("TorchScript hides its convolutions, so no kernels to look at; declare the Python module")
    if not found:
        raise UsageError(f"{type(module).__name__} has no convolution (nn.Conv2d), so no kernels to look at")
    return found


def find_layer(module: nn.Module, name: str) -> ConvLayer:
    """The convolution of that name.

    Raises
    ------
    UsageError
        There is none; the line lists those that exist.
    """
    layers = {layer.name: layer for layer in convolutions(module)}
    if str(name) not in layers:
        raise UsageError(f"no convolution '{name}'; this finder's are {', '.join(layers)}")
    return layers[str(name)]
