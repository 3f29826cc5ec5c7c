"""``lensaudit probe export`` and ``import-scores``: probes of finders outside Python."""

from __future__ import annotations

import typer


def register(probes: typer.Typer) -> None:
    """Add the commands to ``lensaudit probe``."""
