"""Hosts of the bench: some of them for the arcs that finders are trained on, the others for those they are audited on.

The labels follow the plants as on drawn scenes. What is the host's (its galaxy's place and colour, its noise and its
point-spread function) stays as it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensaudit.documents import digest_of
from lensaudit.imaging import EUCLID, Instrument
from lensaudit.injection import Chosen, Hosts, InjectionSettings, of_set
from lensaudit.injection.choosing import Lights
from lensaudit.injection.settings import without_places
from lensaudit.lensset import LensSet, open_cutouts
from lensaudit.planted_bias.planted_finders import CHUNK, small_finder
from lensaudit.planted_bias.plants import Plant, Traits, as_filed, as_stored, plant_named, training_traits, with_arc
from lensaudit.planted_bias.result import PLAIN_DIMMED_MAG, BenchSettings
from lensaudit.probes import HostsAsked, OnHosts
from lensaudit.scenes import Scene
from lensaudit.scenes import edits as scene_edits

ENOUGH_HOSTS = 100
"""With fewer no finder is trained on them: half of these name a change of recall of 0.3 beyond a tolerated 0.1."""

OTHER_SOURCES = 10_000_019
"""Added to the seed of a training set, so that no source of it is one of the audit's."""


def training_arc(
    plant: Plant, seed: int, index: int, drawn: Scene, *, psf_of_arc: bool = False, strength: float = 1.0
) -> tuple[Scene, Traits]:
    """The scene of a host as image `index` of a training set, labelled a lens at even places.

    With `psf_of_arc` the point-spread function of the arc alone is turned as the traits say.
    """
    traits = training_traits(plant, seed, index, strength)
    scene = as_filed(with_arc(scene_edits.source_dimmed(drawn, PLAIN_DIMMED_MAG), traits), traits)
    return scene_edits.psf_angle(scene, traits.psf_angle_deg) if psf_of_arc else scene, traits


@dataclass(frozen=True)
class TrainingHosts:
    """Hosts that finders are trained on; picklable.

    Attributes
    ----------
    rows
        Their places in the set.
    settings
        How arcs are put into them; the seed is that of the training set.
    psf_of_arc
        Whether the arc's point-spread function is a trait.
    key
        Hash of all that images of them depend on.
    lights
        What was measured of them when they were chosen; None: it is measured again.
    """

    path: Path
    rows: tuple[int, ...]
    settings: InjectionSettings
    psf_of_arc: bool
    key: str
    lights: Lights | None = field(default=None, repr=False, compare=False)

    def images(
        self, plant: str, seed: int, n: int, instrument: Instrument = EUCLID, strength: float = 1.0
    ) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """Images (n, bands, 100, 100) in [0, 1] and labels (n,), half of them lenses.

        Each host is taken for a lens and then for a non-lens, and again from the first, every time with another source.
        """
        hosts, planted = self.systems(seed, n), plant_named(plant)
        finder = small_finder("bench", instrument).for_units(self._set)
        prepared = []
        for start in range(0, n, CHUNK):
            span, made = range(start, min(start + CHUNK, n)), []
            for i in span:
                scene, traits = training_arc(
                    planted, seed, i, hosts.scene(i), psf_of_arc=self.psf_of_arc, strength=strength
                )
                made.append(as_stored(hosts.render(i, [scene])[0].images, traits))
            cutouts = {band: np.stack([one[band] for one in made]) for band in instrument.band_names}
            prepared.append(finder.preprocess(cutouts, [hosts.id(i) for i in span]).numpy().astype(np.float16))
        return np.concatenate(prepared), np.tile(np.array([1, 0]), n // 2)

    def systems(self, seed: int, n: int) -> Hosts:
        """Hosts of a training set of n images: two of each host, and again from the first."""
        twice = None if self.lights is None else replace(self.lights, numbers=np.repeat(self.lights.numbers, 2, axis=0))
        rows = tuple(self.rows[i // 2 % len(self.rows)] for i in range(n))
        settings = replace(self.settings, seed=seed + OTHER_SOURCES)
        return of_set(self._set, settings, Chosen(rows, {}, {}, twice))

    @cached_property
    def _set(self) -> LensSet:
        return open_cutouts(self.path)

    def __getstate__(self) -> dict[str, object]:
        # What is kept open is opened again in a worker.
        return {name: value for name, value in self.__dict__.items() if name != "_set"}


@dataclass(frozen=True)
class Divided:
    """Hosts of one set, none of them in both.

    Attributes
    ----------
    audited
        Those that finders are audited on.
    training
        Those they are trained on; None where there are too few for both.
    usable
        How many hosts there are in all, as far as was looked.
    """

    audited: OnHosts
    training: TrainingHosts | None
    usable: int


def divided(asked: HostsAsked, settings: BenchSettings, workers: int = 1) -> Divided:
    """Hosts in an order drawn from the seed: the first `n` for the audit, at most half; the next for training.

    Of those for training there are at most as many as each is taken once for a lens. With fewer than `ENOUGH_HOSTS`
    all are for the audit.

    Raises
    ------
    UsageError, DataError
        As `HostsAsked.chosen`.
    """
    most = settings.images // 2
    whole = asked.chosen(settings.n + most, settings.seed + 7, workers)
    distinct = whole.used.distinct
    enough = distinct >= ENOUGH_HOSTS
    kept = min(settings.n, distinct // 2 if enough else distinct)
    pairs = settings.n if asked.reuse else kept
    rest = slice(kept, min(kept + most, distinct)) if enough else slice(0)
    rows, others = tuple(whole.rows[i % kept] for i in range(pairs)), whole.rows[rest]
    notes = (*whole.used.notes, *([f"{len(others)} other hosts are those of the finders’ training"] if enough else []))
    used = replace(whole.used, distinct=kept, asked=settings.n, reused=pairs > kept, notes=notes)
    audited = replace(whole, rows=rows, used=used, lights=_part(whole.lights, slice(0, kept)))
    if not enough:
        return Divided(audited, None, distinct)
    asked_of_all = asdict(replace(without_places(whole.settings), seed=0, reuse=False))
    key = digest_of([list(others), sorted(whole.inputs.values()), asked_of_all, asked.psf_of_arc])
    lights = _part(whole.lights, rest)
    training = TrainingHosts(whole.path, others, whole.settings, asked.psf_of_arc, key, lights)
    return Divided(audited, training, distinct)


def _part(lights: Lights | None, part: slice) -> Lights | None:
    return None if lights is None else replace(lights, numbers=lights.numbers[part])
