"""Steps that change what an image is: its frame and grid, its channels, levels of 8 bit, JPEG."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch.nn import functional

from lensaudit.finders.preprocessing.step import (
    MOST_BANDS,
    Finite,
    Form,
    Images,
    Name,
    Pixels,
    Side,
    Step,
    by_image,
    by_pixels,
    need_channels,
    need_levels,
)
from lensaudit.finders.stretch import resized
from lensaudit.imaging.pipeline_edits import through_jpeg
from lensaudit.untrusted import printable

LEVELS = 255.0
"""The highest of 8 bit."""


class Crop(Step):
    """The central `size` × `size` pixels, or that `fraction` of each side; of an odd remainder the larger half is cut
    from the end: the first pixel is (h − size) // 2."""

    step: Literal["crop"]
    size: Side | None = None
    fraction: float | None = Field(default=None, gt=0, le=1)

    def proportional(self) -> bool:
        return True

    def in_unit(self, before: bool, form: Form) -> bool:
        return before

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.size is None) == (self.fraction is None):
            raise ValueError("size in pixels or fraction of a side: give one of them")
        return self

    def after(self, form: Form) -> Form:
        return form

    def each(self, images: Images) -> Images:
        height, width = images.shape[-2:]
        rows, columns = (self.size or max(1, round(side * (self.fraction or 1.0))) for side in (height, width))
        if rows > height or columns > width:
            raise ValueError(f"{rows}×{columns} pixels out of {height}×{width} are asked for; crop to fewer")
        top, left = (height - rows) // 2, (width - columns) // 2
        return images[..., top : top + rows, left : left + columns]


Kind = Literal[
    "skimage-bilinear",
    "pillow-nearest", "pillow-box", "pillow-bilinear", "pillow-bicubic", "pillow-lanczos",
    "torch-nearest", "torch-nearest-exact", "torch-bilinear", "torch-bicubic", "torch-area",
    "torch-bilinear-antialias", "torch-bicubic-antialias",
]  # fmt: skip


class Resize(Step):
    """To `size` pixels a side, by default the network's. Libraries differ, so `kind` names the one that is meant.

    ``skimage-bilinear`` is ``skimage.transform.resize`` with its Gaussian filter against aliasing, as with `stretch`.
    Pillow filters against aliasing always, but for ``nearest``, and works on 8 bit in 8 bit. torch's kinds are those
    of ``interpolate(align_corners=False)``, without such a filter unless ``antialias`` stands there.
    """

    step: Literal["resize"]
    size: Side | None = None
    kind: Kind = "skimage-bilinear"

    def proportional(self) -> bool:
        return True

    def in_unit(self, before: bool, form: Form) -> bool:
        return before and not ("bicubic" in self.kind or "lanczos" in self.kind)  # which overshoot

    def after(self, form: Form) -> Form:
        kept = form.levels and (self.kind.startswith("pillow") or "nearest" in self.kind)
        return replace(form, levels=kept)

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        size = self.size or size
        if self.kind == "skimage-bilinear":
            return [resized(images, size) for images in channels]
        library, _, how = self.kind.partition("-")
        if library == "pillow":
            return [by_image(images, lambda one: _pillow_resized(one, size, how, form.levels)) for images in channels]
        antialias = how.endswith("-antialias")
        mode = how.removesuffix("-antialias")
        aligned = {"align_corners": False, "antialias": antialias} if mode in ("bilinear", "bicubic") else {}
        return [functional.interpolate(one[:, None], (size, size), mode=mode, **aligned)[:, 0] for one in channels]


def _pillow_resized(image: Pixels, size: int, how: str, levels: bool) -> NDArray[Any]:
    from PIL import Image

    given = Image.fromarray(image.astype(np.uint8) if levels else image)
    return np.asarray(given.resize((size, size), Image.Resampling[how.upper()]))


class Lupton(Step):
    """Three bands to red, green and blue of 8 bit: astropy's ``make_lupton_rgb`` (Lupton et al. 2004).

    The channels are taken in their order as red, green and blue; `channels` puts them into another one before.
    """

    step: Literal["lupton"]
    Q: float = Field(default=8.0, gt=0, le=1e10)
    stretch: float = Field(default=5.0, gt=0, le=1e30)
    minimum: Finite | Annotated[list[Finite], Field(min_length=3, max_length=3)] = 0.0

    def after(self, form: Form) -> Form:
        need_channels(form, 3)
        return Form(("red", "green", "blue"), levels=True)

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        from astropy.visualization import make_lupton_rgb

        words = {"minimum": self.minimum, "stretch": self.stretch, "Q": self.Q}
        with np.errstate(all="ignore"):  # it divides by intensities of 0, and takes 0 there
            return by_pixels(channels, lambda one: make_lupton_rgb(*one, **words))


class To8Bit(Step):
    """From [`low`, `high`] to whole levels 0 … 255: to the nearest, or `rounding: down` as a cast to uint8 does."""

    step: Literal["to-8-bit"]
    low: Finite = 0.0
    high: Finite = 1.0
    rounding: Literal["nearest", "down"] = "nearest"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    def after(self, form: Form) -> Form:
        return replace(form, levels=True)

    def each(self, images: Images) -> Images:
        levels = ((images - self.low) / (self.high - self.low)).clamp(0.0, 1.0) * LEVELS
        return levels.round() if self.rounding == "nearest" else levels.floor()


class From8Bit(Step):
    """Levels over 255, so that they lie in [0, 1]."""

    step: Literal["from-8-bit"]

    def in_unit(self, before: bool, form: Form) -> bool:
        return True

    def after(self, form: Form) -> Form:
        need_levels(form)
        return replace(form, levels=False)

    def each(self, images: Images) -> Images:
        return images / LEVELS


class Jpeg(Step):
    """Written as JPEG by Pillow and read again: three channels as one colour image, or else each as a grey one."""

    step: Literal["jpeg"]
    quality: int = Field(default=75, ge=1, le=100)
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"

    def after(self, form: Form) -> Form:
        need_levels(form)
        return form

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        if len(channels) == 3:
            return by_pixels(channels, lambda one: self._colour(np.stack(one, axis=-1)))
        return [by_image(images, lambda one: through_jpeg(one.astype(np.uint8), self.quality)) for images in channels]

    def _colour(self, levels: NDArray[Any]) -> NDArray[np.uint8]:
        return through_jpeg(levels.astype(np.uint8), self.quality, self.subsampling)


class Repeat(Step):
    """One channel as `n` equal ones."""

    step: Literal["repeat"]
    n: int = Field(default=3, ge=2, le=MOST_BANDS)

    def proportional(self) -> bool:
        return True

    def after(self, form: Form) -> Form:
        need_channels(form, 1)
        return replace(form, names=form.names * self.n)

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        return channels * self.n


class Channels(Step):
    """Channels in another order, or some of them: names, or places counted from 0."""

    step: Literal["channels"]
    order: tuple[int | Name, ...] = Field(min_length=1, max_length=MOST_BANDS)

    def proportional(self) -> bool:
        return True

    def after(self, form: Form) -> Form:
        places = self._places(form)
        return replace(form, names=tuple(form.names[place] for place in places))

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        return [channels[place] for place in self._places(form)]

    def _places(self, form: Form) -> list[int]:
        known: dict[int | str, int] = {place: place for place in range(len(form.names))}
        known |= {name: place for place, name in enumerate(form.names)}
        for one in self.order:
            if one not in known:
                raise ValueError(f"there is no channel {printable(str(one), 40)}, there are {', '.join(form.names)}")
        return [known[one] for one in self.order]
