"""Real cutouts that probes are asked on, as arguments name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.api.calling import as_set
from lensaudit.errors import UsageError
from lensaudit.injection.settings import POPULATIONS
from lensaudit.probes import HostsAsked


def asked_hosts(words: dict[str, Any]) -> HostsAsked | None:
    """The hosts with the options that are for them alone, all taken out of `words`.

    Raises
    ------
    UsageError
        Such an option is given without hosts.
    """
    hosts = words.pop("hosts", None)
    own = {name: words.pop(name) for name in ("reuse_hosts", "psf_of_arc", "sources") if name in words}
    if hosts is None:
        if own:
            raise UsageError(f"{next(iter(own))} is for arcs in real cutouts; give these as hosts=…")
        return None
    sources = own.get("sources", POPULATIONS)
    named = (sources,) if isinstance(sources, str | Path) else sources
    return HostsAsked(
        as_set(hosts).path,
        reuse=own.get("reuse_hosts", False),
        psf_of_arc=own.get("psf_of_arc", False),
        sources=tuple(str(one) for one in named),
    )
