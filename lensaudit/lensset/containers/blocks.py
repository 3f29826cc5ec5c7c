"""Images of a container by band, whether bands lie together or apart: pixels, point-spread functions or noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.lensset.containers.adapter import Adapter, Rows, refuse_other_numbers
from lensaudit.lensset.containers.declaration import Layout
from lensaudit.lensset.header import LARGEST_SIDE
from lensaudit.untrusted import printable


class Blocks:
    """Images of bands, read as they are asked for; of a name that several bands share, the last block is kept.

    Attributes
    ----------
    stored, shape
        Band → (rows, columns) of its images in the file, and of what is taken of them.

    Parameters
    ----------
    yaml
        The declaration, for messages.
    names
        Band → what holds its images.
    apart
        Whether each band has images of its own; else one name, that of all, holds all bands.
    layout
        Where bands lie in an image of several; None takes what fits.
    what
        What messages call an image.
    """

    def __init__(
        self, yaml: Path, adapter: Adapter, names: Mapping[str, str], apart: bool, layout: Layout | None, what: str
    ) -> None:
        self._yaml, self._adapter, self._names, self._layout, self._what = yaml, adapter, names, layout, what
        self._shared = len(names) > 1 and not apart
        self._places = {band: place for place, band in enumerate(names)}
        self._kept: dict[str, tuple[bytes, NDArray[Any]]] = {}
        self._axes = {band: self._axis(band) for band in names}
        self.stored = {band: self._shape(band) for band in names}
        self.shape = dict(self.stored)

    def take_centre(self, pixels: Mapping[str, int | None]) -> None:
        """Read only the central `pixels` × `pixels` from now on; None for all of them.

        Raises
        ------
        DataError
            Images are smaller.
        """
        for band, size in pixels.items():
            if size is not None and size > min(self.stored[band]):
                there = "×".join(map(str, self.stored[band]))
                raise DataError(f"{self._adapter.path}: band {band}: has {there} pixels; correct size_pixels, {size}")
            self.shape[band] = self.stored[band] if size is None else (size, size)

    def read(self, band: str, rows: Rows) -> NDArray[Any]:
        """Images (m, h, w) of `band`, of the type they are stored in."""
        block, axis = self._block(self._names[band], rows), self._axes[band]
        whole = block if axis is None else np.take(block, self._places[band] if self._shared else 0, axis=axis)
        return self.cut(band, whole)

    def cut(self, band: str, block: NDArray[Any]) -> NDArray[Any]:
        """What is taken of images (…, rows, columns) as they are stored."""
        (rows, columns), (height, width) = self.stored[band], self.shape[band]
        top, left = (rows - height) // 2, (columns - width) // 2
        return block[..., top : top + height, left : left + width]

    def _block(self, name: str, rows: Rows) -> NDArray[Any]:
        key = rows.tobytes() if self._shared else b""
        kept = self._kept.get(name) if self._shared else None
        if kept is not None and kept[0] == key:
            return kept[1]
        if len(rows) == 0:
            return np.empty((0, *self._adapter.shape_of(name)), np.float32)
        ascending = bool((np.diff(rows) > 0).all())
        wanted, back = (rows, None) if ascending else np.unique(rows, return_inverse=True)
        block = self._adapter.block(name, wanted)
        refuse_other_numbers(block.dtype, f"{self._adapter.path}: {printable(name, 60)}")
        block = block if back is None else block[back]
        if self._shared:
            self._kept[name] = (key, block)
        return block

    def _axis(self, band: str) -> int | None:
        """Which axis of a block the bands are along; None where each band has images of its own.

        Raises
        ------
        DataError
            Shape, bands and layout do not go together, or the file itself names other bands.
        """
        name, bands = self._names[band], tuple(self._names)
        shape, where = self._adapter.shape_of(name), f"{self._adapter.path}: {printable(name, 60) or self._what}"
        if len(shape) == 2:
            if self._shared:
                raise DataError(
                    f"{where}: {self._what} have shape {shape}, but bands {', '.join(bands)} are declared; correct "
                    f"bands"
                )
            return None
        n = len(bands) if self._shared else 1
        fitting = [layout for layout, side in (("NCHW", 0), ("NHWC", -1)) if len(shape) == 3 and shape[side] == n]
        if self._layout is not None:
            fitting = [layout for layout in fitting if layout == self._layout]
        if not fitting:
            said = "" if self._layout is None else f" and layout {self._layout}"
            raise DataError(
                f"{where}: {self._what} have shape {shape}, which {n} band{'s' * (n > 1)}{said} do not fit; correct "
                f"bands, images or layout in {self._yaml.name}"
            )
        if len(fitting) > 1:
            raise DataError(
                f"{where}: {self._what} have shape {shape}, bands may come first or last; give layout, NCHW or NHWC"
            )
        named_there = self._adapter.bands_of(name)
        if named_there is not None and n > 1 and named_there != bands:
            raise DataError(
                f"{where}: the file names its bands {printable(', '.join(named_there), 100)}, {self._yaml.name} "
                f"{', '.join(bands)}; correct bands"
            )
        return 1 if fitting[0] == "NCHW" else -1

    def _shape(self, band: str) -> tuple[int, int]:
        found = self._adapter.shape_of(self._names[band])
        axis = self._axes[band]
        rows, columns = found if axis is None else found[1:] if axis == 1 else found[:2]
        if not 1 <= min(rows, columns) <= max(rows, columns) <= LARGEST_SIDE:
            raise DataError(f"{self._adapter.path}: band {band}: {rows}×{columns} pixels are no image; name another")
        return int(rows), int(columns)
