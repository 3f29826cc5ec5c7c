"""Pairs on real pixels: arcs of one host, the host's own pixels around them; and which edits a real host allows.

What is the host's (its galaxy's light, its point-spread function, its noise) is in its pixels already, so no edit may
change it. A treated arm without a lens is the host as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.imaging import INSTRUMENTS, Column, Instrument, Rendered, truth_columns
from lensaudit.injection import Chosen, Hosts, InjectionSettings, of_set
from lensaudit.injection.choosing import Lights
from lensaudit.injection.hosts import host_bands
from lensaudit.injection.inject import alone
from lensaudit.injection.sets import check_settings, choose_in_set
from lensaudit.injection.settings import POPULATIONS, file_of, in_words, without_places
from lensaudit.injection.sources import sources_of
from lensaudit.lensset import LensSet, open_cutouts
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.elsewhere import on_instrument
from lensaudit.probes.experiment import Fields, Images, TruthRow, with_snr_held
from lensaudit.probes.result import HostsUsed
from lensaudit.probes.steps import Arm, digest_of_files
from lensaudit.scenes import Galaxy, Light, Scene

if TYPE_CHECKING:
    from lensaudit.finders import Finder

HOSTS_LABEL = "hosts"
"""Population label of arcs in real cutouts."""


class ChangesHost(UsageError):
    """An edit changes what is the host's; the text is one clause."""


class Asked(Protocol):
    """What is asked for, see `lensaudit.probes.hosts.HostsAsked`."""

    @property
    def path(self) -> Path: ...
    @property
    def reuse(self) -> bool: ...
    @property
    def psf_of_arc(self) -> bool: ...
    @property
    def settings(self) -> InjectionSettings: ...


def chosen(asked: Asked, n: int, seed: int, workers: int = 1) -> OnHosts:
    """What `HostsAsked.chosen` gives."""
    if n < 2:
        raise UsageError(f"--n {n}: a probe needs at least 2 pairs")
    opened = open_cutouts(asked.path)
    settings = replace(asked.settings, seed=seed, n=n, reuse=True)
    _demand_whole(opened, settings)
    check_settings(opened, settings)
    sources_of(settings)
    found = choose_in_set(opened, settings, workers)
    pairs = n if asked.reuse else min(n, found.distinct)
    if pairs < 2:
        raise UsageError(
            f"--hosts {asked.path}: 1 of {len(opened)} hosts can be used, and a probe needs at least 2 pairs; give "
            "more hosts, or --reuse-hosts"
        )
    used = HostsUsed(
        set=opened.path.name,
        distinct=found.distinct,
        asked=n,
        reused=pairs > found.distinct,
        psf_of_arc=asked.psf_of_arc,
        sources=without_places(settings).sources,
        notes=(*in_words(settings), *found.notes),
    )
    return OnHosts(opened.path, found.rows[:pairs], replace(settings, n=None, reuse=asked.reuse), used, found.lights)


def check(asked: Asked) -> None:
    """What `HostsAsked.check` does."""
    opened = open_cutouts(asked.path)
    _demand_whole(opened, asked.settings)
    check_settings(opened, asked.settings)
    sources_of(asked.settings)


def _demand_whole(lens_set: LensSet, settings: InjectionSettings) -> None:
    named = lens_set.instrument in INSTRUMENTS or "VIS" in lens_set.bands
    for band in host_bands(lens_set):
        needed = (
            ("PSF", band.psf is not None, settings.psf, "--psf", "FILE"),
            ("zero point", band.zero_point_mag is not None, settings.zero_point_mag, "--zero-point", "MAG"),
            ("filter", named or band.filter is not None, settings.filters, "--filter", "NAME"),
        )
        for what, there, given, option, value in needed:
            if not there and not {"*", band.name} & given.keys():
                raise DataError(
                    f"--hosts {lens_set.path}: band {band.name} has no {what}; ingest the cutouts with it, or give "
                    f"{option} {band.name}={value}"
                )


@dataclass(frozen=True)
class OnHosts:
    """Hosts out of a lens set, each with an arc of its own, which the arms edit.

    Attributes
    ----------
    rows
        Place of each system's host in the set.
    settings
        How arcs are drawn; system i depends on (seed, i) and its host alone.
    used
        What the pages say of the hosts.
    lights
        What was measured of them when they were chosen; None: it is measured again.
    """

    path: Path
    rows: tuple[int, ...]
    settings: InjectionSettings
    used: HostsUsed = field(repr=False)
    lights: Lights | None = field(default=None, repr=False, compare=False)

    @property
    def n(self) -> int:
        """Systems."""
        return len(self.rows)

    @property
    def groups(self) -> NDArray[np.intp] | None:
        """The host of each system (n,), where hosts are used more than once."""
        return np.array(self.rows, np.intp) if self.used.reused else None

    @property
    def name(self) -> str:
        """Folder of the hosts, as it was called when they were chosen."""
        return self.used.set

    @property
    def fields(self) -> Fields:
        """What the hosts' set declares."""
        return Fields.of_set(self._set)

    @cached_property
    def instrument(self) -> Instrument:
        """What stands for the hosts' instrument in words and truth columns: that of the first host."""
        return self._hosts.prepared(0).instrument

    @property
    def band_units(self) -> dict[str, str]:
        """Band → unit of its pixels, as the set says it."""
        return {band.name: band.unit for band in self._set.header.bands}

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of a truth row."""
        return truth_columns(self.instrument)

    @property
    def inputs(self) -> dict[str, str]:
        """The hosts → their content hash; real galaxies taken for sources, and PSFs that were given → SHA-256."""
        sources = [Path(words) for words in self.settings.sources if words != POPULATIONS]
        files = {f"sources {path.name}": path for path in sources}
        files |= {f"PSF {file_of(words).name}": file_of(words) for words in self.settings.psf.values()}
        return {self.name: self._set.content_hash} | {name: digest_of_files(path) for name, path in files.items()}

    @cached_property
    def _set(self) -> LensSet:
        return open_cutouts(self.path)

    @cached_property
    def _hosts(self) -> Hosts:
        return of_set(self._set, self.settings, Chosen(self.rows, {}, {}, self.lights))

    def __getstate__(self) -> dict[str, Any]:
        # What is kept open is opened again in a worker.
        kept = ("path", "rows", "settings", "used", "lights")
        return {name: value for name, value in self.__dict__.items() if name in kept}

    def __hash__(self) -> int:
        return hash((self.path, self.rows))  # settings hold dicts

    def of(self, definition: ProbeDefinition) -> OnHosts:
        """The hosts as this probe takes them: each once where the treated arm is the host alone.

        Where the probe brings real galaxies of its own, what they take the place of are the populations' smooth ones.
        """
        if definition.textured and self.settings.sources != (POPULATIONS,):
            smooth = replace(self.settings, sources=(POPULATIONS,))
            return replace(self, settings=smooth, used=replace(self.used, sources=(POPULATIONS,)))
        if not self.used.reused or definition.nature != "contaminant":
            return self
        return replace(self, rows=self.rows[: self.used.distinct], used=replace(self.used, reused=False))

    def id(self, index: int) -> str:
        """Id of the host in its set; from its second system on with that number."""
        again = index // self.used.distinct
        return self._set.ids[self.rows[index]] + (f"-{again + 1}" if again else "")

    def rendered(self, index: int, arms: Sequence[Arm]) -> list[Rendered]:
        """Host `index` in every arm, before image edits: its own pixels and the arm's arc.

        Raises
        ------
        ChangesHost
            A step changes what is the host's.
        """
        drawn = self._hosts.scene(index)
        return with_snr_held(arms, lambda arm: self._scene(arm, drawn), partial(self._hosts.render, index))

    def arms(self, index: int, arms: Sequence[Arm]) -> list[tuple[Images, TruthRow]]:
        """Images and truth row of system `index` in every arm."""
        seed = self.settings.seed * 1_000_003 + index
        rendered = self.rendered(index, arms)
        return [(arm.images(one.images, seed), one.truth.row) for arm, one in zip(arms, rendered, strict=True)]

    def _scene(self, arm: Arm, drawn: Scene) -> Scene:
        edited = arm.scene(drawn)
        if reason := why_not_kept(drawn, edited, psf_of_arc=self.used.psf_of_arc):
            raise ChangesHost(reason)
        return edited if edited.label else alone(drawn)

    def why_not(self, definition: ProbeDefinition) -> str | None:
        """What it does that a host does not allow, in one clause without "it", tried on the first; None if it fits."""
        if definition.nature == "contaminant" and self.used.distinct < 2:
            return "takes each host once, and there is one"
        drawn = self._hosts.scene(0)
        try:
            for arm in definition.arms():
                self._scene(arm, drawn)
        except ChangesHost as reason:
            return str(reason)
        except LensauditError as error:
            return f"does not fit an arc in a host ({error})"
        return None


SIMULATED_ALONE = "which only a simulated host allows"


def why_not_kept(drawn: Scene, edited: Scene, *, psf_of_arc: bool = False) -> str:
    """Why `edited` cannot be rendered on the host of `drawn`, in one clause; empty where the host stays as it is.

    All that is not lensed is in the host's pixels and must be as drawn; galaxies may be added. Of a scene that is no
    lens any more nothing is drawn at all, so that it must bring no light of its own.
    """
    if not edited.label:
        new = _light(edited.galaxies) - _light(drawn.galaxies)
        looks_alike = f"draws a galaxy that looks like a lens, {SIMULATED_ALONE}; false-positive asks about bare hosts"
        return looks_alike if new else ""
    was, now = (tuple(g for g in scene.galaxies if g.role == "lens") for scene in (drawn, edited))
    if [(g.x_arcsec, g.y_arcsec) for g in was] != [(g.x_arcsec, g.y_arcsec) for g in now]:
        return f"moves the lens galaxy, {SIMULATED_ALONE}"
    if [g.light for g in was] != [g.light for g in now]:
        return f"changes the lens galaxy's light, {SIMULATED_ALONE}"
    if edited.noise_scale != drawn.noise_scale:
        return f"changes the background noise, {SIMULATED_ALONE}"
    if edited.psf != drawn.psf and not psf_of_arc:
        return f"changes the point-spread function, {SIMULATED_ALONE}; --psf-of-arc changes that of the arc alone"
    return ""


def _light(galaxies: Sequence[Galaxy]) -> set[Light]:
    return {light for galaxy in galaxies for light in galaxy.light}


def as_recorded(hosts: OnHosts) -> dict[str, Any]:
    """Hosts as the key of an export holds them; `from_record` reads it."""
    return {
        "path": str(hosts.path.resolve()),
        "rows": list(hosts.rows),
        "settings": asdict(hosts.settings),
        "used": hosts.used.to_json(),
    }


def from_record(record: dict[str, Any]) -> OnHosts:
    """The hosts that `as_recorded` wrote; nothing is opened."""
    words = dict(record["settings"])
    settings = InjectionSettings(**words | {"sources": tuple(words["sources"])})
    rows = tuple(int(row) for row in record["rows"])
    return OnHosts(Path(record["path"]), rows, settings, HostsUsed.from_json(record["used"], "key", "export again"))


def on_hosts(definition: ProbeDefinition, hosts: OnHosts) -> ProbeDefinition:
    """The probe in the hosts' bands; what others published on their images is left out."""
    return on_instrument(definition, hosts.instrument).model_copy(update={"published": None})


def check_hosts(finder: Finder, asked: Asked) -> None:
    """Raise what is wrong with the hosts or their sources, or why the finder cannot take them, before the work starts.

    Raises
    ------
    UsageError
        There is no such set or source.
    DataError
        The hosts lack something, or the finder cannot take them as input.
    """
    check(asked)
    opened = open_cutouts(asked.path)
    finder.for_units(opened).check(opened)
