"""Where the built-in recipes, weights and probe definitions lie: in the wheel, or in the repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lensaudit.errors import UsageError

QUICK_PROBES = ("compound", "red-source", "psf-rotation", "einstein-radius", "arc-snr", "false-positive")
"""Probes of a first look: one or two of every kind."""

_PACKAGE = Path(__file__).resolve().parent


def builtin_folder(name: str) -> Path:
    """Folder of built-in files: ``models`` or ``probes``.

    An installed wheel carries them under ``lensaudit/builtin``; a source checkout keeps them at its top level.
    """
    for folder in (_PACKAGE / "builtin" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise UsageError(f"built-in folder '{name}' is missing from this installation; install lensaudit again")


def without_groups(names: Sequence[str]) -> tuple[str, ...]:
    """Names of probes with ``quick`` written out.

    Where ``all`` is among them it stays, before the paths of a user's own probes; alone it becomes no name at all,
    which stands for all.

    Examples
    --------
    >>> without_groups(["quick", "orientation"])[-2:]
    ('false-positive', 'orientation')
    """
    if "all" in names:
        own = [name for name in names if name.endswith((".yaml", ".yml"))]
        return ("all", *own) if own else ()
    quick = tuple(name for name in QUICK_PROBES if name not in names)
    return tuple(one for name in names for one in (quick if name == "quick" else (name,)))
