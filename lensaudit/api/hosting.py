"""Real cutouts that probes are asked on, as arguments name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from lensaudit.api.calling import Data, as_set
from lensaudit.errors import UsageError
from lensaudit.injection.settings import POPULATIONS, InjectionSettings
from lensaudit.probes import HostsAsked


class HostOptions(TypedDict, total=False):
    """Real cutouts that probes are asked on, and how arcs are put into them.

    Attributes
    ----------
    hosts
        Real cutouts with point-spread functions and zero points, a set or its folder: arcs are put into them and
        edited, in place of drawn scenes. Fewer than `n` make as many pairs as there are hosts.
    reuse_hosts
        Take hosts more than once where there are fewer than `n`.
    psf_of_arc
        Let edits of the point-spread function act on the arc alone.
    sources
        Of the arcs in hosts: ``populations``, or paths as `inject` takes them. The first path is also that of the probe
        ``source-texture``, which needs no hosts: a folder of stamps or a catalogue.
    theta_e, sigma_v, redshift, lens_column
        Columns of the hosts' catalogue, as `inject` takes them.
    psf
        Band (``"*"`` for all) → FITS file, ``FILE`` or ``FILE[EXTENSION]``, of the PSF of all hosts; wins over the set.
        Of the probe ``psf-rotation-real`` a path instead: the kernel that it turns.
    zero_point, electrons_per_unit, filters
        Band → value for all hosts, as `inject` takes them.
    any_host
        Keep stars, empty middles and known lenses as hosts.
    """

    hosts: Data
    reuse_hosts: bool
    psf_of_arc: bool
    sources: Path | str | Sequence[Path | str]
    theta_e: str
    sigma_v: str
    redshift: str
    lens_column: str
    psf: Path | str | Mapping[str, str]
    zero_point: Mapping[str, float]
    electrons_per_unit: Mapping[str, float]
    filters: Mapping[str, str]
    any_host: bool


def asked_hosts(words: dict[str, Any]) -> tuple[HostsAsked | None, Path | None]:
    """The hosts with the options that are for them alone, and the galaxies of source-texture, taken out of `words`.

    Raises
    ------
    UsageError
        Such an option is given without hosts.
    """
    ours = [name for name in HostOptions.__annotations__ if name != "psf" or isinstance(words.get(name), Mapping)]
    own = {name: words.pop(name) for name in ours if name in words}
    hosts, sources = own.pop("hosts", None), own.pop("sources", POPULATIONS)
    named = tuple(str(one) for one in ((sources,) if isinstance(sources, str | Path) else sources))
    galaxies = next((Path(one) for one in named if one != POPULATIONS), None)
    if hosts is None:
        if own:
            raise UsageError(f"{next(iter(own))} is for arcs in real cutouts; give these as hosts=…")
        return None, galaxies
    reuse, psf_of_arc = own.pop("reuse_hosts", False), own.pop("psf_of_arc", False)
    renamed = {"zero_point": "zero_point_mag"}
    settings = InjectionSettings(sources=named, **{renamed.get(name, name): value for name, value in own.items()})
    return HostsAsked(as_set(hosts).path, reuse, psf_of_arc, settings), galaxies
