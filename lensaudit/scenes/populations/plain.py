"""Plain lenses: bright arcs around a galaxy in the middle, for the bench on which the audit itself is tested.

Everything a probe can change stands at its neutral value, so that a bench may plant one peculiarity at a time. Such
scenes are easier than a survey's: never a set to report a finder's performance on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.galaxies import (
    EUCLID_SKY,
    draw_early_type,
    draw_field,
    draw_star_forming,
    truncated_normal,
)
from lensaudit.scenes.populations.single import draw_noise_seed
from lensaudit.scenes.scene import Galaxy, Light, Psf, Scene

THETA_E_ARCSEC = (1.5, 2.4)
SOURCE_VIS_MAG = (20.0, 21.5)
TREFOIL_WAVES = 0.05
NUCLEUS_VIS_MAG = 19.5
"""A strong three-fold pattern, and a point in the lens galaxy to show it: what a finder of 0.2″ pixels sees."""

FIELD_COUNT = 3.0
FIELD_FREE_ARCSEC = 5.0


def draw_plain(rng: np.random.Generator) -> Scene:
    """Draw a lens of θ_E 1.5–2.4″ at the centre, its source of VIS 20–21.5 mag, a strong three-fold PSF at 0°."""
    while True:
        sigma_v, z_lens = float(rng.uniform(220.0, 330.0)), float(rng.uniform(0.25, 0.7))
        z_source = truncated_normal(rng, 1.8, 0.5, z_lens + 0.5, 3.0)
        theta_e = einstein_radius_arcsec(sigma_v, z_lens, z_source)
        if THETA_E_ARCSEC[0] <= theta_e <= THETA_E_ARCSEC[1]:
            break
    lens = draw_early_type(rng, EUCLID_SKY, sigma_v_km_s=sigma_v, redshift=z_lens, x=0.0, y=0.0)
    radius, angle = theta_e * float(rng.uniform(0.1, 0.6)), float(rng.uniform(0.0, 2 * np.pi))
    source = draw_star_forming(
        rng,
        EUCLID_SKY,
        "source",
        redshift=z_source,
        magnitude=float(rng.uniform(*SOURCE_VIS_MAG)),
        x=radius * float(np.cos(angle)),
        y=radius * float(np.sin(angle)),
    )
    lens = replace(lens, light=(*lens.light, _nucleus(lens)))
    field = draw_field(rng, EUCLID_SKY, mean_count=FIELD_COUNT, avoid_arcsec=FIELD_FREE_ARCSEC)
    return Scene(
        "single",
        (lens, source, *field),
        psf=Psf("trefoil", trefoil_waves=TREFOIL_WAVES),
        noise_seed=draw_noise_seed(rng),
    )


def _nucleus(lens: Galaxy) -> Light:
    """A point of the lens galaxy's own colours."""
    fainter = NUCLEUS_VIS_MAG - lens.magnitude("VIS")
    magnitudes = {band: lens.magnitude(band) + fainter for band in EUCLID_SKY.bands}
    return Light("sersic", magnitudes, r_eff_arcsec=0.05)
