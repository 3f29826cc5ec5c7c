"""Real cutouts that probes are asked on, as a user names them; nothing is opened until it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.records import Json, Record, plain

if TYPE_CHECKING:
    from lensaudit.probes.on_hosts import OnHosts

SMOOTH_SOURCES = ("populations",)


@dataclass(frozen=True)
class HostsAsked(Record):
    """Real cutouts that probes are asked on.

    Attributes
    ----------
    path
        Lens set with point-spread functions and zero points, from ``lensaudit ingest``.
    reuse
        Take hosts more than once where there are fewer than pairs, each time with another source.
    psf_of_arc
        Let edits of the point-spread function act on the arc alone; without it they are not made on hosts.
    sources
        ``populations``, or catalogues or a folder of real galaxies, as `lensaudit.injection.InjectionSettings` has it.
    """

    path: Path
    reuse: bool = False
    psf_of_arc: bool = False
    sources: tuple[str, ...] = SMOOTH_SOURCES

    def to_json(self) -> Json:
        """As results record it: without the place where files lie."""
        names = [Path(one).name for one in self.sources]
        return plain({"path": self.path.name, "reuse": self.reuse, "psf_of_arc": self.psf_of_arc, "sources": names})

    def chosen(self, n: int, seed: int, workers: int = 1) -> OnHosts:
        """The first `n` hosts, in an order drawn from the seed, that can be used; fewer where there are no more.

        Raises
        ------
        UsageError
            There is no such source, or fewer than two hosts can be used.
        DataError
            The set lacks a PSF, a zero point or a filter, or no host can be used.
        """
        from lensaudit.probes.on_hosts import chosen

        return chosen(self, n, seed, workers)

    def check(self) -> None:
        """Raise what `chosen` would of the set and its sources, without looking at any host."""
        from lensaudit.probes.on_hosts import check

        check(self)
