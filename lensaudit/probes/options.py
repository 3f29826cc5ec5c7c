"""How a probe is run: what a user may settle, checked before anything is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lensaudit.errors import UsageError
from lensaudit.finders.stretch import NAMED
from lensaudit.imaging import Instrument
from lensaudit.probes.definition import Mode, ProbeDefinition
from lensaudit.probes.on_hosts import OnHosts
from lensaudit.probes.result import ProbeSettings


@dataclass(frozen=True)
class ProbeOptions:
    """How to run a probe; None takes the definition's word.

    Attributes
    ----------
    mode
        Name of one of the definition's modes.
    stretch
        Stretch that replaces the finder's own in both arms, e.g. ``minmax`` to undo the one of a mode.
    tolerance
        Loss of recall that is still accepted, in (0, 1).
    workers
        Processes that render.
    batch
        Images that the finder scores at a time.
    lens_set
        Lens set whose lenses are edited in place of drawn scenes; for probes that edit images.
    hosts
        Real cutouts that arcs are put into in place of drawn scenes, of `HostsAsked.chosen`; they say how many pairs.
    instrument
        Whose cutouts are drawn; None takes the probe's own, or the first that the finder takes.
    sources
        Folder or catalogue of real galaxies, for probes that take the source's light from one.
    psf, psf_extension
        FITS file and extension of the kernel, for probes that turn one.
    """

    mode: str | None = None
    stretch: str | None = None
    tolerance: float | None = None
    workers: int = 1
    batch: int | None = None
    lens_set: Path | None = None
    hosts: OnHosts | None = None
    instrument: Instrument | None = None
    sources: Path | None = None
    psf: Path | None = None
    psf_extension: str = "VIS_PSF"


def settled(definition: ProbeDefinition, n: int, seed: int, options: ProbeOptions) -> tuple[ProbeSettings, Mode]:
    """Settle what the user left open and check the rest.

    Raises
    ------
    UsageError
        A value is out of range or unknown.
    """
    name, mode = definition.mode(options.mode)
    tolerance = definition.tolerance if options.tolerance is None else options.tolerance
    if n < 2:
        raise UsageError(f"--n {n}: a probe needs at least 2 pairs of each population")
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed {seed}: must lie in 0 … {2**32 - 1}")
    if not 0 < tolerance < 1:
        raise UsageError(f"--tolerance {tolerance}: must lie between 0 and 1; for instance 0.05")
    if options.workers < 1:
        raise UsageError(f"--workers {options.workers}: must be 1 or more")
    if options.stretch is not None and options.stretch not in NAMED:
        raise UsageError(f"--stretch '{options.stretch}' is unknown; allowed: {', '.join(NAMED)}")
    return ProbeSettings(n, seed, name, tolerance), mode


def refuse_two(options: ProbeOptions) -> None:
    given = {"--set": options.lens_set, "--hosts": options.hosts, "--instrument": options.instrument}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)}: each says whose cutouts are taken; give one of them")
