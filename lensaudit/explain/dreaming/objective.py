"""The number that an image is to raise, one for each image of a batch, with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from lensaudit.errors import DataError
from lensaudit.explain.dreaming.target import ClassTarget, KernelTarget
from lensaudit.explain.dreaming.window_means import mean_output
from lensaudit.finders import Finder
from lensaudit.finders.finder import lens_logit
from lensaudit.finders.recipe import CUSTOM, Recipe

KAV_TOLERANCE = 1e-4
"""Most that a mean by `mean_output` may differ from that of the feature map itself, as a share of the largest."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What a batch of n images gave.

    Attributes
    ----------
    values
        The objective (n,).
    logits
        Log-odds of "lens" (n,); None where the calculation stops before the score.
    """

    values: torch.Tensor
    logits: torch.Tensor | None


class Objective(Protocol):
    """What `gradients` asks."""

    def read(self, images: torch.Tensor, rows: slice) -> Reading:
        """Objective of the targets `rows` on as many prepared images (n, bands, size, size)."""
        ...


class ClassObjective:
    """The finder's output for a class, or its log-odds (see `lensaudit.explain.dreaming.settings.OBJECTIVES`)."""

    def __init__(self, finder: Finder, targets: Sequence[ClassTarget], kind: str) -> None:
        """`finder` is one from `frozen`; one target for each image."""
        self._finder, self._kind = finder, kind
        self._lens = torch.tensor([target.lens for target in targets], device=finder.device)

    def read(self, images: torch.Tensor, rows: slice) -> Reading:
        """Values and log-odds, as in `Objective`."""
        lens, other, logits = class_values(self._finder.recipe, self._finder.outputs(images), self._kind)
        return Reading(torch.where(self._lens[rows], lens, other), logits.detach())


def class_values(recipe: Recipe, outputs: torch.Tensor, kind: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Objective of "lens", that of "non-lens", and the log-odds of "lens" (n,) each, from a module's outputs."""
    logits = lens_logit(outputs, recipe.outputs, recipe.lens_index)
    if kind == "log-odds" or recipe.outputs == 1:
        return logits, -logits, logits
    others = [index for index in range(recipe.outputs) if index != recipe.lens_index]
    rest = outputs[:, others[0]] if len(others) == 1 else outputs[:, others].logsumexp(dim=1)
    return outputs[:, recipe.lens_index], rest, logits


class KernelObjective:
    """Mean of one kernel's feature map before ReLU, for kernels of one layer.

    The module runs only up to the layer. Where `mean_output` does not give what the layer itself gives (its class has
    a forward of its own, or hooks), the layer is run.
    """

    def __init__(self, finder: Finder, targets: Sequence[KernelTarget], image: torch.Tensor) -> None:
        """One target for each image; `finder` is from `frozen`; both ways are compared on `image` (bands, size, size).

        Raises
        ------
        DataError
            The layer takes no part in the calculation, or does not see one image for each.
        """
        self._finder, self._layer = finder, targets[0].layer
        assert all(target.layer == self._layer for target in targets)
        part = dict(finder.module.named_modules()).get(self._layer)
        if part is None:  # a rearranged module has only the parts that it calls
            raise self._unused()
        assert isinstance(part, nn.Conv2d)
        self._part = part
        self._kernels = torch.tensor([target.kernel for target in targets], device=finder.device)
        self._whole = False
        with torch.no_grad():
            quick, plain = self.all_kernels(image[None]), self._feature_maps(image[None]).mean(dim=(2, 3))
        error, scale = float((quick - plain).abs().max()), float(plain.abs().max())
        self._whole = not error <= KAV_TOLERANCE * scale

    @property
    def runs_layer(self) -> bool:
        """Whether the layer itself is run."""
        return self._whole

    def read(self, images: torch.Tensor, rows: slice) -> Reading:
        """Values, as in `Objective`; no log-odds."""
        kernels = self._kernels[rows]
        if self._whole:
            means = self._feature_maps(images).mean(dim=(2, 3))
            return Reading(means.gather(1, kernels[:, None])[:, 0], None)
        return Reading(mean_output(self._part, self._inputs(images), kernels), None)

    def all_kernels(self, images: torch.Tensor) -> torch.Tensor:
        """The means of all kernels of the layer (n, kernels)."""
        if self._whole:
            return self._feature_maps(images).mean(dim=(2, 3))
        return mean_output(self._part, self._inputs(images))

    def _inputs(self, images: torch.Tensor) -> torch.Tensor:
        def stop(_part: nn.Module, inputs: Any, named: Any) -> None:
            raise _Reached(inputs[0] if inputs else named["input"])

        return self._until(images, self._part.register_forward_pre_hook(stop, with_kwargs=True))

    def _feature_maps(self, images: torch.Tensor) -> torch.Tensor:
        def stop(_part: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            raise _Reached(output)

        return self._until(images, self._part.register_forward_hook(stop))

    def _until(self, images: torch.Tensor, handle: Any) -> torch.Tensor:
        """Run the module until a hook stops it; the hook is gone afterwards whatever happens."""
        try:
            self._finder.outputs(images)
        except _Reached as reached:
            if reached.tensor.ndim != 4 or len(reached.tensor) != len(images):
                raise DataError(
                    f"layer {self._layer} works on {tuple(reached.tensor.shape)} for {len(images)} images; "
                    "choose a layer that sees each image once"
                ) from None
            return reached.tensor
        finally:
            handle.remove()
        raise self._unused()

    def _unused(self) -> DataError:
        return DataError(f"layer {self._layer} takes no part in the finder's calculation; choose another layer")


class _Reached(BaseException):
    """Leaves the module at the layer; no ``except Exception`` of foreign code holds it up."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__()
        self.tensor = tensor


def gradients(objective: Objective, images: torch.Tensor, batch: int) -> tuple[Reading, torch.Tensor]:
    """Reading of all images (n, bands, size, size), and each one's gradient of its own value.

    Parameters
    ----------
    objective
        Its targets are those of the images, in order.
    images
        Prepared; need not ask for gradients.
    batch
        Most images at a time. An image's result does not depend on the others but for rounding.
    """
    values, logits = [], []
    slopes = torch.zeros_like(images, memory_format=torch.preserve_format)
    for first in range(0, len(images), batch):
        rows = slice(first, min(first + batch, len(images)))
        leaf = images[rows].detach().requires_grad_()
        with torch.enable_grad():
            reading = objective.read(leaf, rows)
            slope = _slope(reading.values, leaf)
            if slope is not None:
                slopes[rows] = slope
        values.append(reading.values.detach())
        if reading.logits is not None:
            logits.append(reading.logits)
    return Reading(torch.cat(values), torch.cat(logits) if logits else None), slopes


def _slope(values: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor | None:
    """Gradient of each value; None where none depends on the image."""
    if not values.requires_grad:
        return None
    try:
        return torch.autograd.grad(values.sum(), leaf, allow_unused=True)[0]
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        raise DataError(
            "the finder's module writes into activations that its gradient needs, and its code cannot be traced; "
            "write x = x + y for x += y in its forward"
        ) from error


def memory_format(finder: Finder) -> torch.memory_format:
    """Channels last, as is quicker, for our own architectures on the CPU; foreign ones may ``view`` their input."""
    own = finder.device.type == "cpu" and finder.recipe.architecture != CUSTOM
    return torch.channels_last if own else torch.contiguous_format
