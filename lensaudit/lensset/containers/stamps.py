"""Point-spread functions and noise of a container: one for each image, or one for all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.containers.adapter import Adapter, FlatArray, Rows
from lensaudit.lensset.containers.blocks import Blocks
from lensaudit.lensset.containers.declaration import NOISE, ContainerFile, within
from lensaudit.lensset.containers.numpy_files import Arrays, npy_array
from lensaudit.lensset.header import PsfHeader, RmsHeader

_EXTENSION = re.compile(r"(?P<path>[^\[\]]+)(\[(?P<extension>[^\[\]]+)\])?")


@dataclass(frozen=True)
class One:
    """A stamp for all images: its pixels (rows, columns), arcsec per pixel if it says so, and its name in messages."""

    pixels: NDArray[Any]
    scale_arcsec: float | None
    where: str


class Stamps:
    """What a declaration says of point-spread functions and noise, made what a lens set holds as it is asked for.

    Parameters
    ----------
    yaml, told
        The declaration.
    adapter
        Of the container.
    images
        Its images.
    """

    def __init__(self, yaml: Path, told: ContainerFile, adapter: Adapter, images: Blocks) -> None:
        self._yaml, self._images = yaml, images
        self.files: list[Path] = []
        self._told, self._adapter = told, adapter
        self._kind = next((kind for kind in NOISE if getattr(told, kind) is not None), "rms")
        self._psf = self._sources(told.psf, "psf")
        self._noise = self._sources(getattr(told, self._kind), self._kind)
        self._sides: dict[str, int] = {}
        self._ones: dict[str, NDArray[np.float32]] = {}
        for band, noise in self._noise.items():
            shape = noise.pixels.shape if isinstance(noise, One) else noise.shape[band]
            if shape != images.stored[band]:
                there, wanted = ("×".join(map(str, sides)) for sides in (shape, images.stored[band]))
                where = noise.where if isinstance(noise, One) else f"{yaml}: {self._kind} of band {band}"
                raise DataError(f"{where}: has {there} pixels, the images have {wanted}; give the noise of the same")

    def psf_header(self, band: str, pixel_scale_arcsec: float) -> tuple[PsfHeader | None, list[str]]:
        """What a set says of the PSFs of `band`, and what was done to the first; None where there are none.

        Raises
        ------
        DataError
            The first PSF cannot be used.
        """
        if (source := self._psf.get(band)) is None:
            return None, []
        from lensaudit.lensset.ingest.survey import SAME_SCALE, ready_psf

        if isinstance(source, One):
            scale = (source.scale_arcsec or pixel_scale_arcsec) / pixel_scale_arcsec
            first = ready_psf(source.pixels, source.where, 1.0 if abs(scale - 1) <= SAME_SCALE else scale)
            self._ones[band] = first.pixels
            which = "the PSF of all"
        else:
            first = ready_psf(source.read(band, np.zeros(1, np.intp))[0], self._where("psf", band, 0))
            which = "the first PSF"
        self._sides[band] = len(first.pixels)
        words = [f"{band}: {which}: {'; '.join(done)}"] if (done := first.remarks()) else []
        return PsfHeader(side=len(first.pixels), per_cutout=not isinstance(source, One)), words

    def rms_header(self, band: str) -> RmsHeader | None:
        """What a set says of the noise of `band`; None where there is none."""
        source = self._noise.get(band)
        return None if source is None else RmsHeader(per_cutout=not isinstance(source, One))

    def psf(self, band: str, rows: Rows) -> NDArray[np.float32]:
        """Point-spread functions (m, k, k), as `lensaudit.lensset.LensSet.psf`; `psf_header` was asked before.

        Raises
        ------
        DataError
            One has NaN, no light, or lies off its middle; the line names the image.
        """
        source, side = self._psf[band], self._sides[band]
        if isinstance(source, One):
            return np.broadcast_to(self._ones[band], (len(rows), side, side))
        from lensaudit.lensset.ingest.survey import ready_psf

        found = np.empty((len(rows), side, side), np.float32)
        for place, (stamp, row) in enumerate(zip(source.read(band, rows), rows.tolist(), strict=True)):
            found[place] = ready_psf(stamp, self._where("psf", band, row), 1.0, side).pixels
        return found

    def rms(self, band: str, rows: Rows) -> NDArray[np.float32]:
        """Standard deviations (m, h, w), as `lensaudit.lensset.LensSet.rms`; +inf too where an image has no value.

        Raises
        ------
        DataError
            No pixel of a map has a weight; the line names it.
        """
        from lensaudit.lensset.ingest.survey import standard_deviation

        source = self._noise[band]
        if isinstance(source, One):
            of_all = standard_deviation(self._images.cut(band, source.pixels), self._kind)
            self._demand_weight(of_all[None], [source.where])
            return np.broadcast_to(of_all, (len(rows), *of_all.shape))
        found = standard_deviation(self._images.cut(band, source.read(band, rows)), self._kind)
        self._demand_weight(found, [self._where(self._kind, band, row) for row in rows.tolist()])
        return np.where(np.isfinite(self._images.read(band, rows)), found, np.float32(np.inf))

    def _demand_weight(self, rms: NDArray[np.float32], where: list[str]) -> None:
        for one, name in zip(rms, where, strict=True):
            if not np.isfinite(one).any():
                raise DataError(f"{name}: no pixel has a positive, finite value; correct it, or leave {self._kind} out")

    def _where(self, what: str, band: str, row: int) -> str:
        return f"{self._yaml}: {what} of band {band}: image {row}"

    def _sources(self, given: str | Mapping[str, str] | None, what: str) -> dict[str, One | Blocks]:
        """Band → the one of all images, or what those of each image are read by."""
        if given is None:
            return {}
        words = dict.fromkeys(self._told.bands, given) if isinstance(given, str) else dict(given)
        apart, layout = not isinstance(given, str), self._told.layout
        found: dict[str, One | Blocks] = {}
        own: dict[str, dict[str, str]] = {"array": {}, "inside": {}}
        arrays: dict[str, FlatArray] = {}
        for band, word in words.items():
            place = self._told.place_of(word)
            if place == "file":
                found[band] = self._fits(word, band, what)
                continue
            if place == "array":
                array = arrays[word] = npy_array(within(self._yaml, word, what))
                self.files.append(array.path)
                if len(array.shape) == 2:
                    found[band] = One(array.read(np.arange(array.shape[0])), None, array.where)
                    continue
                if array.shape[0] != self._adapter.n:
                    n = self._adapter.n
                    raise DataError(
                        f"{array.where}: has {array.shape[0]} rows, {n} images are there; give one for each"
                    )
            own[place][band] = word
        if held := own["array"]:
            adapter = Arrays(
                arrays[next(iter(held.values()))].path, {w: arrays[w] for w in held.values()}, [*held.values()]
            )
            blocks = Blocks(self._yaml, adapter, held, apart, layout, what)
            found |= dict.fromkeys(held, blocks)
        if inside := own["inside"]:
            found |= dict.fromkeys(inside, Blocks(self._yaml, self._adapter, inside, apart, layout, what))
        return found

    def _fits(self, word: str, band: str, what: str) -> One:
        from lensaudit.lensset.ingest.plan import NOISE_KINDS
        from lensaudit.lensset.ingest.sources import Sources
        from lensaudit.lensset.ingest.systems import Plate

        match = _EXTENSION.fullmatch(word)
        if match is None:
            raise UsageError(f"{self._yaml}: {what}: write FILE.fits or FILE.fits[EXTENSION]; correct it")
        path, extension = within(self._yaml, match["path"], what), match["extension"] or "0"
        self.files.append(path)
        plate = Plate(str(path), (int(extension) if extension.isdigit() else extension,))
        with Sources() as sources:
            stamp = sources.get(plate).stamp(plate, band, NOISE_KINDS.get(what, "PSF"))
        return One(stamp.pixels, stamp.scale_arcsec, stamp.where)
