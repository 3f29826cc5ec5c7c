"""The optimisation itself: many images at once, each towards a target of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.explaining.dreaming.objective import Objective, Reading, gradients
from lensaudit.explaining.dreaming.settings import DreamSettings
from lensaudit.finders import Finder

EDGE = 1e-3
"""Smaller differences of neighbouring pixels count as smooth, so that the total variation has a gradient everywhere."""


def jitter_shift(seed: int, step: int, most: int) -> tuple[int, int]:
    """Pixels to roll by, down and to the right, each in −`most` … `most`; of (seed, step) alone."""
    drawn = np.random.default_rng((seed, step)).integers(-most, most + 1, size=2)
    return int(drawn[0]), int(drawn[1])


def rolled(images: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """The images moved by `shift`; what leaves on one side comes in on the other."""
    return images if shift == (0, 0) else images.roll(shift, dims=(-2, -1))


def total_variation(images: torch.Tensor) -> torch.Tensor:
    """Mean over bands and pixels of the length of the step to the next pixel, below and to the right: (n,).

    That of a flat image is 0, of uniform noise in [0, 1] about 0.5.
    """
    length = _steps(images)[2] - EDGE
    return length.mean(dim=(1, 2, 3))


def variation_gradient(images: torch.Tensor) -> torch.Tensor:
    """Gradient of the total variation's sum over bands and pixels, with respect to the images."""
    down, right, length = _steps(images)
    down, right = down / length, right / length
    gradient = -(down + right)
    gradient[..., 1:, :] += down[..., :-1, :]
    gradient[..., :, 1:] += right[..., :, :-1]
    return gradient


def _steps(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Differences to the next pixel below and to the right, 0 at the last, and the smoothed length of both."""
    down = torch.zeros_like(images)
    right = torch.zeros_like(images)
    down[..., :-1, :] = images[..., 1:, :] - images[..., :-1, :]
    right[..., :, :-1] = images[..., :, 1:] - images[..., :, :-1]
    return down, right, (down.square() + right.square() + EDGE**2).sqrt()


class Pixels:
    """The image is its own parameters."""

    def image(self, parameters: torch.Tensor) -> torch.Tensor:
        """Image of these parameters."""
        return parameters

    def parameters(self, images: torch.Tensor) -> torch.Tensor:
        """Parameters of this image."""
        return images

    def slope(self, gradient: torch.Tensor) -> torch.Tensor:
        """Gradient with respect to the parameters, from that with respect to the image."""
        return gradient


class Spectrum:
    """The image as sum of waves whose parameters are weighed by 1 / frequency, so that steps favour broad features.

    The waves are those of the Hartley transform, cos + sin: real, orthonormal, and its own inverse. Weights are
    scaled to a mean square of 1, so that a rate means about the same as with pixels.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
        weight = 1 / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
        weight /= np.sqrt((weight**2).mean())
        self._weight = torch.from_numpy(weight).float().to(device)

    def image(self, parameters: torch.Tensor) -> torch.Tensor:
        """Image of these parameters."""
        return hartley(parameters * self._weight)

    def parameters(self, images: torch.Tensor) -> torch.Tensor:
        """Parameters of this image."""
        return hartley(images) / self._weight

    def slope(self, gradient: torch.Tensor) -> torch.Tensor:
        """Gradient with respect to the parameters, from that with respect to the image."""
        return hartley(gradient) * self._weight


def hartley(images: torch.Tensor) -> torch.Tensor:
    """Orthonormal Hartley transform of the last two axes; applied twice it gives the images back."""
    spectrum = torch.fft.fft2(images, norm="ortho")
    return spectrum.real - spectrum.imag


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
    """Pixels as `bounds` says (see `BOUNDS` of the settings); a constant image stays as it is."""
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


FRAMES = 16
"""Images kept of a path; close together at first, where most happens."""


SCORES = 4
"""Of these, images scored where the objective does not run the whole finder."""


def spaced_steps(steps: int, most: int) -> NDArray[np.int64]:
    """0, `steps`, and geometrically spaced ones between, each once: `most` at most."""
    between = np.geomspace(1, steps, most - 1).round().astype(np.int64)
    return np.unique(np.concatenate([[0], between, [steps]]))


class Record:
    """Curves and path of n images.

    Attributes
    ----------
    values
        Objective before each step and at the end (steps + 1, n); NaN where not yet read.
    path_steps, path
        Steps and images, clipped to [0, 1] and times 255: uint8 (frames, n, bands, h, w).
    """

    def __init__(self, finder: Finder, steps: int, images: int, batch: int) -> None:
        """`finder` reads p(lens) where the objective does not, at most `batch` images at a time."""
        self._finder, self._batch = finder, batch
        size = finder.recipe.size
        self.values = np.full((steps + 1, images), np.nan)
        self.path_steps = spaced_steps(steps, FRAMES)
        self._scored = spaced_steps(steps, SCORES)
        self.path = np.zeros((len(self.path_steps), images, len(finder.recipe.bands), size, size), np.uint8)
        self._logits = np.full((steps + 1, images), np.nan)
        self._known = np.zeros(steps + 1, dtype=bool)

    @property
    def p_steps(self) -> NDArray[np.int64]:
        """Steps after which the score was read."""
        return np.flatnonzero(self._known)

    @property
    def logits(self) -> NDArray[np.float64]:
        """Log-odds of "lens" after `p_steps` (steps read, n)."""
        return self._logits[self._known]

    def look(self, step: int, images: torch.Tensor) -> None:
        """Keep the images (n, bands, h, w) if `step` is one of `path_steps`; now and then score them."""
        (frame,) = np.nonzero(self.path_steps == step)
        if frame.size:
            self.path[frame[0]] = (images.nan_to_num().clamp(0, 1) * 255).round().byte().cpu().numpy()
        if step in self._scored:
            different = images[:1] if step == 0 else images  # all begin alike
            self._keep(step, torch.cat([self._finder.logit(piece) for piece in different.split(self._batch)]))

    def note(self, step: int, reading: Reading) -> None:
        """Keep a reading of the images as they stand after `step`, their scores where they came with it."""
        self.values[step] = reading.values.double().cpu().numpy()
        if reading.logits is not None:
            self._keep(step, reading.logits)

    def _keep(self, step: int, logits: torch.Tensor) -> None:
        self._logits[step], self._known[step] = logits.double().cpu().numpy(), True

    def state(self) -> dict[str, np.ndarray]:
        """All that was kept so far, as arrays."""
        return {
            "record.values": self.values,
            "record.path": self.path,
            "record.logits": self._logits,
            "record.known": self._known,
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a `state`."""
        self.values, self.path = state["record.values"], state["record.path"]
        self._logits, self._known = state["record.logits"], state["record.known"]
