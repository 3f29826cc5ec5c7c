"""Real cutouts that probes are asked on, as a user names them; nothing is opened until it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.injection.settings import InjectionSettings, without_places
from lensaudit.records import Json, Record, plain

if TYPE_CHECKING:
    from lensaudit.probes.on_hosts import OnHosts

OWN_WORDS = ("seed", "n", "reuse", "sources")
"""Of the settings: said by the probe, or apart."""


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
    settings
        How arcs are put into them, as ``lensaudit inject`` has it; its seed, `n` and `reuse` are the probe's.
    """

    path: Path
    reuse: bool = False
    psf_of_arc: bool = False
    settings: InjectionSettings = field(default_factory=InjectionSettings)

    def to_json(self) -> Json:
        """As results record it: without the place where files lie, and of the settings what was asked for."""
        names = [Path(one).name for one in self.settings.sources]
        said = plain({"path": self.path.name, "reuse": self.reuse, "psf_of_arc": self.psf_of_arc, "sources": names})
        asked, usual = without_places(self.settings), InjectionSettings()
        own = {one.name: getattr(asked, one.name) for one in fields(usual) if one.name not in OWN_WORDS}
        changed = {name: value for name, value in own.items() if value != getattr(usual, name)}
        return {**said, **({"settings": plain(changed)} if changed else {})}

    @classmethod
    def _modern(cls, words: Json) -> Json:
        settings = {**words.get("settings", {}), "sources": words.get("sources", ["populations"])}
        return {**{name: value for name, value in words.items() if name != "sources"}, "settings": settings}

    def chosen(self, n: int, seed: int, workers: int = 1) -> OnHosts:
        """The first `n` hosts, in an order drawn from the seed, that can be used; fewer where there are no more.

        Raises
        ------
        UsageError
            There is no such source or column, or fewer than two hosts can be used.
        DataError
            A PSF, a zero point or a filter is neither in the set nor given, or no host can be used.
        """
        from lensaudit.probes.on_hosts import chosen

        return chosen(self, n, seed, workers)

    def check(self) -> None:
        """Raise what `chosen` would of the set and its sources, without looking at any host."""
        from lensaudit.probes.on_hosts import check

        check(self)
