"""Finders: loaded, declared, trained; their scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from lensaudit import finders as room
from lensaudit.api.calling import (
    AnyData,
    Data,
    Watcher,
    as_pair,
    as_set,
    as_sets,
    counting,
    front_door,
    kept_with,
    temporary_folder,
    warn,
    watching,
)
from lensaudit.finders import Finder, Scores
from lensaudit.spread import rank_and_size

if TYPE_CHECKING:
    from lensaudit.lensset import Cutouts
    from lensaudit.training import Progress, Trained

declare_finder = front_door(room.declare_finder)


@front_door
def load_finder(
    name: str | Path, *, device: str = "auto", field_of_view: float | None = None, resample: bool = False
) -> Finder:
    """Load a finder by its name, its folder, the YAML of a network's file, or ``package.module:factory``.

    Parameters
    ----------
    name
        A built-in name such as ``ou66``, the folder of a trained finder, the YAML that declares a network's file
        (ONNX, Keras, a program of torch.export, weights), or a function of yours that declares one.
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
    data: Data | Sequence[Data],
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
        Labelled set, or a list of several of the same pixels, which are trained on together; unlabelled images are
        left out.
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
    begins = words.get("pretrained"), words.get("start")
    loaded = room.in_mode(room.load_recipe(str(recipe)), words.pop("body", None), *begins)
    cache, restart = words.pop("cache", None), bool(words.pop("restart", False))
    protocol = loaded.training.quickened() if words.pop("quick", False) else loaded.training
    chosen = TrainingOptions.of(protocol, **words)
    room.choose_device(device)
    first, *further = as_sets(data)
    chosen_on, measured_on = (None if one is None else as_set(one) for one in (validation, test))
    sets = TrainingData(first, chosen_on, measured_on, tuple(further))
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
    data: AnyData,
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
    return scored(loaded, opened, batch_size, progress)


def scored(finder: Finder, data: Cutouts, batch_size: int | None, progress: bool | Watcher) -> Scores:
    """Scores, with a warning for pixels that the stretch clips."""
    with watching(progress) as watch:
        report = counting(watch, f"scoring with {finder.name}")
        scores = room.score_set(finder, data, batch_size=batch_size, progress=report)
    for remark in room.remarks_on(finder.name, scores.clipping):
        warn(f"{data.path}: {remark}")
    return scores
