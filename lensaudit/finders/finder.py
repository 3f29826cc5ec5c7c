"""A finder: a module together with what it takes as input; trained, published and foreign ones are used alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders.layers import Symmetrised, angle_planes
from lensaudit.finders.preprocessing import fault_of, refuse_other_shapes, run_steps
from lensaudit.finders.recipe import CUSTOM, Recipe
from lensaudit.finders.running import channels_last, device_of, module_outputs, plain_float32
from lensaudit.finders.stretch import STRETCHES, Statistics, resized, scale_to_unit, scaled, usable, why_constant
from lensaudit.finders.units import (
    FIELD_TOLERANCE,
    Declared,
    Units,
    factor,
    refuse_other_field,
    refuse_other_units,
    unit_remarks,
)
from lensaudit.foreign_code import on_its_account
from lensaudit.records import card
from lensaudit.statistics import Calibrator

STATISTICS_PREFIX = "preprocessing."
"""Of the names that a finder's statistics have beside its weights."""

_CORRECTED = {"its": "the catalogue", "preprocessing": "the recipe's preprocessing"}
"""First word of a fault → what is to be corrected, where it is no band."""

Cutouts = Mapping[str, "np.ndarray | torch.Tensor"]
"""Band → native images (n, h, w); bands may differ in h and w. Beside them, where a recipe has extra inputs, the
catalogue's column of each, (n,): see `EXTRA_COLUMNS`."""

EXTRA_COLUMNS = {"psf_angle": "psf_angle_deg"}
"""Extra input of a recipe → the catalogue's column it is read from."""


@dataclass(frozen=True)
class Finder:
    """A module in evaluation mode and its declaration.

    Attributes
    ----------
    recipe
        Bands in order, size, stretch, field of view, outputs and threshold.
    module
        Maps (n, channels, size, size) to logits (n, outputs), or (n,) with one output; dropout off.
    origin
        Where it came from: ``built-in``, a folder, or ``package.module:factory``.
    given_field_arcsec
        Width of the cutouts it is given on purpose although it was trained on another; None: the recipe's.
    statistics
        Statistics of the training set that its stretch uses, by name; empty for most. See `lensaudit.finders.stretch`.
    trained_scales
        Band → arcsec per native pixel of the images it was trained on; empty where that is not recorded.
    resamples
        Whether images of other pixels than these are taken all the same.
    given_unit
        Band → unit of the pixels it is given, where that is another than the recipe's; see `for_units`.
    refitted
        Whether its statistics were taken from the set that is read, in whose unit they are, be it known or not.
    calibrator
        From its log-odds to calibrated probabilities; None where it was not calibrated. The score stays the log-odds.
    notes
        What a reader should know of the module, one clause each.
    """

    recipe: Recipe
    module: nn.Module
    origin: str
    given_field_arcsec: float | None = None
    statistics: Statistics = field(default_factory=dict)
    trained_scales: Mapping[str, float] = field(default_factory=dict)
    resamples: bool = False
    given_unit: Units = field(default_factory=dict)
    refitted: bool = False
    calibrator: Calibrator | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.module.eval()

    def __repr__(self) -> str:
        return f"Finder({self.name!r}, bands={self.recipe.bands}, size={self.recipe.size}, from {self.origin})"

    def _repr_html_(self) -> str:
        recipe = self.recipe
        facts = {"bands": ", ".join(recipe.bands), "pixels": recipe.size, "field of view": f"{self.field_arcsec:g}″"}
        facts |= {"scaling": recipe.scaling, "threshold on p": recipe.threshold, "parameters": f"{self.parameters:,}"}
        return card(f"Finder {self.name} ({self.origin})", facts)

    def for_field(self, arcsec: float | None, resample: bool = False) -> Finder:
        """The same finder for cutouts `arcsec` wide: they are resized to its input, so that scales on the sky change.

        None: as wide as those it was trained on; with `resample` they may have other pixels.

        Raises
        ------
        UsageError
            `arcsec` is not a width.
        """
        if arcsec is not None and not (arcsec > 0 and math.isfinite(arcsec)):
            raise UsageError(f"field of view {arcsec:g}″ is not a width; give the cutouts' in arcseconds")
        return replace(self, given_field_arcsec=arcsec, resamples=resample)

    def for_units(self, lens_set: Declared) -> Finder:
        """The same finder for pixels in the units of `lens_set`, which zero points bring to its own exactly.

        Where they cannot, nothing changes, and `check` refuses the set, as it does without this. `score_set` does it
        by itself. The hash of the weights stays.
        """
        units, own = getattr(lens_set, "pixel_units", {}), self.recipe.pixel_unit
        given = {band: units[band] for band in own if factor(units.get(band, own[band]), own[band]) not in (None, 1.0)}
        return self if given == self.given_unit else replace(self, given_unit=given)

    def symmetrised(self) -> Finder:
        """The same finder with its logits averaged over the eight rotations and mirrors of the image."""
        if self.recipe.symmetrise:
            return self
        recipe = self.recipe.model_copy(update={"symmetrise": True})
        module = Symmetrised(self.module, len(recipe.extra_inputs))
        return replace(self, recipe=recipe, module=module, calibrator=None)  # it was fitted to other scores

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns of a set's catalogue that the finder reads beside its images."""
        return tuple(EXTRA_COLUMNS[name] for name in self.recipe.extra_inputs)

    @property
    def field_arcsec(self) -> float:
        """Width of the cutouts it takes, in arcseconds."""
        given = self.given_field_arcsec
        return self.recipe.field_of_view_arcsec if given is None else given

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.recipe.name

    @property
    def device(self) -> torch.device:
        """Where the weights lie; the CPU for a module without any."""
        return device_of(self.module)

    @property
    def parameters(self) -> int:
        """Number of weights and biases; a module that keeps them elsewhere says it by ``n_weights``."""
        elsewhere: int | None = getattr(self.module, "n_weights", None)
        return elsewhere if elsewhere is not None else sum(tensor.numel() for tensor in self.module.parameters())

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over name, type, shape and bytes of every tensor, and preprocessing steps; the same on any device."""
        return weights_hash(self.module, self.statistics, self.recipe.steps_words)

    @property
    def differentiable(self) -> bool:
        """Whether gradients of the logit exist; a module says that they do not by ``differentiable = False``."""
        return bool(getattr(self.module, "differentiable", True))

    def preprocess(self, cutouts: Cutouts, ids: Sequence[str] | None = None) -> torch.Tensor:
        """Native cutouts → float32 (n, channels, size, size), on the finder's device; bands in [0, 1] by a stretch.

        Parameters
        ----------
        cutouts
            Band → (n, h, w); bands the finder does not use are ignored.
        ids
            Names of the n images, for the message.

        Raises
        ------
        DataError
            A band is missing, shapes do not fit, or a band is constant or not finite.
        """
        images, good = self.prepare(cutouts)
        if not bool(good.all()):
            row, band = (int(i) for i in (~good).nonzero()[0])
            name = self.recipe.bands[band]
            fault = self.fault(cutouts, row)
            what = _CORRECTED.get(fault.split(" ")[0], f"band {name}")
            who = ids[row] if ids is not None else f"number {row}"
            raise DataError(f"image {who}: {fault}; leave it out or correct {what}")
        return images

    def prepare(self, cutouts: Cutouts) -> tuple[torch.Tensor, torch.Tensor]:
        """Like `preprocess`, but a band that cannot be scaled is NaN and false in the second value (n, bands)."""
        bands = [self.native(cutouts, band) for band in self.recipe.bands]
        n, size = len(bands[0]), self.recipe.size
        if any(len(images) != n for images in bands):
            counts = ", ".join(f"{band} {len(images)}" for band, images in zip(self.recipe.bands, bands, strict=True))
            raise DataError(f"bands differ in their number of images ({counts}); give the same images in each")
        prepared = torch.empty((n, self.recipe.channels, size, size), device=self.device)
        good = torch.empty((n, len(bands)), dtype=torch.bool, device=self.device)
        for index, images in enumerate(bands):
            good[:, index] = usable(images, self.recipe.stretch)
            if not self.recipe.preprocessing:
                self._scale(images, index, good[:, index], prepared[:, index])
        STRETCHES[self.recipe.stretch].join(prepared[:, : len(bands)])
        if self.recipe.preprocessing:
            named = dict(zip(self.recipe.bands, bands, strict=True))
            run_steps(self.recipe.preprocessing, named, good, prepared[:, : self.recipe.image_channels])
        for index, column in enumerate(self.extra_columns):
            first = self.recipe.image_channels + 2 * index
            values = self._extra(cutouts, column, n)
            prepared[:, first : first + 2] = angle_planes(values, size)
            good &= torch.isfinite(values)[:, None]
        return prepared, good

    def _scale(self, images: torch.Tensor, band: int, good: torch.Tensor, out: torch.Tensor) -> None:
        """Scale native images (n, h, w) of one band into `out`; NaN where `good` is false, or becomes so."""
        stretch = STRETCHES[self.recipe.stretch]
        if stretch.fitted:
            statistics = {name: tensor.to(out.device) for name, tensor in self._need_statistics().items()}
            scaled(images, self.recipe.stretch, statistics, band, out)
            good &= out.amax(dim=(-2, -1)) > out.amin(dim=(-2, -1))  # in place: not if every pixel is clipped
            if not bool(good.all()):
                out[~good] = torch.nan
            return
        if stretch.unscaled or stretch.together:
            out.copy_(torch.where(good[:, None, None], resized(stretch.native(images), self.recipe.size), torch.nan))
            return
        scale_to_unit(resized(stretch.native(images), self.recipe.size), good, out=out)
        if stretch.unit is not STRETCHES["minmax"].unit:
            out.copy_(stretch.unit(out))

    def _need_statistics(self) -> Statistics:
        missing = [name for name in STRETCHES[self.recipe.stretch].fitted if name not in self.statistics]
        if missing:
            raise UsageError(
                f"finder {self.name}: stretch {self.recipe.stretch} takes {', '.join(missing)} from a training set, "
                f"which this finder does not have; give --refit to take them from the set that is read, or train it"
            )
        return self.statistics

    def fault(self, cutouts: Cutouts, row: int) -> str:
        """Why image `row` cannot be scaled, band by band; empty if it can."""
        faults = []
        for index, band in enumerate(self.recipe.bands):
            image = self.native({band: cutouts[band][row : row + 1]}, band)
            good = usable(image, self.recipe.stretch)
            if not self.recipe.preprocessing:
                self._scale(image, index, good, torch.empty((1, *[self.recipe.size] * 2), device=self.device))
            if bool(good):
                continue
            if bad := int((~torch.isfinite(image)).sum()):
                faults.append(f"{band} has {bad} of {image.numel()} pixels not finite")
            else:
                faults.append(f"{band} {why_constant(image, self.recipe.stretch)}")
        if self.recipe.preprocessing and not faults:
            one = {band: self.native({band: cutouts[band][row : row + 1]}, band) for band in self.recipe.bands}
            faults += filter(None, [fault_of(self.recipe.preprocessing, one, self.recipe.size)])
        for column in self.extra_columns:
            value = float(np.asarray(cutouts[column])[row])
            if not math.isfinite(value):
                faults.append(f"its {column} is {value}")
        return ", ".join(faults)

    def logit(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of "lens" (n,) of prepared images (n, bands, size, size); p(lens) = sigmoid(logit).

        Two outputs: z_lens − z_other; more: z_lens − logsumexp(others); one: z.
        """
        return lens_logit(self.outputs(images), self.recipe.outputs, self.recipe.lens_index)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """What the module returns for prepared images, which stay as they are: (n, outputs), or (n,) with one.

        Every score and explanation calls the module here. Arithmetic is plain float32 on every device
        (TensorFloat-32 would shift p(lens) by up to 1e-3). Our own architectures run with channels last on the CPU,
        where that halves the time, and write into nothing they are given; foreign ones get a copy of their own.
        """
        if self.recipe.architecture == CUSTOM:
            with on_its_account(f"finder {self.origin}: its module"):
                return module_outputs(self.module, images)
        with plain_float32(images.device):
            outputs: torch.Tensor = self.module(channels_last(images) if images.device.type == "cpu" else images)
        return outputs

    def check(self, lens_set: Declared) -> None:
        """Make sure the set has what the finder takes as input, before any image is read.

        Raises
        ------
        DataError
            A band is missing, or the field of view differs by more than 3 %, or the pixels do from those it was
            trained on and resampling was not asked for; one line with the fix.
        """
        have = ", ".join(lens_set.bands)
        for band in self.recipe.bands:
            if band not in lens_set.bands:
                raise DataError(
                    f"finder {self.name} needs band {band}, the set (instrument {lens_set.instrument}) has {have}; "
                    f"use a set with bands {', '.join(self.recipe.bands)} or a finder for these"
                )
            refuse_other_field(self.name, band, self.field_arcsec, lens_set)
        if not self.resamples and (other := self.other_pixels(lens_set)):
            raise DataError(f"{other}; give --resample to have them brought to the finder's pixels all the same")
        refuse_other_units(self.recipe, getattr(lens_set, "pixel_units", {}), self.given_unit, self.refitted)
        if self.recipe.preprocessing:
            shapes = {band: lens_set.shape[band] for band in self.recipe.bands}
            refuse_other_shapes(self.recipe.preprocessing, shapes, self.recipe.size)
        columns = getattr(lens_set, "columns", self.extra_columns)  # a set still to be rendered has all of them
        for column in self.extra_columns:
            if column not in columns:
                raise DataError(
                    f"finder {self.name} needs the column {column}, which the set's catalogue lacks; "
                    f"use a set that has it, such as a simulated one, or a finder without extra_inputs"
                )

    def other_pixels(self, lens_set: Declared) -> str:
        """In which band the set's pixels are not those the finder was trained on, as a clause; empty for none.

        Cutouts as wide but with other pixels hold another resolution and noise, which resizing hides. Where the
        field of view is given on purpose, scales differ on purpose too.
        """
        if self.given_field_arcsec is not None:
            return ""
        for band in self.recipe.bands:
            scale = lens_set.pixel_scale_arcsec[band]
            trained = self.trained_scales.get(band, scale)
            if abs(scale - trained) > FIELD_TOLERANCE * trained:
                return f"band {band} has pixels of {scale:.4g}″, finder {self.name} was trained on {trained:.4g}″"
        return ""

    def unit_remarks(self, lens_set: Declared) -> list[str]:
        """What is to be said of the unit of the set's pixels, one line or none; see `lensaudit.finders.units`."""
        return unit_remarks(self.recipe, getattr(lens_set, "pixel_units", {}), self.refitted)

    def unused_bands(self, lens_set: Declared) -> tuple[str, ...]:
        """Bands of the set that the finder leaves aside."""
        return tuple(band for band in lens_set.bands if band not in self.recipe.bands)

    def _extra(self, cutouts: Cutouts, column: str, n: int) -> torch.Tensor:
        """Values (n,) of a column of the catalogue that came with the cutouts."""
        if column not in cutouts:
            raise DataError(
                f"finder {self.name} needs {column} of each image beside its pixels, which is not given here; "
                f"lensaudit score and train read it from the catalogue, other commands need another finder"
            )
        values = torch.as_tensor(np.array(cutouts[column], dtype=np.float64), device=self.device)
        if values.shape != (n,):
            raise DataError(f"{column} has shape {tuple(values.shape)}; one value for each of the {n} images is needed")
        return values

    def native(self, cutouts: Cutouts, band: str) -> torch.Tensor:
        """Float32 pixels (n, h, w) of one band on the finder's device, in its unit where that is another."""
        if band not in cutouts:
            raise DataError(f"finder {self.name} needs band {band}, the cutouts have {', '.join(cutouts)}; add it")
        images = cutouts[band]
        tensor = images if isinstance(images, torch.Tensor) else torch.from_numpy(_native_floats(images))
        if tensor.ndim != 3 or 0 in tensor.shape[1:]:
            raise DataError(f"band {band} has shape {tuple(tensor.shape)}; (images, height, width) is needed")
        native = tensor.to(device=self.device, dtype=torch.float32)
        by = factor(self.given_unit[band], self.recipe.pixel_unit[band]) if band in self.given_unit else None
        return native if by is None else native * by


def weights_hash(module: nn.Module, statistics: Statistics | None = None, steps: str = "") -> str:
    """SHA-256 over name, type, shape and bytes of every tensor of the state dict, in the order of the names.

    The `statistics` of a stretch count as tensors called ``preprocessing.NAME``; of a declared preprocessing the
    words of its `steps` come first.
    """
    digest = hashlib.sha256(f"{STATISTICS_PREFIX}{steps}\n".encode() if steps else b"")
    tensors = module.state_dict() | {
        f"{STATISTICS_PREFIX}{name}": tensor for name, tensor in (statistics or {}).items()
    }
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode("utf-8", "surrogatepass"))
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def lens_logit(outputs: torch.Tensor, count: int, lens_index: int) -> torch.Tensor:
    """Log-odds (n,) of "lens" from a module's `count` outputs (n, count) or, with one, also (n,)."""
    if count == 1:
        return outputs.reshape(len(outputs))
    others = [index for index in range(count) if index != lens_index]
    rest = outputs[:, others[0]] if count == 2 else outputs[:, others].logsumexp(dim=1)
    return outputs[:, lens_index] - rest


def _native_floats(images: Any) -> np.ndarray:
    """Float32 in the machine's byte order, as FITS arrays are big-endian and torch takes none of these."""
    return np.ascontiguousarray(images, dtype=np.float32)
