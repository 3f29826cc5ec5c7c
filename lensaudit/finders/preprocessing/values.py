"""Steps that change what a pixel is worth: constants, intervals of each image, square root, logarithm, asinh."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from lensaudit.finders.preprocessing.step import Finite, Form, Images, Numbers, Pixels, Step, numbers_of, with_numpy

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
"""Mean and standard deviation of ImageNet's photographs in [0, 1], as torchvision states them."""


class Scale(Step):
    """`factor` · x + `offset`, constants of each channel."""

    step: Literal["scale"]
    factor: Numbers = 1.0
    offset: Numbers = 0.0

    def proportional(self) -> bool:
        return not np.any(list(self.offset.values()) if isinstance(self.offset, dict) else self.offset)

    def after(self, form: Form) -> Form:
        numbers_of("factor", self.factor, form), numbers_of("offset", self.offset, form)
        return replace(form, levels=False)

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        factors, offsets = numbers_of("factor", self.factor, form), numbers_of("offset", self.offset, form)
        return [one * factor + offset for one, factor, offset in zip(channels, factors, offsets, strict=True)]


class ZeroPoint(Step):
    """From the zero point `mag` of each channel to that of `to`: times 10^(0.4 (to − mag))."""

    step: Literal["zero-point"]
    mag: Numbers
    to: Finite

    def proportional(self) -> bool:
        return True

    def after(self, form: Form) -> Form:
        if any(abs(self.to - mag) > 75 for mag in numbers_of("mag", self.mag, form)):
            raise ValueError("zero points differ by more than 75 mag, beyond single precision; correct them")
        return replace(form, levels=False)

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        factors = (10.0 ** (0.4 * (self.to - mag)) for mag in numbers_of("mag", self.mag, form))
        return [one * factor for one, factor in zip(channels, factors, strict=True)]


class Clip(Step):
    """Values below `low` become it, and those above `high` it."""

    step: Literal["clip"]
    low: Finite | None = None
    high: Finite | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("low or high is needed")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    def proportional(self) -> bool:
        return not self.low and not self.high

    def in_unit(self, before: bool, form: Form) -> bool:
        low, high = (0.0 if before else -math.inf), (1.0 if before else math.inf)
        return (low if self.low is None else self.low) >= 0.0 and (high if self.high is None else self.high) <= 1.0

    def each(self, images: Images) -> Images:
        return images.clamp(self.low, self.high)


class MeanStd(Step):
    """(x − `mean`) / `std`; `of: imagenet` for what networks trained on photographs expect."""

    step: Literal["mean-std"]
    mean: Numbers | None = None
    std: Numbers | None = None
    of: Literal["imagenet"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.mean is None) != (self.std is None) or (self.of is None) == (self.mean is None):
            raise ValueError("give mean and std, or of: imagenet")
        return self

    def _statistics(self, form: Form) -> tuple[list[float], list[float]]:
        mean, std = IMAGENET if self.of else (self.mean, self.std)
        assert mean is not None
        assert std is not None
        return numbers_of("mean", mean, form), numbers_of("std", std, form)

    def after(self, form: Form) -> Form:
        if not all(deviation > 0 for deviation in self._statistics(form)[1]):
            raise ValueError("std is not above 0 everywhere")
        return replace(form, levels=False)

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        return [(one - mean) / std for one, mean, std in zip(channels, *self._statistics(form), strict=True)]


class _Interval(Step):
    """From limits of each image to [0, 1]. `per` band, or the same limits for all channels of an image."""

    per: Literal["band", "image"] = "band"
    clip: bool = True

    def in_unit(self, before: bool, form: Form) -> bool:
        return self.clip

    def unit_lost(self, form: Form) -> bool:
        return self.per == "band" or len(form.names) == 1

    def apply(self, channels: list[Images], form: Form, size: int) -> list[Images]:
        arrays = [one.cpu().numpy() for one in channels]
        if self.per == "band":
            limits = [self._limits(one.reshape(len(one), -1)) for one in arrays]
        else:
            together = np.concatenate([one.reshape(len(one), -1) for one in arrays], axis=1)
            limits = [self._limits(together)] * len(arrays)
        found = [self._scaled(one, *ends) for one, ends in zip(arrays, limits, strict=True)]
        return [torch.from_numpy(one).to(like.device) for one, like in zip(found, channels, strict=True)]

    @abstractmethod
    def _limits(self, pixels: Pixels) -> tuple[Pixels, Pixels]:
        """The limits (n,) of images (n, pixels)."""

    def _scaled(self, images: Pixels, low: Pixels, high: Pixels) -> Pixels:
        low, span = low.reshape(-1, 1, 1), (high - low).reshape(-1, 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):  # no span leaves NaN, which is told
            scaled: Pixels = np.subtract(images, low.astype(np.float32))
            scaled /= np.where(span > 0, span, np.nan).astype(np.float32)
        return np.clip(scaled, 0.0, 1.0, out=scaled) if self.clip else scaled


class Minmax(_Interval):
    """From the least and the largest pixel to [0, 1]; astropy's ``MinMaxInterval``."""

    step: Literal["minmax"]

    def _limits(self, pixels: Pixels) -> tuple[Pixels, Pixels]:
        return pixels.min(axis=1), pixels.max(axis=1)


class Percentile(_Interval):
    """From the percentiles `low` and `high` to [0, 1]; astropy's ``AsymmetricPercentileInterval``."""

    step: Literal["percentile"]
    low: float = Field(default=0.0, ge=0, le=100)
    high: float = Field(default=100.0, ge=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    def _limits(self, pixels: Pixels) -> tuple[Pixels, Pixels]:
        low, high = np.percentile(pixels, (self.low, self.high), axis=1)
        return low, high


class ZScale(_Interval):
    """From IRAF's z-scale limits to [0, 1]; astropy's ``ZScaleInterval``."""

    step: Literal["zscale"]
    n_samples: int = Field(default=1000, ge=10, le=1_000_000)
    contrast: float = Field(default=0.25, gt=0, le=1)

    def _limits(self, pixels: Pixels) -> tuple[Pixels, Pixels]:
        from astropy.visualization import ZScaleInterval

        interval = ZScaleInterval(n_samples=self.n_samples, contrast=self.contrast)
        nothing = (np.nan, np.nan)
        limits = np.array([interval.get_limits(one) if np.isfinite(one).any() else nothing for one in pixels])
        return limits[:, 0], limits[:, 1]


class Sqrt(Step):
    """Square root; what is negative counts as 0."""

    step: Literal["sqrt"]

    def proportional(self) -> bool:
        return True

    def in_unit(self, before: bool, form: Form) -> bool:
        return before

    def each(self, images: Images) -> Images:
        return images.clamp(min=0.0).sqrt()


class Log(Step):
    """log(1 + `a` x) / log(1 + `a`), astropy's ``LogStretch``: of [0, 1] again [0, 1]; no number below −1/a."""

    step: Literal["log"]
    a: float = Field(default=1000.0, gt=0, le=1e30)

    def in_unit(self, before: bool, form: Form) -> bool:
        return before

    def each(self, images: Images) -> Images:
        return with_numpy(images, lambda x: np.log(x * np.float32(self.a) + np.float32(1.0))) / math.log(self.a + 1.0)


class Asinh(Step):
    """asinh(x / `a`), over asinh(1 / `a`) if `normalised`: astropy's ``AsinhStretch``, of [0, 1] again [0, 1]."""

    step: Literal["asinh"]
    a: float = Field(default=0.1, gt=0, le=1e30)
    normalised: bool = True

    def in_unit(self, before: bool, form: Form) -> bool:
        return before and self.normalised

    def each(self, images: Images) -> Images:
        bent = with_numpy(images, lambda x: np.arcsinh(x / np.float32(self.a)))
        return bent / math.asinh(1.0 / self.a) if self.normalised else bent
