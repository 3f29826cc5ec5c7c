"""Preprocessing as a recipe declares it: steps from native bands to the channels of a network.

Arithmetic is float32 throughout. Astropy and Pillow are called where a step is theirs, so that a pipeline built on them
is the same here to the bit. What becomes of an image depends on that image alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args

import torch
from pydantic import BeforeValidator, Field

from lensaudit.errors import DataError
from lensaudit.finders.preprocessing.frames import Channels, Crop, From8Bit, Jpeg, Lupton, Repeat, Resize, To8Bit
from lensaudit.finders.preprocessing.step import LARGEST_SIZE, MOST_BANDS, MOST_STEPS, Form, Images, Step
from lensaudit.finders.preprocessing.values import (
    Asinh,
    Clip,
    Log,
    MeanStd,
    Minmax,
    Percentile,
    Scale,
    Sqrt,
    ZeroPoint,
    ZScale,
)
from lensaudit.untrusted import printable

__all__ = [
    "LARGEST_SIZE",
    "MOST_BANDS",
    "STEPS",
    "Steps",
    "channel_names",
    "digest_words",
    "fault_of",
    "in_pixel_units",
    "in_words",
    "mixes_bands",
    "preprocessed",
    "refuse_other_shapes",
    "run_steps",
    "why_not_in_unit",
    "zero_is_black",
]

_KNOWN: tuple[type[Step], ...] = (
    Crop, Resize, Scale, ZeroPoint, Clip, MeanStd, Minmax, Percentile, ZScale, Sqrt, Log, Asinh, Lupton, To8Bit,
    From8Bit, Jpeg, Repeat, Channels,
)  # fmt: skip
STEPS = {get_args(one.model_fields["step"].annotation)[0]: one for one in _KNOWN}
"""Name → step."""


def _named(written: Any) -> Any:
    """Steps whose names are known, those that are a name alone written out."""
    if not isinstance(written, list | tuple):
        raise ValueError("is no list of steps; begin each with '- step: NAME'")
    found = [{"step": one} if isinstance(one, str) else one for one in written]
    for number, one in enumerate(found, 1):
        name = one.step if isinstance(one, Step) else one.get("step") if isinstance(one, Mapping) else None
        if name not in STEPS:
            told = "has no name" if name is None else f"{printable(str(name), 40)!r} is not known"
            raise ValueError(f"step {number} {told}; allowed: {', '.join(STEPS)}")
    return found


_Known = Annotated[
    Crop | Resize | Scale | ZeroPoint | Clip | MeanStd | Minmax | Percentile | ZScale | Sqrt | Log | Asinh | Lupton
    | To8Bit | From8Bit | Jpeg | Repeat | Channels,
    Field(discriminator="step"),
]  # fmt: skip
Steps = Annotated[tuple[_Known, ...], Field(max_length=MOST_STEPS), BeforeValidator(_named)]
"""A pipeline, in the order it is run."""


def channel_names(steps: Sequence[Step], bands: Sequence[str]) -> tuple[str, ...]:
    """Names of the channels that the steps make of `bands`.

    Raises
    ------
    ValueError
        A step does not fit what comes before it: one line with its number and name.
    """
    form = Form(tuple(bands))
    for number, step in enumerate(steps, 1):
        try:
            form = step.after(form)
        except ValueError as unfit:
            raise ValueError(f"step {number} ({step.step}) {unfit}") from unfit
        if len(form.names) > MOST_BANDS:
            raise ValueError(f"step {number} ({step.step}) makes {len(form.names)} channels, at most {MOST_BANDS} go")
    return form.names


def mixes_bands(steps: Sequence[Step]) -> bool:
    """Whether a channel may be something else than the band of its place."""
    return any(isinstance(step, Lupton | Repeat | Channels) for step in steps)


def why_not_in_unit(steps: Sequence[Step], bands: Sequence[str]) -> str:
    """Why prepared pixels need not lie within [0, 1], each channel a band, as a clause; empty where they surely do."""
    if mixes_bands(steps):
        mixing = next(step for step in steps if mixes_bands([step]))
        return f"step {mixing.step} makes other channels of the bands"
    form, inside, lost = Form(tuple(bands)), False, "no step brings pixels there"
    for step in steps:
        before, inside = inside, step.in_unit(inside, form)
        if before and not inside:
            lost = f"step {step.step} leaves it"
        form = step.after(form)
    return "" if inside else lost


def zero_is_black(steps: Sequence[Step]) -> bool:
    """Whether a prepared pixel of 0 is the faintest, as far as the steps tell: none takes a mean away behind all."""
    return not any(isinstance(step, MeanStd) for step in steps)


def in_pixel_units(steps: Sequence[Step], bands: Sequence[str]) -> bool:
    """Whether a step holds numbers in the unit of a pixel, so that pixels in another unit give another image."""
    form = Form(tuple(bands))
    for step in steps:
        if step.unit_lost(form):
            return False
        if not step.proportional():
            return True
        form = step.after(form)
    return bool(steps)


def in_words(steps: Sequence[Step]) -> str:
    """The pipeline in one line: ``crop size=44 → minmax → asinh a=0.02``."""
    return " → ".join(step.words() for step in steps)


def digest_words(steps: Sequence[Step]) -> str:
    """What the hash of a finder takes of its steps."""
    return json.dumps([step.model_dump(mode="json") for step in steps], sort_keys=True)


def preprocessed(steps: Sequence[Step], bands: Mapping[str, Images], size: int) -> Images:
    """Native bands (n, h, w) → float32 (n, channels, size, size); what cannot be calculated is not finite.

    Raises
    ------
    DataError
        A step does not fit these images, or the last leaves another size.
    """
    *_, channels = _stages(steps, bands, size)
    sides = {tuple(one.shape[-2:]) for one in channels}
    if sides != {(size, size)}:
        found = ", ".join(sorted(f"{rows}×{columns}" for rows, columns in sides))
        raise DataError(f"preprocessing ends with {found} pixels, the network takes {size}×{size}; end it in a resize")
    return torch.stack(channels, dim=1)


def run_steps(steps: Sequence[Step], bands: Mapping[str, Images], good: torch.Tensor, out: torch.Tensor) -> None:
    """The steps from native `bands` into `out` (n, channels, size, size); NaN where `good` is false, or becomes so.

    Parameters
    ----------
    good
        Which bands of which images can be used (n, bands); an image of which a pixel is no number has none.
    """
    whole = good.all(dim=1)
    filled = {band: torch.where(whole[:, None, None], images, 0.0) for band, images in bands.items()}
    out.copy_(preprocessed(steps, filled, out.shape[-1]))
    left = torch.isfinite(out).flatten(1).all(dim=1)
    good &= (left | ~whole)[:, None]
    out[~(left & whole)] = torch.nan


def _stages(steps: Sequence[Step], bands: Mapping[str, Images], size: int) -> Iterator[list[Images]]:
    """The channels behind each step."""
    form, channels = Form(tuple(bands)), [images.detach() for images in bands.values()]
    for number, step in enumerate(steps, 1):
        try:
            channels = [one.float() for one in step.apply(channels, form, size)]
        except ValueError as unfit:
            raise DataError(f"preprocessing, step {number} ({step.step}): {unfit}") from unfit
        form = step.after(form)
        yield channels


def fault_of(steps: Sequence[Step], bands: Mapping[str, Images], size: int) -> str:
    """Which step leaves pixels of one image that are no numbers, as a clause; empty where none does."""
    for number, (step, channels) in enumerate(zip(steps, _stages(steps, bands, size), strict=True), 1):
        missing = sum(int((~torch.isfinite(one)).sum()) for one in channels)
        if missing:
            whole = sum(one.numel() for one in channels)
            return f"preprocessing step {number} ({step.words()}) leaves {missing} of {whole} pixels that are no number"
    return ""


def refuse_other_shapes(steps: Sequence[Step], shapes: Mapping[str, tuple[int, int]], size: int) -> None:
    """Make sure that images of these native shapes can go through, tried on one of noise.

    Raises
    ------
    DataError
        One line with the step.
    """
    drawn = torch.Generator().manual_seed(0)
    preprocessed(steps, {band: torch.rand((1, *shape), generator=drawn) for band, shape in shapes.items()}, size)
