"""Mean feature map of every kernel, taken while a forward pass runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.explain.layers import ConvLayer, convolutions

LOOK_EVERY = 16
"""Of so many passes one is searched for the highest pixel of each map: a mean alone does not tell a silent kernel, and
searching every pass would cost a tenth of the speed."""


class Recorder:
    """Kernel activation values of the pass just made; see `recording`."""

    def __init__(self, layers: Sequence[ConvLayer]) -> None:
        self.layers = tuple(layers)
        self._passes = 0
        self._forget()

    def take(self, images: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Values of the pass since the last call, which are forgotten.

        Parameters
        ----------
        images
            How many images of the batch are wanted: the first so many; the others are padding.

        Returns
        -------
        means
            Mean over height and width of each kernel's map before anything that follows, float32 (images, kernels of
            all layers); the mean over its uses where a convolution runs several times, NaN where it does not run.
        highest
            Highest pixel of the same maps, float32 (images, kernels); None in passes that are not searched.
        """
        means = self._table(self._means, torch.mean, images)
        highest = self._table(self._highest, torch.amax, images) if self._looking else None
        self._passes += 1
        self._forget()
        return means, highest

    def expect(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Hook before the module's forward: how many images there are."""
        self._images = len(inputs[0])

    def hook(self, index: int) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        """Forward hook of the layer at `index`; takes its numbers at once, before a ReLU in place spoils the map."""

        def note(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            if output.ndim != 4 or len(output) != self._images:
                raise UsageError(
                    f"convolution {self.layers[index].name} gives {tuple(output.shape)} for {self._images} images, not "
                    "one map of each kernel per image; its kernels have no value for an image"
                )
            self._means[index].append(output.mean(dim=(2, 3)))
            if self._looking:
                self._highest[index].append(output.amax(dim=(2, 3)))

        return note

    @property
    def _looking(self) -> bool:
        return self._passes % LOOK_EVERY == 0

    def _forget(self) -> None:
        self._images = 0
        self._means: list[list[torch.Tensor]] = [[] for _ in self.layers]
        self._highest: list[list[torch.Tensor]] = [[] for _ in self.layers]

    def _table(
        self, found: list[list[torch.Tensor]], combine: Callable[..., torch.Tensor], images: int
    ) -> NDArray[np.float32]:
        columns = []
        for layer, uses in zip(self.layers, found, strict=True):
            device = layer.module.weight.device
            unused = torch.full((self._images, layer.kernels), torch.nan, device=device)
            columns.append(combine(torch.stack(uses), dim=0) if len(uses) > 1 else uses[0] if uses else unused)
        return torch.cat(columns, dim=1)[:images].float().cpu().numpy()


@contextmanager
def recording(module: nn.Module) -> Iterator[Recorder]:
    """Record the kernels of all convolutions in every forward pass of `module` made inside; no hook survives it.

    Raises
    ------
    UsageError
        The module has no convolution, or in a pass: one does not give a map per image.
    """
    recorder = Recorder(convolutions(module))
    handles: list[Any] = []
    try:
        handles.append(module.register_forward_pre_hook(recorder.expect))
        for index, layer in enumerate(recorder.layers):
            # First of all hooks: others may change what the convolution gave.
            handles.append(layer.module.register_forward_hook(recorder.hook(index), prepend=True))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
