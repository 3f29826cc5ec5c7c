"""What a finder makes of an image before its last linear layer, the numbers its answer is a weighted sum of, or behind
any layer that is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle

from lensaudit.errors import UsageError
from lensaudit.finders import Finder
from lensaudit.finders.load import uncompiled

MOST_FEATURES = 512
"""Wider layers are projected onto so many seeded random directions, which keeps distances (Johnson & Lindenstrauss)."""

_TRIED = 2
_LISTED = 12


@dataclass(frozen=True, eq=False)
class LastLayer:
    """A layer whose input (the last linear layer that runs) or output (one that is named) is kept.

    Attributes
    ----------
    name
        Dotted path in the module.
    module
        The layer; TorchScript hides its own.
    features
        Numbers of an image, as they are kept.
    wide
        Numbers of an image in all, once positions are averaged.
    side
        ``input`` or ``output``, which of the two is kept.
    pooled
        Whether it is averaged over the positions of an image.
    """

    name: str
    module: nn.Module
    features: int
    wide: int
    side: Literal["input", "output"] = "input"
    pooled: bool = False


def last_layer(finder: Finder, most: int = MOST_FEATURES) -> LastLayer | str:
    """The last ``nn.Linear`` that runs when `finder` answers, or why there is none that can be used.

    A layer of more than `most` numbers is projected, see `MOST_FEATURES`.
    """
    layers = {module: name for name, module in finder.module.named_modules() if isinstance(module, nn.Linear)}
    ran: list[tuple[nn.Linear, torch.Size]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        assert isinstance(module, nn.Linear)
        ran.append((module, _input(inputs, named).shape))

    _try(finder, [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers])
    if not ran:
        return "no linear layer (nn.Linear) is seen to run in this finder"
    module, taken = ran[-1]
    if len(taken) < 2 or taken[0] != _TRIED:
        return f"the last linear layer, {layers[module]}, takes {tuple(taken)} for {_TRIED} images, not one row of each"
    return LastLayer(layers[module], module, _kept(int(taken[-1]), most), int(taken[-1]), pooled=len(taken) > 2)


def named_layer(finder: Finder, name: str, most: int = MOST_FEATURES) -> LastLayer:
    """The layer of that name, whose output is kept: maps (n, channels, h, w) and tokens (n, tokens, features) averaged.

    Raises
    ------
    UsageError
        There is none, it does not run, or what it returns is no row of numbers of each image.
    """
    layers = {place: part for place, part in finder.module.named_modules() if place}
    if name not in layers:
        some = ", ".join(list(layers)[:_LISTED]) + (" …" if len(layers) > _LISTED else "")
        fix = f"its layers are {some}" if layers else "none of its layers can be seen"
        raise UsageError(f"finder {finder.name} has no layer {name}; {fix}")
    ran: list[Any] = []
    _try(finder, [layers[name].register_forward_hook(lambda _module, _inputs, output: ran.append(output))])
    if not ran:
        raise UsageError(f"layer {name} does not run when finder {finder.name} answers; name another")
    found = ran[-1]
    if not isinstance(found, torch.Tensor) or not 2 <= found.ndim <= 4 or found.shape[0] != _TRIED:
        what = f"{tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise UsageError(f"layer {name} returns {what} for {_TRIED} images, not numbers of each; name another layer")
    wide = int(found.shape[1] if found.ndim == 4 else found.shape[-1])
    return LastLayer(name, layers[name], _kept(wide, most), wide, "output", found.ndim > 2)


def _try(finder: Finder, handles: list[RemovableHandle]) -> None:
    """One pass over seeded noise; the hooks are gone afterwards."""
    shape = _TRIED, finder.recipe.channels, finder.recipe.size, finder.recipe.size
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(finder.device)
    try:
        with uncompiled(), torch.inference_mode():
            finder.outputs(images)
    finally:
        for handle in handles:
            handle.remove()


def _kept(wide: int, most: int) -> int:
    return wide if wide <= most else MOST_FEATURES


def pooled(found: torch.Tensor, side: str) -> torch.Tensor:
    """Numbers (n, features) of each image: maps and tokens averaged over their positions."""
    if found.ndim == 4 and side == "output":
        return found.mean(dim=(2, 3))
    return found.flatten(1, -2).mean(dim=1) if found.ndim > 2 else found


class Watch:
    """Inputs, or outputs, of the layer in the passes made since the last `take`."""

    def __init__(self, layer: LastLayer, device: torch.device) -> None:
        self.layer = layer
        self._seen: list[torch.Tensor] = []
        self._directions = _directions(layer).to(device) if layer.wide > layer.features else None

    def note(self, _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Hook before the layer's forward; positions of an image (tokens) are averaged."""
        self._seen.append(pooled(_input(inputs, named).detach(), "input").clone())

    def note_output(self, _module: nn.Module, _inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        """Hook behind the layer's forward; positions of an image are averaged."""
        self._seen.append(pooled(output.detach(), "output").clone())

    def take(self, images: int) -> NDArray[np.float32]:
        """What is kept (images, features) of the first so many; the mean where the layer ran several times."""
        seen, self._seen = self._seen, []
        found = seen[0] if len(seen) == 1 else torch.stack(seen).mean(dim=0)
        found = found if self._directions is None else found @ self._directions
        return found[:images].float().cpu().numpy()


@contextmanager
def watching_layer(layer: LastLayer, device: torch.device) -> Iterator[Watch]:
    """Keep the inputs of `layer`, or its outputs, while the finder answers inside; no hook survives it."""
    watch = Watch(layer, device)
    if layer.side == "input":
        handle = layer.module.register_forward_pre_hook(watch.note, with_kwargs=True)
    else:
        handle = layer.module.register_forward_hook(watch.note_output)
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
