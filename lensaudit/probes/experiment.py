"""An experiment: many systems, each in a control and one or more treated arms that share everything but the edit.

Nothing is kept of the images: pair i depends on (population, seed, i) and the steps of its arms alone, so that any pair
can be made again. What a finder said about it is kept (`collect`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lensaudit.documents import digest_of
from lensaudit.errors import UsageError
from lensaudit.imaging import (
    TRUTH_COLUMNS,
    Column,
    Instrument,
    Rendered,
    Truth,
    brighter_by_mag,
    get_instrument,
    render_arms,
    truth_columns,
)
from lensaudit.lensset import LensSet, open_cutouts, pixel_units_of
from lensaudit.probes.steps import Arm
from lensaudit.scenes import Scene, draw_scene
from lensaudit.scenes.edits import sources_dimmed

CHANGE_SIGMA = 0.5
VISIBLE_PIXELS = 20
"""An edit counts as visible beyond so many changed pixels, as an arc does in the label rule of Wilde et al. 2022."""


def changed_pixels(images: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pixels (arms, m) of one band's images (arms, m, h, w) that differ from the control by more than 0.5 σ.

    The control is the first arm; σ is 1.4826 times the median absolute deviation of its image.
    """
    control = images[0]
    middle = np.median(control, axis=(1, 2), keepdims=True)
    sigma = 1.4826 * np.median(np.abs(control - middle), axis=(1, 2), keepdims=True)
    counts: NDArray[np.int64] = (np.abs(images - control) > CHANGE_SIGMA * sigma).sum(axis=(2, 3)).astype(np.int64)
    return counts


CHUNK = 16
Images = dict[str, NDArray[np.float32]]
TruthRow = Mapping[str, float | int | str]
"""Truth column → value of one system in one arm."""


@dataclass(frozen=True)
class Fields:
    """The bands, pixel scales, shapes and pixel units of the cutouts, as a finder asks for them."""

    instrument: str
    bands: tuple[str, ...]
    pixel_scale_arcsec: dict[str, float]
    shape: dict[str, tuple[int, int]]
    pixel_units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_set(cls, lens_set: LensSet) -> Fields:
        """What a set declares."""
        scales, shape = dict(lens_set.pixel_scale_arcsec), dict(lens_set.shape)
        return cls(lens_set.instrument, tuple(lens_set.bands), scales, shape, lens_set.pixel_units)


class Source(Protocol):
    """Where the systems of an experiment come from."""

    @property
    def n(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> Fields: ...
    @property
    def columns(self) -> tuple[Column, ...]: ...
    @property
    def inputs(self) -> dict[str, str]: ...
    @property
    def groups(self) -> NDArray[np.intp] | None: ...
    def id(self, index: int) -> str: ...
    def arms(self, index: int, arms: Sequence[Arm]) -> list[tuple[Images, TruthRow]]: ...


def with_snr_held(
    arms: Sequence[Arm], scene: Callable[[Arm], Scene], render: Callable[[Sequence[Scene]], list[Rendered]]
) -> list[Rendered]:
    """Render the scenes of all arms; arcs whose S/N is held get that of the arm which they follow.

    The S/N is that of the first band (Lanusse et al. 2018), the sources' colours stay. An arc of which nothing is seen
    there, or that no brightness gives that S/N, stays as it was.
    """
    followed: list[Arm] = []
    for arm in arms:
        if arm.snr_of and Arm(arm.snr_of) not in followed:
            followed.append(Arm(arm.snr_of))
    scenes = [scene(arm) for arm in (*arms, *followed)]
    rendered = render(scenes)
    held = [k for k, arm in enumerate(arms) if arm.snr_of]
    if held:
        snr = [float(one.truth.row["arc_snr"]) for one in rendered[len(arms) :]]
        wanted = {k: snr[followed.index(Arm(arms[k].snr_of))] for k in held}
        again = render([_with_snr(scenes[k], rendered[k].truth, wanted[k]) for k in held])
        for k, anew in zip(held, again, strict=True):
            rendered[k] = anew
    return rendered[: len(arms)]


def _with_snr(scene: Scene, truth: Truth, snr: float) -> Scene:
    """The scene with its sources brighter or fainter, so that their light in the first band has this S/N."""
    first = next(iter(truth.source_light))
    mag = brighter_by_mag(truth.source_light[first], truth.sigma[first], snr)
    return scene if mag is None else sources_dimmed(scene, -mag)


@dataclass(frozen=True)
class Drawn:
    """Scenes 0 … n − 1 of a population at a seed, rendered in each arm with one noise.

    `own` is the whole instrument where it is none that `instrument` alone would name.
    """

    population: str
    seed: int
    n: int
    instrument: str
    own: Instrument | None = field(default=None, repr=False)

    @property
    def groups(self) -> None:
        """Nothing is in two pairs."""
        return None

    @property
    def name(self) -> str:
        """The population."""
        return self.population

    @property
    def seen_by(self) -> Instrument:
        """The instrument."""
        return get_instrument(self.instrument) if self.own is None else self.own

    @property
    def fields(self) -> Fields:
        """What the instrument sees."""
        seen_by = self.seen_by
        bands = seen_by.bands
        return Fields(
            self.instrument,
            tuple(band.name for band in bands),
            {band.name: band.pixel_scale_arcsec for band in bands},
            {band.name: (band.pixels, band.pixels) for band in bands},
            pixel_units_of(seen_by),
        )

    @property
    def inputs(self) -> dict[str, str]:
        """An instrument of the user's own → SHA-256."""
        return {} if self.own is None else {f"instrument {self.instrument}": digest_of(self.own.to_json())}

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of a truth row."""
        return truth_columns(self.seen_by)

    def id(self, index: int) -> str:
        """Name of pair `index` in all arms: ``compound-arcs-000012``."""
        return f"{self.population}-{index:06d}"

    def rendered(self, index: int, arms: Sequence[Arm]) -> list[Rendered]:
        """System `index` in every arm, before image edits."""
        seen_by = self.seen_by
        scene = draw_scene(self.population, self.seed, index, seen_by.sky)
        return with_snr_held(arms, lambda arm: arm.scene(scene), partial(render_arms, instrument=seen_by))

    def arms(self, index: int, arms: Sequence[Arm]) -> list[tuple[Images, TruthRow]]:
        """Images and truth row of system `index` in every arm."""
        rendered = self.rendered(index, arms)
        seed = self.seed * 1_000_003 + index
        return [(arm.images(one.images, seed), one.truth.row) for arm, one in zip(arms, rendered, strict=True)]


@dataclass(frozen=True)
class FromSet:
    """The lenses of a lens set (of real ones all), whose images are edited: their scene is not known."""

    path: Path
    rows: tuple[int, ...]
    seed: int

    @property
    def groups(self) -> None:
        """Nothing is in two pairs."""
        return None

    @property
    def n(self) -> int:
        """Systems."""
        return len(self.rows)

    @property
    def name(self) -> str:
        """Folder of the set."""
        return Path(self.path).name

    @property
    def fields(self) -> Fields:
        """What the set declares."""
        return Fields.of_set(self._set)

    @property
    def inputs(self) -> dict[str, str]:
        """The set → its content hash, so that another set in the same folder is asked about anew."""
        return {self.name: self._set.content_hash}

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of a truth row."""
        return TRUTH_COLUMNS

    @cached_property
    def _set(self) -> LensSet:
        return open_cutouts(self.path)

    @cached_property
    def _truth(self) -> dict[str, NDArray[Any]]:
        return {c.name: self._set.column(c.name) for c in TRUTH_COLUMNS if c.name in self._set.columns}

    def __getstate__(self) -> dict[str, Any]:
        # What is kept open is opened again in a worker.
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def id(self, index: int) -> str:
        """The name the set gives."""
        return self._set.ids[self.rows[index]]

    def arms(self, index: int, arms: Sequence[Arm]) -> list[tuple[Images, TruthRow]]:
        """Images and truth row of system `index` in every arm."""
        row = self.rows[index]
        images = {band: found[0] for band, found in self._set.cutouts([row]).items()}
        known = {name: values[row] for name, values in self._truth.items()}
        truth = {c.name: known.get(c.name, np.nan) for c in TRUTH_COLUMNS}
        return [(arm.images(images, self.seed * 1_000_003 + index), truth) for arm in arms]


def lenses_of(path: Path, n: int | None, seed: int) -> FromSet:
    """The first `n` lenses of a set, or all.

    Raises
    ------
    UsageError
        It holds none.
    """
    opened = open_cutouts(path)
    rows = np.flatnonzero(opened.labels == 1)
    if not rows.size:
        raise UsageError(f"{path}: holds no system labelled as a lens; a probe asks about lenses")
    return FromSet(Path(path), tuple(int(row) for row in rows[: len(rows) if n is None else n]), seed)


@dataclass(frozen=True)
class Experiment:
    """Systems and arms; the first arm is the control."""

    source: Source
    arms: tuple[Arm, ...]

    @property
    def chunks(self) -> int:
        """Number of blocks of `CHUNK` systems."""
        return -(-self.source.n // CHUNK)

    @property
    def inputs(self) -> dict[str, str]:
        """Files the images depend on beside the scenes → SHA-256."""
        return {**self.source.inputs, **{name: value for arm in self.arms for name, value in arm.inputs.items()}}

    def images(self, index: int, arm: int) -> Images:
        """Images (h, w) per band of one system in one arm, made again."""
        return self.source.arms(index, (self.arms[arm],))[0][0]


@dataclass(frozen=True)
class Block:
    """Some systems in all arms.

    Attributes
    ----------
    chunk, first
        Which block, and the index of its first system.
    images
        Per band float32 (arms, m, h, w).
    truth
        One row of truth per arm and system: [arm][system].
    changed
        Pixels (arms, m) of the first band that differ from the control by more than 0.5 σ.
    equal
        Per arm, whether all its pixels equal the control's (arms,).
    """

    chunk: int
    first: int
    images: dict[str, NDArray[np.float32]]
    truth: list[list[TruthRow]]
    changed: NDArray[np.int64]
    equal: NDArray[np.bool_]


@dataclass(frozen=True)
class MakeBlock:
    """Makes one block of an experiment; picklable, the same block wherever it runs."""

    experiment: Experiment
    bands: tuple[str, ...]

    def __call__(self, chunk: int) -> Block:
        """Block `chunk` with the images of `bands`."""
        source, arms = self.experiment.source, self.experiment.arms
        span = range(chunk * CHUNK, min((chunk + 1) * CHUNK, source.n))
        systems = [source.arms(index, arms) for index in span]
        first = source.fields.bands[0]
        every = {
            band: np.stack([[images[band] for images, _ in system] for system in systems], axis=1)
            for band in dict.fromkeys((first, *self.bands))
        }
        return Block(
            chunk,
            span.start,
            {band: every[band] for band in self.bands},
            [[system[arm][1] for system in systems] for arm in range(len(arms))],
            changed_pixels(every[first]),
            np.all([(images == images[:1]).all(axis=(1, 2, 3)) for images in every.values()], axis=0),
        )


@dataclass(frozen=True)
class PairColumn:
    """A column of ``pairs.parquet`` with its unit and meaning."""

    name: str
    unit: str
    description: str
    values: NDArray[Any]
