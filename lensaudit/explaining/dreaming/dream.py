"""Images that a finder itself draws: class-generated images, Deep Dream and generated kernel images.

Wilde et al. 2022, Sections 5.3 to 5.5, after Simonyan et al. 2013, Yosinski et al. 2015 and Mordvintsev et al. 2015:
the weights are frozen, and the image is moved along the gradient of what is to be maximised.

What such an image shows and what it does not: it is one way up among many, it depends on the optimiser, the bounds and
the start as much as on the finder, and a feature in it need not be one that real cutouts are classified by. So the real
cutouts that excite the same target most belong beside it (see `lensaudit.explaining.dreaming.exciting`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import fx, nn

from lensaudit.display.images import png_uri, prepared_rgb, to_bytes
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.attribution.methods import no_gradient
from lensaudit.explaining.dreaming.ascent import Ascent, Record
from lensaudit.explaining.dreaming.objective import (
    ClassObjective,
    FirstConvolution,
    KernelObjective,
    Objective,
    memory_format,
    suits,
)
from lensaudit.explaining.dreaming.settings import ClassTarget, DreamSettings, KernelTarget, Target
from lensaudit.explaining.layers import agrees, answers, copied, logit_module, noise_for, not_in_place
from lensaudit.explaining.trace import traced_graph
from lensaudit.finders import Finder
from lensaudit.finders.load import uncompiled
from lensaudit.finders.preprocessing import why_not_in_unit
from lensaudit.finders.score import NO_BATCH, default_batch_size, out_of_memory_explained
from lensaudit.kept import ArraysForm, Piece
from lensaudit.provenance import provenance
from lensaudit.records import Facts, Shown
from lensaudit.spread import Progress


class Checkpoint:
    """One file of arrays; what it belongs to stands in it."""

    def __init__(self, path: Path | None, identity: Sequence[object]) -> None:
        """`identity` says what the state is of, as JSON-able values; without a `path` nothing is kept."""
        words = json.dumps([provenance()["lensaudit"], provenance()["packages"]["torch"], *identity], default=str)
        of = hashlib.sha256(words.encode()).hexdigest()
        self._piece = None if path is None else Piece(path, ArraysForm("of", binary=True), of)

    def save(self, state: Mapping[str, np.ndarray]) -> None:
        """Write the state, whole or not at all."""
        if self._piece is not None:
            self._piece.write(dict(state))

    def load(self) -> dict[str, np.ndarray] | None:
        """The state; None where there is none, or one of something else, or a torn file."""
        return None if self._piece is None else self._piece.load()


TOLERANCE = 1e-4
"""Most that the rearranged copy's score may differ, and its gradient as a fraction of the largest; rounding: 1e-6."""


def frozen(finder: Finder) -> Finder:
    """The finder on a copy of its module, in evaluation mode, without gradients of the weights.

    Layers that write into their input no longer do, as that may spoil what the gradient needs; they still do where
    the module's own code counts on it.
    """
    noise = noise_for(finder)
    module = not_in_place(finder.module)
    if not agrees(logit_module(finder, module), noise, answers(finder, noise)):
        module = copied(finder.module)
    return replace(finder, module=module)


def rearranged(finder: Finder, image: torch.Tensor) -> Finder:
    """A `frozen` finder with its module rearranged; the finder itself where that cannot be done or changes anything.

    Three things are rearranged, all exact up to rounding: a sum in place is no longer; a ReLU moves behind the
    max-pooling that alone follows it, to where there are four times fewer pixels; and the first convolution passes
    gradients back as a strided convolution (see `FirstConvolution`).

    Parameters
    ----------
    finder
        From `frozen`.
    image
        Prepared image (bands, size, size) on which scores and gradients are compared.
    """
    graph = traced_graph(finder.module)
    if graph is None:
        return finder
    traced = replace(finder, module=fx.GraphModule(finder.module, graph))  # += of a traced module is a + b
    if not _same_score(finder, traced, image[None]):
        return finder
    module = fx.GraphModule(finder.module, graph)
    _relu_behind_pooling(module)
    _replace_first(module)
    module.graph.lint()
    module.recompile()
    quick = replace(finder, module=module)
    return quick if _same_gradient(traced, quick, image[None]) else traced


def _relu_behind_pooling(module: fx.GraphModule) -> None:
    """relu(pool(x)) for pool(relu(x)): the maximum of what is cut off at 0 is the maximum, cut off at 0."""
    for node in list(module.graph.nodes):
        if not _calls(module, node, nn.ReLU) or len(node.users) != 1:
            continue
        pool = next(iter(node.users))
        if not _calls(module, pool, nn.MaxPool2d) or module.get_submodule(str(pool.target)).return_indices:
            continue
        pool.replace_all_uses_with(node)
        pool.args = (node.args[0],)
        node.args = (pool,)
        pool.append(node)


def _replace_first(module: fx.GraphModule) -> None:
    """The convolution that alone takes the image, where `FirstConvolution` can be it."""
    image = next(node for node in module.graph.nodes if node.op == "placeholder")
    users = list(image.users)
    if len(users) != 1 or not _calls(module, users[0], nn.Conv2d):
        return
    name = str(users[0].target)
    part = module.get_submodule(name)
    assert isinstance(part, nn.Conv2d)
    if suits(part):
        module.set_submodule(name, FirstConvolution(part))


def _calls(module: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    """Whether the node is a plain call of exactly such a module, without hooks that would see another order."""
    if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
        return False
    part = module.get_submodule(str(node.target))
    return type(part) is kind and not (part._forward_hooks or part._forward_pre_hooks or part._backward_hooks)


def _same_score(one: Finder, other: Finder, image: torch.Tensor) -> bool:
    first, second = (finder.logit(image.clone()) for finder in (one, other))
    return bool(torch.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE))


def _same_gradient(one: Finder, other: Finder, image: torch.Tensor) -> bool:
    """Whether score and gradient of one image are the same up to rounding."""
    first, second = _gradient(one, image), _gradient(other, image)
    if first is None or second is None or not _same_score(one, other, image):
        return False
    return float((first - second).abs().max()) <= TOLERANCE * float(first.abs().max())


def _gradient(finder: Finder, image: torch.Tensor) -> torch.Tensor | None:
    """Gradient of the score; None where it does not depend on the image."""
    leaf = image.clone().requires_grad_()
    with torch.enable_grad():
        score = finder.logit(leaf.clone())
        return torch.autograd.grad(score.sum(), leaf, allow_unused=True)[0] if score.requires_grad else None


CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints; what an interruption loses at most."""


@dataclass(frozen=True, eq=False, repr=False)
class Dream(Shown):
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

    def _facts(self) -> Facts:
        facts: dict[str, object] = {"target": self.target.name, "steps": self.settings.steps}
        facts |= {"objective": f"{self.values[0]:.3g} → {self.values[-1]:.3g}"}
        facts |= {"p_lens": f"{self.p_lens[-1]:.3g}"} if len(self.p_lens) else {}
        return facts | ({"fault": self.fault} if self.fault else {})

    def _picture(self) -> str:
        return png_uri(to_bytes(np.flipud(prepared_rgb(self.image, self.bands))))

    @property
    def gain(self) -> float:
        """How far the objective rose."""
        return float(self.values[-1] - self.values[0])


def why_no_dream(finder: Finder) -> str:
    """Why the finder cannot dream, in one line; empty if it can."""
    if not finder.differentiable:
        return no_gradient("dream", finder)
    recipe = finder.recipe
    if recipe.preprocessing and (why := why_not_in_unit(recipe.preprocessing, recipe.bands)):
        return (
            f"a dream is drawn within [0, 1], a plane for each band; in the preprocessing of {finder.name} {why}: "
            f"make that the network's first layer and declare what comes before, or explain the finder by a method"
        )
    return ""


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
    if reason := why_no_dream(finder):
        raise UsageError(reason)
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
