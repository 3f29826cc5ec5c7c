"""Scoring a lens set from disk, at the speed of the network, and what a finder's scores mean."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from queue import Full, Queue
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from lensaudit.errors import DataError, OutOfMemory, UsageError
from lensaudit.finders.committee import Disagreement, logit_and_members
from lensaudit.finders.finder import Declared, Finder
from lensaudit.finders.refit import clipped_fractions, summary_of
from lensaudit.provenance import Clipping
from lensaudit.records import MOST_ROWS, Cells, Facts, Shown
from lensaudit.statistics import Probabilities, allowed_false_positives, strict_threshold

T = TypeVar("T")

_PATIENCE_S = 0.1  # how often a waiting reader looks whether it is still wanted


@dataclass(frozen=True)
class _End:
    """What the reader leaves behind: the error that ended it, if any."""

    error: BaseException | None = None


def prefetched(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield `items` in order while a thread gets the next ones ready, at most `depth` ahead.

    An error of the iterable is raised here, after the items before it; leaving early stops the thread.
    """
    ready: Queue[Any] = Queue(depth)
    unwanted = threading.Event()
    reader = threading.Thread(target=_read, args=(items, ready, unwanted), name="prefetch", daemon=True)
    reader.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        reader.join()


def _read(items: Iterable[Any], ready: Queue[Any], unwanted: threading.Event) -> None:
    end = _End()
    try:
        for item in items:
            if not _handed_over(item, ready, unwanted):
                return
    except BaseException as error:  # raised again where the items are used
        end = _End(error)
    _handed_over(end, ready, unwanted)


def _handed_over(item: Any, ready: Queue[Any], unwanted: threading.Event) -> bool:
    while not unwanted.is_set():
        try:
            ready.put(item, timeout=_PATIENCE_S)
            return True
        except Full:
            continue
    return False


OK = "ok"

NO_BATCH = "use --device cpu, or a machine with more memory"
"""Fix of `out_of_memory_explained` where the user does not choose the batch."""

_PIXELS_PER_BATCH = 70_000  # on the CPU: the first layer's maps stay near the cache; larger batches ran slower
_CUDA_BATCH = 256
_ENSEMBLE_BATCH = 32  # members take fewer at once by themselves; one placement on the map serves the whole batch


class Readable(Declared, Protocol):
    """What scoring asks of a lens set: `lensaudit.lensset.LensSet` has it."""

    def __len__(self) -> int: ...
    @property
    def ids(self) -> Sequence[str]: ...
    def images(self, band: str, index: slice) -> NDArray[np.float32]: ...
    def column(self, name: str) -> NDArray[Any]: ...


@dataclass(frozen=True, repr=False)
class Scores(Shown):
    """Scores of a set, one row per image, in the order of the set.

    Attributes
    ----------
    ids
        Names of the images (n).
    p_lens
        Probability of "lens" in [0, 1], float64 (n,); NaN where scoring failed.
    logit
        Log-odds of "lens", float64 (n,); p_lens = sigmoid(logit).
    status
        ``ok``, or why the image could not be scored (n).
    clipping
        Band → which fraction of the pixels the stretch clips; empty where it does not, or where scores were read.
    calibrated
        Calibrated probabilities beside them, of a finder that has been calibrated; else None.
    members
        How far the members of a committee are apart on each image; None of any other finder.
    compiled
        Whether the module was called as machine code that torch's compiler made of it.
    """

    ids: tuple[str, ...]
    p_lens: NDArray[np.float64]
    logit: NDArray[np.float64]
    status: tuple[str, ...]
    clipping: Mapping[str, Clipping] = field(default_factory=dict)
    calibrated: Probabilities | None = None
    members: Disagreement | None = None
    compiled: bool = False

    def _facts(self) -> Facts:
        known = self.p_lens[np.isfinite(self.p_lens)]
        span = f"{known.min():.3g} to {known.max():.3g}" if len(known) else "none"
        return {"images": len(self.ids), "p_lens": span, "failed": len(self.failed)}

    def _rows(self) -> list[Cells]:
        rows = zip(self.ids, self.p_lens.tolist(), self.logit.tolist(), self.status, strict=True)
        return [{"id": i, "p_lens": p, "logit": z, "status": word} for i, p, z, word in islice(rows, MOST_ROWS)]

    @property
    def failed(self) -> dict[str, str]:
        """Image → why it could not be scored; empty if all could."""
        return {name: word for name, word in zip(self.ids, self.status, strict=True) if word != OK}


def score_set(
    finder: Finder,
    lens_set: Readable,
    *,
    batch_size: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    compiled: Called | None = None,
) -> Scores:
    """Score every image of a set; memory does not grow with it.

    Every batch is padded to the same shape, so that a score depends neither on the neighbours in the batch nor on
    how many there are; with another `batch_size` it moves by float32 rounding (below 1e-6) at most.

    Parameters
    ----------
    finder, lens_set
        The set must have the finder's bands and field of view.
    batch_size
        Images at a time; by default what runs fastest for the finder's size and device.
    progress
        Called with (images done, images in all) after each batch.
    compiled
        What is called in place of the module, made for batches of this size; see `lensaudit.finders.compiling`.

    Returns
    -------
    Scores
        An image with pixels that are not finite, or with a constant band, gets NaN and its reason as status.

    Raises
    ------
    DataError
        A band is missing or the field of view is another.
    UsageError
        `batch_size` is below 1.
    MachineError
        Memory ran out.
    """
    logits: list[NDArray[np.float64]] = []
    status: list[str] = []
    clipped, members = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    for batch in scored_batches(finder, lens_set, batch_size, compiled):
        logits.append(batch.logit)
        clipped.append(batch.clipped[[word == OK for word in batch.status]])
        status += batch.status
        members += [] if batch.members is None else [batch.members]
        if progress is not None:
            progress(len(status), len(lens_set))
    logit = np.concatenate(logits) if logits else np.empty(0)
    clipping = summary_of(finder, np.concatenate(clipped)) if clipped else {}
    calibrated = None if finder.calibrator is None else finder.calibrator.probabilities(logit)
    apart = Disagreement.of(np.concatenate(members), finder.recipe) if members else None
    return Scores(
        tuple(lens_set.ids), expit(logit), logit, tuple(status), clipping, calibrated, apart, compiled is not None
    )


@dataclass(frozen=True)
class ScoredBatch:
    """Scores of the next images of a set.

    Attributes
    ----------
    logit
        Log-odds of "lens", float64 (m,); NaN where the status is not ``ok``.
    status
        ``ok``, or why the image could not be scored (m).
    clipped
        Fraction of pixels below and above the limits of the stretch (m, bands, 2).
    members
        Log-odds of each member of a committee (m, members), NaN as `logit`; None of any other finder.
    """

    logit: NDArray[np.float64]
    status: tuple[str, ...]
    clipped: NDArray[np.float64]
    members: NDArray[np.float64] | None = None


Called = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]
"""Prepared images → log-odds (n,), and those of a committee's members (n, members)."""


def scored_batches(
    finder: Finder, lens_set: Readable, batch_size: int | None = None, compiled: Called | None = None
) -> Generator[ScoredBatch, None, None]:
    """Score a set batch by batch, in its order, reading ahead; for those who watch the module while it runs.

    There is one forward pass per batch, just before the batch is handed over. Its first m images are the batch's; what
    follows is padding, and an image that cannot be scored is zeros.

    Parameters and errors as in `score_set`; the errors come at once, before any image is read.
    """
    finder, size = _checked(finder, lens_set, batch_size)
    return _scored(finder, lens_set, size, partial(logit_and_members, finder) if compiled is None else compiled)


def first_batch(finder: Finder, lens_set: Readable, batch_size: int | None = None) -> torch.Tensor:
    """The first images of a set, prepared and padded as all batches are; errors as in `score_set`."""
    finder, size = _checked(finder, lens_set, batch_size)
    shape = size, finder.recipe.channels, finder.recipe.size, finder.recipe.size
    with out_of_memory_explained(size), closing(_batches(finder, lens_set, size)) as batches:
        return next((batch.images for batch in batches), torch.zeros(shape, device=finder.device))


def _checked(finder: Finder, lens_set: Readable, batch_size: int | None) -> tuple[Finder, int]:
    """The finder as it takes the set, and the images of a batch."""
    finder = finder.for_units(lens_set)
    finder.check(lens_set)
    size = default_batch_size(finder) if batch_size is None else batch_size
    if size < 1:
        raise UsageError(f"--batch {size} is not allowed; give 1 or more")
    return finder, size


def _scored(finder: Finder, lens_set: Readable, size: int, called: Called) -> Generator[ScoredBatch, None, None]:
    with out_of_memory_explained(size):
        for batch in prefetched(_batches(finder, lens_set, size)):
            yield _scored_batch(batch, called)


def default_batch_size(finder: Finder) -> int:
    """Images per batch that ran fastest: 256 on a GPU; on a CPU 16 of 66×66 pixels, 4 of 200×200, 32 for members."""
    if finder.device.type == "cuda":
        return _CUDA_BATCH
    if finder.recipe.members:
        return _ENSEMBLE_BATCH
    return min(64, max(4, round(_PIXELS_PER_BATCH / finder.recipe.size**2)))


@contextmanager
def out_of_memory_explained(batch_size: int, fix: str = "use a smaller --batch") -> Iterator[None]:
    """Turn torch's out-of-memory errors, of the GPU or the machine, into one line with the `fix`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"the GPU ran out of memory with {batch_size} images at a time; {fix}") from error
    except RuntimeError as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise OutOfMemory(f"memory ran out with {batch_size} images at a time; {fix}") from error
        raise


@dataclass(frozen=True)
class _Batch:
    """Prepared images (size, bands, h, w), zeros where one cannot be scored or is padding, and a status for each
    of the real ones, and what the stretch clips of each."""

    images: torch.Tensor
    status: list[str]
    clipped: NDArray[np.float64]


def _batches(finder: Finder, lens_set: Readable, size: int) -> Generator[_Batch, None, None]:
    """Read and prepare `size` images at a time; the last batch is filled up with zeros."""
    columns = {name: np.asarray(lens_set.column(name), np.float64) for name in finder.extra_columns}
    for first in range(0, len(lens_set), size):
        count = min(size, len(lens_set) - first)
        span = slice(first, first + count)
        cutouts = {band: _padded(lens_set.images(band, span), size) for band in finder.recipe.bands}
        extra = {name: np.pad(values[span], (0, size - count)) for name, values in columns.items()}
        yield _batch(finder, cutouts | extra, count)


def _padded(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    missing = size - len(images)
    return np.pad(images, ((0, missing), (0, 0), (0, 0))) if missing else images


@torch.inference_mode()
def _batch(finder: Finder, cutouts: Mapping[str, Any], count: int) -> _Batch:
    images, good = finder.prepare(cutouts)
    usable = good.all(dim=1).cpu().numpy()
    status = [OK if usable[row] else finder.fault(cutouts, row) for row in range(count)]
    clipped = clipped_fractions(finder, cutouts, images)[:count]
    images[np.flatnonzero(~usable)] = 0.0
    return _Batch(images, status, clipped)


@torch.inference_mode()
def _scored_batch(batch: _Batch, called: Called) -> ScoredBatch:
    """Logits and final status of the real images of a batch."""
    status = list(batch.status)
    found, each = called(batch.images)
    logits = found[: len(status)].double().cpu().numpy()
    for row, value in enumerate(logits):
        if status[row] == OK and not np.isfinite(value):
            status[row] = f"the module returned {value}"
    fine = np.equal(status, OK)
    told = None if each is None else np.where(fine[:, None], each[: len(status)].double().cpu().numpy(), np.nan)
    return ScoredBatch(np.where(fine, logits, np.nan), tuple(status), batch.clipped, told)


_NEAREST = 1e-12
"""How near to 0 and 1 a threshold on p may lie."""


def calling_at(finder: Finder, labels: ArrayLike, logits: ArrayLike, fpr: float) -> Finder:
    """The same finder with the threshold at which at most `fpr` of the non-lenses are called lenses.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens; others are left out (n,).
    logits
        Log-odds of each (n,); NaN is left out.
    fpr
        False-positive rate in (0, 1), such as the 0.01 of Lanusse et al. 2018.

    Raises
    ------
    DataError
        There are too few non-lenses for such a rate to mean anything.
    """
    label, scores = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    others = scores[(label == 0) & np.isfinite(scores)]
    if len(others) * fpr < 1:
        raise DataError(
            f"a false-positive rate of {fpr:g} needs at least {int(np.ceil(1 / fpr))} non-lenses to be set on, there "
            f"are {len(others)}; give more, or a higher rate"
        )
    highest = strict_threshold(others, allowed_false_positives(len(others), fpr))
    value = float(np.nextafter(expit(highest), 1.0))  # a lens is called from the threshold on
    recipe = finder.recipe.model_copy(update={"threshold": min(max(value, _NEAREST), 1 - _NEAREST)})
    return replace(finder, recipe=recipe)
