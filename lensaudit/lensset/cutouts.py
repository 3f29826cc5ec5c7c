"""What scoring, measuring and explaining ask of cutouts, wherever they lie: lens sets have it, and so do containers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from astropy.wcs import WCS

Index = slice | Sequence[int] | NDArray[np.integer[Any]] | int
"""Which systems: positions, a slice of them, or one."""


class Cutouts(Protocol):
    """Images of systems in bands, with ids, labels and catalogue columns; read as they are asked for.

    `lensaudit.lensset.LensSet` is one, and so is a container, a lens set without truth and scenes; both are opened by
    `lensaudit.lensset.open_cutouts`.
    """

    @property
    def path(self) -> Path:
        """Folder of the set, or the YAML that declares the container."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names."""

    @property
    def instrument(self) -> str:
        """Name of the instrument."""

    @property
    def shape(self) -> Mapping[str, tuple[int, int]]:
        """Band → native (rows, columns)."""

    @property
    def pixel_scale_arcsec(self) -> Mapping[str, float]:
        """Band → arcsec per pixel."""

    @property
    def pixel_units(self) -> Mapping[str, str]:
        """Band → what a pixel value means."""

    @property
    def content_hash(self) -> str:
        """What results name their data by."""

    @property
    def ids(self) -> list[str]:
        """Names of all systems, distinct."""

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 lens, 0 non-lens, −1 unknown: int8 (n,)."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the catalogue's columns, ``id`` first."""

    @property
    def units(self) -> Mapping[str, str]:
        """Column → unit."""

    @property
    def has_truth(self) -> bool:
        """Whether the lensed-source light is kept."""

    @property
    def has_scenes(self) -> bool:
        """Whether every system has its scene."""

    @property
    def has_wcs(self) -> bool:
        """Whether cutouts have sky coordinates of their own."""

    def __len__(self) -> int: ...

    def has_psf(self, band: str) -> bool:
        """Whether the point-spread function of `band` is stored."""

    def has_rms(self, band: str) -> bool:
        """Whether the noise of `band` is stored."""

    def ids_in(self, span: slice) -> list[str]:
        """Names of the systems of `span`; nothing else is read."""

    def labels_in(self, span: slice) -> NDArray[np.int8]:
        """Labels of the systems of `span`: int8 (m,); nothing else is read."""

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (n,); DataError names the columns there are."""

    def images(self, band: str, index: Index) -> NDArray[np.float32]:
        """Native-resolution pixels of `band`: float32 (m, h, w)."""

    def cutouts(self, index: Index) -> dict[str, NDArray[np.float32]]:
        """Every band's native-resolution pixels: band → float32 (m, h, w)."""

    def batches(self, size: int) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
        """Yield (systems, cutouts) of `size` systems at a time; memory does not grow with the set."""

    def index_of(self, name: str) -> int:
        """Position of the system called `name`; UsageError where there is none."""

    def wcs(self, i: int, band: str) -> WCS:
        """World coordinates of one cutout: its own, or a tangential projection about (0°, 0°) with its pixel scale."""

    def own_wcs(self, i: int, band: str) -> WCS | None:
        """World coordinates that the cutout came with; None where it had none."""


def in_batches(cutouts: Cutouts, size: int) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
    """Yield (systems, cutouts) of `size` systems at a time; memory does not grow with the set.

    Raises
    ------
    UsageError
        `size` is below 1.
    """
    if size < 1:
        raise UsageError(f"batch size must be at least 1, not {size}")
    for first in range(0, len(cutouts), size):
        span = slice(first, min(first + size, len(cutouts)))
        yield span, cutouts.cutouts(span)


def positions(index: Index, n: int, path: Path) -> NDArray[np.intp]:
    """Positions (m,) among `n` systems that `index` names, negative ones counted from the end.

    Raises
    ------
    UsageError
        One does not exist; the line names the set at `path`.
    """
    if isinstance(index, slice):
        return np.arange(*index.indices(n))
    wanted = np.atleast_1d(np.asarray(index))
    if wanted.size == 0:
        return np.empty(0, np.intp)
    if wanted.dtype == bool:
        wanted = np.flatnonzero(wanted)
    outside = (wanted < -n) | (wanted >= n)
    if outside.any():
        raise UsageError(f"{path}: system {wanted[outside][0]} does not exist; there are {n}")
    return np.where(wanted < 0, wanted + n, wanted).astype(np.intp)


def distinct(names: list[str], where: str, fix: str) -> list[str]:
    """`names`, if each is there once.

    Raises
    ------
    DataError
        One is there twice; the line begins with `where` and ends with `fix`.
    """
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"{where}: id {printable(twice, 60)} is there twice; {fix}")
    return names
