"""The optimisation itself: many images at once, each towards a target of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lensaudit.explain.dreaming.objective import Objective, Reading, gradients
from lensaudit.explain.dreaming.regularise import (
    Pixels,
    Spectrum,
    jitter_shift,
    rolled,
    variation_gradient,
)
from lensaudit.explain.dreaming.settings import DreamSettings


class Ascent:
    """Images on their way up, one for each target.

    Attributes
    ----------
    image
        As they stand (n, bands, h, w).
    step
        Steps done.
    alive
        Whether any gradient has reached the image yet (n,). One that none has reached is not touched, and not decayed.
    broken
        Whether its objective or gradient was no number (n,); it stays as it was then.
    """

    def __init__(self, objective: Objective, start: torch.Tensor, settings: DreamSettings, batch: int) -> None:
        """Begin at `start` (n, bands, h, w); at most `batch` images go through the finder together."""
        self.settings, self._objective, self._batch = settings, objective, batch
        spectral = settings.regularisation.fourier
        self._form = Spectrum(start.shape[-2], start.shape[-1], start.device) if spectral else Pixels()
        self.image = _bounded(start.detach().clone(memory_format=torch.preserve_format), settings.bounds)
        self.step = 0
        self.alive = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        self.broken = torch.zeros_like(self.alive)
        self._parameters = self._form.parameters(self.image).clone(memory_format=torch.preserve_format)
        kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.SGD
        self._optimiser: torch.optim.Optimizer = kind([self._parameters], lr=settings.rate, maximize=True)

    def advance(self) -> Reading:
        """One step; what is handed back was read before it."""
        regular = self.settings.regularisation
        shift = jitter_shift(self.settings.seed, self.step, regular.jitter) if regular.jitter else (0, 0)
        reading, slope = gradients(self._objective, rolled(self.image, shift), self._batch)
        slope = rolled(slope, (-shift[0], -shift[1]))
        largest = slope.abs().amax(dim=(1, 2, 3))
        self.broken |= ~(torch.isfinite(reading.values) & torch.isfinite(largest))
        self.alive |= (largest > 0) & ~self.broken
        still = ~self.alive | self.broken
        kept = self._parameters[still].clone() if bool(still.any()) else None
        self._parameters.grad = self._form.slope(self._regularised(slope))
        self._optimiser.step()
        if kept is not None:
            self._parameters[still] = kept
        self._settle()
        self.step += 1
        return reading

    def read(self) -> Reading:
        """The objective of the images as they stand."""
        return gradients(self._objective, self.image, self._batch)[0]

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, as arrays."""
        tensors = {"image": self.image, "parameters": self._parameters, "alive": self.alive, "broken": self.broken}
        moments = self._optimiser.state[self._parameters].items()
        tensors |= {f"optimiser.{key}": value for key, value in moments if isinstance(value, torch.Tensor)}
        return {"step": np.array(self.step)} | {key: value.cpu().numpy() for key, value in tensors.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a `state`."""
        self.step = int(state["step"])
        self._parameters.copy_(torch.from_numpy(state["parameters"]))
        self.image = self.image.clone(memory_format=torch.preserve_format).copy_(torch.from_numpy(state["image"]))
        self.alive.copy_(torch.from_numpy(state["alive"]))
        self.broken.copy_(torch.from_numpy(state["broken"]))
        for key in (key for key in state if key.startswith("optimiser.")):
            value = torch.from_numpy(np.array(state[key]))
            if value.ndim:  # Adam counts its steps on the CPU
                value = torch.empty_like(self._parameters).copy_(value)
            self._optimiser.state[self._parameters][key.removeprefix("optimiser.")] = value

    def _regularised(self, slope: torch.Tensor) -> torch.Tensor:
        """The gradient less the total variation's and the decay's."""
        strength, decay = self.settings.regularisation.tv, self.settings.decay
        if strength:
            rough = variation_gradient(self.image)
            ratio = _length(slope) / _length(rough).clamp_min(torch.finfo(slope.dtype).tiny)
            slope = slope - strength * ratio * rough
        if decay:
            slope = slope - decay * self.image
        return slope

    def _settle(self) -> None:
        """The image of the parameters within its bounds, and the parameters of that."""
        self.image = self._form.image(self._parameters)
        if self.settings.bounds != "free":
            self.image = _bounded(self.image, self.settings.bounds)
            self._parameters.copy_(self._form.parameters(self.image))


def _bounded(images: torch.Tensor, bounds: str) -> torch.Tensor:
    """Pixels as `bounds` says (see `lensaudit.explain.dreaming.settings.BOUNDS`); a constant image stays as it is."""
    if bounds == "free":
        return images
    images = images.clamp(0, 1)
    if bounds == "clip":
        return images
    low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 0, (images - low) / torch.where(span > 0, span, 1.0), images)


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Euclidean length of each image (n, 1, 1, 1)."""
    return vectors.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
