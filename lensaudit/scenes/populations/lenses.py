"""Ordinary lenses, and the galaxies all populations are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.scenes.colours import absolute_to_apparent, draw_template_mix, magnitudes_on
from lensaudit.scenes.cosmology import arcsec_per_kpc, einstein_radius_arcsec
from lensaudit.scenes.scene import EUCLID_SKY, Galaxy, Light, Mass, Psf, Scene, Sky

# Faber & Jackson (1976): L ∝ σ⁴, normalised so that a SLACS lens (σ_v = 270 km/s) has M_r = -22.8.
FABER_JACKSON_M_R_AT_200 = -21.5
FABER_JACKSON_SCATTER_MAG = 0.35
BLUE_SOURCE_MAX_VIS_H_MAG = 1.0


def truncated_normal(rng: np.random.Generator, mean: float, sigma: float, low: float, high: float) -> float:
    """Draw from a normal distribution until the value lies in [low, high]."""
    while True:
        value = float(rng.normal(mean, sigma))
        if low <= value <= high:
            return value


def faber_jackson_sigma_km_s(absolute_r: float) -> float:
    """Velocity dispersion of an early type of rest-frame absolute magnitude `absolute_r`, in km/s."""
    return 200.0 * 10.0 ** (-0.1 * (absolute_r - FABER_JACKSON_M_R_AT_200))


def draw_early_type(
    rng: np.random.Generator, sky: Sky, *, sigma_v_km_s: float, redshift: float, x: float, y: float
) -> Galaxy:
    """Draw an early-type galaxy of given velocity dispersion with aligned singular isothermal mass.

    Size from the size–dispersion relation of early types (4.8 kpc at 220 km/s, slope 2.2 at fixed redshift,
    0.15 dex scatter), Sérsic index about 4, mass axis ratio near that of the light.
    """
    absolute_r = FABER_JACKSON_M_R_AT_200 - 10.0 * np.log10(sigma_v_km_s / 200.0)
    absolute_r += rng.normal(0.0, FABER_JACKSON_SCATTER_MAG)
    mix = draw_template_mix("red", redshift, rng)
    magnitude = absolute_to_apparent(mix, redshift, float(absolute_r), sky)
    kpc = 4.8 * (sigma_v_km_s / 220.0) ** 1.6 * (1.0 + redshift) ** -0.7 * 10.0 ** rng.normal(0.0, 0.15)
    axis_ratio = truncated_normal(rng, 0.78, 0.12, 0.4, 0.99)
    angle = float(rng.uniform(0.0, np.pi))
    light = Light(
        profile="sersic",
        magnitudes=magnitudes_on(sky, mix, redshift, magnitude),
        r_eff_arcsec=float(kpc) * arcsec_per_kpc(redshift),
        n_sersic=truncated_normal(rng, 4.0, 0.8, 2.0, 6.0),
        axis_ratio=axis_ratio,
        angle_rad=angle,
    )
    shear = float(np.abs(rng.normal(0.0, 0.04)))
    direction = float(rng.uniform(0.0, np.pi))
    mass = Mass(
        sigma_v_km_s=sigma_v_km_s,
        axis_ratio=min(0.99, max(0.4, axis_ratio + float(rng.normal(0.0, 0.06)))),
        angle_rad=angle + float(rng.normal(0.0, 0.1)),
        gamma1=shear * float(np.cos(2 * direction)),
        gamma2=shear * float(np.sin(2 * direction)),
    )
    return Galaxy("lens", redshift, x, y, (light,), mass)


def draw_blue_mix(rng: np.random.Generator, redshift: float) -> NDArray[np.float64]:
    """Template mix of a star-forming galaxy that is blue where it is seen (VIS − H below 1 mag, or nearly)."""
    return draw_template_mix("blue", redshift, rng, max_vis_h_mag=BLUE_SOURCE_MAX_VIS_H_MAG)


def draw_star_forming(
    rng: np.random.Generator, sky: Sky, role: str, *, redshift: float, magnitude: float, x: float, y: float
) -> Galaxy:
    """Draw a compact blue galaxy: Sérsic index about 1, half-light radius falling with faintness."""
    mix = draw_blue_mix(rng, redshift)
    radius = 0.25 * 10.0 ** (-0.1 * (magnitude - 24.0)) * 10.0 ** rng.normal(0.0, 0.2)
    light = Light(
        profile="sersic",
        magnitudes=magnitudes_on(sky, mix, redshift, magnitude),
        r_eff_arcsec=float(np.clip(radius, 0.06, 1.5)),
        n_sersic=truncated_normal(rng, 1.2, 0.5, 0.5, 2.5),
        axis_ratio=float(rng.uniform(0.3, 0.95)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
    )
    return Galaxy(role, redshift, x, y, (light,))


def draw_field(rng: np.random.Generator, sky: Sky, *, mean_count: float, avoid_arcsec: float = 0.0) -> list[Galaxy]:
    """Galaxies in front of and around the lens, uniform over the cutout: counts rise as 10^(0.3 m) to 25.5 mag.

    They are drawn unlensed; those that would fall within `avoid_arcsec` of the centre are left out.
    """
    galaxies = []
    for _ in range(int(rng.poisson(mean_count))):
        x, y = rng.uniform(-sky.half_width_arcsec, sky.half_width_arcsec, 2)
        magnitude = 25.5 + np.log10(rng.uniform(10.0 ** (0.3 * (20.5 - 25.5)), 1.0)) / 0.3
        redshift = truncated_normal(rng, 0.8, 0.5, 0.1, 3.0)
        if rng.random() < 0.25:
            galaxy = draw_red_dwarf(rng, sky, redshift=redshift, magnitude=float(magnitude), x=float(x), y=float(y))
        else:
            galaxy = draw_star_forming(
                rng, sky, "field", redshift=redshift, magnitude=float(magnitude), x=float(x), y=float(y)
            )
        if np.hypot(x, y) >= avoid_arcsec:
            galaxies.append(replace(galaxy, lensed=False))
    return galaxies


def draw_red_dwarf(
    rng: np.random.Generator, sky: Sky, *, redshift: float, magnitude: float, x: float, y: float
) -> Galaxy:
    """Draw a small red galaxy of the field."""
    mix = draw_template_mix("red", redshift, rng)
    light = Light(
        profile="sersic",
        magnitudes=magnitudes_on(sky, mix, redshift, magnitude),
        r_eff_arcsec=float(np.clip(0.3 * 10.0 ** (-0.12 * (magnitude - 23.5) + rng.normal(0.0, 0.15)), 0.08, 2.0)),
        n_sersic=truncated_normal(rng, 2.5, 0.8, 1.0, 4.5),
        axis_ratio=float(rng.uniform(0.4, 0.98)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
    )
    return Galaxy("field", redshift, x, y, (light,))


FIELD_MEAN_COUNT = 9.0
PSF_ANGLE_STEP_DEG = 5.0
GROUP_FRACTION = 0.15
MAX_THETA_E_ARCSEC = 5.0


@dataclass(frozen=True)
class Visibility:
    """What a drawn lens must show: a wide enough θ_E and a bright enough estimated arc."""

    min_theta_e_arcsec: float = 0.5
    faintest_arc_mag: float = 24.3


ANY_VISIBLE = Visibility()
CONSPICUOUS = Visibility(min_theta_e_arcsec=1.0, faintest_arc_mag=22.5)
"""Lenses that show at a glance, and so sit in heavier galaxies: a first set for a finder to learn on before it meets
the whole population. Photometry alone tells them from other galaxies: never a set to measure anything with."""


def draw_single(rng: np.random.Generator, visibility: Visibility = ANY_VISIBLE) -> Scene:
    """Draw a Euclid lens (see `draw_lens_and_source`) with field galaxies and a three-fold PSF at any angle."""
    lens, source = draw_lens_and_source(rng, EUCLID_SKY, visibility)
    field = draw_field(rng, EUCLID_SKY, mean_count=FIELD_MEAN_COUNT)
    return Scene("single", (lens, source, *field), psf=draw_psf(rng), noise_seed=draw_noise_seed(rng))


def draw_no_source(rng: np.random.Generator, visibility: Visibility = ANY_VISIBLE) -> Scene:
    """Draw the same system as `draw_single` does from the same generator, then leave the source away."""
    scene = draw_single(rng, visibility)
    return replace(scene, kind="no-source", galaxies=tuple(g for g in scene.galaxies if g.role != "source"))


def draw_lens_and_source(
    rng: np.random.Generator, sky: Sky, visibility: Visibility = ANY_VISIBLE
) -> tuple[Galaxy, Galaxy]:
    """Draw a deflector and a source that has multiple images bright enough to be called a lens.

    The source lies within 0.9 θ_E of the deflector, so that an isothermal sphere magnifies it by more than 2.2
    (the challenge's rule asks 1.6); θ_E lies below 5″ and, with the arc's estimated magnitude, within `visibility`.
    """
    x, y = draw_position(rng)
    while True:
        sigma_v, z_lens = draw_sigma_v(rng), draw_lens_redshift(rng)
        z_source = truncated_normal(rng, 1.8, 0.7, z_lens + 0.3, 3.8)
        theta_e = einstein_radius_arcsec(sigma_v, z_lens, z_source)
        if not visibility.min_theta_e_arcsec <= theta_e <= MAX_THETA_E_ARCSEC:
            continue
        radius = 0.9 * theta_e * np.sqrt(rng.uniform(0.002, 1.0))
        magnitude = truncated_normal(rng, 24.3, 0.9, 21.5, 26.5)
        if magnitude - 2.5 * np.log10(2.0 * theta_e / radius) < visibility.faintest_arc_mag:
            break
    angle = rng.uniform(0.0, 2 * np.pi)
    lens = draw_early_type(rng, sky, sigma_v_km_s=sigma_v, redshift=z_lens, x=x, y=y)
    source = draw_star_forming(
        rng,
        sky,
        "source",
        redshift=z_source,
        magnitude=magnitude,
        x=x + float(radius * np.cos(angle)),
        y=y + float(radius * np.sin(angle)),
    )
    return lens, source


def draw_sigma_v(rng: np.random.Generator) -> float:
    """Velocity dispersion in km/s: galaxies 150–400 (lensing-weighted), and groups 350–620 in 15 % of draws."""
    if rng.random() < GROUP_FRACTION:
        return float(rng.uniform(350.0, 620.0))
    return truncated_normal(rng, 250.0, 55.0, 150.0, 400.0)


def draw_lens_redshift(rng: np.random.Generator) -> float:
    """Deflector redshift, 0.15–1.3, median about 0.55."""
    while True:
        redshift = float(rng.lognormal(np.log(0.55), 0.45))
        if 0.15 <= redshift <= 1.3:
            return redshift


def draw_position(rng: np.random.Generator) -> tuple[float, float]:
    """Where the system stands: near the centre, or, one time in three, anywhere within ±5″ (challenge 2)."""
    if rng.random() < 1 / 3:
        x, y = rng.uniform(-5.0, 5.0, 2)
    else:
        x, y = rng.normal(0.0, 0.3, 2)
    return float(x), float(y)


def draw_psf(rng: np.random.Generator) -> Psf:
    """Three-fold PSF; lenses and non-lenses alike at any angle, so that orientation tells nothing."""
    steps = round(360.0 / PSF_ANGLE_STEP_DEG)
    return Psf("trefoil", angle_deg=PSF_ANGLE_STEP_DEG * int(rng.integers(steps)))


def draw_noise_seed(rng: np.random.Generator) -> int:
    """Seed of a scene's noise."""
    return int(rng.integers(2**62))


def draw_round_psf(rng: np.random.Generator) -> Psf:
    """Round PSF of the instrument's median seeing."""
    return Psf()


@dataclass(frozen=True)
class Setting:
    """Where lenses and what is taken for them are drawn.

    Attributes
    ----------
    sky
        Bands, and the one that brightness is drawn in.
    draw_pair
        A deflector and its source.
    draw_psf
        The PSF of an image.
    field_mean_count
        Field galaxies in a cutout, on average.
    """

    sky: Sky
    draw_pair: Callable[[np.random.Generator], tuple[Galaxy, Galaxy]]
    draw_psf: Callable[[np.random.Generator], Psf]
    field_mean_count: float


def _euclid_pair(rng: np.random.Generator) -> tuple[Galaxy, Galaxy]:
    return draw_lens_and_source(rng, EUCLID_SKY)


EUCLID = Setting(EUCLID_SKY, _euclid_pair, draw_psf, FIELD_MEAN_COUNT)
