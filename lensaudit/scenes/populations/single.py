"""Ordinary lenses: one early-type deflector, one blue source close behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.galaxies import (
    EUCLID_SKY,
    Sky,
    draw_early_type,
    draw_field,
    draw_star_forming,
    truncated_normal,
)
from lensaudit.scenes.scene import Galaxy, Psf, Scene

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
