"""Options of all commands that ask probes on real cutouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lensaudit.probes import HostsAsked

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
        help="For hosts and source-texture: populations (smooth), a catalogue of GalSim's real galaxies "
        "(twice: a second HST band), or a folder of FITS stamps with their PSF.",
    ),
]  # fmt: skip


def only_source(sources: list[str] | None) -> Path | None:
    """The one folder or catalogue that the probe source-texture takes."""
    from lensaudit.errors import UsageError

    if sources and len(sources) > 1:
        raise UsageError("--sources: probe source-texture takes one folder or catalogue; give one")
    return Path(sources[0]) if sources else None


def hosts_asked(hosts: Path | None, sources: list[str] | None, *, reuse: bool, psf_of_arc: bool) -> HostsAsked | None:
    """The hosts that are named; the other options are for them alone."""
    from lensaudit.errors import UsageError
    from lensaudit.probes import HostsAsked

    if hosts is None:
        asked = {"sources": sources, "reuse-hosts": reuse, "psf-of-arc": psf_of_arc}
        if wrong := next((name for name, given in asked.items() if given), None):
            raise UsageError(f"--{wrong} is for arcs in real cutouts; name these with --hosts SET")
        return None
    named = {} if not sources else {"sources": tuple(sources)}
    return HostsAsked(hosts, reuse=reuse, psf_of_arc=psf_of_arc, **named)
