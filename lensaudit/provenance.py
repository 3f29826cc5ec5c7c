"""Where a result came from: version, command line, seed, input hashes."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from lensaudit import __version__

_PACKAGES = ("numpy", "torch", "lenstronomy", "galsim", "astropy", "captum", "scikit-learn", "lightning")


def provenance(*, seed: int | None = None, inputs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Record of how a result was made, to be stored inside the result.

    Holds no time and no host name, so that the same command on the same inputs writes the same bytes.

    Parameters
    ----------
    seed
        The seed the work was derived from, if any.
    inputs
        Name of each input → SHA-256 of its content.
    """
    return {
        "lensaudit": __version__,
        "command": command_line(),
        "seed": seed,
        "inputs": dict(sorted((inputs or {}).items())),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def command_line() -> str:
    """The command as typed, without the path of the interpreter or script."""
    return " ".join(["lensaudit", *sys.argv[1:]])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
