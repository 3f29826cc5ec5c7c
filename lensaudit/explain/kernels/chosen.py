"""The kernels a user names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lensaudit.errors import UsageError
from lensaudit.explain.kernels.kav_table import Kernel
from lensaudit.explain.layers import find_layer


def named_kernels(module: nn.Module, layers: Sequence[str], kernels: Sequence[int]) -> list[Kernel]:
    """Kernels named by layers and numbers, each once.

    Parameters
    ----------
    module
        Of the finder.
    layers
        Names of convolutions.
    kernels
        None: all kernels of the layers. With one layer: these of it. Else one for each layer, in the same order.

    Raises
    ------
    UsageError
        A layer or kernel does not exist (the line lists those that do), or the numbers do not go with the layers.
    """
    if kernels and len(layers) not in (1, len(kernels)):
        raise UsageError(
            f"{len(kernels)} --kernel for {len(layers)} --layer: name one layer and kernels of it, or one "
            "--kernel for each --layer, in the same order"
        )
    found = [find_layer(module, name) for name in layers]
    if not kernels:
        chosen = [Kernel(layer.name, number) for layer in found for number in range(layer.kernels)]
    else:
        pairs = list(zip(found * len(kernels) if len(found) == 1 else found, kernels, strict=True))
        for layer, number in pairs:
            layer.check(number)
        chosen = [Kernel(layer.name, number) for layer, number in pairs]
    return list(dict.fromkeys(chosen))
