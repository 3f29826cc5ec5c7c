"""Hosts made ready for arcs, and which of them are used; what was measured of those is kept."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import Instrument
from lensaudit.injection.deflector import has_number
from lensaudit.injection.hosts import HostCutout, HostSource, about_given_psf, checked, given_psf, instrument_of
from lensaudit.injection.light import CentralLight, measure
from lensaudit.injection.settings import InjectionSettings


@dataclass(frozen=True, eq=False)
class Prepared:
    """A host ready for arcs: checked, its instrument, its central light, and what was done."""

    cutout: HostCutout
    instrument: Instrument
    done: tuple[str, ...]
    known: CentralLight | None = None

    @cached_property
    def light(self) -> CentralLight | None:
        """What stands in its middle, measured when it is first asked for if not before; None where there is nothing."""
        return measure(self.cutout) if self.known is None else self.known


def prepare(host: HostCutout, settings: InjectionSettings, known: CentralLight | None = None) -> Prepared:
    """Check a host and bring it right; `known` is its central light, where that was measured before.

    Raises
    ------
    DataError
        It lacks a PSF or a zero point, or something of it cannot be used.
    """
    cutout, done = checked(_with_given(host, settings))
    for band, words in _for_bands(host, settings.psf).items():
        done += about_given_psf(words, host.pixel_scale_arcsec[band])
    return Prepared(cutout, instrument_of(cutout, settings.ray_step_arcsec), tuple(dict.fromkeys(done)), known)


def _for_bands(host: HostCutout, said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of each band, or of all of them under ``*``."""
    for_all = dict.fromkeys(host.bands, said["*"]) if "*" in said else {}
    return {**for_all, **{band: said[band] for band in host.bands if band in said}}


def _with_given(host: HostCutout, settings: InjectionSettings) -> HostCutout:
    """The host with what the settings say of all hosts."""

    def given(kept: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
        return {**kept, **_for_bands(host, said)}

    psf = _for_bands(host, settings.psf)
    return replace(
        host,
        psf=dict(host.psf) | {band: given_psf(words, host.pixel_scale_arcsec[band]) for band, words in psf.items()},
        zero_point_mag=given(host.zero_point_mag, settings.zero_point_mag),
        electrons_per_unit=given(host.electrons_per_unit, settings.electrons_per_unit),
        filters=given(host.filters, settings.filters),
    )


LENS, STAR, NOTHING = "flagged as lenses", "with a star in the middle", "with nothing in the middle"


def why_not(host: Prepared, settings: InjectionSettings) -> str:
    """Why a host is left out, as its group is counted; empty where it is used."""
    if settings.any_host:
        return ""
    flags = [name for name in ("label", settings.lens_column) if name]
    if any((has_number(host.cutout.row, name) or 0) > 0 for name in flags):
        return LENS
    if host.light is None:
        return NOTHING
    return STAR if host.light.is_star else ""


@dataclass(frozen=True)
class Look:
    """What was seen of one host: its place, why it is left out (empty: it is used), and what was brought right.

    `light` is what stands in its middle, where that had to be measured to say so.
    """

    row: int
    reason: str
    done: tuple[str, ...]
    light: CentralLight | None = None


def look_at(cutouts: HostSource, rows: Sequence[int], settings: InjectionSettings) -> list[Look]:
    """Prepare hosts and say which can be used."""
    looks = []
    for row in rows:
        host = prepare(cutouts[row], settings)
        reason = why_not(host, settings)
        looks.append(Look(row, reason, host.done, None if reason or settings.any_host else host.light))
    return looks


@dataclass(frozen=True, eq=False)
class Lights:
    """Central lights of many hosts in eight bytes a number, so that they can be handed to every process.

    Attributes
    ----------
    bands
        Of the magnitudes.
    numbers
        Of each host its other attributes, the band in which it was measured by its number, and magnitudes: (n, …).
    """

    bands: tuple[str, ...]
    numbers: NDArray[np.float64]

    def at(self, i: int) -> CentralLight:
        """The light of system `i`; hosts that are used again begin from the first."""
        band, x, y, ratio, angle, size, star, *magnitudes = self.numbers[i % len(self.numbers)].tolist()
        seen = dict(zip(self.bands, magnitudes, strict=True))
        return CentralLight(self.bands[int(band)], x, y, ratio, angle, size, seen, bool(star))


def _numbers(light: CentralLight, bands: Sequence[str]) -> list[float]:
    shape = light.x_arcsec, light.y_arcsec, light.axis_ratio, light.angle_rad, light.r_half_arcsec, light.is_star
    return [bands.index(light.band), *shape, *(light.magnitudes[band] for band in bands)]


@dataclass(frozen=True)
class Chosen:
    """Which hosts are used.

    Attributes
    ----------
    rows
        Place of each system's host in the cutouts (n,).
    left_out
        Reason → hosts.
    done
        What was brought right → hosts.
    lights
        What stands in the middle of each; None where it was not measured to choose them.
    """

    rows: tuple[int, ...]
    left_out: Mapping[str, int]
    done: Mapping[str, int]
    lights: Lights | None = field(default=None, compare=False)

    @property
    def distinct(self) -> int:
        """Hosts that are used, each counted once."""
        return len(set(self.rows))

    @property
    def notes(self) -> list[str]:
        """What was left out and brought right, a sentence each."""
        left = [f"{count} hosts {reason} were left out" for reason, count in self.left_out.items()]
        return [*left, *(f"{what} ({count} hosts)" for what, count in self.done.items())]


def look_order(n: int, settings: InjectionSettings) -> list[int]:
    """The order in which `n` hosts are looked at: drawn from the seed."""
    return [int(row) for row in np.random.default_rng([settings.seed, n]).permutation(n)]


def choose(cutouts: HostSource, settings: InjectionSettings) -> Chosen:
    """Look at hosts in an order drawn from the seed until there are as many as asked for.

    Raises
    ------
    UsageError
        There are fewer usable hosts than asked for, and they are not to be reused.
    DataError
        A host lacks a PSF or a zero point, or none can be used.
    """
    order = look_order(len(cutouts), settings)
    return chosen_of((look for row in order for look in look_at(cutouts, [row], settings)), len(cutouts), settings)


def chosen_of(looks: Iterable[Look], n: int, settings: InjectionSettings) -> Chosen:
    """The first hosts of `looks` that can be used; no more looks are taken than needed."""
    rows: list[int] = []
    lights, bands = array("d"), tuple[str, ...]()
    left_out, done = Counter[str](), Counter[str]()
    for look in looks:
        if look.reason:
            left_out[look.reason] += 1
            continue
        done.update(look.done)
        rows.append(look.row)
        if look.light is not None:
            bands = bands or tuple(look.light.magnitudes)
            lights.extend(_numbers(look.light, bands))
        if len(rows) == settings.n:
            break
    wanted = len(rows) if settings.n is None else settings.n
    why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    usable = f"{len(rows)} of {n} hosts can be used" + (f"; {why} are left out, --any-host keeps them" if why else "")
    if not rows:
        raise DataError(f"{usable}; give other hosts")
    if wanted > len(rows) and not settings.reuse:
        raise UsageError(f"--n {wanted}: {usable}; give --n {len(rows)}, or --reuse-hosts to take hosts more than once")
    kept = Lights(bands, np.array(lights).reshape(len(rows), -1)) if lights else None
    return Chosen(tuple(rows[i % len(rows)] for i in range(wanted)), dict(left_out), dict(done), kept)
