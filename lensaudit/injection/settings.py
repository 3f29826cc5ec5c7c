"""What is put into hosts, and how: the words of a user."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lensaudit.errors import DataError, UsageError
from lensaudit.injection.hosts import host_bands
from lensaudit.lensset import LensSet
from lensaudit.untrusted import printable

FABER_JACKSON, PRIOR = "faber-jackson", "prior"
POPULATIONS = "populations"


@dataclass(frozen=True)
class InjectionSettings:
    """What is put into hosts, and how.

    Attributes
    ----------
    seed
        System i depends on (seed, i) and its host alone.
    n
        Hosts to take; None: every one that can be used.
    reuse
        Take hosts more than once where there are fewer than `n`, each time with another source.
    any_host
        Keep hosts with a star or nothing in the middle, and those that are lenses already.
    theta_e
        Column of Einstein radii in arcsec; ``faber-jackson``: from magnitude and redshift; ``prior``: drawn.
    sigma_v
        Column of velocity dispersions in km/s, instead of `theta_e`.
    redshift
        Column of the hosts' redshifts; where it is empty or not finite they are drawn.
    lens_column
        Column that is above zero where a host is a lens already.
    sources
        ``populations``; catalogues of GalSim's real galaxies, one for each band they are in; or a folder of stamps with
        their PSFs.
    zero_point_mag, electrons_per_unit
        Band (or ``*``) → number; wins over the set.
    filters
        Band → filter, as `lensaudit.scenes.colours.response` names it; wins over the set.
    psf
        Band (or ``*``) → ``FILE`` or ``FILE[EXTENSION]``, for all hosts; wins over the set.
    min_theta_e_arcsec, min_arc_snr
        Sources are drawn until the arc's estimated S/N reaches `min_arc_snr`; Einstein radii are raised to the least.
    axis_ratio_scatter, angle_scatter_rad
        Standard deviation of the mass' axis ratio and angle around those of the light.
    ray_step_arcsec
        Largest distance of rays; by default a known instrument's own where the cutouts have its pixels, else 0.05.
    """

    seed: int = 1
    n: int | None = None
    reuse: bool = False
    any_host: bool = False
    theta_e: str = FABER_JACKSON
    sigma_v: str = ""
    redshift: str = ""
    lens_column: str = ""
    sources: tuple[str, ...] = (POPULATIONS,)
    zero_point_mag: Mapping[str, float] = field(default_factory=dict)
    electrons_per_unit: Mapping[str, float] = field(default_factory=dict)
    psf: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    min_theta_e_arcsec: float = 0.5
    min_arc_snr: float = 20.0
    axis_ratio_scatter: float = 0.06
    angle_scatter_rad: float = 0.1
    ray_step_arcsec: float | None = None


def file_of(words: str) -> Path:
    """The file of ``FILE`` or ``FILE[EXTENSION]``."""
    return Path(words.partition("[")[0])


def without_places(settings: InjectionSettings) -> InjectionSettings:
    """The settings with files by their names alone, as results record them."""
    names = {band: Path(words).name for band, words in settings.psf.items()}
    return replace(settings, psf=names, sources=tuple(Path(one).name for one in settings.sources))


def in_words(settings: InjectionSettings) -> tuple[str, ...]:
    """What was said of all hosts and how their masses were found, a clause each; nothing of what is usual."""
    by_band = {
        "the PSF": without_places(settings).psf,
        "the zero point": settings.zero_point_mag,
        "electrons per pixel unit": settings.electrons_per_unit,
        "the filter": settings.filters,
    }
    given = [
        f"{what} of all hosts{'' if band == '*' else f' in {band}'} was given: {value}"
        for what, values in by_band.items()
        for band, value in values.items()
    ]
    masses = {
        "velocity dispersions": settings.sigma_v,
        "Einstein radii": "" if settings.theta_e in (FABER_JACKSON, PRIOR) else settings.theta_e,
        "redshifts": settings.redshift,
    }
    given += [f"{what} are the hosts’ column {column}" for what, column in masses.items() if column]
    given += ["velocity dispersions are drawn"] if settings.theta_e == PRIOR else []
    return (*given, *(["stars, empty middles and known lenses were kept as hosts"] if settings.any_host else []))


def words_by_band(words: Sequence[str]) -> dict[str, str]:
    """Read ``VIS=a.fits``, or ``a.fits`` for all bands (kept under ``*``), of an option that is given for each band."""
    parts = (word.partition("=") for word in words)
    return {band if equals else "*": value if equals else band for band, equals, value in parts}


def numbers_by_band(option: str, words: Sequence[str]) -> dict[str, float]:
    """Read ``VIS=24.6``, or ``24.6`` for all bands (kept under ``*``).

    Raises
    ------
    UsageError
        A value is no finite number.
    """
    values = {}
    for band, word in words_by_band(words).items():
        try:
            values[band] = float(word)
        except ValueError as wrong:
            raise UsageError(f"{option} '{printable(word, 60)}': write BAND=NUMBER, or a number for all") from wrong
        if not math.isfinite(values[band]):
            raise UsageError(f"{option} '{printable(word, 60)}' is not finite; give a number")
    return values


def check_settings(lens_set: LensSet, settings: InjectionSettings) -> None:
    """Raise what can be said before a pixel is read."""
    columns = {
        "--theta-e": settings.theta_e if settings.theta_e not in (FABER_JACKSON, PRIOR) else "",
        "--sigma-v": settings.sigma_v,
        "--redshift": settings.redshift,
        "--lens-column": settings.lens_column,
    }
    for option, name in columns.items():
        if name and name not in lens_set.columns:
            words = f", {FABER_JACKSON} and {PRIOR}" if option == "--theta-e" else ""
            raise UsageError(f"{option} {name}: {lens_set.path} has the columns {', '.join(lens_set.columns)}{words}")
    text = {column.name for column in lens_set.header.columns if column.dtype == "str"} | {"id"}
    for option, name in columns.items():
        if name in text:
            raise UsageError(f"{option} {name}: {lens_set.path} holds text there; name a column of numbers")
    if settings.n is not None and settings.n < 1:
        raise UsageError(f"--n must be at least 1, not {settings.n}")
    for option, given in (
        ("--zero-point", settings.zero_point_mag),
        ("--psf", settings.psf),
        ("--electrons-per-unit", settings.electrons_per_unit),
        ("--filter", settings.filters),
    ):
        odd = set(given) - {"*", *lens_set.bands}
        if odd:
            raise UsageError(f"{option}: {lens_set.path} has no band {', '.join(sorted(odd))}; it has {lens_set.bands}")
    _check_bands(lens_set, settings)


def _check_bands(lens_set: LensSet, settings: InjectionSettings) -> None:
    bands = host_bands(lens_set)
    for what, option, given, there in (
        ("PSF", "--psf", settings.psf, {band.name for band in bands if band.psf is not None}),
        (
            "zero point",
            "--zero-point",
            settings.zero_point_mag,
            {b.name for b in bands if b.zero_point_mag is not None},
        ),
    ):
        lacking = [name for name in lens_set.bands if not ("*" in given or name in given or name in there)]
        if lacking:
            value = "FILE" if option == "--psf" else "MAG"
            raise DataError(
                f"{lens_set.path}: no {what} in band {', '.join(lacking)}; ingest the hosts with it, or give {option} "
                f"{lacking[0]}={value}"
            )
    units = {band.unit for band in bands}
    if "*" in settings.zero_point_mag and len(units) > 1:
        raise UsageError(
            f"--zero-point {settings.zero_point_mag['*']:g}: the bands of {lens_set.path} have different units "
            f"({', '.join(sorted(units))}); give one for each, --zero-point BAND=MAG"
        )
