"""Numbers of a finder's layer for every image of a set, in Parquet files that a stopped run leaves whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit import __version__
from lensaudit.errors import DataError, UsageError
from lensaudit.files import replacing
from lensaudit.kept import Piece, TableForm, key_of

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.finders.score_parts import ReadAs
    from lensaudit.lensset import Cutouts
    from lensaudit.realism_gate.last_layer import LastLayer

PART = 4096
"""Rows of a file; what a stopped run has begun of the next is made again."""

MOST = 2048
"""Wider layers are projected, see `lensaudit.realism_gate.last_layer.MOST_FEATURES`."""

VECTOR = "embedding"
"""Column of the numbers, a list of fixed length."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Images and their numbers.

    Attributes
    ----------
    rows
        Positions in the set (m,).
    ids, status
        Names, and ``ok`` or why an image could not be scored (m).
    labels
        1 lens, 0 non-lens, −1 unknown (m,).
    logit
        Log-odds of "lens", float64 (m,); NaN where it could not be scored.
    values
        float32 (m, features), NaN there too.
    """

    rows: NDArray[np.intp]
    ids: tuple[str, ...]
    status: tuple[str, ...]
    labels: NDArray[np.int8]
    logit: NDArray[np.float64]
    values: Floats

    @property
    def p(self) -> NDArray[np.float64]:
        """p(lens) (m,)."""
        return np.asarray(expit(self.logit))

    @property
    def good(self) -> NDArray[np.bool_]:
        """Images whose numbers are all finite (m,)."""
        found: NDArray[np.bool_] = np.isfinite(self.logit) & np.isfinite(self.values).all(axis=1)
        return found

    def taken(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Vectors:
        """Some of them."""
        places = np.flatnonzero(which) if which.dtype == bool else which
        names = ([one[place] for place in places] for one in (self.ids, self.status))
        ids, status = (tuple(one) for one in names)
        arrays = (one[places] for one in (self.labels, self.logit, self.values))
        return Vectors(self.rows[places], ids, status, *arrays)  # type: ignore[arg-type]


def layer_of(finder: Finder, name: str = "") -> LastLayer:
    """The layer called `name`, or the last one before the output.

    Raises
    ------
    UsageError
        The finder has none that can be seen.
    """
    from lensaudit.realism_gate.last_layer import last_layer, named_layer

    if name:
        return named_layer(finder, name, MOST)
    found = last_layer(finder, MOST)
    if isinstance(found, str):
        raise UsageError(f"finder {finder.name}: {found}, so no embedding; name a layer, or use a PyTorch one")
    return found


@dataclass(frozen=True)
class VectorStore:
    """The files of one set in a folder.

    Attributes
    ----------
    folder
        Of ``part-000000.parquet`` and on.
    n
        Images of the set.
    of
        Hash of what they rest on.
    """

    folder: Path
    n: int
    of: str

    @property
    def parts(self) -> list[range]:
        """Rows of each file."""
        return [range(start, min(start + PART, self.n)) for start in range(0, self.n, PART)]

    def piece(self, number: int) -> Piece[pa.Table]:
        """One file."""
        path = self.folder / f"part-{number:06d}.parquet"
        return Piece(path, TableForm(compression="zstd"), f"{self.of}-{number}")

    def tables(self) -> Iterator[tuple[range, pa.Table]]:
        """Rows and content of every file; DataError where one is missing or torn."""
        for number, span in enumerate(self.parts):
            piece = self.piece(number)
            found = piece.load()
            if found is None:
                raise DataError(f"{piece.path}: is missing or torn; run the same command again")
            yield span, found

    def read(self, rows: NDArray[np.intp] | None = None) -> Vectors:
        """All images, or those of ascending `rows`; reads one file at a time."""
        wanted = np.arange(self.n) if rows is None else rows
        found: list[Vectors] = []
        for number, span in enumerate(self.parts):
            here = wanted[(wanted >= span.start) & (wanted < span.stop)]
            if len(here) or not self.n:
                table = self.piece(number).load()
                if table is None:
                    raise DataError(f"{self.piece(number).path}: is missing or torn; run the same command again")
                found.append(_vectors(table.take(pa.array(here - span.start)), here))
        if not found:
            raise DataError(f"{self.folder}: holds no image")
        return Vectors(
            np.concatenate([one.rows for one in found]),
            tuple(name for one in found for name in one.ids),
            tuple(word for one in found for word in one.status),
            np.concatenate([one.labels for one in found]),
            np.concatenate([one.logit for one in found]),
            np.concatenate([one.values for one in found]),
        )


def _vectors(table: pa.Table, rows: NDArray[np.intp]) -> Vectors:
    return Vectors(
        rows,
        tuple(table["id"].to_pylist()),
        tuple(table["status"].to_pylist()),
        table["label"].to_numpy(),
        table["logit"].to_numpy(),
        values_of(table),
    )


def values_of(table: pa.Table) -> Floats:
    """The numbers of a file's images, float32 (m, features)."""
    column = table[VECTOR].combine_chunks()
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(table), -1)


def spread_over(n: int, most: int) -> NDArray[np.intp]:
    """Rows of a set of `n`, all of them or `most` evenly spread, ascending."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.intp)


def store_in(folder: Path, finder: Finder, lens_set: Cutouts, layer: LastLayer, batch_size: int | None) -> VectorStore:
    """The files of what `finder` makes of a set."""
    facts = {
        "lensaudit": __version__,
        "weights": finder.weights_hash,
        "recipe": finder.recipe.model_dump(mode="json"),
        "field_arcsec": finder.given_field_arcsec,
        "resamples": finder.resamples,
        "layer": [layer.name, layer.side, layer.features, layer.wide],
        "batch": batch_size,
        "set": lens_set.content_hash,
    }
    return VectorStore(folder, len(lens_set), key_of(facts))


@dataclass(frozen=True)
class EmbedPart:
    """Embeds the images of one file and writes it; picklable, as it goes to other processes.

    Attributes
    ----------
    finder, lens_set
        Names as they are opened: paths are absolute.
    reading
        The options of that name: how a finder reads a set.
    layer
        Its name; empty for the last before the output.
    """

    finder: str
    lens_set: Path
    reading: ReadAs
    layer: str
    store: VectorStore
    batch: int | None = None

    def __call__(self, part: int) -> int:
        """Images of the file."""
        from lensaudit.finders.score_parts import with_threads

        finder, whole, layer = _opened(self)
        span = self.store.parts[part]
        with with_threads(self.reading.threads or 1):
            self.store.piece(part).write(_of_span(finder, whole, span, layer, self.batch, lambda done: None))
        return len(span)


_held: dict[str, tuple[Finder, Cutouts, LastLayer]] = {}
"""Of this process: finder, set and layer, opened once for all parts."""


def _opened(task: EmbedPart) -> tuple[Finder, Cutouts, LastLayer]:
    from lensaudit.finders.score_parts import finder_in_worker
    from lensaudit.lensset import open_cutouts

    if task.store.of not in _held:
        whole = open_cutouts(task.lens_set)
        loaded = finder_in_worker(task.finder, task.reading, whole)
        _held[task.store.of] = loaded, whole, layer_of(loaded, task.layer)
    return _held[task.store.of]


def embed_spread(
    task: EmbedPart, opened: tuple[Finder, Cutouts], workers: int | str, progress: Callable[[int, int], object]
) -> None:
    """As `embed_set`, in so many processes with a thread each, or on the dask cluster at an address: the same bytes.

    Parameters
    ----------
    opened
        Finder and set, as this process has them.

    Raises
    ------
    MachineError
        A worker died, or the scheduler is gone; the same command goes on.
    """
    from lensaudit.finders.score_parts import with_threads
    from lensaudit.spread import spread

    store = begun(task.store)
    if workers == 1:
        with with_threads(task.reading.threads or 1):
            embed_set(*opened, layer_of(opened[0], task.layer), store, task.batch, progress)
        return
    left = [part for part in range(len(store.parts)) if store.piece(part).load() is None]
    done = store.n - sum(len(store.parts[part]) for part in left)
    progress(done, store.n)
    with closing(spread(task, left, workers)) as finished:
        for images in finished:
            done += images
            progress(done, store.n)


def begun(store: VectorStore) -> VectorStore:
    """The store with its folder, and without files of a larger set, which ``--force`` replaces."""
    store.folder.mkdir(parents=True, exist_ok=True)
    names = {store.piece(number).path.name for number in range(len(store.parts))}
    for path in store.folder.glob("part-*.parquet"):
        if path.name not in names:
            path.unlink()
    return store


def embed_set(
    finder: Finder,
    lens_set: Cutouts,
    layer: LastLayer,
    store: VectorStore,
    batch_size: int | None,
    progress: Callable[[int, int], object],
) -> None:
    """Write the numbers of every image; memory does not grow with the set, files of an earlier run are taken up.

    Raises
    ------
    DataError
        The finder cannot take the set as input.
    UsageError
        `batch_size` is below 1.
    """
    begun(store)
    for number, span in enumerate(store.parts):

        def make(span: range = span) -> pa.Table:
            told = lambda done: progress(span.start + done, store.n)  # noqa: E731
            return _of_span(finder, lens_set, span, layer, batch_size, told)

        store.piece(number).or_made(make)
        progress(span.stop, store.n)


def _of_span(
    finder: Finder,
    lens_set: Cutouts,
    span: range,
    layer: LastLayer,
    batch_size: int | None,
    progress: Callable[[int], object],
) -> pa.Table:
    """Id, label, log-odds, p, status and numbers of neighbouring images."""
    from lensaudit.finders.score import OK, scored_batches
    from lensaudit.realism_gate.describing import Span
    from lensaudit.realism_gate.last_layer import watching_layer

    reader = Span(lens_set, span)
    status: list[str] = []
    logit: list[NDArray[np.float64]] = []
    rows: list[Floats] = []
    batches = scored_batches(finder, reader, batch_size)
    with watching_layer(layer, finder.device) as watch, closing(batches):
        for batch in batches:
            status += batch.status
            logit.append(batch.logit)
            good = np.array([word == OK for word in batch.status], bool)
            rows.append(np.where(good[:, None], watch.take(len(batch.status)), np.float32(np.nan)))
            progress(len(status))
    z = np.concatenate(logit)
    place = slice(span.start, span.stop)
    values = pa.array(np.concatenate(rows).ravel())
    return pa.table(
        {
            "id": pa.array(lens_set.ids_in(place), pa.string()),
            "label": lens_set.labels_in(place),
            "logit": z,
            "p_lens": expit(z),
            "status": pa.array(status, pa.string()),
            VECTOR: pa.FixedSizeListArray.from_arrays(values, layer.features),
        }
    )


def write_npy(store: VectorStore, path: Path) -> Path:
    """All numbers as one ``.npy`` (n, features), float32, in the set's order; memory does not grow with them."""
    with replacing(path) as partial, partial.open("wb") as file:
        for span, table in store.tables():
            values = np.ascontiguousarray(values_of(table), "<f4")
            if not span.start:
                header = {"descr": "<f4", "fortran_order": False, "shape": (store.n, values.shape[1])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(values.tobytes())
    return path
