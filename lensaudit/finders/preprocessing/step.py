"""A step of a pipeline, what the images are at each, and the numbers it may be given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from lensaudit.untrusted import printable

LARGEST_SIZE = 4096
"""Pixels per side: a batch of 32 such images in one band has 2 GB; the largest of a published finder is 224."""
MOST_BANDS = 64
MOST_STEPS = 32

Images = torch.Tensor
"""Of one channel, float32 (n, h, w)."""
Pixels = NDArray[np.float32]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
Finite = Annotated[float, Field(ge=-1e30, le=1e30)]
Numbers = (
    Finite
    | Annotated[list[Finite], Field(min_length=1, max_length=MOST_BANDS)]
    | Annotated[dict[Name, Finite], Field(min_length=1, max_length=MOST_BANDS)]
)
"""One number for all channels, one for each in their order, or one for each by its name."""


@dataclass(frozen=True)
class Form:
    """What the images are at a point of the pipeline: names of the channels, and whether pixels are levels 0 … 255."""

    names: tuple[str, ...]
    levels: bool = False


class Step(BaseModel):
    """Base of the steps."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    step: str

    @model_serializer(mode="wrap")
    def _as_written(self, words: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what differs from the default, so that a field added later leaves records and hashes as they are."""
        written: dict[str, Any] = words(self)
        fields = type(self).model_fields
        return {name: value for name, value in written.items() if name == "step" or value != fields[name].default}

    def after(self, form: Form) -> Form:
        """What the images are behind it; ValueError where they do not fit."""
        return replace(form, levels=False)

    def proportional(self) -> bool:
        """Whether pixels in another unit give the same image in another unit."""
        return False

    def in_unit(self, before: bool, form: Form) -> bool:
        """Whether pixels surely lie within [0, 1] behind it; `before`: whether they did before it."""
        return False

    def unit_lost(self, form: Form) -> bool:
        """Whether behind it the unit of a pixel no longer matters."""
        return False

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        """The channels (n, h, w) behind it; `size` is the network's."""
        return [self.each(images) for images in channels]

    def each(self, images: Images) -> Images:
        """One channel behind it, where it acts on each alone."""
        raise NotImplementedError

    def words(self) -> str:
        """Its name and what differs from the default: ``asinh a=0.02``."""
        said = (f" {name}={_short(value)}" for name, value in self.model_dump().items() if name != "step")
        return self.step + "".join(said)


def numbers_of(field: str, value: Numbers, form: Form) -> list[float]:
    """The number of each channel; ValueError names those that are not there."""
    names = form.names
    if isinstance(value, list):
        if len(value) != len(names):
            raise ValueError(f"{field} has {len(value)} numbers, there are {len(names)} channels: {', '.join(names)}")
        return value
    if not isinstance(value, dict):
        return [value] * len(names)
    if unknown := [*(name for name in value if name not in names), *(name for name in names if name not in value)]:
        what = "has no" if unknown[0] in names else "names no channel"
        raise ValueError(f"{field} {what} {printable(unknown[0], 40)}; the channels are {', '.join(names)}")
    return [value[name] for name in names]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_short(one)}" for name, one in value.items()) + ")"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(_short, value)) + ")"
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value), 60)


def need_channels(form: Form, n: int) -> None:
    """Raise ValueError where there are not `n` channels."""
    if len(form.names) != n:
        raise ValueError(f"takes {n} channel(s), there are {len(form.names)}: {', '.join(form.names)}")


def need_levels(form: Form) -> None:
    """Raise ValueError where pixels are no levels of 8 bit."""
    if not form.levels:
        raise ValueError("takes levels of 8 bit; put to-8-bit or lupton before it")


def with_numpy(images: Images, function: Callable[[Pixels], Pixels]) -> Images:
    """`function` of the pixels by numpy, whose logarithms are astropy's to the bit, on the images' device."""
    with np.errstate(divide="ignore", invalid="ignore"):  # what is no number is told once the pipeline has run
        return torch.from_numpy(function(images.cpu().numpy())).to(images.device)


def by_image(images: Images, function: Callable[[Pixels], NDArray[Any]]) -> Images:
    """`function` of each image (h, w) alone; what is not finite stays out of it and gives NaN."""
    return by_pixels([images], lambda one: function(one[0])[..., None])[0]


def by_pixels(channels: list[Images], function: Callable[[list[Pixels]], NDArray[Any]]) -> list[Images]:
    """`function` of the channels of each image, [(h, w)] → (h, w, channels); NaN where one of them is not finite."""
    arrays = [one.cpu().numpy() for one in channels]
    if len({one.shape for one in arrays}) > 1:
        sides = ", ".join(f"{one.shape[1]}×{one.shape[2]}" for one in arrays)
        raise ValueError(f"takes channels of one size, they have {sides} pixels; put resize before it")
    found: list[NDArray[Any] | None] = []
    for index in range(len(arrays[0])):
        one = [array[index] for array in arrays]
        found.append(function(one).astype(np.float32) if all(np.isfinite(each).all() for each in one) else None)
    shape = next((one.shape for one in found if one is not None), (*arrays[0].shape[1:], len(channels)))
    whole = np.stack([np.full(shape, np.nan, np.float32) if one is None else one for one in found])
    planes = np.moveaxis(whole, -1, 0)
    return [torch.from_numpy(np.ascontiguousarray(plane)).to(channels[0].device) for plane in planes]
