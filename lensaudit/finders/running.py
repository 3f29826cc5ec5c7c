"""Calling a module: on which device, in which arithmetic, and a foreign one on a copy of its input."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn

from lensaudit.errors import LensauditWarning, UsageError
from lensaudit.foreign_code import in_charge


def module_outputs(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a foreign `module` returns for `images`, in plain float32.

    It may write into its input (``x -= 0.5``) or ``view`` it, so it gets a contiguous copy: below 0.1 % of the time
    of a network such as OU-66.
    """
    with plain_float32(images.device):
        outputs: torch.Tensor = module(images.clone(memory_format=torch.contiguous_format))
    return outputs


def device_of(module: nn.Module) -> torch.device:
    """Where the weights lie, or the buffers where there are none; the CPU for a module without any."""
    return next((tensor.device for tensor in chain(module.parameters(), module.buffers())), torch.device("cpu"))


def plain_float32(device: torch.device) -> AbstractContextManager[None]:
    """Arithmetic of the block without TensorFloat-32, and the same each time."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16; a processor that does not imitates it, several times slower."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def tell_of_imitation(precision: str, device: torch.device) -> None:
    """Warn where training steps in bfloat16 are asked of a processor without it."""
    if precision == "bf16" and not has_bfloat16(device):
        warnings.warn(
            "--precision bf16: this processor has no bfloat16 and imitates it, several times slower; leave it out",
            LensauditWarning,
            stacklevel=3,
        )


SAME = 1e-4
"""Most that two answers for one image may differ, as a fraction of 1 + |answer|: rounding of float32 stays below."""

WIDE = (30.0, 1e3, 1e6)
"""Factors of the noise on which logits leave [0, 1] where probabilities cannot, untrained networks' small ones too."""

IN_PLACE = "its module changes its input in place, so it is handed a copy each time"

_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Trial:
    """What the trial found: the number of outputs, and what a reader should know."""

    outputs: int
    notes: tuple[str, ...]


def tried(module: nn.Module, bands: int, size: int, name: str) -> Trial:
    """Run `module` on seeded noise (2, bands, size, size), together, again and one by one.

    It may change its input: that is noted, as `Finder.outputs` hands over copies.

    Raises
    ------
    UsageError
        It fails, or its answers are no logits, differ from one time to the next, depend on the other images of the
        batch, or are in half precision; one line with the fix.
    """
    device = device_of(module)
    if device.type == "meta":
        raise UsageError(f"finder {name}: its weights are on the meta device, so there are none; load them first")
    noise = torch.rand(2, bands, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    noise[1] *= 0.5  # so that a division by the batch's maximum shows
    wide = torch.cat([sign * factor * noise[:1] for factor in WIDE for sign in (1, -1)])
    used = noise.clone()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
        first = _answers(module, used, name, own=True)
        count = _checked_shape(first, 2, name)
        _check_precision(first, name)
        second, alone = (_answers(module, images, name) for images in (noise, noise[1:]))
        _checked_shape(alone, 1, name)
        _check_logits(first, _or_none(lambda: module_outputs(module, wide)), name)
    if _error(first, second) > SAME:
        raise UsageError(
            f"finder {name}: answers differently the second time for the same images (by {_by(first, second)}); take "
            f"out what is random or remembered, such as functional.dropout(x) without training=self.training"
        )
    if _error(first[1:], alone) > SAME:
        raise UsageError(
            f"finder {name}: its answer for an image depends on the other images of the batch (by "
            f"{_by(first[1:], alone)}); normalise each image by itself, and use running statistics in evaluation"
        )
    return Trial(count, () if torch.equal(used, noise) else (IN_PLACE,))


def _answers(module: nn.Module, images: torch.Tensor, name: str, own: bool = False) -> torch.Tensor:
    """What the module returns; `own` images are handed over themselves, to see what becomes of them."""
    try:
        what = f"finder {name}: the module, on {tuple(images.shape)} as declared,"
        with in_charge(what), plain_float32(images.device):
            found: torch.Tensor = module(images) if own else module_outputs(module, images)
    except UsageError as error:
        types = {tensor.dtype for tensor in module.parameters()} & {*_HALF, torch.float64}
        if types and not isinstance(error.__cause__, SystemExit):
            raise UsageError(f"finder {name}: its weights are {_name(types.pop())}; declare module.float()") from error
        raise
    return found


def _checked_shape(outputs: torch.Tensor, images: int, name: str) -> int:
    """Number of outputs for each of the images."""
    if isinstance(outputs, torch.Tensor) and outputs.ndim in (1, 2) and len(outputs) == images:
        return 1 if outputs.ndim == 1 else outputs.shape[1]
    found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if images == 1:
        raise UsageError(
            f"finder {name}: the module returns {found} for 1 image; keep the first axis, with squeeze(1) for squeeze()"
        )
    raise UsageError(f"finder {name}: the module returns {found} for 2 images; return logits (2,) or (2, k)")


def _check_precision(outputs: torch.Tensor, name: str) -> None:
    if outputs.dtype in _HALF:
        raise UsageError(f"finder {name}: it answers in {_name(outputs.dtype)}; declare module.float(), no autocast")
    if not outputs.is_floating_point():
        raise UsageError(f"finder {name}: it answers in {_name(outputs.dtype)}; return logits, not classes")


def _check_logits(outputs: torch.Tensor, wide: torch.Tensor | None, name: str) -> None:
    """Probabilities stay within [0, 1] whatever the image; logits do not, unless they tell lenses from nothing."""
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        sums = outputs.sum(1)
        if bool((outputs >= 0).all()) and bool(torch.allclose(sums, torch.ones_like(sums))):
            raise UsageError(
                f"finder {name}: its outputs add up to 1, so they are probabilities; leave the softmax off"
            )
    seen = outputs.flatten()
    if isinstance(wide, torch.Tensor):
        seen = torch.cat([seen, wide[wide.isfinite()].flatten()])
    constant = bool((seen == seen[0]).all())  # says nothing, whatever it is: a network that has died, or a toy
    if not constant and bool(((seen >= 0) & (seen <= 1)).all()):
        raise UsageError(
            f"finder {name}: all its outputs lie within [0, 1] on any noise, so they are probabilities; "
            f"leave the sigmoid off"
        )


def _or_none(call: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    """What it gives; None where the module refuses images far from [0, 1]."""
    try:
        with in_charge("the module"):
            return call()
    except UsageError:
        return None


def _error(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference as a fraction of 1 + |answer|; NaN equals NaN."""
    scale = 1 + one.nan_to_num().abs().max()
    return float(((one - other).nan_to_num().abs() / scale).max())


def _by(one: torch.Tensor, other: torch.Tensor) -> str:
    return f"{float((one - other).nan_to_num().abs().max()):.2g}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> torch.device:
    """``auto`` (the GPU if there is one), ``cpu`` or ``cuda`` → device.

    Raises
    ------
    UsageError
        Another word, or ``cuda`` where there is none.
    """
    if name not in DEVICES:
        raise UsageError(f"--device {name!r} is not known; allowed: {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda: no CUDA device is available here; use --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def channels_last(images: torch.Tensor) -> torch.Tensor:
    """Images (n, channels, h, w) with the channels of a pixel side by side, which halves a CPU's time for them.

    A single channel lies so already, but torch takes it for channels first unless its stride says otherwise
    (``contiguous(memory_format=torch.channels_last)`` leaves it), and runs every layer behind it the slow way.
    """
    n, channels, height, width = images.shape
    if channels > 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images.contiguous().view(n, height, width, 1).permute(0, 3, 1, 2)


_TRAVEL = ("lensaudit.", "torch.nn.", "timm.")
_STAY = ("lensaudit.finders.formats.",)


def travels(module: nn.Module) -> bool:
    """Whether a module can be handed to another process: on the CPU, and of layers that the other one has too.

    A user's own class may not be importable there, and a session of another library cannot be copied.
    """
    names = {type(part).__module__ + "." for part in module.modules()}
    known = all(name.startswith(_TRAVEL) and not name.startswith(_STAY) for name in names)
    return known and device_of(module).type == "cpu"
