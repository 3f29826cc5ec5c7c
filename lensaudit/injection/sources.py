"""Sources: galaxies of the populations, or real ones chosen near what the populations draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, NoSuchFile, UsageError
from lensaudit.imaging.stamps import is_catalogue, raw_stamp, real_galaxies, stamp_image
from lensaudit.injection.settings import POPULATIONS, InjectionSettings
from lensaudit.scenes import EUCLID_SKY, Galaxy, Light, Sky, Stamp
from lensaudit.scenes.colours import SeenMagnitudes, draw_template_mix, effective_wavelength_nm, magnitudes_on, response
from lensaudit.scenes.populations.lenses import draw_star_forming
from lensaudit.scenes.populations.on_sky import through

NEAREST = 5
"""A source is one of so many that are nearest to the wanted magnitude and size."""
MEASURED_AT_MOST = 200
"""Sizes of so many galaxies are measured where a catalogue does not say them."""
PER_MAGNITUDE, PER_LOG_SIZE = 1.0, 2.0
SPECTRA_DRAWN = 48
LEAST_PART = 0.02
TRIED_AT_MOST = 50
MOST_BANDS = 2


@dataclass(frozen=True)
class Wanted:
    """A source for a host: the host's bands, where it stands, and its AB magnitude, unlensed, in Euclid's VIS."""

    sky: Sky
    redshift: float
    magnitude: float
    x_arcsec: float
    y_arcsec: float


DrawSource = Callable[[np.random.Generator, Wanted], tuple[Galaxy, str]]
"""A galaxy of role ``source``, and in words where it comes from."""


def sources_of(settings: InjectionSettings) -> DrawSource:
    """How sources are drawn.

    Raises
    ------
    UsageError
        There is no such file or folder.
    DataError
        It holds no galaxies that can be used.
    """
    if tuple(settings.sources) == (POPULATIONS,):
        return draw_from_populations
    return library(tuple(settings.sources)).draw


def draw_from_populations(rng: np.random.Generator, wanted: Wanted) -> tuple[Galaxy, str]:
    """A star-forming galaxy as the populations draw them, seen in the host's bands."""
    galaxy = _drawn(rng, wanted)
    return galaxy if wanted.sky == EUCLID_SKY else through(galaxy, wanted.sky), POPULATIONS


def _drawn(rng: np.random.Generator, wanted: Wanted) -> Galaxy:
    return draw_star_forming(
        rng,
        EUCLID_SKY,
        "source",
        redshift=wanted.redshift,
        magnitude=wanted.magnitude,
        x=wanted.x_arcsec,
        y=wanted.y_arcsec,
    )


@lru_cache(maxsize=4)
def library(paths: tuple[str, ...]) -> Library:
    """Real galaxies in catalogues or a folder, opened once in a process."""
    for words in paths:
        if not Path(words).exists():
            raise NoSuchFile(f"--sources {words}: no such catalogue or folder; give one, or {POPULATIONS}")
    if Path(paths[0]).is_dir():
        if len(paths) > 1:
            raise UsageError("--sources: one folder of stamps, or catalogues of the same galaxies in two bands")
        files = sorted(path for path in Path(paths[0]).iterdir() if path.suffix.lower() in {".fits", ".fit", ".fz"})
        if not files:
            raise DataError(f"--sources {paths[0]}: holds no FITS file; give a folder of stamps with their PSF")
        return Library(tuple(_Plate(str(path), "", (0,), ()) for path in files), in_bands=False)
    if len(paths) > MOST_BANDS:
        raise UsageError(f"--sources: {len(paths)} catalogues; give one, or two of the same galaxies in two bands")
    plates = tuple(_catalogue_plate(words) for words in paths)
    if any(plate.names != plates[0].names for plate in plates):
        raise DataError(
            f"--sources: {' and '.join(paths)} hold other galaxies, or in another order; give matching ones"
        )
    return Library(plates, in_bands=True)


@dataclass(frozen=True)
class _Plate:
    """A file of galaxies: its filter, which galaxies, and their names."""

    path: str
    filter: str
    places: tuple[int, ...]
    names: tuple[str, ...]


def _catalogue_plate(path: str) -> _Plate:
    if not is_catalogue(Path(path)):
        raise DataError(f"--sources {path}: has no column GAL_FILENAME; give a catalogue of GalSim's real galaxies")
    catalogue = real_galaxies(Path(path))
    bands = {str(band).strip() for band in np.atleast_1d(catalogue.band)}
    name = f"galsim/ACS_wfc_{bands.pop().upper()}" if len(bands) == 1 else ""
    response(name or "Euclid-VIS")  # an unknown filter is said before anything is drawn
    return _Plate(path, name, tuple(range(catalogue.nobjects)), tuple(str(one) for one in catalogue.ident))


class Library:
    """Real galaxies that stand for the smooth ones the populations draw.

    Parameters
    ----------
    plates
        Catalogues of the same galaxies in one or two bands (`in_bands`), or files of one galaxy each.
    """

    def __init__(self, plates: Sequence[_Plate], *, in_bands: bool) -> None:
        self._plates, self._in_bands = tuple(plates), in_bands

    @property
    def n(self) -> int:
        """Galaxies."""
        return len(self._plates[0].places) if self._in_bands else len(self._plates)

    def draw(self, rng: np.random.Generator, wanted: Wanted) -> tuple[Galaxy, str]:
        """One of the real galaxies nearest in magnitude and size to what the populations draw, turned at random.

        It takes the drawn one's place, flux, and half-light radius. Its colours are those of a spectrum: the drawn one,
        or with two bands the one of many whose colour between them is nearest to the galaxy's.
        """
        smooth = _drawn(rng, wanted)
        place = self._near(rng, wanted.magnitude, smooth.light[0].r_eff_arcsec)
        angle = float(rng.uniform(0.0, 2 * math.pi))
        seen = self._magnitudes(rng, wanted, smooth, place)
        parts = self._parts(wanted.sky)
        light = tuple(
            Light(
                profile="stamp",
                magnitudes=_fainter(seen, parts[plate]),
                r_eff_arcsec=smooth.light[0].r_eff_arcsec,
                angle_rad=angle,
                stamp=self._stamp(plate, place),
            )
            for plate in range(len(parts))
        )
        return replace(smooth, light=light), self._named(place)

    def nearest(self, rng: np.random.Generator, magnitude: float, size_arcsec: float) -> Stamp:
        """One of the real galaxies nearest in magnitude and half-light radius, of the first catalogue."""
        return self._stamp(0, self._near(rng, magnitude, size_arcsec))

    def _named(self, place: int) -> str:
        if not self._in_bands:
            return f"stamp {Path(self._plates[place].path).name}"
        return f"galaxy {self._plates[0].names[place]} of {Path(self._plates[0].path).name}"

    def _stamp(self, plate: int, place: int) -> Stamp:
        path, index = (self._plates[plate].path, place) if self._in_bands else (self._plates[place].path, 0)
        return stamp_of(str(Path(path).absolute()), index)

    def _near(self, rng: np.random.Generator, magnitude: float, size_arcsec: float) -> int:
        """One of the nearest that can be used."""
        magnitudes, sizes = self._known
        far = np.zeros(self.n)
        if magnitudes is not None:
            far += ((magnitudes - magnitude) / PER_MAGNITUDE) ** 2
        if sizes is not None:
            far += (PER_LOG_SIZE * np.log(sizes / size_arcsec)) ** 2
        order = np.argsort(far, kind="stable")[: int(np.isfinite(far).sum())]  # NaN is last
        for place in (*rng.permutation(order[:NEAREST]), *order[NEAREST:TRIED_AT_MOST]):
            if math.isfinite(self._size(int(place))):
                return int(place)
        raise DataError(
            f"--sources {self._plates[0].path}: no galaxy near {magnitude:.1f} mag can be used; give others"
        )

    @cached_property
    def _known(self) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Magnitudes and half-light radii; NaN of galaxies that cannot be used."""
        magnitudes = np.asarray(real_galaxies(Path(self._plates[0].path)).mag, float) if self._in_bands else None
        if self.n > MEASURED_AT_MOST:
            return magnitudes, None
        return magnitudes, np.array([self._size(place) for place in range(self.n)])

    def _size(self, place: int) -> float:
        """Half-light radius; NaN where the galaxy cannot be used in some band."""
        plates = range(len(self._plates)) if self._in_bands else (0,)
        try:
            first, *_ = (stamp_image(self._stamp(plate, place)).half_light_arcsec for plate in plates)
        except DataError:
            return math.nan
        return first

    def _magnitudes(self, rng: np.random.Generator, wanted: Wanted, smooth: Galaxy, place: int) -> SeenMagnitudes:
        """In the host's bands: of the drawn spectrum, or of the one nearest to the galaxy's colour in two bands."""
        drawn = smooth.light[0].magnitudes
        assert isinstance(drawn, SeenMagnitudes)
        filters = [plate.filter for plate in self._plates] if self._in_bands else []
        if len(filters) == 2 and all(filters):
            mags = [float(real_galaxies(Path(plate.path)).mag[place]) for plate in self._plates]
            two = Sky(("one", "two"), "one", 1.0, tuple(filters))
            spectra = [
                magnitudes_on(two, draw_template_mix("blue", wanted.redshift, rng), wanted.redshift, 0.0)
                for _ in range(SPECTRA_DRAWN)
            ]
            best = min(spectra, key=lambda one: abs(one["two"] - one["one"] - (mags[1] - mags[0])))
            return SeenMagnitudes({}, best.mix, best.redshift, (filters[0], wanted.magnitude)).through(wanted.sky)
        return drawn if wanted.sky == EUCLID_SKY else drawn.through(wanted.sky)

    def _parts(self, sky: Sky) -> list[Mapping[str, float]]:
        """Of each plate, band → fraction of the light that has its texture: by wavelength between two HST bands."""
        if not self._in_bands or len(self._plates) == 1:
            return [dict.fromkeys(sky.bands, 1.0)]
        one, two = (effective_wavelength_nm(plate.filter) for plate in self._plates[:2])
        second = {
            band: float(np.clip((_wavelength(name) - one) / (two - one), LEAST_PART, 1 - LEAST_PART))
            for band, name in zip(sky.bands, sky.filters, strict=True)
        }
        return [{band: 1 - part for band, part in second.items()}, second]


@lru_cache(maxsize=128)
def _wavelength(filter_name: str) -> float:
    return effective_wavelength_nm(filter_name)


@lru_cache(maxsize=4096)
def stamp_of(path: str, index: int) -> Stamp:
    """The reference to a galaxy, with the digest of its pixels."""
    return Stamp(path, index, raw_stamp(Path(path), index).sha256)


def _fainter(seen: SeenMagnitudes, parts: Mapping[str, float]) -> SeenMagnitudes:
    """Magnitudes of a component that has a part of the light of each band."""
    if all(part == 1.0 for part in parts.values()):
        return seen
    values = {band: magnitude - 2.5 * math.log10(parts[band]) for band, magnitude in seen.items() if band in parts}
    return seen.shifted(values, -2.5 * math.log10(sum(parts.values()) / len(parts)))
