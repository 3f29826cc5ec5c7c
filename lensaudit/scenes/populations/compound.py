"""Compound lenses as Wilde et al. 2022 draw them (their Table 1): one far source and two lens galaxies.

z_source > z_mid > z_front; redshifts and magnitudes come in pairs from the single-lens population; σ_v from the
Faber–Jackson relation; the nearer galaxy is the more massive one two times in three; everything else is uniform.
``physical`` scenes let the front galaxy lens the middle one's light (that makes the second set of images) and
have field galaxies around them and the three-fold PSF; ``faithful`` ones leave the middle galaxy's light unlensed,
the field empty and the PSF Gaussian, as the authors' public notebook does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lensaudit.scenes.colours import apparent_magnitudes, draw_template_mix
from lensaudit.scenes.populations.galaxies import (
    EUCLID_SKY,
    draw_blue_mix,
    draw_field,
    faber_jackson_sigma_km_s,
)
from lensaudit.scenes.populations.single import (
    FIELD_MEAN_COUNT,
    draw_lens_and_source,
    draw_noise_seed,
    draw_psf,
)
from lensaudit.scenes.scene import Galaxy, Light, Mass, Psf, Scene


@dataclass(frozen=True)
class CompoundTable:
    """Bounds of the uniform draws of Wilde et al. 2022, Table 1.

    Attributes
    ----------
    lens_offset_arcsec
        Largest offset in x and y of a lens galaxy from the source: 5 (arcs) or 0.25 (double rings).
    max_n_sersic
        The table as printed says 20; the authors' public notebook draws to 5.
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


def draw_compound(rng: np.random.Generator, kind: str, table: CompoundTable, *, physical: bool) -> Scene:
    """Draw a compound lens of `kind` ``compound-arcs`` or ``compound-rings``."""
    system = _draw_planes(rng)
    source_x, source_y = rng.uniform(-table.max_source_position_arcsec, table.max_source_position_arcsec, 2)
    galaxies = []
    for role, member in zip(("lens", "mid", "source"), system, strict=True):
        offset = rng.uniform(-table.lens_offset_arcsec, table.lens_offset_arcsec, 2)
        dx, dy = (0.0, 0.0) if role == "source" else offset
        galaxies.append(
            _draw_member(rng, role, member, table, (float(source_x + dx), float(source_y + dy)), physical=physical)
        )
    if not physical:
        return Scene(kind, tuple(galaxies), psf=Psf("gaussian"), noise_seed=draw_noise_seed(rng))
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
    rng: np.random.Generator,
    role: str,
    member: _Member,
    table: CompoundTable,
    position: tuple[float, float],
    *,
    physical: bool,
) -> Galaxy:
    is_source = role == "source"
    mix = draw_blue_mix(rng, member.redshift) if is_source else draw_template_mix("red", member.redshift, rng)
    shape: dict[str, Any] = {
        "r_eff_arcsec": float(rng.uniform(*table.r_sersic_arcsec)),
        "n_sersic": float(rng.uniform(table.min_n_sersic, table.max_n_sersic)),
        "axis_ratio": float(rng.uniform(table.min_axis_ratio, 1.0)),
        "angle_rad": float(rng.uniform(0.0, np.pi)),
    }
    magnitudes = apparent_magnitudes(mix, member.redshift, EUCLID_SKY.bands, band="VIS", magnitude=member.magnitude_vis)
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
    lensed = physical or is_source
    return Galaxy(role, member.redshift, *position, (light,), mass, lensed=lensed)


def as_printed(table: CompoundTable) -> CompoundTable:
    """Return the bounds as Table 1 prints them: Sérsic index to 20, shear to ±0.5."""
    return replace(table, max_n_sersic=20.0, max_shear=0.5)
