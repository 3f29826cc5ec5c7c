"""Lenses and non-lenses as in the space set of the first Bologna challenge (Metcalf et al. 2019), Cheng's training set.

Of the challenge's description: the deflector is drawn before it is known whether there is a source, so that non-lenses
are the same galaxies without one; every deflector with θ_E above 1.5 times the resolution counts; a source lies within
3 times the caustic's reach, 0.4 in redshift behind; round PSF of 0.18″; galaxies of bulges and of discs with weak arms,
in groups too. Not in it, but of eight images of the challenge (docs/autoencoder-factors.md): how faint lensed light
is, how many discs, what a group holds. Dispersions follow the velocity function, redshifts those of our other lenses.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lensaudit.scenes.colours import draw_template_mix, magnitudes_on
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.lenses import (
    GROUP_FRACTION,
    draw_blue_mix,
    draw_early_type,
    draw_field,
    draw_lens_redshift,
    draw_noise_seed,
    draw_red_dwarf,
    draw_star_forming,
    truncated_normal,
)
from lensaudit.scenes.scene import EUCLID_SKY, Galaxy, Light, Psf, Scene, Sky

FWHM_ARCSEC = 0.18
"""Of the challenge's Gaussian PSF; that of `vis101` is 0.16."""
LEAST_THETA_E_ARCSEC = 1.5 * FWHM_ARCSEC
LARGEST_THETA_E_ARCSEC = 5.0
FARTHEST_PLANE = 6.0
"""Redshift of the source plane on which the challenge looks for caustics."""
BEHIND = 0.4
"""A source lies so much in redshift behind its deflector."""

# Velocity function of early types, Choi, Park & Vogeley (2007), without evolution.
SIGMA_STAR_KM_S, ALPHA, BETA = 161.0, 2.32, 2.67
LEAST_SIGMA_KM_S, LARGEST_SIGMA_KM_S = 100.0, 400.0

FAINTEST_ARC_MAG = 24.0
"""The faintest of four lenses of the training set has 24.0 mag, its galaxy included."""
BRIGHTEST_SOURCE_MAG = 20.5
COUNTS_SLOPE = 0.3
FIELD_MEAN_COUNT = 9.0
DISC_FRACTION = 0.5
"""Two of the four non-lenses are compact, two are discs of 0.53″ half-light radius."""
DISC_OVER_BULGE_SIZE = 2.0
GROUP_SIGMA_KM_S = (350.0, 620.0)
GROUP_MEMBERS = (2, 5)
GROUP_MEMBER_MAG = (22.4, 24.2)
"""Those of the one group among the eight images: four galaxies of 22.4 to 24.1 mag within 5″."""


def draw_challenge1_lens(rng: np.random.Generator) -> Scene:
    """Draw a deflector as `draw_challenge1_no_source` does from the same generator, and a source behind it."""
    return _draw(rng)


def draw_challenge1_no_source(rng: np.random.Generator) -> Scene:
    """Draw a deflector with its neighbours and nothing behind it."""
    scene = _draw(rng)
    return replace(scene, kind="no-source", galaxies=tuple(g for g in scene.galaxies if g.role != "source"))


def _draw(rng: np.random.Generator) -> Scene:
    lens = _draw_deflector(rng, EUCLID_SKY)
    source = _draw_source(rng, lens, EUCLID_SKY)
    members = _draw_members(rng, lens, EUCLID_SKY)
    field = draw_field(rng, EUCLID_SKY, mean_count=FIELD_MEAN_COUNT)
    psf = Psf("gaussian", fwhm_scale=FWHM_ARCSEC / 0.16)
    return Scene("single", (lens, source, *members, *field), psf=psf, noise_seed=draw_noise_seed(rng))


def _draw_deflector(rng: np.random.Generator, sky: Sky) -> Galaxy:
    """A galaxy of the velocity function, with the mass of a group now and then."""
    while True:
        redshift = draw_lens_redshift(rng)
        in_group = rng.random() < GROUP_FRACTION
        of_galaxy = float(np.interp(rng.random(), *_velocities()))
        of_mass = float(rng.uniform(*GROUP_SIGMA_KM_S)) if in_group else of_galaxy
        theta_e = einstein_radius_arcsec(of_mass, redshift, FARTHEST_PLANE)
        if LEAST_THETA_E_ARCSEC <= theta_e <= LARGEST_THETA_E_ARCSEC:
            break
    x, y = rng.normal(0.0, 0.05, 2)
    lens = draw_early_type(rng, sky, sigma_v_km_s=of_galaxy, redshift=redshift, x=float(x), y=float(y))
    assert lens.mass is not None
    lens = replace(lens, mass=replace(lens.mass, sigma_v_km_s=of_mass))
    return lens if in_group or rng.random() > DISC_FRACTION else _as_disc(rng, lens, sky)


def _as_disc(rng: np.random.Generator, lens: Galaxy, sky: Sky) -> Galaxy:
    """The deflector with an exponential disc and weak arms around half of its light, inclined up to 80°."""
    bulge = lens.light[0]
    inclination = np.arccos(rng.uniform(np.cos(np.deg2rad(80.0)), 1.0))
    part = float(rng.uniform(0.05, 0.5))
    whole = lens.magnitude(sky.reference)
    mixes = draw_template_mix("red", lens.redshift, rng), draw_blue_mix(rng, lens.redshift)
    of_bulge, of_disc = (
        magnitudes_on(sky, mix, lens.redshift, whole - 2.5 * float(np.log10(share)))
        for mix, share in zip(mixes, (part, 1.0 - part), strict=True)
    )
    pitch, contrast = np.deg2rad(rng.uniform(10.0, 30.0)), rng.uniform(0.0, 0.5)
    disc = Light(
        "spiral",
        of_disc,
        r_eff_arcsec=DISC_OVER_BULGE_SIZE * bulge.r_eff_arcsec,
        axis_ratio=float(np.cos(inclination)),
        angle_rad=bulge.angle_rad,
        shape={"arms": 2.0, "pitch_rad": float(pitch), "contrast": float(contrast)},
    )
    return replace(lens, light=(replace(bulge, magnitudes=of_bulge), disc))


def _draw_source(rng: np.random.Generator, lens: Galaxy, sky: Sky) -> Galaxy:
    """A galaxy behind the deflector; whether it shows depends on its brightness, not on the deflector.

    It lies within 3 times the caustic's reach, and within 0.9 θ_E, so that it has several images. Counts rise as
    10^(0.3 m), as those of the field, down to where the images would fall below `FAINTEST_ARC_MAG`.
    """
    assert lens.mass is not None
    redshift = truncated_normal(rng, 1.8, 0.7, lens.redshift + BEHIND, 3.8)
    theta_e = einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, redshift)
    reach = caustic_reach(lens.mass.axis_ratio) + 2.0 * float(np.hypot(lens.mass.gamma1, lens.mass.gamma2))
    radius = min(3.0 * reach, 0.9) * theta_e * float(np.sqrt(rng.uniform(0.002, 1.0)))
    angle = rng.uniform(0.0, 2 * np.pi)
    faintest = FAINTEST_ARC_MAG + min(2.5 * float(np.log10(2.0 * theta_e / radius)), 3.0)
    brighter = 10.0 ** (COUNTS_SLOPE * (BRIGHTEST_SOURCE_MAG - faintest))
    magnitude = faintest + float(np.log10(rng.uniform(brighter, 1.0))) / COUNTS_SLOPE
    x, y = lens.x_arcsec + float(radius * np.cos(angle)), lens.y_arcsec + float(radius * np.sin(angle))
    return draw_star_forming(rng, sky, "source", redshift=redshift, magnitude=magnitude, x=x, y=y)


def caustic_reach(axis_ratio: float) -> float:
    """Farthest point of the tangential caustic of a singular isothermal ellipsoid, in θ_E (Kormann et al. 1994)."""
    if axis_ratio >= 1.0:
        return 0.0
    root, flat = np.sqrt(axis_ratio), np.sqrt(1.0 - axis_ratio**2)
    along = root / flat * np.arcsinh(flat / axis_ratio) - root
    across = 1.0 / root - root / flat * np.arcsin(flat)
    return float(max(along, across))


def _draw_members(rng: np.random.Generator, lens: Galaxy, sky: Sky) -> list[Galaxy]:
    """Other galaxies of a group within 5″; none for a galaxy by itself."""
    assert lens.mass is not None
    count = int(rng.integers(GROUP_MEMBERS[0], GROUP_MEMBERS[1] + 1))
    if lens.mass.sigma_v_km_s < GROUP_SIGMA_KM_S[0]:
        return []
    members = []
    for _ in range(count):
        x, y = rng.uniform(-5.0, 5.0, 2)
        magnitude = float(rng.uniform(*GROUP_MEMBER_MAG))
        galaxy = draw_red_dwarf(rng, sky, redshift=lens.redshift, magnitude=magnitude, x=float(x), y=float(y))
        members.append(replace(galaxy, role="companion", lensed=False))
    return members


@lru_cache(maxsize=1)
def _velocities() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fraction of the velocity function below dispersions, and the dispersions in km/s."""
    sigma = np.linspace(LEAST_SIGMA_KM_S, LARGEST_SIGMA_KM_S, 400)
    share = np.cumsum((sigma / SIGMA_STAR_KM_S) ** (ALPHA - 1.0) * np.exp(-((sigma / SIGMA_STAR_KM_S) ** BETA)))
    return (share - share[0]) / (share[-1] - share[0]), sigma
