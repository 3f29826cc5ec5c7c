"""LSST g-band lenses of Lanusse et al. 2018, in the median seeing, in the best of a survey's, and in the worst."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.galaxies import (
    LSST_SKY,
    draw_early_type,
    draw_field,
    draw_star_forming,
    truncated_normal,
)
from lensaudit.scenes.populations.single import ANY_VISIBLE, Setting, draw_noise_seed, draw_round_psf
from lensaudit.scenes.scene import Galaxy, Psf, Scene

FIELD_MEAN_COUNT = 2.0

EXPOSURES = 100
"""3 000 s of a field (Table 1 of the paper) in visits of 30 s."""
SEEING_SCATTER = 0.2
"""Of the logarithm of the FWHM from visit to visit: ours, as the paper names no distribution, only the median 0.81″.
The best of 100 visits then has about 0.49″ and the worst 1.34″."""


def draw_lsst_lens(rng: np.random.Generator, setting: Setting | None = None) -> Scene:
    """Draw a galaxy-scale lens as Lanusse et al. 2018: σ_v 150–350 km/s, q 0.5–1, z_l 0.2–0.7, z_s = 2."""
    setting = setting or LSST
    lens, source = setting.draw_pair(rng)
    field = draw_field(rng, setting.sky, mean_count=setting.field_mean_count)
    return Scene("single", (lens, source, *field), psf=setting.draw_psf(rng), noise_seed=draw_noise_seed(rng))


def draw_lsst_no_source(rng: np.random.Generator, setting: Setting | None = None) -> Scene:
    """Draw the same system as `draw_lsst_lens` does from the same generator, then leave the source away."""
    scene = draw_lsst_lens(rng, setting)
    return replace(scene, kind="no-source", galaxies=tuple(g for g in scene.galaxies if g.role != "source"))


def _best_seeing(rng: np.random.Generator) -> Psf:
    return Psf(fwhm_scale=float(np.exp(SEEING_SCATTER * rng.normal(size=EXPOSURES).min())))


def _worst_seeing(rng: np.random.Generator) -> Psf:
    return Psf(fwhm_scale=float(np.exp(SEEING_SCATTER * rng.normal(size=EXPOSURES).max())))


def _pair(rng: np.random.Generator) -> tuple[Galaxy, Galaxy]:
    while True:
        sigma_v, z_lens = float(rng.uniform(150.0, 350.0)), float(rng.uniform(0.2, 0.7))
        theta_e = einstein_radius_arcsec(sigma_v, z_lens, 2.0)
        radius = 0.9 * theta_e * np.sqrt(rng.uniform(0.002, 1.0))
        magnitude = truncated_normal(rng, 24.0, 0.9, 21.5, 26.0)
        arc_magnitude = magnitude - 2.5 * np.log10(2.0 * theta_e / radius)
        if theta_e >= ANY_VISIBLE.min_theta_e_arcsec and arc_magnitude < ANY_VISIBLE.faintest_arc_mag:
            break
    lens = draw_early_type(rng, LSST_SKY, sigma_v_km_s=sigma_v, redshift=z_lens, x=0.0, y=0.0)
    mass = replace(lens.mass, axis_ratio=float(rng.uniform(0.5, 1.0))) if lens.mass else None
    angle = rng.uniform(0.0, 2 * np.pi)
    source = draw_star_forming(
        rng,
        LSST_SKY,
        "source",
        redshift=2.0,
        magnitude=magnitude,
        x=float(radius * np.cos(angle)),
        y=float(radius * np.sin(angle)),
    )
    return replace(lens, mass=mass), source


LSST = Setting(LSST_SKY, _pair, draw_round_psf, FIELD_MEAN_COUNT)
BEST = Setting(LSST_SKY, _pair, _best_seeing, FIELD_MEAN_COUNT)
WORST = Setting(LSST_SKY, _pair, _worst_seeing, FIELD_MEAN_COUNT)
