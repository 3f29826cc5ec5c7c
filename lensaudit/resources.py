"""Where the built-in recipes, weights and probe definitions lie: in the wheel, or in the repository."""

from __future__ import annotations

from pathlib import Path

from lensaudit.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent


def builtin_folder(name: str) -> Path:
    """Folder of built-in files: ``models`` or ``probes``.

    An installed wheel carries them under ``lensaudit/builtin``; a source checkout keeps them at its top level.
    """
    for folder in (_PACKAGE / "builtin" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise UsageError(f"built-in folder '{name}' is missing from this installation; install lensaudit again")
