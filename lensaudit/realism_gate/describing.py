"""One pass over a set: image statistics while it is read, the finder's last layer while it answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.finders import Finder
from lensaudit.finders.score import OK, scored_batches
from lensaudit.lensset import LensSet
from lensaudit.realism_gate.image_statistics import Statistics, band_statistics
from lensaudit.realism_gate.last_layer import LastLayer, watching_layer

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


class _Reader:
    """A set that measures its images while they are read, in the thread that reads ahead."""

    def __init__(self, lens_set: LensSet) -> None:
        self._set = lens_set
        self.found: dict[str, list[Statistics]] = {}

    def __len__(self) -> int:
        return len(self._set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._set, name)

    def images(self, band: str, index: slice) -> NDArray[np.float32]:
        images = self._set.images(band, index)
        self.found.setdefault(band, []).append(band_statistics(images))
        return images


def described(
    finder: Finder,
    lens_set: LensSet,
    layer: LastLayer | None,
    batch_size: int | None,
    progress: Callable[[int, int], object],
) -> Described:
    """Describe every cutout of `lens_set` as `finder` sees it; memory grows by some 2 kB a cutout.

    Parameters
    ----------
    layer
        As `lensaudit.realism_gate.last_layer.last_layer` found it; None for image statistics alone.
    progress
        Called with (cutouts done, cutouts in all).
    """
    reader: Any = _Reader(lens_set)
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
            progress(len(status), len(lens_set))
    good = np.array([word == OK for word in status], bool)
    taken = None if layer is None else np.where(good[:, None], np.concatenate(rows), np.float32(np.nan))
    bands = {
        band: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for band, parts in reader.found.items()
    }
    return Described(tuple(lens_set.ids), _systems(lens_set), lens_set.labels, tuple(status), bands, taken)


def _systems(lens_set: LensSet) -> tuple[str, ...]:
    named = next((name for name in SYSTEM_COLUMNS if name in lens_set.columns), None)
    return tuple(lens_set.ids) if named is None else tuple(str(one) for one in lens_set.column(named))
