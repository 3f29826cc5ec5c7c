"""Lenses of LSST as Lanusse et al. 2018, Section 4, draw them: a source near the caustic of an isothermal ellipse.

What the paper does not give, the catalogues it draws from among it, is named where it is chosen; none of it was fitted
to a completeness (docs/deeplens.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lensaudit.scenes.colours import magnitudes_on
from lensaudit.scenes.cosmology import arcsec_per_kpc, einstein_radius_arcsec
from lensaudit.scenes.populations.compound import BEST, WORST
from lensaudit.scenes.populations.lenses import draw_blue_mix, draw_early_type, truncated_normal
from lensaudit.scenes.scene import LSST_SKY, Galaxy, Light, Mass

SIGMA_V_KM_S = (150.0, 350.0)
AXIS_RATIO = (0.5, 1.0)
"""Both drawn evenly, as is the orientation (Section 4.1)."""
Z_LENS = (0.2, 0.7)
"""The range that matching dispersions to the ellipticals of Zahid et al. (2015) gave them (4.1); drawn evenly, ours."""
Z_SOURCE = 2.0
"""Of every source (4.1)."""

LENS_KPC_AT_250 = 3.3
LENS_SIZE_SCATTER_DEX = 0.15
"""Sizes are the matched galaxies' (4.1), of which more than half are compact (Zahid et al. 2015); our median."""

SOURCE_KPC = 5.5
SOURCE_SIZE_SCATTER_DEX = 0.17
"""Bright galaxies of z ≈ 0.45, rescaled to z = 2 (4.2): their proper size stays, which is that of discs of 3e10 solar
masses at that redshift (van der Wel et al. 2014)."""
SOURCE_MAG = (24.0, 0.9, 21.5, 26.0)
"""Mean, width and bounds in g: as in `lsst-best`; the paper gives no brightness. A disc of M_r = −21.3 has 21.6 at
z = 0.45, and 25.6 moved to z = 2 without k-correction: it lies between."""

FIELD_MEAN_COUNT = 1.0
"""Galaxies of the Hubble Ultra Deep Field in front, never lensed (4.2): 55 per arcmin², LSST Science Book, 3.7.2."""


def draw_pair_on_caustic(rng: np.random.Generator) -> tuple[Galaxy, Galaxy]:
    """Draw an isothermal ellipse whose light has its shape, without shear, and a disc near its tangential caustic.

    No lens is refused for a small Einstein radius or a faint arc, as the paper refuses none.
    """
    lens = _lens(rng)
    mass = lens.mass
    assert mass is not None
    theta_e = einstein_radius_arcsec(mass.sigma_v_km_s, lens.redshift, Z_SOURCE)
    radius = SOURCE_KPC * 10.0 ** rng.normal(0.0, SOURCE_SIZE_SCATTER_DEX) * arcsec_per_kpc(Z_SOURCE)
    # "Near the caustics … so as to produce lensed arcs" (4.2): within about half the source's size of it, ours.
    along, across = tangential_caustic(theta_e, mass.axis_ratio, float(rng.uniform(0.0, 2 * np.pi)))
    along, across = np.array([along, across]) + rng.normal(0.0, 0.5 * radius, 2)
    c, s = np.cos(mass.angle_rad), np.sin(mass.angle_rad)
    light = Light(
        "spiral",
        magnitudes_on(LSST_SKY, draw_blue_mix(rng, Z_SOURCE), Z_SOURCE, truncated_normal(rng, *SOURCE_MAG)),
        r_eff_arcsec=float(radius),
        axis_ratio=float(rng.uniform(0.3, 1.0)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
        # "Detailed images" of galaxies (4.2): arms stand for their structure.
        shape={
            "arms": float(rng.integers(2, 5)),
            "pitch_rad": float(np.deg2rad(rng.uniform(8.0, 30.0)) * rng.choice([-1.0, 1.0])),
            "contrast": float(rng.uniform(0.3, 1.5)),
        },
    )
    return lens, Galaxy("source", Z_SOURCE, float(c * along - s * across), float(s * along + c * across), (light,))


def _lens(rng: np.random.Generator) -> Galaxy:
    sigma_v, redshift = float(rng.uniform(*SIGMA_V_KM_S)), float(rng.uniform(*Z_LENS))
    axis_ratio, angle = float(rng.uniform(*AXIS_RATIO)), float(rng.uniform(0.0, np.pi))
    lens = draw_early_type(rng, LSST_SKY, sigma_v_km_s=sigma_v, redshift=redshift, x=0.0, y=0.0)
    kpc = LENS_KPC_AT_250 * (sigma_v / 250.0) ** 1.6 * 10.0 ** rng.normal(0.0, LENS_SIZE_SCATTER_DEX)
    radius = float(kpc * arcsec_per_kpc(redshift))
    light = replace(lens.light[0], r_eff_arcsec=radius, axis_ratio=axis_ratio, angle_rad=angle)
    return replace(lens, light=(light,), mass=Mass(sigma_v, axis_ratio, angle))


def tangential_caustic(theta_e: float, axis_ratio: float, angle: float) -> tuple[float, float]:
    """A point of the astroid of a singular isothermal ellipse, along and across its major axis, as `theta_e`.

    Kormann, Schneider & Bartelmann (1994): the image of the point of the critical curve at `angle` (radian from the
    major axis), where the convergence θ_E / 2 / √(q x² + y² / q) is a half.

    Examples
    --------
    >>> [round(abs(part), 3) for part in tangential_caustic(1.0, 0.5, 0.0)]
    [0.559, 0.0]
    """
    q, c, s = axis_ratio, np.cos(angle), np.sin(angle)
    radius = theta_e / np.sqrt(q * c**2 + s**2 / q)
    flattening = np.sqrt(1.0 - q**2)
    if flattening < 1e-6:
        return 0.0, 0.0
    x, y, bend = radius * c, radius * s, theta_e * np.sqrt(q) / flattening
    return (
        float(x - bend * np.arctan(flattening * x / (np.sqrt(q) * theta_e))),
        float(y - bend * np.arctanh(flattening * y / (np.sqrt(q) * theta_e))),
    )


FAITHFUL_BEST = replace(BEST, draw_pair=draw_pair_on_caustic, field_mean_count=FIELD_MEAN_COUNT)
FAITHFUL_WORST = replace(WORST, draw_pair=draw_pair_on_caustic, field_mean_count=FIELD_MEAN_COUNT)
