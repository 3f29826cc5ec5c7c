"""What finders mistake for lenses: spirals, ring galaxies, mergers, edge-on discs, galaxies with companions.

Each begins with the galaxy a lens would have (the lens population's draws without the source), so that total
flux, colour and central surface brightness do not give the label away; the source's light comes back as arms,
a ring, companions or a second nucleus.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lensaudit.scenes.colours import SeenMagnitudes, magnitudes_on
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.lenses import (
    EUCLID,
    Setting,
    draw_blue_mix,
    draw_early_type,
    draw_field,
    draw_noise_seed,
    draw_sigma_v,
    draw_star_forming,
    truncated_normal,
)
from lensaudit.scenes.scene import EUCLID_SKY, Galaxy, Light, Scene, Sky

ARC_SCATTER_MAG = 0.2


def draw_spiral(rng: np.random.Generator, setting: Setting = EUCLID) -> Scene:
    """Draw a red bulge in a blue disc with two to four logarithmic arms, seen nearly face-on."""
    lens, source = setting.draw_pair(rng)
    disc = spiral_disc(rng, lens.redshift, _scattered(rng, arc_magnitude(lens, source, setting.sky)), setting.sky)
    return _scene(rng, setting, "spiral", replace(lens, mass=None, light=(*lens.light, disc)))


def spiral_disc(rng: np.random.Generator, redshift: float, magnitude: float, sky: Sky = EUCLID_SKY) -> Light:
    """Draw a blue disc of `magnitude` in the reference band with two to four logarithmic arms."""
    return Light(
        profile="spiral",
        magnitudes=_blue(rng, redshift, magnitude, sky),
        r_eff_arcsec=float(rng.uniform(0.7, 2.8)),
        axis_ratio=float(rng.uniform(0.5, 1.0)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
        shape={
            "arms": float(rng.integers(2, 5)),
            "pitch_rad": float(np.deg2rad(rng.uniform(8.0, 30.0)) * rng.choice([-1.0, 1.0])),
            "contrast": float(rng.uniform(0.7, 3.0)),
        },
    )


def draw_ring_galaxy(rng: np.random.Generator, setting: Setting = EUCLID) -> Scene:
    """Draw an early type inside a ring of its own young stars (Hoag's object and its like)."""
    lens, source = setting.draw_pair(rng)
    magnitude = _scattered(rng, arc_magnitude(lens, source, setting.sky))
    ring = young_ring(rng, lens.redshift, magnitude, radius=_theta_e(lens, source), sky=setting.sky)
    return _scene(rng, setting, "ring-galaxy", replace(lens, mass=None, light=(*lens.light, ring)))


def young_ring(
    rng: np.random.Generator, redshift: float, magnitude: float, *, radius: float, sky: Sky = EUCLID_SKY
) -> Light:
    """Draw a blue ring of reference `magnitude` and `radius` (arcsec), not quite concentric with its galaxy."""
    return Light(
        profile="ring",
        magnitudes=_blue(rng, redshift, magnitude, sky),
        r_eff_arcsec=radius,
        axis_ratio=float(rng.uniform(0.4, 1.0)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
        dx_arcsec=float(rng.normal(0.0, 0.08 * radius)),
        dy_arcsec=float(rng.normal(0.0, 0.08 * radius)),
        shape={"width_arcsec": float(radius * rng.uniform(0.08, 0.25))},
    )


def draw_merger(rng: np.random.Generator, setting: Setting = EUCLID) -> Scene:
    """Draw two early types in contact with blue debris between and around them."""
    lens, source = setting.draw_pair(rng)
    brightness = arc_magnitude(lens, source, setting.sky)
    parts = merger_parts(rng, lens, brightness, scatter_mag=ARC_SCATTER_MAG, sky=setting.sky)
    return _scene(rng, setting, "merger", replace(lens, mass=None), *parts)


def merger_parts(
    rng: np.random.Generator,
    lens: Galaxy,
    magnitude: float,
    *,
    scatter_mag: float = 0.0,
    sky: Sky = EUCLID_SKY,
) -> tuple[Galaxy, ...]:
    """Draw the lighter nucleus of a merger, 0.6–2.5″ from `lens`, and blue debris of `magnitude` altogether."""
    angle, distance = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.6, 2.5)
    x, y = lens.x_arcsec + distance * np.cos(angle), lens.y_arcsec + distance * np.sin(angle)
    sigma_v = min(draw_sigma_v(rng), 300.0) * float(rng.uniform(0.6, 0.95))
    second = draw_early_type(rng, sky, sigma_v_km_s=sigma_v, redshift=lens.redshift, x=float(x), y=float(y))
    total = float(magnitude + rng.normal(0.0, scatter_mag))
    pieces = int(rng.integers(1, 4))
    debris = [
        _stretched(rng, lens, total + 2.5 * np.log10(pieces), float(rng.uniform(0.4, 1.6) * distance), sky)
        for _ in range(pieces)
    ]
    return (replace(second, role="companion", mass=None), *debris)


def draw_edge_on(rng: np.random.Generator, setting: Setting = EUCLID) -> Scene:
    """Draw a disc seen edge-on through or beside the galaxy, long and thin like an arc without curvature."""
    lens, source = setting.draw_pair(rng)
    disc = Light(
        profile="sersic",
        magnitudes=_blue(rng, lens.redshift, _scattered(rng, arc_magnitude(lens, source, setting.sky)), setting.sky),
        r_eff_arcsec=float(rng.uniform(0.4, 1.3)),
        n_sersic=1.0,
        axis_ratio=float(rng.uniform(0.1, 0.25)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
    )
    if rng.random() < 0.5:
        return _scene(rng, setting, "edge-on", replace(lens, mass=None, light=(*lens.light, disc)))
    angle, distance = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.8, 1.5) * _theta_e(lens, source)
    beside = Galaxy(
        "companion",
        lens.redshift,
        lens.x_arcsec + float(distance * np.cos(angle)),
        lens.y_arcsec + float(distance * np.sin(angle)),
        (disc,),
        lensed=False,
    )
    return _scene(rng, setting, "edge-on", replace(lens, mass=None), beside)


def draw_companions(rng: np.random.Generator, setting: Setting = EUCLID) -> Scene:
    """Draw an early type with one to four small blue galaxies where lensed images would stand."""
    lens, source = setting.draw_pair(rng)
    number = int(rng.integers(1, 5))
    magnitude = _scattered(rng, arc_magnitude(lens, source, setting.sky)) + 2.5 * np.log10(number)
    theta_e = _theta_e(lens, source)
    companions = []
    for _ in range(number):
        angle, distance = rng.uniform(0.0, 2 * np.pi), theta_e * rng.uniform(0.6, 1.8)
        galaxy = draw_star_forming(
            rng,
            setting.sky,
            "companion",
            redshift=lens.redshift,
            magnitude=float(magnitude + rng.normal(0.0, 0.5)),
            x=lens.x_arcsec + float(distance * np.cos(angle)),
            y=lens.y_arcsec + float(distance * np.sin(angle)),
        )
        companions.append(replace(galaxy, lensed=False))
    return _scene(rng, setting, "companions", replace(lens, mass=None), *companions)


def _theta_e(lens: Galaxy, source: Galaxy) -> float:
    assert lens.mass is not None
    return einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, source.redshift)


def arc_magnitude(lens: Galaxy, source: Galaxy, sky: Sky = EUCLID_SKY) -> float:
    """Reference magnitude the lensed source would have, so that contaminants carry as much blue light as arcs."""
    offset = max(np.hypot(source.x_arcsec - lens.x_arcsec, source.y_arcsec - lens.y_arcsec), 0.05)
    gain = 2.5 * np.log10(2.0 * _theta_e(lens, source) / offset)
    return float(source.magnitude(sky.reference) - min(gain, 3.0))


def _scattered(rng: np.random.Generator, magnitude: float) -> float:
    return float(magnitude + rng.normal(0.0, ARC_SCATTER_MAG))


def _blue(rng: np.random.Generator, redshift: float, magnitude: float, sky: Sky) -> SeenMagnitudes:
    return magnitudes_on(sky, draw_blue_mix(rng, redshift), redshift, magnitude)


def _stretched(rng: np.random.Generator, host: Galaxy, magnitude: float, distance_arcsec: float, sky: Sky) -> Galaxy:
    """Tidal debris: an elongated blue patch lying along the circle around its host."""
    angle = rng.uniform(0.0, 2 * np.pi)
    light = Light(
        profile="sersic",
        magnitudes=_blue(rng, host.redshift, float(magnitude), sky),
        r_eff_arcsec=float(rng.uniform(0.2, 0.7)),
        n_sersic=truncated_normal(rng, 1.0, 0.3, 0.5, 2.0),
        axis_ratio=float(rng.uniform(0.15, 0.5)),
        angle_rad=float(angle + np.pi / 2 + rng.normal(0.0, 0.4)),
    )
    return Galaxy(
        "companion",
        host.redshift,
        host.x_arcsec + float(distance_arcsec * np.cos(angle)),
        host.y_arcsec + float(distance_arcsec * np.sin(angle)),
        (light,),
        lensed=False,
    )


def _scene(rng: np.random.Generator, setting: Setting, kind: str, *galaxies: Galaxy) -> Scene:
    field = draw_field(rng, setting.sky, mean_count=setting.field_mean_count)
    return Scene(kind, (*galaxies, *field), psf=setting.draw_psf(rng), noise_seed=draw_noise_seed(rng), sky=setting.sky)
