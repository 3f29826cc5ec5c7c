"""What a finder makes of an image before its last linear layer: the numbers its answer is a weighted sum of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.finders import Finder
from lensaudit.finders.load import uncompiled

MOST_FEATURES = 512
"""Wider layers are projected onto so many seeded random directions, which keeps distances (Johnson & Lindenstrauss)."""

_TRIED = 2


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The last linear layer that runs.

    Attributes
    ----------
    name
        Dotted path in the module.
    module
        The layer; TorchScript hides its own.
    features
        Numbers of its input, as they are kept.
    wide
        Numbers of its input in all.
    """

    name: str
    module: nn.Linear
    features: int
    wide: int


def last_layer(finder: Finder) -> LastLayer | str:
    """The last ``nn.Linear`` that runs when `finder` answers, or why there is none that can be used."""
    layers = {module: name for name, module in finder.module.named_modules() if isinstance(module, nn.Linear)}
    ran: list[tuple[nn.Linear, torch.Size]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        assert isinstance(module, nn.Linear)
        ran.append((module, _input(inputs, named).shape))

    shape = _TRIED, finder.recipe.channels, finder.recipe.size, finder.recipe.size
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(finder.device)
    handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    try:
        with uncompiled(), torch.inference_mode():
            finder.outputs(images)
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        return "no linear layer (nn.Linear) is seen to run in this finder"
    module, taken = ran[-1]
    if len(taken) < 2 or taken[0] != _TRIED:
        return f"the last linear layer, {layers[module]}, takes {tuple(taken)} for {_TRIED} images, not one row of each"
    return LastLayer(layers[module], module, min(int(taken[-1]), MOST_FEATURES), int(taken[-1]))


class Watch:
    """Inputs of the layer in the passes made since the last `take`."""

    def __init__(self, layer: LastLayer, device: torch.device) -> None:
        self.layer = layer
        self._seen: list[torch.Tensor] = []
        self._directions = _directions(layer).to(device) if layer.wide > layer.features else None

    def note(self, _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Hook before the layer's forward; positions of an image (tokens) are averaged."""
        found = _input(inputs, named).detach()
        self._seen.append(found.flatten(1, -2).mean(dim=1) if found.ndim > 2 else found.clone())

    def take(self, images: int) -> NDArray[np.float32]:
        """Input (images, features) of the first so many; the mean where the layer ran several times."""
        seen, self._seen = self._seen, []
        found = seen[0] if len(seen) == 1 else torch.stack(seen).mean(dim=0)
        found = found if self._directions is None else found @ self._directions
        return found[:images].float().cpu().numpy()


@contextmanager
def watching_layer(layer: LastLayer, device: torch.device) -> Iterator[Watch]:
    """Keep the inputs of `layer` while the finder answers inside; no hook survives it."""
    watch = Watch(layer, device)
    handle = layer.module.register_forward_pre_hook(watch.note, with_kwargs=True)
    try:
        with uncompiled():
            yield watch
    finally:
        handle.remove()


def _input(inputs: tuple[Any, ...], named: dict[str, Any]) -> torch.Tensor:
    """What a layer was called with, by place or by name."""
    found: torch.Tensor = inputs[0] if inputs else named["input"]
    return found


def _directions(layer: LastLayer) -> torch.Tensor:
    drawn = torch.randn(layer.wide, layer.features, generator=torch.Generator().manual_seed(0))
    return drawn / layer.features**0.5
