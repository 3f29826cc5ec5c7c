"""Lenses whose properties are independent of each other: what a finder selects is then its own choice.

In nature, and in the other populations, a heavier deflector is brighter, a brighter source larger, and a lens was kept
because its arc shows. Here nothing follows from anything else and nothing is rejected: Einstein radius, source size and
Sérsic index are uniform, as is the place of the source in units of θ_E, so that the lensing cross-section, which grows
with θ_E², is the same for all. A lens and its non-lens differ in the lensing, not in the galaxies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lensaudit.scenes.colours import SeenMagnitudes, draw_template_mix, magnitudes_on
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.lenses import (
    FIELD_MEAN_COUNT,
    draw_blue_mix,
    draw_field,
    draw_noise_seed,
    draw_psf,
)
from lensaudit.scenes.scene import EUCLID_SKY, Galaxy, Light, Mass, Scene

Range = tuple[float, float]


@dataclass(frozen=True)
class UniformTable:
    """Bounds of the uniform draws, all ours: those of Herle et al. (2024) are not in their abstract.

    The medians of θ_E, size and index lie a little below those that their networks select at 8σ (0.879″, 0.178″, 2.55).
    """

    theta_e_arcsec: Range = (0.3, 1.3)
    source_r_eff_arcsec: Range = (0.05, 0.30)
    source_n_sersic: Range = (1.0, 4.0)
    source_mag: Range = (22.5, 25.5)
    source_axis_ratio: Range = (0.4, 1.0)
    source_redshift: Range = (1.2, 3.0)
    lens_mag: Range = (19.0, 21.5)
    lens_r_eff_arcsec: Range = (0.3, 1.0)
    lens_n_sersic: Range = (3.0, 5.0)
    lens_axis_ratio: Range = (0.55, 0.99)
    lens_redshift: Range = (0.2, 0.8)
    offset_theta_e: float = 0.9
    shear: float = 0.06


TABLE = UniformTable()
ARC_MAG_BRIGHTER: Range = (0.5, 2.5)
"""By how much an unlensed companion is brighter than a source: about as lensing makes them."""
COMPANION_DISTANCE_ARCSEC: Range = (0.3, 2.0)
COMPANIONS = (1, 2, 3)


def draw_uniform_lens(rng: np.random.Generator, larger_is_brighter: bool = False) -> Scene:
    """Draw a lens; the source lies uniformly over the disc of 0.9 θ_E around the deflector.

    With `larger_is_brighter` it is the source's surface brightness, not its flux, that is independent of its size:
    flux then grows with the square of the half-light radius, and is the same at the median one.
    """
    lens, source = _lens(rng), _source(rng)
    radius = TABLE.offset_theta_e * np.sqrt(rng.uniform(0.0, 1.0))
    angle = rng.uniform(0.0, 2 * np.pi)
    theta_e = _uniform(rng, TABLE.theta_e_arcsec)
    x, y = theta_e * radius * np.cos(angle), theta_e * radius * np.sin(angle)
    behind = replace(source, x_arcsec=lens.x_arcsec + float(x), y_arcsec=lens.y_arcsec + float(y))
    if larger_is_brighter:
        behind = replace(behind, light=tuple(_brighter_if_larger(light) for light in behind.light))
    return _scene(rng, "single", replace(lens, mass=_mass(rng, lens, theta_e, source.redshift)), behind)


def _brighter_if_larger(light: Light) -> Light:
    mag = -5.0 * float(np.log10(light.r_eff_arcsec / np.mean(TABLE.source_r_eff_arcsec)))
    assert isinstance(light.magnitudes, SeenMagnitudes)
    values = {band: value + mag for band, value in light.magnitudes.items()}
    return replace(light, magnitudes=light.magnitudes.shifted(values, mag))


def draw_uniform_no_source(rng: np.random.Generator) -> Scene:
    """Draw the same galaxy with nothing behind it."""
    return _scene(rng, "no-source", _lens(rng))


def draw_uniform_companions(rng: np.random.Generator) -> Scene:
    """Draw the same galaxy with one to three galaxies of the sources' kind beside it, unlensed, as bright as arcs."""
    lens = _lens(rng)
    beside = [_companion(rng, lens) for _ in range(int(rng.choice(COMPANIONS)))]
    return _scene(rng, "companions", lens, *beside)


def _companion(rng: np.random.Generator, lens: Galaxy) -> Galaxy:
    distance, angle = _uniform(rng, COMPANION_DISTANCE_ARCSEC), rng.uniform(0.0, 2 * np.pi)
    galaxy = _source(rng, brighter=_uniform(rng, ARC_MAG_BRIGHTER))
    x, y = lens.x_arcsec + distance * float(np.cos(angle)), lens.y_arcsec + distance * float(np.sin(angle))
    return replace(galaxy, role="companion", x_arcsec=x, y_arcsec=y, lensed=False)


def _uniform(rng: np.random.Generator, bounds: Range) -> float:
    return float(rng.uniform(*bounds))


def _scene(rng: np.random.Generator, kind: str, *galaxies: Galaxy) -> Scene:
    field = draw_field(rng, EUCLID_SKY, mean_count=FIELD_MEAN_COUNT)
    return Scene(kind, (*galaxies, *field), psf=draw_psf(rng), noise_seed=draw_noise_seed(rng))


def _lens(rng: np.random.Generator) -> Galaxy:
    """An early type, its light independent of any mass."""
    redshift = _uniform(rng, TABLE.lens_redshift)
    mix = draw_template_mix("red", redshift, rng)
    light = Light(
        profile="sersic",
        magnitudes=magnitudes_on(EUCLID_SKY, mix, redshift, _uniform(rng, TABLE.lens_mag)),
        r_eff_arcsec=_uniform(rng, TABLE.lens_r_eff_arcsec),
        n_sersic=_uniform(rng, TABLE.lens_n_sersic),
        axis_ratio=_uniform(rng, TABLE.lens_axis_ratio),
        angle_rad=_uniform(rng, (0.0, np.pi)),
    )
    x, y = rng.normal(0.0, 0.3, 2)
    return Galaxy("lens", redshift, float(x), float(y), (light,))


def _mass(rng: np.random.Generator, lens: Galaxy, theta_e: float, z_source: float) -> Mass:
    """Isothermal, aligned with the light, with shear in any direction."""
    shear, direction = _uniform(rng, (0.0, TABLE.shear)), _uniform(rng, (0.0, np.pi))
    return Mass(
        sigma_v_km_s=200.0 * float(np.sqrt(theta_e / einstein_radius_arcsec(200.0, lens.redshift, z_source))),
        axis_ratio=lens.light[0].axis_ratio,
        angle_rad=lens.light[0].angle_rad,
        gamma1=shear * float(np.cos(2 * direction)),
        gamma2=shear * float(np.sin(2 * direction)),
    )


def _source(rng: np.random.Generator, brighter: float = 0.0) -> Galaxy:
    redshift = _uniform(rng, TABLE.source_redshift)
    magnitude = _uniform(rng, TABLE.source_mag) - brighter
    light = Light(
        profile="sersic",
        magnitudes=magnitudes_on(EUCLID_SKY, draw_blue_mix(rng, redshift), redshift, magnitude),
        r_eff_arcsec=_uniform(rng, TABLE.source_r_eff_arcsec),
        n_sersic=_uniform(rng, TABLE.source_n_sersic),
        axis_ratio=_uniform(rng, TABLE.source_axis_ratio),
        angle_rad=_uniform(rng, (0.0, np.pi)),
    )
    return Galaxy("source", redshift, 0.0, 0.0, (light,))
