"""The deflector: a mass that follows the light of the host galaxy, and where its source stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lensaudit.injection.hosts import HostCutout, fwhm_pixels, middle_sigma
from lensaudit.injection.light import CentralLight
from lensaudit.injection.settings import FABER_JACKSON, InjectionSettings
from lensaudit.scenes import Galaxy, Mass, Sky
from lensaudit.scenes.colours import absolute_to_apparent, draw_template_mix
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.lenses import (
    FABER_JACKSON_SCATTER_MAG,
    MAX_THETA_E_ARCSEC,
    draw_lens_redshift,
    draw_sigma_v,
    faber_jackson_sigma_km_s,
    truncated_normal,
)

DRAWN = "drawn"
FABER_JACKSON_KM_S = (100.0, 450.0)
KRON_MISSES_MAG = 0.3
"""What an aperture of 2.5 Kron radii misses of a de Vaucouleurs galaxy (Graham & Driver 2005); measured: 0.2–0.45."""
REDSHIFT_COLUMNS = ("z_lens", "redshift", "z", "z_spec", "zspec", "z_phot", "zphot", "photo_z", "photoz")
"""Names, in any case, of columns that are taken for the host's redshift where none is named."""
LARGEST_LENS_REDSHIFT = 2.5
MOST_DRAWS = 200
SOURCE_BEHIND = 0.3
ARC_WIDTH_ARCSEC = 0.3


@dataclass(frozen=True)
class Depth:
    """What a host's noise lets be seen: σ of a pixel in magnitudes of the measured band, arcsec per pixel, FWHM."""

    sigma_mag: float
    pixel_scale_arcsec: float
    fwhm_arcsec: float

    def arc_snr(self, magnitude: float, theta_e_arcsec: float) -> float:
        """Estimated S/N of an arc along the Einstein ring, of `magnitude` in all: F / (σ √N_pix)."""
        area = 2 * math.pi * theta_e_arcsec * max(self.fwhm_arcsec, ARC_WIDTH_ARCSEC)
        return float(10 ** (0.4 * (self.sigma_mag - magnitude)) / math.sqrt(area) * self.pixel_scale_arcsec)


def depth_of(host: HostCutout, band: str) -> Depth:
    """The depth of one band of a host."""
    rms, scale = host.rms[band], float(host.pixel_scale_arcsec[band])
    faintest = float(host.zero_point_mag[band] - 2.5 * math.log10(middle_sigma(rms)))
    return Depth(faintest, scale, fwhm_pixels(host.psf[band]) * scale)


@dataclass(frozen=True)
class Lensing:
    """A deflector and where its source stands, with what was assumed in words.

    Attributes
    ----------
    redshift_from, mass_from
        ``column NAME``, ``drawn``, ``Faber-Jackson``, and what had to be changed.
    source_magnitude
        Unlensed, in the reference band of populations.
    """

    deflector: Galaxy
    source_redshift: float
    source_x_arcsec: float
    source_y_arcsec: float
    source_magnitude: float
    redshift_from: str
    mass_from: str


@dataclass(frozen=True)
class _Pull:
    """Redshifts and σ_v of one draw; `has_radius`: σ_v was chosen for a given Einstein radius."""

    z_lens: float
    z_source: float
    sigma_v_km_s: float
    z_from: str
    mass_from: str
    has_radius: bool = False

    @property
    def is_free(self) -> bool:
        """Whether another draw would give another Einstein radius: a redshift or the mass was drawn."""
        return DRAWN in (self.z_from, self.mass_from) and not self.has_radius

    @property
    def theta_e_arcsec(self) -> float:
        return einstein_radius_arcsec(self.sigma_v_km_s, self.z_lens, self.z_source)


@dataclass(frozen=True)
class Seen:
    """What is known of a host before anything is drawn: its light, catalogue values, depth, and the bands' filters."""

    light: CentralLight
    row: Mapping[str, Any]
    depth: Depth
    sky: Sky


def draw_lensing(rng: np.random.Generator, seen: Seen, settings: InjectionSettings) -> Lensing:
    """Draw what is not known of a system: redshifts, mass around the light, and where its source stands."""
    light = seen.light
    pull, radius, magnitude = _visible(rng, seen, settings)
    if pull.theta_e_arcsec < settings.min_theta_e_arcsec:
        heavier = math.sqrt(settings.min_theta_e_arcsec / pull.theta_e_arcsec)
        said = f"{pull.mass_from}, raised to {settings.min_theta_e_arcsec:g} arcsec"
        radius *= heavier**2
        pull = replace(pull, sigma_v_km_s=pull.sigma_v_km_s * heavier, mass_from=said)
    direction = float(rng.uniform(0.0, 2 * math.pi))
    return Lensing(
        deflector=_deflector(rng, light, pull, settings),
        source_redshift=pull.z_source,
        source_x_arcsec=light.x_arcsec + radius * math.cos(direction),
        source_y_arcsec=light.y_arcsec + radius * math.sin(direction),
        source_magnitude=magnitude,
        redshift_from=pull.z_from,
        mass_from=pull.mass_from,
    )


def _visible(rng: np.random.Generator, seen: Seen, settings: InjectionSettings) -> tuple[_Pull, float, float]:
    """A draw whose arc can be seen, the source's distance from the deflector, and its magnitude.

    As the populations draw them: within 0.9 θ_E, 24.3 ± 0.9 mag, and where redshift or mass are drawn, an Einstein
    radius between the least and 5″. After many draws in vain, the brightest of them.
    """
    best: tuple[tuple[bool, float], tuple[_Pull, float, float]] | None = None
    for _ in range(MOST_DRAWS):
        pull = _pull(rng, seen, settings)
        theta_e = pull.theta_e_arcsec
        fits = not pull.is_free or settings.min_theta_e_arcsec <= theta_e <= MAX_THETA_E_ARCSEC
        radius = 0.9 * theta_e * math.sqrt(rng.uniform(0.002, 1.0))
        magnitude = truncated_normal(rng, 24.3, 0.9, 21.5, 26.5)
        arc = magnitude - 2.5 * math.log10(2.0 * theta_e / radius)
        snr = seen.depth.arc_snr(arc, max(theta_e, settings.min_theta_e_arcsec))
        if best is None or (fits, snr) > best[0]:
            best = ((fits, snr), (pull, radius, magnitude))
        if fits and snr >= settings.min_arc_snr:
            return pull, radius, magnitude
    assert best is not None
    return best[1]


def _pull(rng: np.random.Generator, seen: Seen, settings: InjectionSettings) -> _Pull:
    row = seen.row
    z_lens, z_from = _redshift(rng, row, settings)
    z_source = truncated_normal(rng, 1.8, 0.7, z_lens + SOURCE_BEHIND, 3.8)
    sigma, theta = has_number(row, settings.sigma_v), has_number(row, settings.theta_e)
    if sigma is not None and sigma > 0:
        return _Pull(z_lens, z_source, sigma, z_from, f"column {settings.sigma_v}")
    if theta is not None and theta > 0:
        sigma = 200.0 * math.sqrt(theta / einstein_radius_arcsec(200.0, z_lens, z_source))
        return _Pull(z_lens, z_source, sigma, z_from, f"column {settings.theta_e}", has_radius=True)
    if settings.theta_e == FABER_JACKSON:
        sigma, said = _faber_jackson(rng, seen, z_lens)
        return _Pull(z_lens, z_source, sigma, z_from, said)
    return _Pull(z_lens, z_source, draw_sigma_v(rng), z_from, DRAWN)


def _redshift(rng: np.random.Generator, row: Mapping[str, Any], settings: InjectionSettings) -> tuple[float, str]:
    column = settings.redshift or next((name for name in row if name.lower() in REDSHIFT_COLUMNS), "")
    known = has_number(row, column) if column else None
    if known is not None and 0.01 <= known <= LARGEST_LENS_REDSHIFT:
        return known, f"column {column}"
    return draw_lens_redshift(rng), DRAWN


def _faber_jackson(rng: np.random.Generator, seen: Seen, redshift: float) -> tuple[float, str]:
    """σ_v of a red galaxy of the host's magnitude and redshift, with the relation's scatter; kept to 100–450 km/s."""
    mix = draw_template_mix("red", redshift, rng)
    band = seen.light.band
    sky = replace(seen.sky, reference=band)
    absolute_r = seen.light.magnitudes[band] - KRON_MISSES_MAG - absolute_to_apparent(mix, redshift, 0.0, sky)
    absolute_r += float(rng.normal(0.0, FABER_JACKSON_SCATTER_MAG))
    sigma = faber_jackson_sigma_km_s(absolute_r)
    low, high = FABER_JACKSON_KM_S
    said = "Faber-Jackson" if low <= sigma <= high else f"Faber-Jackson, kept to {low:g}-{high:g} km/s"
    return min(max(sigma, low), high), said


def _deflector(rng: np.random.Generator, light: CentralLight, pull: _Pull, settings: InjectionSettings) -> Galaxy:
    """The host galaxy with an isothermal mass near its light's shape, and external shear as populations draw it."""
    shear, direction = abs(float(rng.normal(0.0, 0.04))), float(rng.uniform(0.0, math.pi))
    ratio = light.axis_ratio + float(rng.normal(0.0, settings.axis_ratio_scatter))
    mass = Mass(
        sigma_v_km_s=pull.sigma_v_km_s,
        axis_ratio=min(0.99, max(0.4, ratio)),
        angle_rad=light.angle_rad + float(rng.normal(0.0, settings.angle_scatter_rad)),
        gamma1=shear * math.cos(2 * direction),
        gamma2=shear * math.sin(2 * direction),
    )
    return Galaxy("lens", pull.z_lens, light.x_arcsec, light.y_arcsec, (light.as_light(),), mass)


def has_number(row: Mapping[str, Any], column: str) -> float | None:
    """The finite number a catalogue row has in `column`; None where it has none."""
    try:
        value = float(row[column])
    except (KeyError, TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
