"""Finders: loaded, declared, trained; scores, metrics and the selection function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from lensaudit import finders as room
from lensaudit.api.calling import (
    Data,
    Watcher,
    as_pair,
    as_set,
    counting,
    front_door,
    kept_with,
    of_this_set,
    temporary_folder,
    warn,
    watching,
)
from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Scores
from lensaudit.spread import rank_and_size

if TYPE_CHECKING:
    from lensaudit.evaluation import Evaluation
    from lensaudit.evaluation.selection import SelectionFunction
    from lensaudit.lensset import LensSet
    from lensaudit.training import Progress, Trained

declare_finder = front_door(room.declare_finder)


@front_door
def load_finder(
    name: str | Path, *, device: str = "auto", field_of_view: float | None = None, resample: bool = False
) -> Finder:
    """Load a finder by its name, its folder, or ``package.module:factory``.

    Parameters
    ----------
    name
        A built-in name such as ``ou66``, the folder of a trained finder, or a function of yours that declares one.
    device
        ``auto`` (the GPU if there is one), ``cpu`` or ``cuda``.
    field_of_view
        Width of the cutouts in arcsec, where the finder was trained on another.
    resample
        Take pixels of another scale than it was trained on, resampled to its own.

    Returns
    -------
    Finder
        In evaluation mode; nothing in the folder is executed.

    Raises
    ------
    UsageError
        There is no such finder, or it has no weights yet. Also a `ValueError`.
    DataError
        Its files are torn or do not fit together. Also a `ValueError`.

    See Also
    --------
    declare_finder : a finder from your own torch module.
    train : a finder from a recipe and a set.

    Examples
    --------
    >>> import lensaudit as la
    >>> finder = la.load_finder("ou66", device="cpu")
    >>> finder.recipe.bands, finder.recipe.size
    (('J', 'Y', 'H', 'VIS'), 66)
    """
    return room.load_finder(str(name), device).for_field(field_of_view, resample)


class TrainOptions(TypedDict, total=False):
    """What may differ from the recipe's protocol; see `lensaudit.training.TrainingOptions` for each.

    Attributes
    ----------
    quick
        Take the recipe's quick protocol: few epochs, for a first look.
    body
        Of a transfer finder: ``random``, ``fine-tuned`` or ``frozen``; by default as the recipe says.
    restart
        Forget an earlier training in `out`.
    cache
        Folder for prepared images, kept and shared between trainings; by default they go with the training's end.
    processes
        That each batch is divided over, one a GPU; under ``torchrun`` it is those, and `out` is needed.
    """

    quick: bool
    processes: int
    body: str
    restart: bool
    cache: Path | str
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    augment: str
    inputs: str
    seed: int
    class_weights: str
    validation_fraction: float
    start: str
    pretrained: str
    dropout: float
    precision: str
    balanced_batches: bool
    patience: int
    threshold_fpr: float
    half: bool


@front_door
def train(
    recipe: str | Path,
    data: Data,
    *,
    out: Path | str | None = None,
    validation: Data | None = None,
    test: Data | None = None,
    device: str = "auto",
    progress: bool | Watcher = False,
    **options: Unpack[TrainOptions],
) -> Trained:
    """Train a finder by its recipe's protocol.

    Parameters
    ----------
    recipe
        A built-in name, a ``recipe.yaml`` or its folder.
    data
        Labelled set; unlabelled images are left out.
    out
        Becomes the finder's folder; a stopped training there goes on. None: a folder that is removed with the result.
    validation
        Set that chooses the epoch; by default a part of `data`.
    test
        Set that is measured once at the end.
    device
        ``auto``, ``cpu`` or ``cuda``.
    progress
        Whether to show bars, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.finders.TrainOptions`.

    Returns
    -------
    Trained
        ``finder``, its ``record`` (metrics of validation and test) and ``history``, a row per epoch.

    Raises
    ------
    UsageError
        An option is out of range, `out` holds another training, or the loss is not a number. Also a `ValueError`.
    DataError
        A set is of another instrument, lacks a class, or holds images that cannot be scaled. Also a `ValueError`.

    See Also
    --------
    load_finder : the finder from its folder.

    Examples
    --------
    >>> import lensaudit as la
    >>> data = la.simulate("euclid", n=40, seed=1)
    >>> trained = la.train("ou66", data, epochs=1, batch_size=8, validation_fraction=0.2, device="cpu")
    >>> trained.finder.name, len(trained.history)
    ('ou66', 1)
    """
    from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, Watch, follow, together
    from lensaudit.training import train as run

    if rank_and_size()[0] > 0:
        return follow(out, device)
    words: dict[str, Any] = dict(options)
    if strange := words.keys() - TrainOptions.__annotations__.keys():
        raise TypeError(f"train() got an unexpected keyword argument '{min(strange)}'")
    machine = Machine(device, processes=words.pop("processes", 1))
    loaded = room.in_mode(room.load_recipe(str(recipe)), words.pop("body", None), words.get("pretrained"))
    cache, restart = words.pop("cache", None), bool(words.pop("restart", False))
    protocol = loaded.training.quickened() if words.pop("quick", False) else loaded.training
    chosen = TrainingOptions.of(protocol, **words)
    room.choose_device(device)
    sets = TrainingData(as_set(data), *(None if one is None else as_set(one) for one in (validation, test)))
    where = temporary_folder(loaded.name) if out is None else Path(out)
    with together(device=device), watching(progress) as watch:

        def stepped(at: Progress, steps: int) -> None:
            watch("training", at.epoch * steps + at.batch, chosen.epochs * steps)

        told = Watch(counting(watch, "preparing images"), stepped, counting(watch, "measuring"))
        trained = run(loaded, sets, Place(where, cache and Path(cache), restart), chosen, machine, told)
    return trained if out is not None else kept_with(trained, where)


@front_door
def score(
    finder: Finder | str | Path,
    data: Data,
    *,
    batch_size: int | None = None,
    refit: bool = False,
    progress: bool | Watcher = False,
) -> Scores:
    """Score every image of a set; memory does not grow with it.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A set, or its folder. It must have the finder's bands, and its field of view to 3 %.
    batch_size
        Images at a time; by default what runs fastest. Scores do not depend on it beyond float32 rounding (1e-6).
    refit
        Take the statistics of the finder's stretch from this set: its pixels have another unit.
    progress
        Whether to show a bar, or a function called with (stage, done, total).

    Returns
    -------
    Scores
        ``ids``, ``p_lens`` in [0, 1] and ``logit``, float64 (n,); NaN and a ``status`` where an image cannot be scored.

    Raises
    ------
    DataError
        A band is missing, or the field of view or the pixels are others. Also a `ValueError`.
    OutOfMemory
        Memory ran out. Also a `MemoryError`.

    See Also
    --------
    evaluate : metrics of the scores where labels are known.

    Examples
    --------
    >>> import lensaudit as la
    >>> scores = la.score("ou66", la.simulate("euclid", n=4, seed=7))
    >>> scores.p_lens.shape, scores.failed
    ((4,), {})
    """
    loaded, opened = as_pair(finder, data, refit)
    return _scored(loaded, opened, batch_size, progress)


def _scored(finder: Finder, data: LensSet, batch_size: int | None, progress: bool | Watcher) -> Scores:
    with watching(progress) as watch:
        report = counting(watch, f"scoring with {finder.name}")
        scores = room.score_set(finder, data, batch_size=batch_size, progress=report)
    for remark in room.remarks_on(finder.name, scores.clipping):
        warn(f"{data.path}: {remark}")
    return scores


@front_door
def evaluate(
    finder: Finder | str | Path,
    data: Data,
    *,
    scores: Scores | None = None,
    threshold: float | None = None,
    beta: float = 0.03,
    seed: int = 0,
    progress: bool | Watcher = False,
) -> Evaluation:
    """Measure a finder on labelled images: accuracy, precision, recall, Fβ, AUROC, TPR0, TPR10 and TPR at FPR 1 %.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A set with labels, or its folder; unlabelled images are left out and counted.
    scores
        Of `score` for this finder and set, to save scoring.
    threshold
        Lowest p of a lens, in [0, 1]; by default the finder's.
    beta
        β of Fβ; 0.03 in Wilde et al. 2022.
    seed
        Of the bootstrap.
    progress
        Whether to show a bar, or a function called with (stage, done, total).

    Returns
    -------
    Evaluation
        Each metric with its 95 % interval; NaN with a status where it does not exist.

    Raises
    ------
    UsageError
        `scores` are of other images, or `threshold` is out of range. Also a `ValueError`.
    DataError
        The finder cannot take the set as input. Also a `ValueError`.

    See Also
    --------
    selection_function : which lenses are found.
    compare : several finders on the same images.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.evaluate("ou66", la.simulate("euclid", n=60, seed=7))
    >>> auroc = found.metric("auroc")
    >>> bool(auroc.low <= auroc.value <= auroc.high)
    True
    """
    from lensaudit.evaluation import evaluate as measure

    if not beta >= 0:
        raise UsageError(f"beta {beta}: must be 0 or more")
    loaded, opened = as_pair(finder, data)
    p = _threshold(loaded, threshold)
    scores = of_this_set(scores, opened) or _scored(loaded, opened, None, progress)
    return measure(opened.labels, scores.p_lens, scores.logit, threshold=p, beta=beta, seed=seed)


def _threshold(finder: Finder, given: float | None) -> float:
    if given is not None and not 0 <= given <= 1:
        raise UsageError(f"threshold {given}: must lie between 0 and 1")
    return finder.recipe.threshold if given is None else given


@front_door
def selection_function(
    finder: Finder | str | Path,
    data: Data,
    *,
    scores: Scores | None = None,
    threshold: float | None = None,
    fpr: float | None = None,
    seed: int = 1,
    progress: bool | Watcher = False,
) -> SelectionFunction:
    """Measure which lenses a finder selects: recall over two parameters, medians, and what drives it.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A simulated set, or its folder; θ_E and sizes in arcsec, magnitudes AB.
    scores
        Of `score` for this finder and set, to save scoring.
    threshold
        Lowest p of a lens, in [0, 1]; by default the finder's.
    fpr
        In its place: the highest false-positive rate among the set's non-lenses, in [0, 1].
    seed
        Of the bootstrap and the folds.
    progress
        Whether to show a bar, or a function called with (stage, done, total).

    Returns
    -------
    SelectionFunction
        Recall maps, medians of selected lenses at several thresholds, and a logistic model of what drives selection.

    Raises
    ------
    UsageError
        Both thresholds are given, or one is out of range. Also a `ValueError`.
    DataError
        The set has no lens that could be scored, or no truth. Also a `ValueError`.

    See Also
    --------
    probe : what one change of the same lenses does to the score.

    References
    ----------
    Herle A., O'Riordan C. M., Vegetti S., 2024, MNRAS 534, 1093.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.selection_function("ou66", la.simulate("euclid", n=100, seed=7), fpr=0.1)
    >>> found.cut.threshold.words
    'FPR ≤ 10 %'
    """
    from lensaudit.evaluation.selection import LADDER, Threshold, require_truth
    from lensaudit.evaluation.selection import selection_function as measure

    if threshold is not None and fpr is not None:
        raise UsageError("threshold and fpr: give one of them; each fixes the other")
    require_truth(as_set(data))  # before minutes of scoring
    loaded, opened = as_pair(finder, data)
    asked = Threshold(_threshold(loaded, threshold)) if fpr is None else Threshold(fpr, "fpr")
    scores = of_this_set(scores, opened) or _scored(loaded, opened, None, progress)
    return measure(scores, opened, (asked, *LADDER), seed=seed)
