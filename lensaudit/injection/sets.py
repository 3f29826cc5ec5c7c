"""Hosts out of a lens set, and arcs in them as a new one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.imaging import INSTRUMENTS, Rendered, truth_columns
from lensaudit.imaging.canvas import DEFAULT_NUMERICS
from lensaudit.imaging.raytracing import Shared
from lensaudit.imaging.render import lensed_light
from lensaudit.injection.choosing import Chosen, Look, chosen_of, look_at, look_order, prepare
from lensaudit.injection.hosts import HostCutout, drawn_psf_and_rms, given_psf, host_bands, proper_psf
from lensaudit.injection.inject import ARC_CUT_SIGMA, Hosts, alone
from lensaudit.injection.settings import InjectionSettings, check_settings
from lensaudit.lensset import (
    BandHeader,
    CatalogueColumn,
    Header,
    LensSet,
    LensSetWriter,
    PsfHeader,
    Records,
    chunk_for,
    open_cutouts,
)
from lensaudit.lensset.header import Source
from lensaudit.lensset.simulation import as_records, catalogue_column, write_chunks
from lensaudit.provenance import Provenance
from lensaudit.scenes import Scene, draw_scene
from lensaudit.spread import Progress, StageProgress, Team, spread

ARMS = ("host", "lens")
"""Of each host: itself, and with an arc."""

OWN_COLUMNS = (
    CatalogueColumn(name="host_id", unit="", description="id of the host in its set", dtype="str"),
    CatalogueColumn(name="arm", unit="", description="host: as it is, lens: with an arc", dtype="str"),
    CatalogueColumn(name="lens_light_from", unit="", description="where the lens' light comes from", dtype="str"),
    CatalogueColumn(name="z_lens_from", unit="", description="where its redshift comes from", dtype="str"),
    CatalogueColumn(name="mass_from", unit="", description="where its mass comes from", dtype="str"),
    CatalogueColumn(name="source_from", unit="", description="where the source comes from", dtype="str"),
    CatalogueColumn(name="arc_noise", unit="", description="shot or none: noise of the arc, by band", dtype="str"),
)


class SetHosts:
    """The cutouts of a lens set as hosts, read one by one."""

    def __init__(self, lens_set: LensSet) -> None:
        self.lens_set = lens_set

    def __len__(self) -> int:
        return len(self.lens_set)

    def __getitem__(self, index: int) -> HostCutout:
        lens_set, bands, known = self.lens_set, self.lens_set.bands, self._known
        psf: Mapping[str, NDArray[Any]] = self._of_all[0] | {b: lens_set.psf(b, index)[0] for b in self._own_psf}
        rms = self._of_all[1] | {b: lens_set.rms(b, index)[0] for b in self._own_rms}
        if self.bands is not lens_set.header.bands:
            psf, rms = drawn_psf_and_rms(lens_set, index)
        return HostCutout(
            id=lens_set.ids[index],
            images={band: lens_set.images(band, index)[0] for band in bands},
            psf=psf,
            rms=rms,
            zero_point_mag={band: zero for band in bands if (zero := known[band].zero_point_mag) is not None},
            pixel_scale_arcsec=lens_set.pixel_scale_arcsec,
            electrons_per_unit={band: known[band].electrons_per_unit for band in bands},
            filters={**self._filters, **{band: name for band in bands if (name := known[band].filter)}},
            row={name: column[index] for name, column in self._columns.items()},
            wcs=lens_set.wcs_cards(index),
        )

    @cached_property
    def _own_psf(self) -> list[str]:
        return [band.name for band in self.lens_set.header.bands if band.psf is not None and band.psf.per_cutout]

    @cached_property
    def _own_rms(self) -> list[str]:
        return [band.name for band in self.lens_set.header.bands if band.rms is not None and band.rms.per_cutout]

    @cached_property
    def _of_all(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """PSF and RMS of bands that have one for all cutouts, read once."""
        one, bands = self.lens_set, self.lens_set.header.bands
        psf = {b.name: one.psf(b.name, 0)[0] for b in bands if b.psf is not None and b.name not in self._own_psf}
        return psf, {b.name: one.rms(b.name, 0)[0] for b in bands if b.rms is not None and b.name not in self._own_rms}

    @cached_property
    def _known(self) -> dict[str, BandHeader]:
        return {band.name: band for band in self.bands}

    @cached_property
    def _filters(self) -> dict[str, str]:
        """Filters of the instrument's bands, where the set names an instrument that we know."""
        known = INSTRUMENTS.get(self.lens_set.instrument)
        bands = () if known is None else known.bands
        return {band.name: band.filter for band in bands if band.filter and band.name in self.lens_set.bands}

    @cached_property
    def _columns(self) -> Mapping[str, NDArray[Any]]:
        return {name: self.lens_set.column(name) for name in self.lens_set.columns if name != "id"}

    @cached_property
    def bands(self) -> tuple[BandHeader, ...]:
        """The set's bands; of a simulated one with the PSF and noise it was drawn with."""
        return host_bands(self.lens_set)


def of_set(
    lens_set: LensSet | Path | str, settings: InjectionSettings | None = None, chosen: Chosen | None = None
) -> Hosts:
    """Hosts out of a lens set.

    Raises
    ------
    UsageError
        A column that the settings name is not there, or there are too few hosts.
    DataError
        The set lacks a PSF or a zero point.
    """
    opened = lens_set if isinstance(lens_set, LensSet) else open_cutouts(lens_set)
    settings = InjectionSettings() if settings is None else settings
    check_settings(opened, settings)
    return Hosts(SetHosts(opened), settings, chosen)


LOOKED_AT_ONCE = 32


@dataclass(frozen=True)
class LookTask:
    """Looks at one block of hosts."""

    hosts: Path
    settings: InjectionSettings
    order: tuple[int, ...]

    def __call__(self, block: int) -> tuple[int, list[Look]]:
        """The block's number, and what was seen."""
        rows = self.order[block * LOOKED_AT_ONCE : (block + 1) * LOOKED_AT_ONCE]
        return block, look_at(_opened(self.hosts), rows, self.settings)


def choose_in_set(
    lens_set: LensSet,
    settings: InjectionSettings,
    workers: int | Team = 1,
    progress: Progress = lambda done, total: None,
) -> Chosen:
    """As `choose`, in several processes; the same hosts whatever their number."""
    order = tuple(look_order(len(lens_set), settings))
    blocks = range(-(-len(order) // LOOKED_AT_ONCE))
    with (
        nullcontext(workers) if isinstance(workers, Team) else Team(workers, get_ready) as team,
        closing(spread(LookTask(lens_set.path, settings, order), blocks, team)) as ended,
    ):
        return chosen_of(_in_order(ended, lambda seen: progress(seen, len(order))), len(order), settings)


def get_ready() -> None:
    """Import what systems are made with, and make its tables."""
    scene = draw_scene("single-centred", 1, 0)
    lensed_light(scene, INSTRUMENTS["euclid"], DEFAULT_NUMERICS, Shared())


def _in_order(ended: Iterable[tuple[int, list[Look]]], progress: Callable[[int], None]) -> Iterator[Look]:
    """Looks of block 0, 1, …, as soon as each is there."""
    waiting: dict[int, list[Look]] = {}
    following = seen = 0
    for block, looks in ended:
        waiting[block] = looks
        seen += len(looks)
        progress(seen)
        while following in waiting:
            yield from waiting.pop(following)
            following += 1


@lru_cache(maxsize=1)
def _opened(path: Path) -> SetHosts:
    return SetHosts(open_cutouts(path))


@dataclass(frozen=True)
class InjectionTask:
    """Renders and writes one chunk; what is in it depends on (hosts, settings) alone."""

    root: Path
    header: Header
    hosts: Path
    settings: InjectionSettings
    arms: tuple[str, ...]
    chosen: Chosen

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        hosts = Hosts(_opened(self.hosts), self.settings, self.chosen)
        span, arms = self.header.span(chunk), self.arms
        made = [one for i in range(span.start // len(arms), span.stop // len(arms)) for one in _system(hosts, i, self)]
        records = as_records([m.id for m in made], [m.scene for m in made], [m.rendered for m in made], self.header)
        LensSetWriter(self.root, self.header).write(chunk, _with_survey(records, [m.host for m in made], self.header))
        return len(made)


@dataclass(frozen=True)
class _Made:
    """One system of the set that is written."""

    id: str
    scene: Scene
    rendered: Rendered
    host: HostCutout


def _system(hosts: Hosts, i: int, task: InjectionTask) -> list[_Made]:
    """The arms of one host, and in their rows what was assumed."""
    scene, origins = hosts.drawn(i)
    scenes = {"host": alone(scene), "lens": scene}
    host = hosts.cutout(i)
    again = i // hosts.chosen.distinct if hosts.settings.reuse else 0
    name = host.id + (f"-{again + 1}" if again else "")
    kept = [column.name for column in task.header.columns]
    made = []
    for arm, rendered in zip(task.arms, hosts.render(i, [scenes[arm] for arm in task.arms]), strict=True):
        own = {"host_id": host.id, "arm": arm, **origins, "arc_noise": arc_noise(host)}
        if arm == "host":
            own |= {"source_from": "no source", "arc_noise": "no arc"}
        row = {**dict.fromkeys(kept, math.nan), **host.row, **rendered.truth.row, **own}
        truth = replace(rendered.truth, row={column: row[column] for column in kept})
        made.append(_Made(f"{name}-{arm}", scenes[arm], replace(rendered, truth=truth), host))
    return made


def arc_noise(host: HostCutout) -> str:
    """Which bands' arcs have shot noise: ``shot`` in all, ``none``, or ``shot in VIS alone``."""
    shot = [band for band in host.bands if host.electrons_per_unit.get(band) is not None]
    if len(shot) in (0, len(host.bands)):
        return "shot" if shot else "none"
    return f"shot in {', '.join(shot)} alone"


def _with_survey(records: Records, hosts: Sequence[HostCutout], header: Header) -> Records:
    """The records with the PSFs, the RMS and the coordinates of their hosts, as the header has them."""

    def stacked(pick: Callable[[HostCutout], NDArray[Any]], per_cutout: bool) -> NDArray[np.float32]:
        return np.stack([pick(host).astype(np.float32) for host in (hosts if per_cutout else hosts[:1])])

    psf, rms = {}, {}
    for band in header.bands:
        name = band.name
        if band.psf is not None:
            psf[name] = stacked(lambda host, name=name: host.psf[name], band.psf.per_cutout)  # type: ignore[misc]
        if band.rms is not None:
            rms[name] = stacked(lambda host, name=name: host.rms[name], band.rms.per_cutout)  # type: ignore[misc]
    return replace(records, psf=psf, rms=rms, wcs=[host.wcs for host in hosts] if header.has_wcs else None)


def inject(
    hosts: LensSet | Path | str,
    out: Path | str,
    settings: InjectionSettings | None = None,
    arms: Sequence[str] = ARMS,
    workers: int = 1,
    progress: StageProgress = lambda stage, done, total: None,
) -> LensSet:
    """Write a lens set of hosts and hosts with arcs; resumes where an interrupted run stopped.

    Parameters
    ----------
    hosts
        Lens set with PSFs and zero points.
    out
        Folder to write; it may hold an interrupted run of the same set.
    arms
        What is written of each host: ``host``, ``lens``, or both.
    workers
        Number of processes; the set is the same whatever their number.
    progress
        Called with a stage (looking at hosts, injecting), how many of it are done, and of how many.

    Returns
    -------
    LensSet
        With truth, scenes, the hosts' PSFs and RMS, and columns that say what was assumed of each system.

    Raises
    ------
    UsageError
        A setting is wrong, there are too few hosts, or `out` holds another set or cannot be written.
    DataError
        The hosts lack a PSF or a zero point, or something of them cannot be used.
    MachineError
        The disk is full, or a worker died.
    """
    opened = hosts if isinstance(hosts, LensSet) else open_cutouts(hosts)
    settings = InjectionSettings() if settings is None else settings
    odd = [arm for arm in arms if arm not in ARMS]
    if odd or not arms or len(set(arms)) < len(arms):
        raise UsageError(f"--arms {','.join(arms)}: allowed are host, lens and host,lens")
    check_settings(opened, settings)
    with Team(workers, get_ready) as team:
        chosen = choose_in_set(opened, settings, team, partial(progress, "looking at hosts"))
        header = injected_header(opened, settings, chosen, tuple(arms))
        task = InjectionTask(Path(out), header, opened.path, settings, tuple(arms), chosen)
        return write_chunks(task, team, partial(progress, "injecting"))


def injected_header(lens_set: LensSet, settings: InjectionSettings, chosen: Chosen, arms: tuple[str, ...]) -> Header:
    """Header of the set `inject` writes."""
    n = len(chosen.rows) * len(arms)
    first = prepare(SetHosts(lens_set)[chosen.rows[0]], settings)
    truth = tuple(catalogue_column(column) for column in truth_columns(first.instrument))
    ours = {column.name for column in (*truth, *OWN_COLUMNS)}
    kept = tuple(column for column in lens_set.header.columns if column.name not in ours)
    cut = f"light of an arc below {ARC_CUT_SIGMA:g} of a pixel's RMS is not added"
    again = [f"{chosen.distinct} hosts are used for {len(chosen.rows)} systems"] if settings.reuse else []
    return Header(
        instrument=lens_set.instrument,
        bands=tuple(_band(band, settings) for band in SetHosts(lens_set).bands),
        n=n,
        chunk=-(-chunk_for(n) // len(arms)) * len(arms),
        seed=settings.seed,
        has_truth=True,
        has_scenes=True,
        has_wcs=lens_set.header.has_wcs,
        columns=(*truth, *OWN_COLUMNS, *kept),
        source=Source.model_validate(
            {
                "layout": "injected",
                "hosts": lens_set.content_hash,
                "arms": list(arms),
                "settings": json.loads(json.dumps(asdict(settings))),
                "notes": [*chosen.notes, *again, cut],
            }
        ),
        provenance=replace(
            Provenance.here(seed=settings.seed, inputs={lens_set.path.name: lens_set.content_hash}),
            command=f"lensaudit inject {lens_set.path.name}",  # the settings stand beside it; --workers changes nothing
        ),
    )


def _band(band: BandHeader, settings: InjectionSettings) -> BandHeader:
    """The host's band with what the settings say of it."""
    scale = band.pixel_scale_arcsec
    said: dict[str, Any] = {}
    for field, given in (
        ("zero_point_mag", settings.zero_point_mag), ("electrons_per_unit", settings.electrons_per_unit)
    ):  # fmt: skip
        if band.name in given or "*" in given:
            said[field] = given.get(band.name, given.get("*"))
    words = settings.psf.get(band.name, settings.psf.get("*"))
    if words is not None:
        kernel, _ = proper_psf(given_psf(words, scale), words)
        said["psf"] = PsfHeader(side=len(kernel), per_cutout=False)
    return band.model_copy(update=said)
