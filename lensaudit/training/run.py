"""Training a finder, from a lens set to a folder that ``load_finder`` opens."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from lensaudit.errors import MachineError, UsageError
from lensaudit.files import writable_folder
from lensaudit.finders import Finder, FinderRecord, Recipe, body_facts, load_finder, read_record
from lensaudit.finders.architectures import TRAIN, architecture
from lensaudit.finders.recipe import CUSTOM
from lensaudit.finders.store import FINDER_FILE
from lensaudit.records import MOST_ROWS, Cells, Facts, Shown, rows_of
from lensaudit.training.augment import TURNS_AN_ANGLE
from lensaudit.training.checkpoint import Checkpoint, EpochRow, read_history
from lensaudit.training.finish import Finish, finish
from lensaudit.training.fit import Files, Fit, threads
from lensaudit.training.group import check_processes
from lensaudit.training.loop import Report, serve_job
from lensaudit.training.network import refuse_seen, split_seed
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.prepared import Advance
from lensaudit.training.sets import TrainingData, fit_to, prepare


@dataclass(frozen=True)
class Place:
    """Where a training writes.

    Attributes
    ----------
    out
        Becomes the finder's folder; the state of an unfinished training lies in ``out/training``.
    cache
        Folder for prepared images, kept and shared between trainings; None for ``out/training``, removed at the end.
    restart
        Forget an earlier training there.
    """

    out: Path
    cache: Path | None = None
    restart: bool = False


@dataclass(frozen=True)
class Watch:
    """What the progress is reported to: ``prepared(done, n)``, ``stepped(progress, steps)``, ``measured(done, n)``."""

    prepared: Advance | None = None
    stepped: Report | None = None
    measured: Advance | None = None


@dataclass(frozen=True, repr=False)
class Trained(Shown):
    """A finished training: the finder, what ``finder.yaml`` says, and one row per epoch."""

    finder: Finder
    record: FinderRecord
    history: list[EpochRow]

    def _facts(self) -> Facts:
        losses = [row.validation_loss for row in self.history]
        best = {"lowest validation loss": min(losses)} if losses else {}
        return {"finder": self.finder.name, "origin": self.finder.origin, "epochs": len(self.history), **best}

    def _rows(self) -> list[Cells]:
        return rows_of(self.history[-MOST_ROWS:])


def train(
    recipe: Recipe,
    data: TrainingData,
    place: Place,
    options: TrainingOptions | None = None,
    machine: Machine | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Train `recipe` by the protocol of Wilde et al. 2022, or go on with a training that was stopped.

    The weights kept are those after the epoch with the lowest validation loss. Stopped at any moment, the same call
    goes on and ends with the weights of an uninterrupted run (bit-equal on the CPU with the same threads). So it does
    with another number of processes, up to the rounding of sums.

    Parameters
    ----------
    recipe
        A finder of a built-in architecture.
    data, place
        What to read and where to write.
    options
        By default the recipe's own protocol.
    machine
        By default the GPU if there is one, one process, with torch's number of threads.

    Raises
    ------
    UsageError
        The folder holds another training, or the loss is not a number.
    DataError
        A set is of another instrument, lacks a class, or holds images that cannot be scaled.
    MachineError
        The disk is too small for the prepared images, or one of several processes died.
    """
    options, machine = options or TrainingOptions.of(recipe.training), machine or Machine()
    if recipe.architecture == CUSTOM:
        raise UsageError(f"finder {recipe.name}: your own module cannot be trained here; recipes of built-in ones can")
    if recipe.members:
        names = " ".join(member.name for member in recipe.members)
        raise UsageError(
            f"finder {recipe.name}: is made of trained finders; make it with lensaudit ensemble {names} --data SET "
            f"--out DIR"
        )
    trained_by = architecture(recipe.architecture).trained_by
    if trained_by != TRAIN:
        raise UsageError(f"finder {recipe.name}: is not trained on labels; train it with {trained_by} SET --out DIR")
    if options.start is not None and options.pretrained is not None:
        raise UsageError("--start brings a body of its own; leave --pretrained away, or --start")
    if options.augment in TURNS_AN_ANGLE and recipe.extra_inputs:
        raise UsageError(
            f"augmentation {options.augment} turns images by any angle, which {', '.join(recipe.extra_inputs)} does "
            f"not follow; take dihedral, or a recipe without extra_inputs"
        )
    check_processes(machine.processes, machine.device, options.batch_size)
    untrained = Finder(recipe, nn.Identity(), "training")
    data.check(untrained)
    for option, measuring in (("--validation", data.validation), ("--test", data.test)):
        if options.start is not None and measuring is not None:
            refuse_seen(options.start, option, measuring)
    files = Files(writable_folder(place.out))
    fit = _fit_for(recipe, data, files, options, machine, place.restart)
    if done := _finished(fit, data):
        return done
    watch = watch or Watch()
    with threads(fit.machine.threads, fit.machine.processes):
        measured, statistics = fit_to(data.trained_on, recipe)
        untrained = replace(untrained, recipe=measured, statistics=statistics)
        split = prepare(data, untrained, options, place.cache or files.work, watch.prepared)
        progress = fit.run(split, watch.stepped)
        finder, record = finish(Finish(fit, progress, split, data, untrained), watch.measured)
    for folder in files.work.glob("prepared-*"):
        shutil.rmtree(folder)
    return Trained(finder, record, progress.history)


def _fit_for(
    recipe: Recipe, data: TrainingData, files: Files, options: TrainingOptions, machine: Machine, restart: bool
) -> Fit:
    identity = _identity(recipe, data, options)
    if restart and files.work.exists():
        shutil.rmtree(files.work)
    found = Checkpoint.read(files.checkpoint) if files.checkpoint.is_file() else None
    if found is None and not restart and (files.out / FINDER_FILE).is_file():
        raise UsageError(f"{files.out}: holds a finder already; choose another --out, or add --restart to replace it")
    if found is not None:
        found.refuse_other(files.checkpoint, identity)
    return Fit(recipe, options, machine, files, identity, found)


def _identity(recipe: Recipe, data: TrainingData, options: TrainingOptions) -> dict[str, Any]:
    words = recipe.model_dump(mode="json", exclude={"training"})
    return {
        **{f"recipe {name}": value for name, value in words.items()},
        "data": data.content_hash,
        "validation": None if data.validation is None else data.validation.content_hash,
        **options.identity(),
        **_split(data, options),
        **({} if options.start is not None else body_facts(recipe, options.pretrained)),
    }


def _split(data: TrainingData, options: TrainingOptions) -> dict[str, Any]:
    """The seed of the split, where it is another than that of the training."""
    seed = options.seed if data.validation is not None else split_seed(options, data.content_hash)
    return {} if seed == options.seed else {"split_seed": seed}


def _finished(fit: Fit, data: TrainingData) -> Trained | None:
    """The finder in the folder, if it is what this training would end with, measured on the same sets."""
    found = fit.earlier
    if (
        found is None
        or not fit.options.is_over(found.progress.epoch, found.progress.validation_losses)
        or not (fit.files.out / FINDER_FILE).is_file()
    ):
        return None
    record = read_record(fit.files.out)
    test = None if data.test is None else data.test.content_hash
    same = record.metrics.epochs == found.progress.epoch and record.training_data.test_set == test
    if not same or record.metrics.validation is None:
        return None
    return ended_in(fit.files.out)


def follow(out: Path | str | None, device: str) -> Trained:
    """Take part in the trainings of a job's first process; what it left in the folder `out`.

    Raises
    ------
    UsageError
        There is no folder.
    MachineError
        A process died.
    """
    if out is None:
        raise UsageError("--out: is needed where torchrun starts several processes; all of them read it at the end")
    if serve_job(device):
        raise MachineError("another process of the job died; run the same command again to go on")
    return ended_in(Path(out))


def ended_in(out: Path) -> Trained:
    """What a finished training left in the folder `out`."""
    return Trained(load_finder(str(out)), read_record(out), read_history(Files(out).history))
