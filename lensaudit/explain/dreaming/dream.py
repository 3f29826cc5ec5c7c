"""Images that a finder itself draws: class-generated images, Deep Dream and generated kernel images.

Wilde et al. 2022, Sections 5.3 to 5.5, after Simonyan et al. 2013, Yosinski et al. 2015 and Mordvintsev et al. 2015:
the weights are frozen, and the image is moved along the gradient of what is to be maximised.

What such an image shows and what it does not: it is one way up among many, it depends on the optimiser, the bounds and
the start as much as on the finder, and a feature in it need not be one that real cutouts are classified by. So the real
cutouts that excite the same target most belong beside it (see `lensaudit.explain.dreaming.exciting`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import DataError, UsageError
from lensaudit.explain.attribution.methods import no_gradient
from lensaudit.explain.dreaming.ascent import Ascent
from lensaudit.explain.dreaming.checkpoint import Checkpoint
from lensaudit.explain.dreaming.frozen import frozen, rearranged
from lensaudit.explain.dreaming.objective import ClassObjective, KernelObjective, Objective, memory_format
from lensaudit.explain.dreaming.record import Record
from lensaudit.explain.dreaming.settings import DreamSettings
from lensaudit.explain.dreaming.target import ClassTarget, KernelTarget, Target
from lensaudit.finders import Finder
from lensaudit.finders.score import NO_BATCH, default_batch_size, out_of_memory_explained
from lensaudit.finders.wrapped import uncompiled

Progress = Callable[[int, int], None]

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints; what an interruption loses at most."""


@dataclass(frozen=True, eq=False)
class Dream:
    """One target's image and how it came about.

    Attributes
    ----------
    target
        What was maximised.
    settings
        How.
    bands
        Names, in the order of the first axis of the images.
    start, image
        Float32 (bands, size, size) as the finder sees them; beyond [0, 1] where the settings leave it free.
    values
        The objective before each step and at the end (steps + 1,).
    p_steps, p_lens
        Steps after which p(lens) was read, and it: for classes all, for kernels the first, the last and a few between.
    path_steps, path
        Steps after which the image was kept, the first and the last among them, and it, clipped to [0, 1], as 255 ×
        the value: uint8 (frames, bands, size, size).
    dead
        Whether no gradient ever reached the image, so that it is still the start.
    fault
        Why the optimisation of this target failed; empty if it did not.
    """

    target: Target
    settings: DreamSettings
    bands: tuple[str, ...]
    start: NDArray[np.float32]
    image: NDArray[np.float32]
    values: NDArray[np.float64]
    p_steps: NDArray[np.int64]
    p_lens: NDArray[np.float64]
    path_steps: NDArray[np.int64]
    path: NDArray[np.uint8]
    dead: bool
    fault: str

    @property
    def gain(self) -> float:
        """How far the objective rose."""
        return float(self.values[-1] - self.values[0])


def dream(
    finder: Finder,
    targets: Sequence[Target],
    start: torch.Tensor,
    settings: DreamSettings,
    *,
    batch: int | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> tuple[Dream, ...]:
    """Images that maximise targets of one kind, classes or kernels of one layer, in one optimisation.

    Each is what it would be alone, up to rounding: nothing of one target enters another's image.

    Parameters
    ----------
    finder
        The finder; its module is left as it was.
    targets
        `ClassTarget`, or `KernelTarget` of one layer.
    start
        Prepared image (bands, size, size) for all of them, see `noise_start` and `cutout_start`.
    settings
        See `paper_settings`.
    batch
        Most images that go through the finder together; by default what runs fastest.
    progress
        Called with steps done and all steps.
    checkpoint
        File to keep the state in every minute, and to go on from; remove it once the result is safe.

    Raises
    ------
    UsageError
        The finder has no gradient.
    DataError
        The layer takes no part in the calculation, or the finder's score of the start is no number.
    MachineError
        Memory ran out.
    """
    if not finder.differentiable:
        raise UsageError(no_gradient("dream", finder))
    pieces = gradient_batch_size(finder) if batch is None else batch
    assert targets
    assert pieces >= 1
    with torch.no_grad(), _plain_float32(), uncompiled(), out_of_memory_explained(pieces, NO_BATCH):
        plain = frozen(finder)
        image = start.detach().to(finder.device, torch.float32).contiguous()
        if not bool(torch.isfinite(plain.logit(image[None])).all()):
            raise DataError(f"finder {finder.name} gives a score that is no number for the start; check its weights")
        quick = rearranged(plain, image)
        begin = image.expand(len(targets), *image.shape).contiguous(memory_format=memory_format(finder))
        ascent = Ascent(objective_of(quick, targets, settings.objective, image), begin, settings, pieces)
        record = Record(quick, settings.steps, len(targets), pieces)
        kept = Checkpoint(checkpoint, _identity(finder, targets, image, settings))
        _climb(ascent, record, kept, progress)
        return _dreams(finder, targets, settings, image, ascent, record)


def _plain_float32() -> AbstractContextManager[None]:
    """On a GPU the same arithmetic as `Finder.logit`; nothing on the CPU."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def gradient_batch_size(finder: Finder) -> int:
    """Images at a time that ran fastest: half as many as for scoring, as their maps are kept for the way back.

    On the CPU 8 of 66×66 pixels or 2 of 200×200; on a GPU 64.
    """
    return 64 if finder.device.type == "cuda" else max(2, default_batch_size(finder) // 2)


def objective_of(finder: Finder, targets: Sequence[Target], kind: str, image: torch.Tensor) -> Objective:
    """The objective of targets of one kind on a `frozen` finder; `image` (bands, size, size) is for comparing."""
    classes = [target for target in targets if isinstance(target, ClassTarget)]
    kernels = [target for target in targets if isinstance(target, KernelTarget)]
    assert len(classes) == len(targets) or len({target.layer for target in kernels}) == 1
    if classes:
        return ClassObjective(finder, classes, kind)
    return KernelObjective(finder, kernels, image)


def _climb(ascent: Ascent, record: Record, kept: Checkpoint, progress: Progress | None) -> None:
    """All steps that are left, with a last reading at the end."""
    state = kept.load()
    if state is not None:
        ascent.restore(state)
        record.restore(state)
    steps, saved = ascent.settings.steps, time.monotonic()
    while ascent.step < steps:
        record.look(ascent.step, ascent.image)
        record.note(ascent.step, ascent.advance())
        if progress is not None:
            progress(ascent.step, steps)
        if time.monotonic() - saved > CHECKPOINT_SECONDS and ascent.step < steps:
            kept.save(ascent.state() | record.state())
            saved = time.monotonic()
    record.look(steps, ascent.image)
    record.note(steps, ascent.read())


def _identity(finder: Finder, targets: Sequence[Target], image: torch.Tensor, settings: DreamSettings) -> list[object]:
    """What two optimisations share that go the same way."""
    names = [target.name for target in targets]
    return [finder.weights_hash, names, repr(settings), image.cpu().numpy().tobytes().hex()]


def _dreams(
    finder: Finder,
    targets: Sequence[Target],
    settings: DreamSettings,
    start: torch.Tensor,
    ascent: Ascent,
    record: Record,
) -> tuple[Dream, ...]:
    images = ascent.image.cpu().numpy()
    faults = ["its objective or gradient is no number" if broken else "" for broken in ascent.broken.tolist()]
    return tuple(
        Dream(
            target=target,
            settings=settings,
            bands=finder.recipe.bands,
            start=start.cpu().numpy(),
            image=np.ascontiguousarray(images[row], dtype=np.float32),
            values=record.values[:, row],
            p_steps=record.p_steps,
            p_lens=expit(record.logits[:, row]),
            path_steps=record.path_steps,
            path=record.path[:, row],
            dead=not bool(ascent.alive[row]) and not faults[row],
            fault=faults[row],
        )
        for row, target in enumerate(targets)
    )
