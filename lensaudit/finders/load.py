"""One name for every finder: built-in, folder, or anybody's own ``package.module:factory``."""

from __future__ import annotations

from pathlib import Path

from lensaudit.errors import UsageError
from lensaudit.finders.declared import load_declared
from lensaudit.finders.device import choose_device
from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import builtin_finder_folder, builtin_recipes, tell_hidden
from lensaudit.finders.store import FINDER_FILE, WEIGHTS_FILE, open_finder


def load_finder(name: str, device: str = "cpu") -> Finder:
    """Load a finder by what a user calls it.

    Parameters
    ----------
    name
        A built-in name (``ou66``, ``OU-66``), a finder's folder, or ``package.module:factory``.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    UsageError
        There is no such finder, or the built-in one has no weights yet.
    DataError
        Its files are torn or do not fit together.
    """
    where = choose_device(device)
    finder = _find(name)
    finder.module.to(where)
    return finder


def _find(name: str) -> Finder:
    folder = Path(name)
    if folder.is_dir():
        tell_hidden(folder, name, builtin_recipes(), "finder")
        return open_finder(folder, str(folder))
    if ":" in name:
        return load_declared(name)
    if "/" in name or folder.exists():
        raise UsageError(f"finder {name}: is not a folder; give a folder with {FINDER_FILE} and {WEIGHTS_FILE}")
    builtin = builtin_finder_folder(name)
    if not (builtin / FINDER_FILE).is_file():
        raise UsageError(
            f"built-in finder {builtin.name} has no weights yet; train them with lensaudit train {builtin.name} "
            f"--data SET --out DIR, or read published ones with lensaudit models import FILE "
            f"--as {builtin.name} --out DIR"
        )
    return open_finder(builtin, "built-in")
