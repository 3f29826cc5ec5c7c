"""Compound lenses as the public notebook of Wilde et al. 2022 makes them, oddities included.

Its catalogue of (redshift, magnitude) pairs is not public: `Catalogue` stands for it, with magnitudes that were fitted
to the published recall (docs/compound-population.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.scenes.colours import draw_template_mix, draw_unweighted_mix, grey_magnitudes
from lensaudit.scenes.cosmology import distance_modulus_mag, distance_ratio, einstein_radius_arcsec
from lensaudit.scenes.populations.lenses import (
    draw_lens_redshift,
    draw_noise_seed,
    faber_jackson_sigma_km_s,
    truncated_normal,
)
from lensaudit.scenes.scene import EUCLID_SKY, Galaxy, Light, Mass, Psf, Scene

FAR_SOURCE_REDSHIFT = 3.0
"""The far source is one of the catalogue's beyond it, one deflector is a source before it."""
LARGEST_REDSHIFT = 3.8
CONVENTION_REDSHIFT = 5.0
"""Einstein radii and shears go into the multi-plane model as those for a source here, though made for nearer ones."""
R_SERSIC_ARCSEC = (0.2, 7.0)
MIN_N_SERSIC = 1.5
MIN_AXIS_RATIO = 0.3
FIELD_ARCSEC = 5.0
"""A lens galaxy that would stand beyond ±5″ is put on the other side of the source."""


@dataclass(frozen=True)
class Catalogue:
    """Magnitudes of the catalogue of single lenses, of which the authors drew pairs with the redshift.

    Attributes
    ----------
    source_mag, middle_mag
        Mean magnitude of its sources beyond redshift 3, of which one is the far source, and of the others, of which one
        is a deflector.
    lens_absolute_mag
        Mean of its lens galaxies' magnitude − distance modulus.
    width_mag
        Standard deviation about each mean, that of our own single lenses.
    """

    source_mag: float
    middle_mag: float
    lens_absolute_mag: float
    width_mag: float = 0.9


FITTED = Catalogue(source_mag=24.0, middle_mag=24.0, lens_absolute_mag=-22.0)


@dataclass(frozen=True)
class Notebook:
    """What differs between the notebook's two sets, and what the paper's Table 1 prints otherwise.

    Attributes
    ----------
    source_reach_arcsec
        The source lies within so much of the centre in x and y.
    lens_offset_arcsec
        Largest offset in x and y of a lens galaxy from the source; None: half its Einstein radius, never beyond ±5″.
    weighted
        Whether spectra have the weights and the evolution that the notebook means; as published it hands the weights to
        SkyPy as a redshift, and all spectra are young ones.
    """

    kind: str
    source_reach_arcsec: float
    lens_offset_arcsec: float | None
    max_n_sersic: float = 4.0
    max_shear: float = 0.05
    weighted: bool = False
    catalogue: Catalogue = FITTED


FAITHFUL_ARCS = Notebook("compound-arcs", 5.0, None)
FAITHFUL_RINGS = Notebook("compound-rings", 0.0, 0.25)
PRINTED_ARCS = Notebook("compound-arcs", 5.0, 5.0, max_n_sersic=20.0, max_shear=0.5)
PRINTED_RINGS = Notebook("compound-rings", 5.0, 0.25, max_n_sersic=20.0, max_shear=0.5)

Pair = tuple[float, float]
"""Redshift and magnitude: a row of the catalogue."""


def draw_faithful(rng: np.random.Generator, notebook: Notebook) -> Scene:
    """Draw a compound lens; a catalogue of other magnitudes leaves all other draws as they are."""
    front, mid, source = _draw_pairs(rng, notebook.catalogue)
    at_source = rng.uniform(-1.0, 1.0, 2) * notebook.source_reach_arcsec
    light = _draw_light(rng, "blue", source, notebook)
    far = Galaxy("source", source[0], *_place(at_source), (replace(light, axis_ratio=1.0, angle_rad=0.0),))
    lenses = []
    for role, pair, behind in (("lens", front, mid), ("mid", mid, source)):
        at = at_source + _draw_offset(rng, at_source, _einstein_radius(pair, behind), notebook.lens_offset_arcsec)
        light = _draw_light(rng, "red", pair, notebook)
        mass = _mass(pair, behind, source, light, rng.uniform(-notebook.max_shear, notebook.max_shear, 2))
        lenses.append(Galaxy(role, pair[0], *_place(at), (light,), mass, lensed=False))
    galaxies = _about_the_centre(lenses[0], lenses[1], far)
    return Scene(notebook.kind, galaxies, psf=Psf("gaussian"), noise_seed=draw_noise_seed(rng))


def _draw_pairs(rng: np.random.Generator, catalogue: Catalogue) -> tuple[Pair, Pair, Pair]:
    """Front and middle deflector and the far source: of the deflectors one is a source of the catalogue."""
    z_far = truncated_normal(rng, 1.8, 0.7, FAR_SOURCE_REDSHIFT, LARGEST_REDSHIFT)
    z_lens = draw_lens_redshift(rng)
    # It lies behind a lens of its own, another row's, and now and then before the one it is put beside.
    z_near = truncated_normal(rng, 1.8, 0.7, draw_lens_redshift(rng) + 0.3, FAR_SOURCE_REDSHIFT)
    scatter = rng.normal(0.0, catalogue.width_mag, 3)
    lens = (z_lens, catalogue.lens_absolute_mag + distance_modulus_mag(z_lens) + float(scatter[0]))
    near = (z_near, catalogue.middle_mag + float(scatter[1]))
    front, mid = sorted((lens, near))
    return front, mid, (z_far, catalogue.source_mag + float(scatter[2]))


def _draw_light(rng: np.random.Generator, spectrum: str, pair: Pair, notebook: Notebook) -> Light:
    redshift, magnitude = pair
    weighted = notebook.weighted
    mix = draw_template_mix(spectrum, redshift, rng) if weighted else draw_unweighted_mix(spectrum, rng)
    return Light(
        "sersic",
        grey_magnitudes(EUCLID_SKY, mix, redshift, magnitude),
        r_eff_arcsec=float(rng.uniform(*R_SERSIC_ARCSEC)),
        n_sersic=float(rng.uniform(MIN_N_SERSIC, notebook.max_n_sersic)),
        axis_ratio=float(rng.uniform(MIN_AXIS_RATIO, 1.0)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
    )


def _draw_offset(
    rng: np.random.Generator, source: NDArray[np.float64], theta_e: float, largest: float | None
) -> NDArray[np.float64]:
    offset = rng.uniform(-1.0, 1.0, 2) * (theta_e / 2 if largest is None else largest)
    outside = np.abs(source + offset) >= FIELD_ARCSEC
    return np.where(outside & (largest is None), -offset, offset)


def _sigma_v_km_s(pair: Pair) -> float:
    """From the magnitude in the catalogue, without k-correction."""
    redshift, magnitude = pair
    return faber_jackson_sigma_km_s(magnitude - distance_modulus_mag(redshift))


def _einstein_radius(pair: Pair, behind: Pair) -> float:
    """Of a deflector for the plane behind it: the middle one's for the far source, the front one's for the middle."""
    return einstein_radius_arcsec(_sigma_v_km_s(pair), pair[0], behind[0])


def _mass(pair: Pair, behind: Pair, source: Pair, light: Light, shear: NDArray[np.float64]) -> Mass:
    """The mass that bends as much as one whose θ_E and shear, made for the plane behind, count as those for z = 5."""
    whole = distance_ratio(pair[0], CONVENTION_REDSHIFT)
    gamma1, gamma2 = (float(gamma) * distance_ratio(pair[0], source[0]) / whole for gamma in shear)
    sigma = _sigma_v_km_s(pair) * float(np.sqrt(distance_ratio(pair[0], behind[0]) / whole))
    return Mass(sigma, light.axis_ratio, light.angle_rad, gamma1, gamma2)


def _about_the_centre(front: Galaxy, mid: Galaxy, source: Galaxy) -> tuple[Galaxy, Galaxy, Galaxy]:
    """The same with shears about the image's centre, as lenstronomy's, not about the deflectors.

    A shear about another point is one about the deflector and an even deflection, which moves all that lies behind
    the other way; the unlensed light of the middle galaxy stays where it is.
    """
    far = distance_ratio(front.redshift, mid.redshift) / distance_ratio(front.redshift, source.redshift)
    by_front, by_mid = _even_deflection(front), _even_deflection(mid)
    dx, dy = _place(far * by_front)
    light = tuple(replace(part, dx_arcsec=-dx, dy_arcsec=-dy) for part in mid.light)
    x, y = _place(by_front + by_mid)
    return (
        front,
        replace(mid, x_arcsec=mid.x_arcsec + dx, y_arcsec=mid.y_arcsec + dy, light=light),
        replace(source, x_arcsec=source.x_arcsec + x, y_arcsec=source.y_arcsec + y),
    )


def _even_deflection(galaxy: Galaxy) -> NDArray[np.float64]:
    """Shear about the centre less shear about the galaxy, in arcsec at the far source."""
    mass = galaxy.mass
    assert mass is not None
    shear = np.array([[mass.gamma1, mass.gamma2], [mass.gamma2, -mass.gamma1]])
    return np.asarray(shear @ [galaxy.x_arcsec, galaxy.y_arcsec])


def _place(point: NDArray[np.float64]) -> tuple[float, float]:
    return float(point[0]), float(point[1])
