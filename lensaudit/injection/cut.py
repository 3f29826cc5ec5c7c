"""Galaxies cut out of the images of lens sets, each with what the survey gave beside it, as a lens set of hosts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.injection.cut_sets import band_of, check_sets, cut_header, zero_point
from lensaudit.injection.galaxies import CutSettings, Galaxy, Plane, Searched, search
from lensaudit.injection.hosts import HostCutout, estimated_rms
from lensaudit.injection.image_parts import Disc, Painted
from lensaudit.injection.light import measure
from lensaudit.lensset import Header, LensSet, LensSetWriter, PsfHeader, Records, open_cutouts
from lensaudit.lensset.coordinates import Sky, shifted_cards
from lensaudit.lensset.ingest.external import LABELS
from lensaudit.lensset.simulation import write_chunks
from lensaudit.spread import StageProgress, spread
from lensaudit.tables import read_table

if TYPE_CHECKING:
    from astropy.wcs import WCS


@dataclass(frozen=True)
class Cut:
    """One galaxy to cut: its id, its place in which image of which set, and what is painted over there."""

    id: str
    set: int
    row: int
    galaxy: Galaxy
    painted: tuple[Painted, ...]


def read_positions(path: Path) -> tuple[tuple[float, float], ...]:
    """Positions (RA, Dec) in degrees from columns ``ra`` and ``dec`` of a table.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It lacks a column, or holds no positions on the sky.
    """
    table = read_table(path, "a table of positions")
    ra, dec = (
        table.numbers(table.need(*names)) for names in (("ra", "ra_deg", "raj2000"), ("dec", "dec_deg", "dej2000"))
    )
    good = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90) & (np.abs(ra) <= 360)
    if not good.all():
        raise DataError(f"{table.where(int(np.argmin(good)))}: is no RA and Dec in degrees; correct it")
    return tuple(zip(ra.tolist(), dec.tolist(), strict=True))


def cut(
    sets: Sequence[LensSet | Path | str],
    out: Path | str,
    settings: CutSettings,
    workers: int = 1,
    progress: StageProgress = lambda stage, done, total: None,
) -> LensSet:
    """Cut galaxies out of every image of lens sets; resumes where an interrupted run stopped.

    Parameters
    ----------
    sets
        Lens sets of large images with PSFs and zero points, of the same bands; sizes may differ.
    out
        Folder to write; it may hold an interrupted run of the same set.
    workers
        Number of processes; the set is the same whatever their number.
    progress
        Called with a stage (searching, cutting), how much of it is done, and of how much.

    Returns
    -------
    LensSet
        One system per galaxy, with its image's PSF, its noise and sky coordinates, and columns of where it lay and what
        was measured of it.

    Raises
    ------
    UsageError
        A setting is wrong, or `out` holds another set or cannot be written.
    DataError
        The sets lack a PSF or zero point, or do not go together; or no galaxy is found.
    """
    opened = tuple(one if isinstance(one, LensSet) else open_cutouts(one) for one in sets)
    if not opened:
        raise UsageError("give at least one lens set of large images")
    settings = replace(settings, detect_in=band_of(opened, settings))
    check_sets(opened, settings)
    images = [(number, row) for number, one in enumerate(opened) for row in range(len(one))]
    task = SearchTask(tuple(one.path for one in opened), tuple(images), settings)
    found: dict[int, Searched] = {}
    with closing(spread(task, range(len(images)), workers)) as ended:
        for place, searched in ended:
            found[place] = searched
            progress("searching", len(found), len(images))
    cuts = [
        Cut(f"{opened[number].ids[row]}-{i:04d}", number, row, galaxy, found[place].painted)
        for place, (number, row) in enumerate(images)
        for i, galaxy in enumerate(found[place].galaxies, 1)
    ]
    left_out = sum((found[place].left_out for place in range(len(images))), Counter[str]())
    why = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
    if not cuts:
        raise DataError(
            f"{opened[0].path}: no galaxy to cut out of {len(images)} images ({why or 'no object at all'}); "
            "give a smaller --side, --edge-arcsec, --min-snr or --apart-arcsec, or larger images"
        )
    note = f"{len(cuts)} galaxies of {len(images)} images" + (f"; left out: {why}" if why else "")
    header = cut_header(opened, settings, len(cuts), note)
    written = CutTask(Path(out), header, task.sets, tuple(cuts), settings)
    return write_chunks(written, workers, partial(progress, "cutting"))


@dataclass(frozen=True)
class SearchTask:
    """Searches one image."""

    sets: tuple[Path, ...]
    images: tuple[tuple[int, int], ...]
    settings: CutSettings

    def __call__(self, place: int) -> tuple[int, Searched]:
        """The image's place, and what was found."""
        number, row = self.images[place]
        one, band = _opened(self.sets[number]), self.settings.detect_in
        image = one.images(band, row)[0]
        plane = Plane(
            image,
            _noise(one, band, row, image),
            one.psf(band, row)[0].astype(np.float64),
            one.pixel_scale_arcsec[band],
            zero_point(one, band),
        )
        return place, search(plane, _discs(one, row, plane, self.settings), self.settings)


def _noise(one: LensSet, band: str, row: int, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """σ of each pixel, estimated where the set has none; +inf where the image has no number."""
    rms = one.rms(band, row)[0] if one.has_rms(band) else estimated_rms(image)
    return np.where(np.isfinite(image), rms, np.float32(np.inf))


@lru_cache(maxsize=8)
def _opened(path: Path) -> LensSet:
    return open_cutouts(path)


def _discs(one: LensSet, row: int, plane: Plane, settings: CutSettings) -> list[Disc]:
    rows, columns = plane.shape
    middle = ((columns - 1) / 2, (rows - 1) / 2)
    discs = [Disc(*middle, settings.centre_arcsec / plane.scale_arcsec)] if settings.centre_arcsec else []
    if not settings.exclude:
        return discs
    from astropy import units
    from astropy.coordinates import SkyCoord

    wcs = one.own_wcs(row, settings.detect_in)
    if wcs is None:
        raise DataError(f"{one.path}: image {one.ids[row]} has no sky coordinates for --exclude; give --centre-arcsec")
    radius = settings.exclude_arcsec / plane.scale_arcsec
    sky = SkyCoord(np.array(settings.exclude), unit="deg")
    reach = (0.5 * math.hypot(rows, columns) + radius) * plane.scale_arcsec * units.arcsec
    near = sky[wcs.pixel_to_world(*middle).separation(sky) <= reach]
    for x, y in zip(*(np.atleast_1d(axis) for axis in wcs.world_to_pixel(near)), strict=True):
        disc = Disc(float(x), float(y), radius)
        if len(disc.places(plane.shape)[0]):
            discs.append(disc)
    return discs


@dataclass(frozen=True)
class CutTask:
    """Writes one chunk of the galaxies that were found."""

    root: Path
    header: Header
    sets: tuple[Path, ...]
    cuts: tuple[Cut, ...]
    settings: CutSettings

    def __call__(self, chunk: int) -> int:
        """Write chunk `chunk`; returns how many systems it holds."""
        cuts = self.cuts[self.header.span(chunk)]
        made = [
            host for _, ones in groupby(cuts, key=lambda cut: (cut.set, cut.row)) for host in self._of_image([*ones])
        ]
        planes = {kind: self._stacked(kind, made) for kind in ("images", "psf", "rms")}
        records = Records(
            ids=[cut.id for cut in cuts],
            images=planes["images"],
            rows=[host.row for host in made],
            wcs=[self._cards(cut) for cut in cuts] if self.header.has_wcs else None,
            psf=planes["psf"],
            rms=planes["rms"],
        )
        LensSetWriter(self.root, self.header).write(chunk, records)
        return len(cuts)

    def _stacked(self, kind: str, made: Sequence[HostCutout]) -> dict[str, NDArray[np.float32]]:
        """Of the bands whose header has them; a PSF that is one for all stands once."""
        kept = {}
        for band in self.header.bands:
            about = {"images": True, "psf": band.psf, "rms": band.rms}[kind]
            if about is not None:
                ones = made[:1] if isinstance(about, PsfHeader) and not about.per_cutout else made
                kept[band.name] = np.stack([getattr(host, kind)[band.name] for host in ones]).astype(np.float32)
        return kept

    def _of_image(self, cuts: Sequence[Cut]) -> list[HostCutout]:
        """All cutouts of one image, each of whose planes is read once."""
        one, row = _opened(self.sets[cuts[0].set]), cuts[0].row
        images: list[dict[str, NDArray[np.float32]]] = [{} for _ in cuts]
        rms: list[dict[str, NDArray[np.float32]]] = [{} for _ in cuts]
        psf = {}
        for band in self.header.bands:
            name, zero, kept_psf = band.name, band.zero_point_mag, band.psf
            assert zero is not None
            assert kept_psf is not None
            by = np.float32(10 ** (0.4 * (zero - zero_point(one, name))))
            stored = one.psf(name, row)[0]
            psf[name] = np.pad(stored, (kept_psf.side - len(stored)) // 2)
            image = one.images(name, row)[0]
            for plane, kept in ((image, images), (_noise(one, name, row, image), rms)):
                for painted in cuts[0].painted:
                    plane = painted.on(plane, smooth=kept is images)
                for cut, into in zip(cuts, kept, strict=True):
                    into[name] = cut.galaxy.square.of(plane) * by
        zeros = {band.name: float(band.zero_point_mag or 0) for band in self.header.bands}
        scales = {band.name: band.pixel_scale_arcsec for band in self.header.bands}
        hosts = (HostCutout(cut.id, images[i], psf, rms[i], zeros, scales) for i, cut in enumerate(cuts))
        return [replace(host, row=self._row(cut, one, host)) for cut, host in zip(cuts, hosts, strict=True)]

    def _row(self, cut: Cut, one: LensSet, host: HostCutout) -> dict[str, Any]:
        """Where a galaxy lay, and what is measured of it."""
        light, galaxy, band = measure(host), cut.galaxy, self.settings.detect_in
        ra, dec = _on_sky(one.own_wcs(cut.row, band), galaxy)
        shape = one.shape[band]
        return {
            "label": LABELS[self.settings.label],
            "image_id": one.ids[cut.row],
            "image_x_pixel": galaxy.x,
            "image_y_pixel": galaxy.y,
            "ra_deg": ra,
            "dec_deg": dec,
            "detection_snr": galaxy.snr,
            "detection_pixels": galaxy.pixels,
            "r_half_arcsec": math.nan if light is None else light.r_half_arcsec,
            "axis_ratio": math.nan if light is None else light.axis_ratio,
            "neighbour_arcsec": galaxy.neighbour_arcsec,
            "edge_arcsec": galaxy.edge_arcsec,
            "mirrored_fraction": galaxy.square.mirrored(shape),
            "painted_fraction": sum(galaxy.square.shows(painted.disc, shape) for painted in cut.painted),
            **{f"host_mag_{name}": math.nan if light is None else light.magnitudes[name] for name in host.bands},
        }

    def _cards(self, cut: Cut) -> dict[str, str]:
        one, square, cards = _opened(self.sets[cut.set]), cut.galaxy.square, {}
        for band in one.bands:
            wcs = one.own_wcs(cut.row, band)
            if wcs is None:
                continue
            moved = shifted_cards(Sky(wcs), square.row, square.column, (square.side, square.side))
            if moved is not None:
                cards[band] = moved.text
        return cards


def _on_sky(wcs: WCS | None, galaxy: Galaxy) -> tuple[float, float]:
    """RA and Dec in degrees; NaN without sky coordinates."""
    if wcs is None:
        return math.nan, math.nan
    sky = wcs.pixel_to_world(galaxy.x, galaxy.y).icrs
    return float(sky.ra.deg), float(sky.dec.deg)
