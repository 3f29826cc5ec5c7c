"""Options of all commands that put arcs into real cutouts: each declared once, and taken by a command as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli.groups import Group, options_of

if TYPE_CHECKING:
    from lensaudit.injection import InjectionSettings
    from lensaudit.probes import HostsAsked, OnHosts

    Settings = InjectionSettings
else:
    Settings = Any  # imported when it is needed

FABER_JACKSON = "faber-jackson"
POPULATIONS = "populations"

Hosts = Annotated[
    Path | None,
    typer.Option(
        "--hosts", metavar="SET",
        help="Real cutouts, from lensaudit ingest: probes are asked on arcs that are put into them.",
    ),
]  # fmt: skip
ReuseHosts = Annotated[
    bool, typer.Option("--reuse-hosts", help="Take hosts more than once where there are fewer than --n.")
]
PsfOfArc = Annotated[
    bool, typer.Option("--psf-of-arc", help="With --hosts: let PSF edits act on the arc alone, not on the host.")
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--sources", metavar="WHAT",
        help="Of arcs in hosts and of source-texture: populations (smooth), a catalogue of GalSim's real galaxies "
        "(twice: a second HST band), or a folder of FITS stamps with their PSF.",
    ),
]  # fmt: skip
ThetaE = Annotated[
    str,
    typer.Option(
        "--theta-e", metavar="COLUMN",
        help="Einstein radii of hosts in arcsec; faber-jackson: from magnitude and redshift; prior: drawn.",
    ),
]  # fmt: skip
SigmaV = Annotated[
    str, typer.Option("--sigma-v", metavar="COLUMN", help="Velocity dispersions in km/s, instead of --theta-e.")
]
Redshift = Annotated[
    str, typer.Option("--redshift", metavar="COLUMN", help="Of hosts; by default z, zphot and the like; else drawn.")
]
LensColumn = Annotated[
    str, typer.Option("--lens-column", metavar="COLUMN", help="Above 0 where a host is a lens: left out.")
]
Psf = Annotated[
    list[str] | None,
    typer.Option("--psf", metavar="[BAND=]FILE[EXT]", help="PSF of all hosts; wins over the set's."),
]
ZeroPoint = Annotated[
    list[str] | None,
    typer.Option("--zero-point", metavar="[BAND=]MAG", help="AB magnitude of 1 pixel unit of the hosts."),
]
ElectronsPerUnit = Annotated[
    list[str] | None,
    typer.Option(
        "--electrons-per-unit", metavar="[BAND=]E",
        help="Electrons of 1 pixel unit, for the arc's shot noise; unknown: none.",
    ),
]  # fmt: skip
Filters = Annotated[
    list[str] | None, typer.Option("--filter", metavar="BAND=NAME", help="Filter of the hosts, of speclite: hsc2017-i.")
]
AnyHost = Annotated[bool, typer.Option("--any-host", help="Keep stars, empty middles and known lenses as hosts.")]


@dataclass(frozen=True)
class Asked:
    """What a user said of hosts: None where no hosts are named.

    Attributes
    ----------
    sources
        As given, also where there are no hosts: for the probe ``source-texture``.
    kernel
        Of the probe ``psf-rotation-real``, whose ``--psf`` names it.
    """

    hosts: HostsAsked | None = None
    sources: tuple[str, ...] = ()
    kernel: Path | None = None

    @property
    def path(self) -> Path | None:
        """The hosts' folder."""
        return None if self.hosts is None else self.hosts.path

    @property
    def galaxies(self) -> Path | None:
        """Folder or catalogue that the probe source-texture takes: the first that is named."""
        return next((Path(one) for one in self.sources if one != POPULATIONS), None)

    def chosen(self, n: int, seed: int, workers: int) -> OnHosts | None:
        """The hosts that can be used; None where none are named."""
        return None if self.hosts is None else self.hosts.chosen(n, seed, workers)


def host_settings(
    sources: Sources = None,
    theta_e: ThetaE = FABER_JACKSON,
    sigma_v: SigmaV = "",
    redshift: Redshift = "",
    lens_column: LensColumn = "",
    psf: Psf = None,
    zero_point: ZeroPoint = None,
    electrons_per_unit: ElectronsPerUnit = None,
    filters: Filters = None,
    any_host: AnyHost = False,
) -> InjectionSettings:
    """How arcs are put into hosts, of the options that say it."""
    from lensaudit.injection import InjectionSettings, numbers_by_band, words_by_band

    return InjectionSettings(
        any_host=any_host,
        theta_e=theta_e,
        sigma_v=sigma_v,
        redshift=redshift,
        lens_column=lens_column,
        sources=tuple(sources or (POPULATIONS,)),
        zero_point_mag=numbers_by_band("--zero-point", zero_point or []),
        electrons_per_unit=numbers_by_band("--electrons-per-unit", electrons_per_unit or []),
        filters=words_by_band(filters or []),
        psf=words_by_band(psf or []),
    )


def hosts_asked(
    hosts: Hosts = None, reuse_hosts: ReuseHosts = False, psf_of_arc: PsfOfArc = False, **settings: Any
) -> Asked:
    """The hosts that are named; the other options are for them alone, but ``--sources``.

    Raises
    ------
    UsageError
        An option for hosts is given without any.
    """
    from lensaudit.errors import UsageError
    from lensaudit.probes import HostsAsked

    sources = tuple(settings.get("sources") or ())
    if hosts is None:
        given = {"reuse_hosts": reuse_hosts, "psf_of_arc": psf_of_arc, **settings, "sources": None}
        usual = {"theta_e": FABER_JACKSON}
        if wrong := next((name for name, value in given.items() if value and value != usual.get(name)), None):
            option = {"filters": "filter"}.get(wrong, wrong).replace("_", "-")
            kernel = ", and probe psf-rotation-real turns one" if wrong == "psf" else ""
            raise UsageError(f"--{option} is for arcs in real cutouts; name these with --hosts SET{kernel}")
        if len(sources) > 1:
            raise UsageError("--sources: probe source-texture takes one folder or catalogue; give one")
        return Asked(None, sources)
    return Asked(HostsAsked(hosts, reuse_hosts, psf_of_arc, host_settings(**settings)), sources)


Kernel = Annotated[Path | None, typer.Option("--psf", metavar="FILE", help="FITS file with the kernel that is turned.")]


def hosts_and_kernel(psf: Kernel = None, **asked: Any) -> Asked:
    """As `hosts_asked`, of the probe whose ``--psf`` is the kernel that it turns."""
    return replace(hosts_asked(**asked), kernel=psf)


_SETTINGS = options_of(host_settings, {"InjectionSettings": Any})
_OF_HOSTS = options_of(hosts_asked)
_ALL = [_OF_HOSTS[0], *_SETTINGS, *_OF_HOSTS[1:]]
_KERNEL = [*options_of(hosts_and_kernel), *(one for one in _ALL if one.name != "psf")]

SETTINGS: Any = Group(host_settings, _SETTINGS)
"""Takes the place of the options that say how arcs are put into hosts, in a command."""
ASKED: Any = Group(hosts_asked, _ALL)
"""The same of all options of hosts."""
ASKED_WITH_KERNEL: Any = Group(hosts_and_kernel, _KERNEL)
"""As `ASKED`, but ``--psf`` is the kernel."""
