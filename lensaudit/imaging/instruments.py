"""The shipped instruments by name, and a user's own by the path of a YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from lensaudit.documents import read_yaml
from lensaudit.errors import NoSuchFile, UsageError
from lensaudit.files import builtin_folder
from lensaudit.imaging.band import Band, Instrument, OwnPsf
from lensaudit.imaging.instrument_words import InstrumentWords
from lensaudit.imaging.psf import own_kernel
from lensaudit.scenes.colours import response
from lensaudit.untrusted import printable

__all__ = ["EUCLID", "INSTRUMENTS", "LSST", "Band", "Instrument", "OwnPsf", "get_instrument", "load_instrument"]


def read_instrument(path: Path) -> Instrument:
    """Read an instrument's YAML.

    Raises
    ------
    UsageError
        A field is missing, unknown or wrong; one line names the file, the field and the fix.
    """
    words = read_yaml(path, InstrumentWords)
    try:
        found = words.built(path.parent)
        if found.name in INSTRUMENTS and INSTRUMENTS[found.name] != found:
            raise UsageError(f"name: {found.name} is a shipped instrument; give yours another name")
        for band in found.bands:
            if band.filter is not None:
                response(band.filter)
            if band.psf is not None:
                own_kernel(band)
    except UsageError as wrong:
        raise UsageError(f"{path}: {wrong}") from wrong
    return found


@lru_cache(maxsize=1)
def _paths() -> dict[str, Path]:
    files = {path.stem: path for path in builtin_folder("instruments").glob("*.yaml")}
    return dict(sorted(files.items(), key=lambda item: (_FIRST.index(item[0]) if item[0] in _FIRST else 99, item[0])))


_FIRST = ("euclid", "vis101", "lsst", "lsst-stack", "euclid-q1")
"""Their order is that of preference, where a finder's cutouts could be of several."""


@lru_cache(maxsize=64)
def _shipped(name: str) -> Instrument:
    return read_yaml(_paths()[name], InstrumentWords).built(_paths()[name].parent)


class _Shipped(Mapping[str, Instrument]):
    """Name → instrument, each read when it is first asked for."""

    def __getitem__(self, name: str) -> Instrument:
        if name not in _paths():
            raise KeyError(name)
        return _shipped(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_paths())

    def __len__(self) -> int:
        return len(_paths())

    def __contains__(self, name: object) -> bool:
        return name in _paths()


INSTRUMENTS: Mapping[str, Instrument] = _Shipped()
EUCLID = INSTRUMENTS["euclid"]
LSST = INSTRUMENTS["lsst"]


def get_instrument(name: str) -> Instrument:
    """Look a shipped instrument up by its name.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name not in INSTRUMENTS:
        near = difflib.get_close_matches(name, INSTRUMENTS, 1, 0.5)
        fix = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"instrument '{printable(name, 60)}' is unknown; {fix}allowed: {', '.join(INSTRUMENTS)}, or a path that "
            "ends in .yaml"
        )
    return INSTRUMENTS[name]


def sources_of(name: str | Path) -> dict[str, str]:
    """Field of an instrument's YAML → where its numbers come from; errors as `load_instrument`."""
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        path = _paths()[get_instrument(str(name)).name]
    return dict(read_yaml(path, InstrumentWords).sources)


def load_instrument(name: str | Path) -> Instrument:
    """An instrument by its name, or by the path of a YAML file.

    Raises
    ------
    UsageError
        There is no such instrument or file, or a field of the file is wrong.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        return get_instrument(str(name))
    if not path.is_file():
        raise NoSuchFile(f"{path}: no such file; name a YAML file or one of {', '.join(INSTRUMENTS)}")
    return read_instrument(path)
