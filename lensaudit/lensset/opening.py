"""One way to open cutouts: a lens set, or a container by its declaration."""

from __future__ import annotations

from pathlib import Path

from lensaudit.errors import DataError
from lensaudit.lensset.header import HEADER_NAME
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import WORK_NAME, why_unfinished

DECLARED = "where images, bands, ids and labels are and what a pixel means"
"""What the YAML of a container says."""


def open_cutouts(path: Path | str) -> LensSet:
    """Open the cutouts at `path`: a lens set, or a container, which is one without truth.

    Parameters
    ----------
    path
        A lens set's folder; the YAML that declares a container; the container, with that YAML beside it
        (``cutouts.h5`` and ``cutouts.yaml``); or a folder with one YAML in it.

    Raises
    ------
    UsageError
        There is no such path, or a field of the declaration is wrong.
    DataError
        The set is unfinished or damaged, or the container is not as declared.
    """
    path = Path(path)
    if not path.exists() or (path / HEADER_NAME).is_file() or (path / WORK_NAME).is_dir():
        return LensSet.open(path)
    from lensaudit.lensset.containers import Container, declaration_at  # a second for who opens none: astropy

    declared = declaration_at(path)
    if declared is not None:
        return Container.open(declared)
    if path.is_file():
        raise DataError(f"{path}: has no declaration beside it; write {path.stem}.yaml, which says {DECLARED}")
    raise DataError(f"{why_unfinished(path)}, or write cutouts.yaml in it, which says {DECLARED}")


def names_cutouts(path: Path) -> bool:
    """Whether `path` is what `open_cutouts` opens: a lens set's folder, or a container with its declaration."""
    if (path / HEADER_NAME).is_file() or not path.exists():
        return (path / HEADER_NAME).is_file()
    from lensaudit.lensset.containers import declaration_at

    return declaration_at(path) is not None
