"""Asking finders about every arm of an experiment, block by block; what they said is kept, the images are not.

Memory does not grow with the number of systems. An interrupted run goes on with the blocks it lacks, and another
finder is asked about the same pairs, rendered again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lensaudit import __version__
from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, score_set
from lensaudit.finders.running import travels
from lensaudit.finders.score_parts import with_threads
from lensaudit.imaging import Column
from lensaudit.kept import Piece, TableForm, key_of
from lensaudit.probes.experiment import Block, Experiment, Fields, MakeBlock
from lensaudit.probes.steps import Arm
from lensaudit.spread import cluster, spread
from lensaudit.untrusted import file_stem, path_within

PARTS = "parts"
TYPES = {"int8": np.int64, "int64": np.int64, "float64": np.float64}


class ChangesNothing(UsageError):
    """A treated arm is the same as the control in every pixel that is looked at."""


@dataclass(frozen=True)
class Answers:
    """What one finder said of all systems in all arms.

    Attributes
    ----------
    logit
        Log-odds of "lens", float64 (arms, n).
    changed
        Pixels (arms, n) of the first band that differ from the control by more than 0.5 σ.
    truth
        Truth column → values (arms, n).
    """

    logit: NDArray[np.float64]
    changed: NDArray[np.int64]
    truth: Mapping[str, NDArray[Any]]


def collect(
    experiment: Experiment,
    finders: Sequence[Finder],
    folder: Path,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    batch: int | None = None,
) -> list[Answers]:
    """Render what is missing, once for all finders, and ask each of them.

    Parameters
    ----------
    folder
        Where the answers are kept, under ``parts``.
    progress
        Told (systems done, systems in all).
    batch
        Images that a finder scores at a time; None takes what runs fastest.

    Returns
    -------
    list of Answers
        One per finder.

    Raises
    ------
    ChangesNothing
        A treated arm is the same as the control in every pixel of a block.
    UsageError
        An edit refuses a scene.
    DataError
        A finder's answer is not finite.
    """
    places = [_place(experiment, finder, folder) for finder in finders]
    missing = [k for k in range(experiment.chunks) if any(_kept(experiment, place, k) is None for place in places)]
    n = experiment.source.n
    done = n - sum(_span(experiment, k) for k in missing)
    if progress is not None:
        progress(done, n)
    with closing(_asked(AskBlock(experiment, tuple(finders), batch), missing, workers)) as blocks:
        for block, logits in blocks:
            for logit, place in zip(logits, places, strict=True):
                _keep(logit, block, place, experiment.source.columns)
            done += _span(experiment, block.chunk)
            if progress is not None:
                progress(done, n)
    return [_gathered(experiment, place) for place in places]


@dataclass(frozen=True)
class AskBlock:
    """Makes one block and asks the finders about it; picklable where they travel, with one thread the same anywhere.

    Images stay where they were made: moving them takes about as long as scoring them.
    """

    experiment: Experiment
    finders: tuple[Finder, ...]
    batch: int | None

    @property
    def make(self) -> MakeBlock:
        """What makes a block with all bands that one of the finders takes."""
        return MakeBlock(
            self.experiment, tuple(dict.fromkeys(band for one in self.finders for band in one.recipe.bands))
        )

    def __call__(self, chunk: int) -> tuple[Block, list[NDArray[np.float64]]]:
        """Block `chunk` without its images, and the logits (arms, m) of each finder."""
        block = self.make(chunk)
        with with_threads(1):
            logits = self.asked(block)
        return replace(block, images={}), logits

    def asked(self, block: Block) -> list[NDArray[np.float64]]:
        """Logits (arms, m) of each finder, if the arms differ."""
        _check_changes(self.experiment, block)
        return [_answers(self.experiment, finder, block, self.batch) for finder in self.finders]


def _asked(
    ask: AskBlock, missing: Sequence[int], workers: int
) -> Generator[tuple[Block, list[NDArray[np.float64]]], None, None]:
    """Blocks and logits as they come: of other processes where there are some and the finders can go there."""
    if (workers > 1 or cluster()) and all(type(one) is Finder and travels(one.module) for one in ask.finders):
        yield from spread(ask, missing, workers)
        return
    with closing(spread(ask.make, missing, workers)) as blocks:
        for block in blocks:
            yield block, ask.asked(block)


def systems_left(experiment: Experiment, finder: Finder, folder: Path) -> int:
    """How many systems of the experiment no earlier run into `folder` has asked the finder about."""
    place = _place(experiment, finder, folder)
    chunks = range(experiment.chunks) if place.is_dir() else ()
    return experiment.source.n - sum(_span(experiment, k) for k in chunks if _kept(experiment, place, k) is not None)


def _part(chunk: int) -> str:
    return f"{chunk:05d}.parquet"


def _place(experiment: Experiment, finder: Finder, folder: Path) -> Path:
    """A folder of its own for all that the answers depend on."""
    recipe = finder.recipe.model_dump(mode="json")
    words = [
        repr(experiment.source),
        [repr(arm) for arm in experiment.arms],
        experiment.inputs,
        finder.weights_hash,
        recipe,
        __version__,
    ]
    if finder.given_field_arcsec is not None:
        words.append(repr(finder.given_field_arcsec))
    key = key_of(words)[:16]
    return path_within(Path(folder), PARTS, f"{file_stem(experiment.source.name)}-{key}")


def _span(experiment: Experiment, chunk: int) -> int:
    from lensaudit.probes.experiment import CHUNK

    return min((chunk + 1) * CHUNK, experiment.source.n) - chunk * CHUNK


def _check_changes(experiment: Experiment, block: Block) -> None:
    """An edit that changes nothing asks nothing; better said at once than after the last block."""
    control, last = experiment.arms[0], block.first + block.changed.shape[1] - 1
    for arm, equal in zip(experiment.arms, block.equal, strict=True):
        if equal and not arm.is_identity and arm.steps != control.steps:
            raise ChangesNothing(
                f"{arm.describe()} changes no pixel of systems {block.first} … {last} against the control; give it "
                "another strength, or leave it out"
            )


@dataclass(frozen=True)
class _Cutouts:
    """Images of one block as a set that can be scored: all systems of the first arm, then of the next."""

    fields: Fields
    block: Block
    ids: tuple[str, ...]

    @property
    def bands(self) -> tuple[str, ...]:
        return self.fields.bands

    @property
    def pixel_scale_arcsec(self) -> dict[str, float]:
        return self.fields.pixel_scale_arcsec

    @property
    def shape(self) -> dict[str, tuple[int, int]]:
        return self.fields.shape

    @property
    def instrument(self) -> str:
        return self.fields.instrument

    @property
    def pixel_units(self) -> dict[str, str]:
        return self.fields.pixel_units

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> NDArray[Any]:
        return np.array([row[name] for rows in self.block.truth for row in rows])

    def images(self, band: str, index: slice) -> NDArray[np.float32]:
        images = self.block.images[band]
        flat: NDArray[np.float32] = images.reshape(-1, *images.shape[2:])[index]
        return flat


def _answers(experiment: Experiment, finder: Finder, block: Block, batch: int | None) -> NDArray[np.float64]:
    """Logits (arms, m) of one block."""
    source, arms = experiment.source, experiment.arms
    m = block.changed.shape[1]
    ids = tuple(f"{source.id(block.first + k)}, {_name(arm)}" for arm in arms for k in range(m))
    scores = score_set(finder, _Cutouts(source.fields, block, ids), batch_size=batch)
    if scores.failed:
        which, why = next(iter(scores.failed.items()))
        raise DataError(
            f"finder '{finder.name}' cannot score {len(scores.failed)} of {len(ids)} images, the first is {which}: "
            f"{why}; check its weights and --stretch"
        )
    return scores.logit.reshape(len(arms), m)


def _name(arm: Arm) -> str:
    return "control" if arm.dose is None else f"dose {arm.dose:g}"


def _keep(logit: NDArray[np.float64], block: Block, place: Path, truth: Sequence[Column]) -> None:
    arms, m = logit.shape
    columns: dict[str, Any] = {
        "arm": np.repeat(np.arange(arms), m),
        "index": np.tile(np.arange(block.first, block.first + m), arms),
        "logit": logit.ravel(),
        "changed": block.changed.ravel(),
    }
    columns |= truth_table([row for rows in block.truth for row in rows], truth)
    Piece(place / _part(block.chunk), TableForm[pa.Table](compression="zstd")).write(pa.table(columns))


def _kept(experiment: Experiment, place: Path, chunk: int) -> pa.Table | None:
    """A part of an earlier run; None where it is missing, torn or changed, and is made again."""

    def whole(table: pa.Table) -> pa.Table:
        names = {"logit", "changed", *(column.name for column in experiment.source.columns)}
        if len(table) != len(experiment.arms) * _span(experiment, chunk) or not names <= set(table.column_names):
            raise ValueError("other systems or columns")
        return table

    return Piece(place / _part(chunk), TableForm(decode=whole)).load()


def truth_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> dict[str, Any]:
    """Truth rows as columns for a table: words as they are, all numbers as float64."""
    values = {column: [row[column.name] for row in rows] for column in columns}
    return {c.name: found if c.dtype == "str" else np.array(found, dtype=np.float64) for c, found in values.items()}


def _gathered(experiment: Experiment, place: Path) -> Answers:
    """All parts together, in the order of the systems."""
    tables = [table for k in range(experiment.chunks) if (table := _kept(experiment, place, k)) is not None]
    if len(tables) < experiment.chunks:
        raise DataError(f"{place}: changes while it is read; run one command at a time into it, then run it again")
    shape = (len(experiment.arms), -1)

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([np.asarray(table.column(name).to_pylist()).reshape(shape) for table in tables], axis=1)

    columns = experiment.source.columns
    truth = typed({c.name: joined(c.name) for c in columns}, columns)
    return Answers(joined("logit").astype(np.float64), joined("changed").astype(np.int64), truth)


def typed(truth: dict[str, NDArray[Any]], columns: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """Truth columns in their own types, whole numbers where nothing is missing; on disk all numbers are float64."""
    for column in columns:
        if column.dtype != "str" and not np.isnan(truth[column.name]).any():
            truth[column.name] = truth[column.name].astype(TYPES.get(column.dtype, np.float64))
    return truth
