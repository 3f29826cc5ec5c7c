"""Compound lenses (Wilde et al. 2022), and the populations of other papers and of the bench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lensaudit.scenes.colours import SeenMagnitudes, draw_template_mix, magnitudes_on
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.lenses import (
    ANY_VISIBLE,
    FIELD_MEAN_COUNT,
    Setting,
    draw_blue_mix,
    draw_early_type,
    draw_field,
    draw_lens_and_source,
    draw_noise_seed,
    draw_psf,
    draw_round_psf,
    draw_star_forming,
    faber_jackson_sigma_km_s,
    truncated_normal,
)
from lensaudit.scenes.scene import EUCLID_SKY, LSST_SKY, Galaxy, Light, Mass, Psf, Scene


@dataclass(frozen=True)
class CompoundTable:
    """Bounds of the uniform draws of Wilde et al. 2022, Table 1, where their public notebook is not narrower.

    Attributes
    ----------
    lens_offset_arcsec
        Largest offset in x and y of a lens galaxy from the source: 5 (arcs) or 0.25 (double rings).
    max_n_sersic
        The table as printed says 20.
    max_shear
        The table as printed says 0.5; the authors' public notebook draws to 0.05.
    """

    lens_offset_arcsec: float
    max_n_sersic: float = 5.0
    max_shear: float = 0.05
    min_n_sersic: float = 1.5
    r_sersic_arcsec: tuple[float, float] = (0.2, 7.0)
    max_source_position_arcsec: float = 5.0
    min_axis_ratio: float = 0.3
    nearer_more_massive: float = 2.0 / 3.0


ARCS = CompoundTable(lens_offset_arcsec=5.0)
RINGS = CompoundTable(lens_offset_arcsec=0.25)


def draw_compound(rng: np.random.Generator, kind: str, table: CompoundTable) -> Scene:
    """Draw a compound lens of `kind` ``compound-arcs`` or ``compound-rings`` as nature has it, among field galaxies."""
    system = _draw_planes(rng)
    source_x, source_y = rng.uniform(-table.max_source_position_arcsec, table.max_source_position_arcsec, 2)
    galaxies = []
    for role, member in zip(("lens", "mid", "source"), system, strict=True):
        offset = rng.uniform(-table.lens_offset_arcsec, table.lens_offset_arcsec, 2)
        dx, dy = (0.0, 0.0) if role == "source" else offset
        galaxies.append(_draw_member(rng, role, member, table, (float(source_x + dx), float(source_y + dy))))
    field = draw_field(rng, EUCLID_SKY, mean_count=FIELD_MEAN_COUNT)
    return Scene(kind, (*galaxies, *field), psf=draw_psf(rng), noise_seed=draw_noise_seed(rng))


@dataclass(frozen=True)
class _Member:
    redshift: float
    magnitude_vis: float
    absolute_r: float


def _draw_planes(rng: np.random.Generator) -> tuple[_Member, _Member, _Member]:
    """Front and middle lens and the source, sampled in (redshift, magnitude) pairs from the single lenses."""
    heavier_in_front = rng.random() < 2.0 / 3.0
    while True:
        lens_a, source = draw_lens_and_source(rng, EUCLID_SKY)
        lens_b, _ = draw_lens_and_source(rng, EUCLID_SKY)
        front, mid = sorted((lens_a, lens_b), key=lambda galaxy: galaxy.redshift)
        if not front.redshift + 0.02 < mid.redshift < source.redshift - 0.1:
            continue
        assert front.mass is not None
        assert mid.mass is not None
        if (front.mass.sigma_v_km_s >= mid.mass.sigma_v_km_s) == heavier_in_front:
            return _member(front), _member(mid), _Member(source.redshift, source.magnitude("VIS"), np.nan)


def _member(lens: Galaxy) -> _Member:
    assert lens.mass is not None
    # The dispersion of a drawn early type scatters around the relation; the paper uses the relation itself.
    absolute_r = -21.5 - 10.0 * np.log10(lens.mass.sigma_v_km_s / 200.0)
    return _Member(lens.redshift, lens.magnitude("VIS"), float(absolute_r))


def _draw_member(
    rng: np.random.Generator, role: str, member: _Member, table: CompoundTable, position: tuple[float, float]
) -> Galaxy:
    is_source = role == "source"
    mix = draw_blue_mix(rng, member.redshift) if is_source else draw_template_mix("red", member.redshift, rng)
    shape: dict[str, Any] = {
        "r_eff_arcsec": float(rng.uniform(*table.r_sersic_arcsec)),
        "n_sersic": float(rng.uniform(table.min_n_sersic, table.max_n_sersic)),
        "axis_ratio": float(rng.uniform(table.min_axis_ratio, 1.0)),
        "angle_rad": float(rng.uniform(0.0, np.pi)),
    }
    magnitudes = magnitudes_on(EUCLID_SKY, mix, member.redshift, member.magnitude_vis)
    light = Light("sersic", magnitudes, **shape)
    shear = rng.uniform(-table.max_shear, table.max_shear, 2)
    mass = None
    if not is_source:
        mass = Mass(
            faber_jackson_sigma_km_s(member.absolute_r),
            axis_ratio=shape["axis_ratio"],
            angle_rad=shape["angle_rad"],
            gamma1=float(shear[0]),
            gamma2=float(shear[1]),
        )
    return Galaxy(role, member.redshift, *position, (light,), mass)


JITTER_ARCSEC = 0.05
"""Half a VIS pixel: no survey centres its cutouts better, and no deflector then falls on a ray."""


def centred(draw: Callable[[np.random.Generator], Scene]) -> Callable[[np.random.Generator], Scene]:
    """The population `draw` moved on the sky: the first galaxy, the lens or what poses as one, is in the middle."""

    def moved(rng: np.random.Generator) -> Scene:
        scene = draw(rng)
        x, y = rng.normal(0.0, JITTER_ARCSEC, 2)
        dx, dy = float(x - scene.galaxies[0].x_arcsec), float(y - scene.galaxies[0].y_arcsec)
        shifted = (replace(g, x_arcsec=g.x_arcsec + dx, y_arcsec=g.y_arcsec + dy) for g in scene.galaxies)
        return replace(scene, galaxies=tuple(shifted))

    return moved


LSST_FIELD_MEAN_COUNT = 2.0

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
    psf, noise_seed = setting.draw_psf(rng), draw_noise_seed(rng)
    return Scene("single", (lens, source, *field), psf=psf, noise_seed=noise_seed, sky=setting.sky)


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


LSST = Setting(LSST_SKY, _pair, draw_round_psf, LSST_FIELD_MEAN_COUNT)
BEST = Setting(LSST_SKY, _pair, _best_seeing, LSST_FIELD_MEAN_COUNT)
WORST = Setting(LSST_SKY, _pair, _worst_seeing, LSST_FIELD_MEAN_COUNT)


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
    spectrum = lens.light[0].magnitudes
    assert isinstance(spectrum, SeenMagnitudes)
    return Light("sersic", spectrum.shifted(magnitudes, fainter), r_eff_arcsec=0.05)
