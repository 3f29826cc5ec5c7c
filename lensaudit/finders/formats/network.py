"""The network of a file as a module like any other: its layout, its batches and its outputs become ours."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders.formats.declaration import FinderFile, Layout, Outputs
from lensaudit.finders.running import SAME, WIDE, plain_float32
from lensaudit.foreign_code import is_out_of_memory
from lensaudit.untrusted import printable

LEAST_P = 2.0**-24
"""Nearest a probability in single precision comes to 1 without being it; scores end at ±16.6."""
_SAME = 1e-5
"""How far probabilities may differ that are the same: the sigmoid of another library."""
_SUM = 1e-3
"""How far from 1 the probabilities of a softmax may add up, in half precision too."""


class FileNetwork(nn.Module):
    """A file's network that takes images (n, channels, size, size) and gives log-odds or logits.

    Parameters
    ----------
    network
        Takes images in `layout`, as many as `batch` says at a time, and gives (n, k), (n, 1) or (n,).
    layout, batch
        Of its input; None for any number of images.
    told
        What its declaration says of its outputs.
    digest
        SHA-256 of the file. It stands among the buffers, so that the hash of the weights is one of the graph as well.
    """

    def __init__(self, network: nn.Module, layout: Layout, batch: int | None, told: FinderFile, digest: str) -> None:
        super().__init__()
        self.network, self.layout, self.batch = network, layout, batch
        self.activation: Outputs = told.outputs
        self.lens_index = told.lens_index
        self.bare = False
        """Whether the network is without its last activation, see `take_activation_off`."""
        words = f"{digest} {layout} {told.outputs} {told.lens_index} {told.output}"
        words += "".join(f" {one}" for one in (told.gradients, told.features) if one is not None)
        self.register_buffer("file", torch.tensor(list(hashlib.sha256(words.encode()).digest()), dtype=torch.uint8))
        self.differentiable = bool(getattr(network, "differentiable", True))
        self.way_to_gradients = str(getattr(network, "way_to_gradients", ""))
        """What a user may do where there are none."""
        self.n_weights: int | None = getattr(network, "n_weights", None)
        self.declaration: Path | None = None
        """The YAML it was opened by."""
        self.flattens = False
        """Whether the network gives more than two axes; `as_finders_module` finds out."""
        self.column: int | None = None
        """Of the probabilities: which is the lens'; None where there is one number without an axis."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, see `lensaudit.finders.finder.lens_logit`."""
        outputs = self.raw(images)
        if self.activation == "probability":
            lens = outputs if self.column is None else outputs[:, self.column]
            return lens if self.bare else torch.logit(lens, eps=LEAST_P)
        if self.activation == "softmax" and not self.bare:
            return outputs.clamp_min(torch.finfo(torch.float32).tiny).log()
        return outputs

    def raw(self, images: torch.Tensor) -> torch.Tensor:
        """What the file's network itself gives."""
        if self.layout == "NHWC":
            images = images.permute(0, 2, 3, 1)
        if self.batch is None:
            return self._called(images)
        return torch.cat([self._padded(some) for some in images.split(self.batch)])

    def _padded(self, images: torch.Tensor) -> torch.Tensor:
        assert self.batch is not None
        more = self.batch - len(images)
        if more:
            images = torch.cat([images, images[-1:].expand(more, *images.shape[1:])])
        return self._called(images)[: self.batch - more]

    def _called(self, images: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.network(images.contiguous() if self.layout == "NHWC" else images)
        return outputs.flatten(1) if self.flattens else outputs


def layouts_of(shape: Sequence[int | None], told: FinderFile, path: Path) -> list[Layout]:
    """Layouts that an input of this shape may have, where None is any number, and all are; that which is told first.

    Raises
    ------
    DataError
        The shape fits neither, or not the one that is told.
    """
    channels, size = told.channels, told.size
    shown = ", ".join("n" if length is None else str(length) for length in shape)
    wanted: dict[Layout, tuple[int, int, int]] = {"NCHW": (channels, size, size), "NHWC": (size, size, channels)}
    fitting = [
        layout
        for layout, lengths in wanted.items()
        if len(shape) == 4 and all(one in (None, other) for one, other in zip(shape[1:], lengths, strict=True))
    ]
    if not fitting:
        raise DataError(
            f"{path}: its input is ({shown}), which takes no {channels} channel(s) of {size}×{size} pixels; correct "
            f"bands and size in the declaration"
        )
    if told.layout is not None and told.layout not in fitting:
        raise DataError(f"{path}: its input is ({shown}), which is {fitting[0]}, not {told.layout}; leave layout out")
    return sorted(fitting, key=lambda layout: layout != told.layout)


def as_finders_module(
    network: nn.Module, shape: Sequence[int | None], digest: str, told: FinderFile, path: Path
) -> tuple[FileNetwork, int]:
    """The network as a module of ours, tried on noise, and the number of its logits.

    Parameters
    ----------
    shape
        Of the network's input, None where it is free; all None where the file does not say.
    digest
        SHA-256 of the file.

    Raises
    ------
    DataError
        It takes or gives something else than what is declared; one line.
    """
    batch = shape[0] if shape else None
    running: dict[Layout, tuple[FileNetwork, int]] = {}
    failures = []
    for layout in layouts_of(shape, told, path):
        made = FileNetwork(network, layout, batch, told, digest).eval()
        try:
            running[layout] = made, _checked_outputs(made, told, path)
        except DataError as failed:
            failures.append(failed)
        if layout == told.layout and layout in running:
            break
    if not running:
        raise failures[0]
    layout = next(iter(running))
    if told.layout not in (None, layout):
        raise DataError(f"{path}: its network takes {layout}, and fails on {told.layout}; say layout: {layout}")
    if len(running) > 1 and _differ([made for made, _ in running.values()], told):
        raise DataError(
            f"{path}: its network takes a test image with channels first and with channels last, and answers "
            f"differently; say layout: NCHW or NHWC"
        )
    return running[layout]


def _differ(networks: Sequence[FileNetwork], told: FinderFile) -> bool:
    """Whether the layouts give other answers for a test image; with a single channel they are the same numbers."""
    image, (one, other) = _noise(told)[:1], networks
    with torch.inference_mode(), plain_float32(image.device):
        return not torch.allclose(one.raw(image), other.raw(image), rtol=SAME, atol=SAME)


def _noise(told: FinderFile) -> torch.Tensor:
    return torch.rand(2, told.channels, told.size, told.size, generator=torch.Generator().manual_seed(0))


def take_activation_off(module: FileNetwork, told: FinderFile) -> bool:
    """Leave out the network's last operator where it is the sigmoid or softmax of what is declared; whether it was.

    Its log-odds then have no end, and gradients where a probability is 1. What is left must give the same
    probabilities, or nothing is changed.
    """
    peel = getattr(module.network, "without_activation", None)
    if told.outputs == "logit" or peel is None or (bare := peel(told.outputs)) is None:
        return False
    noise = torch.rand(2, told.channels, told.size, told.size, generator=torch.Generator().manual_seed(0))
    whole = module.network
    with torch.inference_mode(), plain_float32(noise.device):
        before = module.raw(noise)
        module.network = bare
        try:
            after = module.raw(noise)
            again = torch.sigmoid(after) if told.outputs == "probability" else torch.softmax(after, 1)
            same = before.shape == after.shape and bool((again - before).abs().max() <= _SAME)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            same = False
    if not same:
        module.network = whole
        return False
    module.bare = True
    digest = hashlib.sha256(bytes(module.get_buffer("file").tolist()) + b" bare").digest()
    module.register_buffer("file", torch.tensor(list(digest), dtype=torch.uint8))
    return True


def _checked_outputs(module: FileNetwork, told: FinderFile, path: Path) -> int:
    """Number of logits that the module gives."""
    noise = _noise(told)
    wide = torch.cat([sign * factor * noise[:1] for factor in WIDE for sign in (1, -1)])
    try:
        with torch.inference_mode(), plain_float32(noise.device):
            module.flattens = module.raw(noise).ndim > 2
            outputs, far = module.raw(noise), module.raw(wide)
    except Exception as error:  # shapes, types and operators fail in many ways
        if is_out_of_memory(error) or isinstance(error, DataError | UsageError):
            raise
        reason = printable(" ".join(str(error).split()), 120)
        raise DataError(
            f"{path}: its network cannot be run on {told.channels} channel(s) of {told.size}×{told.size} pixels, "
            f"{module.layout} ({reason}); correct bands, size or layout in the declaration"
        ) from error
    count = 1 if outputs.ndim == 1 else outputs.shape[1]
    if not (outputs.ndim in (1, 2) and len(outputs) == 2 and outputs.is_floating_point()):
        raise DataError(f"{path}: gives {tuple(outputs.shape)} of {outputs.dtype} for 2 images, numbers are needed")
    if told.n_outputs not in (None, count):
        raise DataError(f"{path}: gives {count} number(s) for an image, n_outputs says {told.n_outputs}; correct it")
    if count > 1 and told.lens_index >= count:
        raise DataError(f"{path}: gives {count} numbers for an image, lens_index {told.lens_index} is none of them")
    module.column = None if outputs.ndim == 1 else told.lens_index if count > 1 else 0
    _check_activation(outputs, far[far.isfinite()], count, told.outputs, path)
    return 1 if told.outputs == "probability" else count


def _check_activation(outputs: torch.Tensor, far: torch.Tensor, count: int, told: Outputs, path: Path) -> None:
    """Refuse numbers that are not what the declaration calls them; `far`: those of images of any brightness."""
    seen = torch.cat([outputs.flatten(), far.flatten()]).float()
    within, varies = bool(((seen >= 0) & (seen <= 1)).all()), bool((seen != seen[0]).any())
    adds_up = count > 1 and bool(((outputs.float().sum(1) - 1).abs() < _SUM).all()) and within
    if told == "logit" and within and varies:
        is_what, say = ("probabilities that add up to 1", "softmax") if adds_up else ("probabilities", "probability")
        raise DataError(f"{path}: its outputs are {is_what}, not logits; say outputs: {say}")
    if told != "logit" and not within:
        raise DataError(f"{path}: its outputs leave [0, 1], so they are no probabilities; say outputs: logit")
    if told == "softmax" and not adds_up:
        what = f"its {count} outputs do not add up to 1" if count > 1 else "has one output"
        raise DataError(f"{path}: {what}, so they are no softmax; say outputs: probability")
    if told == "probability" and adds_up:
        raise DataError(f"{path}: its {count} outputs add up to 1; say outputs: softmax")
