"""The number that an image is to raise, one for each image of a batch, with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from lensaudit.errors import DataError
from lensaudit.explaining.dreaming.settings import ClassTarget, KernelTarget
from lensaudit.finders import Finder
from lensaudit.finders.finder import lens_logit
from lensaudit.finders.recipe import CUSTOM, Recipe

FEW = 8
"""Up to so many channels one product of all images is quicker than one for each."""


def mean_output(part: nn.Conv2d, inputs: torch.Tensor, kernels: torch.Tensor | None = None) -> torch.Tensor:
    """Mean over all positions of the convolution's output.

    Parameters
    ----------
    part
        The convolution.
    inputs
        What it takes (n, channels, h, w).
    kernels
        One kernel for each of the n: the answer is (n,). By default all kernels of each: (n, kernels).
    """
    means = window_means(part, inputs)
    rows = part.weight.flatten(2).transpose(1, 2)  # (kernels, k², channels of the group)
    if kernels is None:
        sums = _all_kernels(part, means, rows)
        return sums if part.bias is None else sums + part.bias
    if part.groups > 1:
        means = means.gather(2, _group_channels(part, kernels)[:, None, :].expand(-1, means.shape[1], -1))
    sums = (means * rows[kernels]).sum(dim=(1, 2))
    return sums if part.bias is None else sums + part.bias[kernels]


def window_means(part: nn.Conv2d, inputs: torch.Tensor) -> torch.Tensor:
    """Means (n, k², channels) of `inputs` (n, channels, h, w) over the positions of the convolution's windows."""
    n, channels, height, width = inputs.shape
    matrix = _means_matrix(_geometry(part), height, width).to(device=inputs.device, dtype=inputs.dtype)
    if channels <= FEW:
        means = inputs.reshape(n * channels, height * width) @ matrix.T
        return means.reshape(n, channels, -1).transpose(1, 2)
    flat = inputs.permute(0, 2, 3, 1).reshape(n, height * width, channels)  # no copy where channels lie last
    return matrix @ flat


def _all_kernels(part: nn.Conv2d, means: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    per_group = rows.shape[2]
    each = rows.reshape(part.groups, -1, rows.shape[1] * per_group)
    split = means.reshape(len(means), means.shape[1], part.groups, per_group).transpose(1, 2).flatten(2)
    return torch.einsum("ngm,gkm->ngk", split, each).flatten(1)


def _group_channels(part: nn.Conv2d, kernels: torch.Tensor) -> torch.Tensor:
    """Input channels (n, channels per group) that each kernel reads."""
    per_group = part.in_channels // part.groups
    first = kernels // (part.out_channels // part.groups) * per_group
    return first[:, None] + torch.arange(per_group, device=kernels.device)


Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int, int, int], str]


def _geometry(part: nn.Conv2d) -> Geometry:
    """Kernel size, stride, dilation, padding (left, right, top, bottom) and padding mode."""
    padding = part._reversed_padding_repeated_twice
    sides = (padding[0], padding[1], padding[2], padding[3])
    size, stride, dilation = part.kernel_size, part.stride, part.dilation
    return (size[0], size[1]), (stride[0], stride[1]), (dilation[0], dilation[1]), sides, part.padding_mode


@lru_cache(maxsize=16)
def _means_matrix(geometry: Geometry, height: int, width: int) -> torch.Tensor:
    """Matrix (k², h·w) of the fraction that each pixel has in the mean seen by each weight of the kernel."""
    size, stride, dilation, (left, right, top, bottom), mode = geometry
    rows = _axis(height, (size[0], stride[0], dilation[0]), (top, bottom), mode)
    columns = _axis(width, (size[1], stride[1], dilation[1]), (left, right), mode)
    return torch.kron(rows, columns).reshape(size[0] * size[1], height * width)


def _axis(pixels: int, window: tuple[int, int, int], padding: tuple[int, int], mode: str) -> torch.Tensor:
    """The same along one axis (k, pixels); what lies outside is zero, or the pixel that the padding mode takes."""
    size, stride, dilation = window
    padded = torch.arange(pixels, dtype=torch.float64)[None, None]
    kind = "constant" if mode == "zeros" else mode
    if any(padding):
        padded = nn.functional.pad(padded, padding, mode=kind, **({"value": -1.0} if kind == "constant" else {}))
    source = padded[0, 0].long()
    positions = (len(source) - dilation * (size - 1) - 1) // stride + 1
    fractions = torch.zeros(size, pixels, dtype=torch.float64)
    for shift in range(size):
        seen = source[shift * dilation :][: stride * (positions - 1) + 1 : stride]
        seen = seen[seen >= 0]
        fractions[shift].index_add_(0, seen, torch.full((len(seen),), 1 / positions, dtype=torch.float64))
    return fractions


KAV_TOLERANCE = 1e-4
"""Most that a mean by `mean_output` may differ from that of the feature map itself, as a fraction of the largest."""


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
    """The finder's output for a class, or its log-odds (see `lensaudit.explaining.dreaming.settings.OBJECTIVES`)."""

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


MOST_BANDS = 4
"""With more the library's own way is as quick: 2×2 pixels of four bands are the sixteen channels."""


def suits(part: nn.Conv2d) -> bool:
    """Whether `FirstConvolution` can take the place of `part`."""
    return (
        part.in_channels <= MOST_BANDS
        and part.groups == 1
        and part.stride == (1, 1)
        and part.dilation == (1, 1)
        and part.padding == (0, 0)
        and part.kernel_size[0] == part.kernel_size[1] > 1
        and part.weight.device.type == "cpu"
        and not hasattr(part, "parametrizations")
    )


class FirstConvolution(nn.Conv2d):
    """The same convolution, for images of even size; others take the library's way."""

    def __init__(self, part: nn.Conv2d) -> None:
        super().__init__(part.in_channels, part.out_channels, part.kernel_size, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = part.weight, part.bias
        self.register_buffer("phased", _phased(part.weight.detach()), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """As of the convolution it was made from."""
        if images.shape[-2] % 2 or images.shape[-1] % 2:
            return super().forward(images)
        return _Convolved.apply(images, self.weight, self.bias, self.phased)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, weight: torch.Tensor, bias: Any, phased: torch.Tensor) -> torch.Tensor:
        ctx.phased = phased
        return functional.conv2d(images, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        blocks = functional.conv2d(gradients[0], ctx.phased, stride=2, padding=ctx.phased.shape[-1] - 2)
        return functional.pixel_shuffle(blocks, 2), None, None, None


def _phased(weight: torch.Tensor) -> torch.Tensor:
    """Weights (4 × bands, kernels, k + 1, k + 1) of the gradient of 2×2 pixels, from `weight` (kernels, bands, k, k).

    Pixel 2y + a of the image meets output 2y + a − i through weight i. Seen from block y that output stands at
    u = a − i + k − 1 of the k + 1 rows which the block touches.
    """
    kernels, bands, width, _ = weight.shape
    phased = weight.new_zeros(bands, 2, 2, kernels, width + 1, width + 1)
    flipped = weight.flip(2, 3).transpose(0, 1)
    for a in (0, 1):
        for b in (0, 1):
            phased[:, a, b, :, a : a + width, b : b + width] = flipped
    phased = phased.reshape(4 * bands, kernels, width + 1, width + 1)
    return phased.contiguous(memory_format=torch.channels_last)
