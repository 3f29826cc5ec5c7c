"""Simulating a lens set: draw scenes, render them, store images and truth."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lensaudit.errors import UsageError
from lensaudit.files import working_in
from lensaudit.lensset.header import BandHeader, CatalogueColumn, Header, chunk_for
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import LensSetWriter, Records
from lensaudit.provenance import Provenance
from lensaudit.spread import Progress, Team, spread

if TYPE_CHECKING:
    from lensaudit.imaging import Band, Instrument

NEVER_CHANGED = ("euclid", "vis101", "lsst", "lsst-stack")
"""Instruments whose sets need not hold them: their numbers are fixed."""
REDDEST = 3.0
"""Largest strength of reddening; the probes end at 1.25."""
LONGEST_FILTER = 200
"""Letters of a filter's name in the header of a band; a curve of the user's own is in the whole instrument alone."""


class SizedTask(Protocol):
    """A chunk task that knows the set it writes."""

    @property
    def root(self) -> Path: ...

    @property
    def header(self) -> Header: ...

    def __call__(self, chunk: int, /) -> int: ...


@dataclass(frozen=True)
class Reddened:
    """A population whose arcs, and what passes for them in non-lenses, are reddened by drawn strengths.

    The scenes are those of the population with the same seed; a strength of `lensaudit.scenes.edits.arc_colour` is
    drawn evenly between the bounds for each, so that lenses and non-lenses alike have wide colours.

    Attributes
    ----------
    population
        A name in `lensaudit.scenes.POPULATIONS`; empty: the instrument's own.
    low, high
        Strengths: 0 is the colour as drawn, 1 that of the lens galaxy; ``0 <= low <= high``, at most 3.
    """

    population: str = ""
    low: float = 0.0
    high: float = 1.5

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= REDDEST:
            raise UsageError(
                f"--redden must be two strengths, 0 <= LOW <= HIGH <= {REDDEST:g}, not {self.low:g} and {self.high:g}"
            )


@dataclass(frozen=True)
class SimulationTask:
    """Renders and writes one chunk; image `i` depends on (population, seed, i) and on what is reddened alone."""

    root: Path
    header: Header

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        from lensaudit.imaging import render
        from lensaudit.scenes import draw_scene, edits

        header, instrument = self.header, instrument_of(self.header)
        assert header.population is not None
        assert header.seed is not None
        span = header.span(chunk)
        population, seed, sky = header.population, header.seed, instrument.sky
        scenes = [draw_scene(population, seed, i, sky) for i in range(span.start, span.stop)]
        if header.redden is not None:
            scenes = [edits.arc_colour_drawn(scene, *header.redden) for scene in scenes]
        rendered = [render(scene, instrument) for scene in scenes]
        ids = [f"{_prefix(header.instrument, header.population)}-{i:06d}" for i in range(span.start, span.stop)]
        LensSetWriter(self.root, header).write(chunk, as_records(ids, scenes, rendered, header))
        return len(ids)


def as_records(ids: list[str], scenes: list[Any], rendered: list[Any], header: Header) -> Records:
    """Stack renderings (`lensaudit.imaging.Rendered`) into the records of one chunk."""
    bands = [band.name for band in header.bands]

    def stacked(pick: Callable[[Any], Any], dtype: Any) -> dict[str, Any]:
        return {band: np.stack([np.asarray(pick(r)[band], dtype) for r in rendered]) for band in bands}

    return Records(
        ids=ids,
        images=stacked(lambda r: r.images, np.float32),
        rows=[r.truth.row for r in rendered],
        source_light=stacked(lambda r: r.truth.source_light, np.float32),
        mask=stacked(lambda r: r.truth.mask, np.bool_),
        scenes=[scene.to_json() for scene in scenes],
    )


def simulate(
    instrument: str | Path | Instrument,
    population: str | Reddened,
    n: int,
    seed: int,
    out: Path | str,
    workers: int | str = 1,
    progress: Progress | None = None,
) -> LensSet:
    """Simulate a lens set of `n` systems; resumes where an interrupted run stopped.

    Parameters
    ----------
    instrument
        An instrument, the name of one (`lensaudit.imaging.INSTRUMENTS`), or the path of a YAML file.
    population
        A name in `lensaudit.scenes.POPULATIONS`; empty takes the instrument's own. Every population is drawn on every
        instrument: the same galaxies, in its bands. `Reddened` draws the colours of arcs wider.
    seed
        Image `i` depends on (population, seed, i) alone.
    out
        Folder to write; it may hold an interrupted run of the same set.
    workers
        Number of processes, or the address of a dask scheduler whose workers see `out`.
    progress
        Called with (systems done, systems in all) after each chunk.

    Returns
    -------
    LensSet
        The finished set, bit-identical whatever `workers` and however often it was interrupted.

    Raises
    ------
    UsageError
        A name, `n` or `seed` is wrong, or `out` holds another set or cannot be written.
    MachineError
        The disk is full, or a worker died.
    """
    header = simulation_header(instrument, population, n, seed)
    return write_chunks(SimulationTask(Path(out), header), workers, progress)


def write_chunks(task: SizedTask, workers: int | str | Team = 1, progress: Progress | None = None) -> LensSet:
    """Write every missing chunk of a set and finish it; an interruption leaves a set that can be resumed."""
    writer = LensSetWriter(task.root, task.header)
    with working_in(task.root):
        writer.start()
        missing, n = writer.missing(), task.header.n
        done = n - sum(task.header.span(chunk).stop - task.header.span(chunk).start for chunk in missing)
        if progress is not None:
            progress(done, n)
        with closing(spread(task, missing, workers)) as ended:
            for systems in ended:
                done += systems
                if progress is not None:
                    progress(done, n)
        writer.finish()
    return LensSet.open(task.root)


def simulation_header(instrument: str | Path | Instrument, population: str | Reddened, n: int, seed: int) -> Header:
    """Header of the set `simulate` writes."""
    from lensaudit.imaging import Instrument, load_instrument, truth_columns
    from lensaudit.scenes.populations import POPULATIONS

    seen = instrument if isinstance(instrument, Instrument) else load_instrument(instrument)
    said = seen.name if isinstance(instrument, Instrument) else instrument
    redder = population if isinstance(population, Reddened) else None
    population = (population if isinstance(population, str) else population.population) or seen.default_population
    _known("--population", population, POPULATIONS)
    if redder is not None and len(seen.bands) == 1:
        raise UsageError(f"--redden: {seen.name} has one band, and so no colours; leave it away")
    if n < 1:
        raise UsageError(f"--n must be at least 1, not {n}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed must lie in 0 … {2**32 - 1}, not {seed}")
    if unknown := [band.name for band in seen.bands if not band.filter]:
        raise UsageError(
            f"instrument {seen.name}: the filter of band {unknown[0]} is not known, so galaxies have no magnitude in "
            "it; name it in the instrument's YAML, or by --filter"
        )
    command = f"lensaudit simulate {said} --population {population} --n {n} --seed {seed}"
    command += "" if redder is None else f" --redden {redder.low:g}:{redder.high:g}"
    return Header(
        instrument=seen.name,
        bands=tuple(_band_header(band, fixed=seen.name in NEVER_CHANGED) for band in seen.bands),
        full_instrument=None if seen.name in NEVER_CHANGED else seen,
        n=n,
        chunk=chunk_for(n),
        seed=seed,
        population=population,
        redden=None if redder is None else (redder.low, redder.high),
        has_truth=True,
        has_scenes=True,
        columns=tuple(catalogue_column(column) for column in truth_columns(seen)),
        provenance=replace(Provenance.here(seed=seed), command=command),  # without --out and --workers
    )


def catalogue_column(column: Any) -> CatalogueColumn:
    """The stored form of an `imaging.Column`."""
    return CatalogueColumn(name=column.name, unit=column.unit or "", description=column.description, dtype=column.dtype)


def instrument_of(found: Header | LensSet) -> Instrument:
    """The whole instrument that a simulated set was rendered with.

    Raises
    ------
    UsageError
        The set does not hold it, and its instrument is none of ours.
    """
    from lensaudit.imaging import get_instrument

    whole = (found if isinstance(found, Header) else found.header).full_instrument
    return get_instrument(found.instrument) if whole is None else whole


def pixel_units_of(instrument: Instrument) -> dict[str, str]:
    """Band → what a pixel value of a simulated image means, as `LensSet.pixel_units` says it."""
    return {band.name: _band_header(band, fixed=True).pixel_unit for band in instrument.bands}


def _band_header(band: Band, *, fixed: bool) -> BandHeader:
    """A band of an instrument in a set's header; `fixed` ones say as little as ever, so that sets keep their bytes."""
    named = band.filter is not None and len(band.filter) <= LONGEST_FILTER
    return BandHeader(
        name=band.name,
        shape=(band.pixels, band.pixels),
        pixel_scale_arcsec=band.pixel_scale_arcsec,
        zero_point_mag=band.zero_point_mag,
        unit=band.unit,
        electrons_per_unit=None if fixed else band.shot_electrons_per_unit,
        filter=band.filter if named and not fixed else None,
    )


def _prefix(instrument: str, population: str) -> str:
    return instrument if population == instrument else f"{instrument}-{population}"


def _known(what: str, name: str, allowed: Any) -> None:
    if name not in allowed:
        raise UsageError(f"{what} '{name}' is not one of {', '.join(sorted(allowed))}")
