"""One pass over a set: image statistics while it is read, the finder's last layer while it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit import __version__
from lensaudit.finders import Finder
from lensaudit.finders.score import OK, default_batch_size, scored_batches
from lensaudit.kept import Arrays, ArraysForm, Piece, key_of
from lensaudit.lensset import Cutouts, LensSet
from lensaudit.lensset.image_statistics import Statistics, band_statistics
from lensaudit.realism_gate.last_layer import LastLayer, watching_layer

KEPT_TOGETHER = 1024
"""Cutouts in a file."""
STATUS, LAYER = "status", "layer"

SYSTEM_COLUMNS = ("host_id", "host", "system_id", "system")
"""Catalogue columns that name the system a cutout shows; the first that is there. Without any it is the id."""


@dataclass(frozen=True, eq=False)
class Described:
    """What is known of every cutout of a set, in its order.

    Attributes
    ----------
    ids, systems
        Names of the cutouts and of what they show (n).
    labels
        1 lens, 0 non-lens, −1 unknown (n,).
    status
        ``ok``, or why the finder cannot score it (n).
    bands
        Band → its statistics (n,), in the unit of the set's pixels.
    layer
        Input of the last layer, float32 (n, features), NaN where it could not be scored; None where there is no layer.
    """

    ids: tuple[str, ...]
    systems: tuple[str, ...]
    labels: NDArray[np.int8]
    status: tuple[str, ...]
    bands: dict[str, Statistics]
    layer: NDArray[np.float32] | None

    @property
    def good(self) -> NDArray[np.bool_]:
        """Cutouts that the finder can score (n,)."""
        return np.array([word == OK for word in self.status], bool)

    @property
    def failed(self) -> list[str]:
        """Why those cannot be scored that cannot."""
        return [word for word in self.status if word != OK]


class Span:
    """Neighbouring cutouts of a set, as `lensaudit.finders.score.scored_batches` reads them."""

    def __init__(self, lens_set: Cutouts, span: range) -> None:
        self._set, self._span = lens_set, span

    def __len__(self) -> int:
        return len(self._span)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._set, name)

    def ids_in(self, span: slice) -> list[str]:
        """Names of some of them."""
        some = self._span[span]
        return self._set.ids_in(slice(some.start, some.stop))

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (m,)."""
        return self._set.column(name)[self._span.start : self._span.stop]

    def images(self, band: str, index: slice) -> NDArray[np.float32]:
        """Native pixels (m, h, w)."""
        some = self._span[index]
        return self._set.images(band, slice(some.start, some.stop))


class _Reader(Span):
    """Some cutouts of a set, measured while they are read, in the thread that reads ahead."""

    def __init__(self, lens_set: LensSet, span: range) -> None:
        super().__init__(lens_set, span)
        self.found: dict[str, list[Statistics]] = {}

    def images(self, band: str, index: slice) -> NDArray[np.float32]:
        """Native pixels (m, h, w)."""
        images = super().images(band, index)
        self.found.setdefault(band, []).append(band_statistics(images))
        return images


@dataclass(frozen=True)
class Store:
    """Where descriptions are kept for a run that takes up a stopped one.

    Attributes
    ----------
    folder
        Of the files.
    of
        What they rest on beside the set and the cutouts.
    """

    folder: Path
    of: str

    def piece(self, lens_set: LensSet, span: range) -> Piece[Arrays]:
        """The description of some cutouts of a set."""
        key = key_of([self.of, lens_set.content_hash, span.start, span.stop])
        return Piece(self.folder / f"{lens_set.content_hash[:12]}-{span.start:08d}.npz", ArraysForm(binary=True), key)


def stored_in(folder: Path, finder: Finder, layer: LastLayer | None, batch_size: int | None) -> Store:
    """A store for what `finder` makes of sets."""
    facts = {
        "lensaudit": __version__,
        "weights": finder.weights_hash,
        "recipe": finder.recipe.model_dump(mode="json"),
        "field_arcsec": finder.given_field_arcsec,
        "resamples": finder.resamples,
        "layer": None if layer is None else [layer.name, layer.features, layer.wide],
        "batch": batch_size,
    }
    return Store(folder, key_of(facts))


def described(
    finder: Finder,
    lens_set: LensSet,
    layer: LastLayer | None,
    batch_size: int | None,
    progress: Callable[[int, int], object],
    store: Store | None = None,
) -> Described:
    """Describe every cutout of `lens_set` as `finder` sees it; memory grows by some 2 kB a cutout.

    Parameters
    ----------
    layer
        As `lensaudit.realism_gate.last_layer.last_layer` found it; None for image statistics alone.
    progress
        Called with (cutouts done, cutouts in all).
    store
        Takes up what an earlier run kept there, and keeps; None: nothing is kept.
    """
    n = len(lens_set)
    size = default_batch_size(finder) if batch_size is None else batch_size
    step = n if store is None else size * max(1, KEPT_TOGETHER // max(size, 1))  # whole batches: the same either way
    parts: list[Arrays] = []
    for start in range(0, n, max(step, 1)):
        span = range(start, min(start + step, n))

        def make(span: range = span) -> Arrays:
            return _of_some(finder, _Reader(lens_set, span), layer, batch_size, lambda m: progress(span.start + m, n))

        parts.append(make() if store is None else store.piece(lens_set, span).or_made(make))
        progress(span.stop, n)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != STATUS}
    status = [word for part in parts for word in json.loads(part[STATUS].tobytes())]
    good = np.array([word == OK for word in status], bool)
    taken = None if layer is None else np.where(good[:, None], whole.pop(LAYER), np.float32(np.nan))
    bands: dict[str, Statistics] = {}
    for name, values in whole.items():
        band, _, statistic = name.rpartition("|")
        bands.setdefault(band, {})[statistic] = values
    return Described(tuple(lens_set.ids), systems_of(lens_set), lens_set.labels, tuple(status), bands, taken)


def _of_some(
    finder: Finder, reader: Any, layer: LastLayer | None, batch_size: int | None, progress: Callable[[int], object]
) -> Arrays:
    """Status (JSON), the last layer, and by ``band|statistic`` the image statistics, of what `reader` reads."""
    status: list[str] = []
    rows: list[NDArray[np.float32]] = []
    batches = scored_batches(finder, reader, batch_size)
    with (
        nullcontext() if layer is None else watching_layer(layer, finder.device) as watch,
        closing(batches),
    ):
        for batch in batches:
            status += batch.status
            if watch is not None:
                rows.append(watch.take(len(batch.status)))
            progress(len(status))
    found = {
        f"{band}|{name}": np.concatenate([part[name] for part in parts])
        for band, parts in reader.found.items()
        for name in parts[0]
    }
    layers = {} if layer is None else {LAYER: np.concatenate(rows)}
    return {STATUS: np.frombuffer(json.dumps(status).encode(), np.uint8), **layers, **found}


def systems_of(lens_set: Cutouts) -> tuple[str, ...]:
    """Name of the system that each cutout shows (n)."""
    named = next((name for name in SYSTEM_COLUMNS if name in lens_set.columns), None)
    return tuple(lens_set.ids) if named is None else tuple(str(one) for one in lens_set.column(named))
