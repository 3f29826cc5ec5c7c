"""Scoring into a folder of parts: any number of images, in any number of processes, taken up where it stopped.

Parts are independent: each is read, scored and written by itself with one thread, so its bytes depend neither on the
number of processes nor on interruptions. Nothing that is held grows with the number of images.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import current_process
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import DataError, UsageError
from lensaudit.files import explained
from lensaudit.finders.committee import Disagreement
from lensaudit.finders.compiling import Compiled, compiled
from lensaudit.finders.finder import Finder
from lensaudit.finders.load import load_finder
from lensaudit.finders.prior import with_prior
from lensaudit.finders.refit import refitted, summary_of
from lensaudit.finders.score import OK, Readable, first_batch, scored_batches
from lensaudit.finders.scores_file import MORE, SCHEMA, calibrated_columns, member_columns
from lensaudit.kept import key_of
from lensaudit.lensset import Cutouts, open_cutouts, sky_positions
from lensaudit.parts import AT_ONCE, INDEX, PartedTable, PartsIndex
from lensaudit.provenance import Clipping
from lensaudit.spread import Progress, spread
from lensaudit.untrusted import printable

_CLIPPED = b"lensaudit-clipped"
_HASHES = 1 << 22
"""Of ids that are compared at once, 32 MB."""
_OF_IDS = ".ids-"
"""First of the name of the folder they lie in while they are compared."""
_ENOUGH = 1000
"""Doubled ids of one file that are looked for, of which one is told; images of a first batch."""


class _Span:
    """The systems from `first` on, as scoring reads them."""

    has_wcs = False  # one costs 2 ms an image; positions are those of the catalogue

    def __init__(self, whole: Cutouts, span: slice) -> None:
        self._whole, self._span = whole, span
        self.bands, self.instrument, self.columns = whole.bands, whole.instrument, whole.columns
        self.shape, self.pixel_scale_arcsec, self.pixel_units = whole.shape, whole.pixel_scale_arcsec, whole.pixel_units

    def __len__(self) -> int:
        return int(self._span.stop - self._span.start)

    @property
    def ids(self) -> list[str]:
        return self._whole.ids_in(self._span)

    def images(self, band: str, index: slice) -> NDArray[np.float32]:
        first, stop, _ = index.indices(len(self))
        return self._whole.images(band, slice(self._span.start + first, self._span.start + stop))

    def column(self, name: str) -> NDArray[Any]:
        some: Callable[[str, slice], NDArray[Any]] | None = getattr(self._whole, "column_in", None)
        return self._whole.column(name)[self._span] if some is None else some(name, self._span)


def first_of(finder: Finder, whole: Cutouts, batch: int | None) -> torch.Tensor:
    """The first batch of all, prepared."""
    return first_batch(finder, _Span(whole, slice(0, min(len(whole), batch or _ENOUGH))), batch)


class ReadAs(Protocol):
    """How a finder reads a set: the options of that name."""

    @property
    def field_of_view(self) -> float | None: ...
    @property
    def resample(self) -> bool: ...
    @property
    def refit(self) -> bool: ...
    @property
    def device(self) -> Any: ...
    @property
    def threads(self) -> int | None: ...


@dataclass(frozen=True)
class ScorePart:
    """Scores one part and writes it; picklable, as it goes to other processes.

    Attributes
    ----------
    finder, lens_set
        Names as they are opened: paths are absolute.
    reading
        The options of that name.
    table
        Where parts go; its key says what they rest on.
    prior, trained
        Fraction of lenses that p is also given for, and the one the finder was trained to expect.
    compiled
        Whether the module is compiled, in each process by itself.
    """

    finder: str
    lens_set: Path
    reading: ReadAs
    table: PartedTable
    batch: int | None = None
    prior: float | None = None
    trained: float = 0.5
    compiled: bool = False

    def __call__(self, part: int) -> tuple[int, str]:
        """(number of the part, digest of its rows)."""
        held = _opened(self)
        with with_threads(self.reading.threads or 1):
            if self.compiled and held.quick is None:
                held.quick = compiled(held.finder, first_of(held.finder, held.whole, self.batch))
            some = _Span(held.whole, self.table.index.span(part))
            self.table.piece(part).write(self.scored(held.finder, some, held.quick))
        return part, self.table.digest(part)

    def scored(self, finder: Finder, some: Readable, quick: Compiled | None = None) -> pa.Table:
        """The rows of some images; what the stretch clips of them stands in the metadata."""
        logits, status, clipped = [np.empty(0)], list[str](), np.zeros((len(finder.recipe.bands), 2))
        members = list[NDArray[np.float64]]()
        for batch in scored_batches(finder, some, self.batch, quick):
            logits.append(batch.logit)
            members += [] if batch.members is None else [batch.members]
            status += batch.status
            clipped += batch.clipped[[word == OK for word in batch.status]].sum(axis=0)
        logit = np.concatenate(logits)
        columns: dict[str, Any] = {"id": list(some.ids), "p_lens": expit(logit), "logit": logit}
        columns["status"] = [printable(word).strip() for word in status]
        if self.prior is not None:
            columns["p_lens_prior"] = with_prior(columns["p_lens"], self.prior, self.trained)
        if finder.calibrator is not None:
            columns |= calibrated_columns(finder.calibrator.probabilities(logit, self.prior))
        if members:
            columns |= member_columns(Disagreement.of(np.concatenate(members), finder.recipe))
        if (sky := sky_positions(some)) is not None:  # type: ignore[arg-type]  # what it asks of a set is there
            columns |= {"ra": sky[0], "dec": sky[1]}
        fields = [*SCHEMA, *(one for name, one in MORE.items() if name in columns)]
        facts = {"scored": status.count(OK), "clipped": clipped.tolist()}
        schema = pa.schema(fields, {_CLIPPED: json.dumps(facts).encode()})
        return pa.table([pa.array(columns[one.name]).cast(one.type) for one in fields], schema)


@dataclass
class _Held:
    """Of this process: finder and set, opened once for all parts, and what is called in place of the module."""

    finder: Finder
    whole: Cutouts
    quick: Compiled | None = None


_held: dict[str, _Held] = {}


def _opened(task: ScorePart) -> _Held:
    key = task.table.index.key
    if key not in _held:
        whole = open_cutouts(task.lens_set)
        _held[key] = _Held(finder_in_worker(task.finder, task.reading, whole), whole)
    return _held[key]


def finder_in_worker(name: str, reading: ReadAs, first: Cutouts) -> Finder:
    """The finder as another process opens it, for sets of which `first` is the first, on a GPU of its own."""
    own_gpu()
    loaded = load_finder(name, reading.device).for_field(reading.field_of_view, reading.resample)
    return refitted(loaded, first) if reading.refit else loaded.for_units(first)


def own_gpu() -> None:
    """Have a worker process take a GPU of its own, by its number among them, where there are several."""
    number = getattr(current_process(), "_identity", ())
    if number and torch.cuda.device_count() > 1:
        torch.cuda.set_device((number[-1] - 1) % torch.cuda.device_count())


@contextmanager
def with_threads(n: int) -> Iterator[None]:
    """Have torch use so many CPU threads inside: with one, bytes depend on nothing but the images."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Ranked:
    """One of the highest scores; `more` are the columns beside it that there are."""

    id: str
    p_lens: float
    logit: float
    more: dict[str, float]


@dataclass
class Summary:
    """What is said of all parts: images in all and not scored, the first of these, and the highest scores.

    Attributes
    ----------
    top
        The highest log-odds, the highest first.
    """

    n: int = 0
    failed: int = 0
    first_failed: tuple[str, str] = ("", "")
    top: list[Ranked] = field(default_factory=list)


def score_into(
    task: ScorePart,
    opened: tuple[Finder, Cutouts],
    workers: int | str,
    progress: Progress = lambda done, total: None,
    quick: Compiled | None = None,
) -> PartedTable:
    """Score all parts that are not there yet; returns the table, its index not yet written to the end.

    Parameters
    ----------
    task
        What is done of each.
    opened
        Finder and set, as this process has opened them.
    workers
        Processes, or the address of a dask scheduler whose workers see finder, set and folder.
    progress
        Called with (images done, images in all).
    quick
        The module as this process has compiled it, if it has and the task says so.

    Raises
    ------
    DataError
        An id is there twice.
    MachineError
        A worker died, the scheduler is gone, or the disk is full; the same command goes on.
    """
    table, (finder, whole) = task.table, opened
    index, done = table.index, 0
    if not index.distinct:
        refuse_doubled_ids(whole, table.folder)
        table = table.write_index(distinct=True)
    digests: dict[int, str] = {}
    for part in range(index.parts):
        if table.piece(part).load() is not None:
            digests[part] = table.digest(part)
            done += index.span(part).stop - index.span(part).start
    progress(done, index.rows)
    missing = [part for part in range(index.parts) if part not in digests]
    _held[index.key] = _Held(finder, whole, quick)
    try:
        with closing(spread(task, missing, workers)) as ended:
            for part, digest in ended:
                digests[part] = digest
                done += index.span(part).stop - index.span(part).start
                progress(done, index.rows)
    finally:
        _held.pop(index.key, None)
    return table.with_digests([digests[part] for part in range(index.parts)])


def clipping_of(table: PartedTable, finder: Finder) -> dict[str, Clipping]:
    """Band → what the stretch clips of all images, from what each part says."""
    scored, clipped = 0, np.zeros((len(finder.recipe.bands), 2))
    for part in range(table.index.parts):
        facts = json.loads(table.metadata(part)[_CLIPPED])
        scored += facts["scored"]
        clipped += np.array(facts["clipped"])
    return summary_of(finder, (clipped / scored)[None]) if scored else {}


def summary_of_parts(table: PartedTable, top: int) -> Summary:
    """Read the scores once: how many are missing, and the `top` highest, which are all that is held."""
    found, heap = Summary(), list[tuple[float, int, Ranked]]()
    for first, rows in table.rows([*(one.name for one in SCHEMA), *MORE]):
        logit = rows.column("logit").to_numpy()
        bad = np.flatnonzero(~np.isfinite(logit))
        if len(bad) and not found.failed:
            found.first_failed = tuple(str(rows.column(n)[int(bad[0])]) for n in ("id", "status"))  # type: ignore[assignment]
        found.n, found.failed = found.n + len(logit), found.failed + len(bad)
        if not top:
            continue
        lowest = heap[0][0] if len(heap) == top else -np.inf
        for row in np.flatnonzero(logit > lowest)[np.argsort(-logit[logit > lowest], kind="stable")[:top]].tolist():
            more = rows.slice(row, 1).drop_columns(["status"]).to_pylist()[0]
            ranked = Ranked(more.pop("id"), more.pop("p_lens"), more.pop("logit"), more)
            one = (ranked.logit, -(first + row), ranked)
            if len(heap) < top:
                heapq.heappush(heap, one)
            elif one[:2] > heap[0][:2]:
                heapq.heapreplace(heap, one)
    found.top = [one[2] for one in sorted(heap, key=lambda one: one[:2], reverse=True)]
    return found


def rests_on(folder: Path, rows: int, rows_per_part: int, key: str) -> bool:
    """Whether the parts in `folder`, finished or not, rest on what `key` is of."""
    known = PartedTable.begun(folder)
    return known is not None and known.index.key == key_of([key, rows, rows_per_part])


def begin_parts(folder: Path, rows: int, rows_per_part: int, key: str, force: bool) -> PartedTable:
    """The table in `folder` that rests on what `key` is of: begun, or left by an earlier run.

    Raises
    ------
    UsageError
        The folder holds parts of other scores, or something else, and `force` is not asked for.
    """
    index = PartsIndex(key_of([key, rows, rows_per_part]), rows, rows_per_part)
    known, table = PartedTable.begun(folder), PartedTable(Path(folder), index)
    if known is not None and known.index.key == index.key:
        return PartedTable(Path(folder), known.index)
    files = [path for path in Path(folder).glob("*") if not path.name.startswith(".")]
    if files and not force:
        what = "other scores (finder, set or options)" if known else "something else"
        raise UsageError(f"{folder}: holds {what}; give another --out, or --force to replace them")
    for path in files:
        if path.name == INDEX or path.match("part-[0-9]*.parquet"):
            path.unlink()
    return table.write_index()


def refuse_doubled_ids(cutouts: Cutouts, folder: Path) -> None:
    """Make sure that every id is there once, with 32 MB whatever their number.

    64 bits of the SHA-256 of each id are sorted into files of some millions each, by their first bits, and compared
    file by file; only where two are alike the ids themselves are.

    Raises
    ------
    DataError
        One is there twice.
    """
    n = len(cutouts)
    files = max(1, -(-n // _HASHES))
    for left in Path(folder).glob(f"{_OF_IDS}*"):  # of a run that was killed here; one command at a time is in it
        shutil.rmtree(left, ignore_errors=True)
    alike: set[int] = set()
    with explained(folder), tempfile.TemporaryDirectory(prefix=_OF_IDS, dir=folder) as place:
        paths = [Path(place) / f"{number}" for number in range(files)]
        for hashes, _ in _hashed(cutouts):
            of = (hashes >> np.uint64(32)) * np.uint64(files) >> np.uint64(32)
            for number in np.unique(of).tolist():
                with paths[number].open("ab") as file:
                    file.write(hashes[of == number].tobytes())
        for path in paths:
            if path.exists():
                found = np.sort(np.fromfile(path, np.uint64))
                alike |= set(found[1:][found[1:] == found[:-1]][:_ENOUGH].tolist())
    if not alike:
        return
    seen: dict[str, int] = {}
    wanted = np.array(sorted(alike), np.uint64)
    for hashes, span in _hashed(cutouts):
        ids = cutouts.ids_in(span) if np.isin(hashes, wanted).any() else []
        for turn in np.flatnonzero(np.isin(hashes, wanted)).tolist() if ids else []:
            name, row = ids[turn], span.start + turn + 1
            if name in seen:
                raise DataError(
                    f"{cutouts.path}: id {printable(name, 60)} is there twice, in rows {seen[name]} and {row}; give "
                    f"each image an id of its own"
                )
            seen[name] = row


def _hashed(cutouts: Cutouts) -> Iterator[tuple[NDArray[np.uint64], slice]]:
    for first in range(0, len(cutouts), AT_ONCE):
        span = slice(first, min(first + AT_ONCE, len(cutouts)))
        digests = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in cutouts.ids_in(span))
        yield np.frombuffer(digests, np.uint64), span
