"""Compound lenses as the notebook of Wilde et al. 2022 has them, by SkyPy, astropy and lenstronomy."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo
from lenstronomy.LensModel.lens_model import LensModel

from lensaudit.imaging.raytracing import RayTracer
from lensaudit.scenes import EUCLID_SKY, draw_scene
from lensaudit.scenes.colours import draw_unweighted_mix
from lensaudit.scenes.cosmology import distance_modulus_mag
from lensaudit.scenes.populations.faithful import (
    FAITHFUL_ARCS,
    FAITHFUL_RINGS,
    FITTED,
    Catalogue,
    _draw_offset,
    draw_faithful,
)
from lensaudit.scenes.populations.lenses import faber_jackson_sigma_km_s

COSMO = FlatLambdaCDM(H0=70, Om0=0.3)
ALPHA0, ALPHA1 = [2.461, 2.358, 2.568, 2.268, 2.402], [2.410, 2.340, 2.200, 2.540, 2.464]
WEIGHT = [3.84e09, 1.57e06, 3.91e08, 4.66e10, 3.03e07]
N = 60


@pytest.fixture(scope="module")
def arcs():
    return [draw_scene("compound-arcs-faithful", 3, index) for index in range(N)]


@pytest.fixture(scope="module")
def rings():
    return [draw_scene("compound-rings-faithful", 3, index) for index in range(N)]


def spectrum(galaxy):
    return galaxy.light[0].magnitudes


def seen_at(galaxy):
    light = galaxy.light[0]
    return galaxy.x_arcsec + light.dx_arcsec, galaxy.y_arcsec + light.dy_arcsec


@pytest.mark.parametrize("member", [0, 1, 2])
def test_magnitudes_are_skypys_for_one_absolute_magnitude_in_every_band(rings, member):
    from skypy.galaxies.spectrum import kcorrect

    galaxy = rings[0].galaxies[member]
    seen = spectrum(galaxy)
    absolute = seen.anchor[1] - COSMO.distmod(galaxy.redshift).value
    mass = kcorrect.stellar_mass(seen.mix, absolute, EUCLID_SKY.filters)
    theirs = kcorrect.apparent_magnitudes(seen.mix, galaxy.redshift, EUCLID_SKY.filters, COSMO, stellar_mass=mass)
    # Our fluxes are interpolated between redshifts 0.033 apart: good to 0.01 mag.
    assert [seen[band] for band in EUCLID_SKY.bands] == pytest.approx(np.ravel(theirs), abs=0.01)


def test_spectra_as_called_have_neither_weights_nor_evolution():
    """The notebook gives its weights where SkyPy has the redshift of `alpha1`."""
    as_meant = replace(FAITHFUL_RINGS, weighted=True)
    one, other = (draw_faithful(np.random.default_rng(1), notebook) for notebook in (FAITHFUL_RINGS, as_meant))
    # Young templates are as frequent as old ones, and far brighter: the k-correction then brightens.
    assert one.galaxies[0].magnitude("VIS") < spectrum(one.galaxies[0]).anchor[1] < other.galaxies[0].magnitude("VIS")
    for z in (0.5, 3.5):
        part = z / np.array(WEIGHT)
        assert np.power(ALPHA0, 1 - part) * np.power(ALPHA1, part) == pytest.approx(ALPHA0, rel=1e-6)
    rng = np.random.default_rng(5)
    mean = np.mean([draw_unweighted_mix("red", rng) for _ in range(2000)], axis=0)
    # A coefficient scatters by 0.11: five standard errors of 2000.
    assert mean == pytest.approx(np.array(ALPHA0) / np.sum(ALPHA0), abs=0.0125)


def test_pairs_are_those_of_the_catalogue(arcs, rings):
    lens_in_front = 0
    for scene in arcs + rings:
        front, mid, source = scene.galaxies
        assert 3 < source.redshift <= 3.8
        assert front.redshift < mid.redshift < 3
        lens_in_front += spectrum(front).anchor[1] < spectrum(mid).anchor[1]
        assert [galaxy.lensed for galaxy in scene.galaxies] == [False, False, True]
        assert source.light[0].axis_ratio == 1
        assert all(1.5 <= galaxy.light[0].n_sersic <= 4 for galaxy in scene.galaxies)
        assert all(0.2 <= galaxy.light[0].r_eff_arcsec <= 7 for galaxy in scene.galaxies)
    assert N < lens_in_front < 2 * N, "the source of the catalogue is mostly the farther and fainter one, not always"


def test_other_magnitudes_leave_all_other_draws(rings):
    brighter = replace(FITTED, source_mag=FITTED.source_mag - 1)
    for notebook in (FAITHFUL_ARCS, FAITHFUL_RINGS):
        one, other = (
            draw_faithful(np.random.default_rng(7), replace(notebook, catalogue=catalogue))
            for catalogue in (FITTED, brighter)
        )
        assert one.galaxies[:2] == other.galaxies[:2]
        assert one.noise_seed == other.noise_seed
        assert one.galaxies[2].magnitude("H") - other.galaxies[2].magnitude("H") == pytest.approx(1)


def notebook_radii(scene):
    """θ_E by lenstronomy: of the front galaxy for the middle one, of the middle one for the far source."""
    for galaxy, behind in pairwise(scene.galaxies):
        sigma = faber_jackson_sigma_km_s(spectrum(galaxy).anchor[1] - COSMO.distmod(galaxy.redshift).value)
        yield LensCosmo(galaxy.redshift, behind.redshift, cosmo=COSMO).sis_sigma_v2theta_E(sigma)


@pytest.mark.filterwarnings("ignore:Cosmology is provided:UserWarning")  # lenstronomy's, whenever one is
@pytest.mark.parametrize("index", range(3))
def test_rays_are_those_of_lenstronomy_for_a_source_at_redshift_5(rings, index):
    scene = rings[index]
    front, mid, source = scene.galaxies
    words = []
    for galaxy, theta_e in zip((front, mid), notebook_radii(scene), strict=True):
        light, (x, y) = galaxy.light[0], seen_at(galaxy)
        modulus = (1 - light.axis_ratio) / (1 + light.axis_ratio)
        e1, e2 = modulus * np.cos(2 * light.angle_rad), modulus * np.sin(2 * light.angle_rad)
        words.append({"theta_E": theta_e, "e1": e1, "e2": e2, "center_x": x, "center_y": y})
        beta = LensCosmo(galaxy.redshift, source.redshift, cosmo=COSMO)
        whole = LensCosmo(galaxy.redshift, 5.0, cosmo=COSMO)
        factor = (whole.dds / whole.ds) / (beta.dds / beta.ds)
        words.append({"gamma1": galaxy.mass.gamma1 * factor, "gamma2": galaxy.mass.gamma2 * factor})
        assert max(abs(value) for value in words[-1].values()) <= 0.05 + 1e-6
    model = LensModel(
        ["SIE", "SHEAR", "SIE", "SHEAR"],
        z_source=source.redshift,
        z_source_convention=5.0,
        lens_redshift_list=[front.redshift] * 2 + [mid.redshift] * 2,
        multi_plane=True,
        cosmo=COSMO,
    )
    rng = np.random.default_rng(index)
    x, y = rng.uniform(-4, 4, (2, 30))
    theirs = model.ray_shooting(x, y, words)
    ours = RayTracer(x, y, scene.deflectors, source.redshift).to_redshift(source.redshift)
    # The notebook's source stands at the centre; distances are tables good to 1e-6.
    assert ours[0] - source.x_arcsec == pytest.approx(theirs[0], abs=2e-5)
    assert ours[1] - source.y_arcsec == pytest.approx(theirs[1], abs=2e-5)


def test_offsets_are_the_notebooks(arcs, rings):
    for scene in rings:
        for galaxy in scene.galaxies[:2]:
            assert max(map(abs, seen_at(galaxy))) <= 0.25 + 1e-9
    largest = 0.0
    for scene in arcs:
        for galaxy in scene.galaxies[:2]:
            largest = max(largest, *map(abs, seen_at(galaxy)))
    assert 4.5 < largest <= 5.0 + 2.5


def test_a_lens_beyond_the_field_is_put_on_the_other_side():
    source = np.array([4.9, -4.9])
    drawn = np.array([_draw_offset(np.random.default_rng(i), source, 2.0, None) for i in range(40)])
    assert np.abs(drawn).max() <= 1.0
    assert (source + drawn < 5).all()
    assert (source + drawn > -5).all()
    at_table = np.array([_draw_offset(np.random.default_rng(i), source, 2.0, 5.0) for i in range(40)])
    assert np.abs(source + at_table).max() > 5


def test_the_middle_mean_is_a_number_of_its_own():
    catalogue = Catalogue(source_mag=25.0, middle_mag=24.0, lens_absolute_mag=-22.0, width_mag=1e-9)
    front, mid, source = draw_faithful(np.random.default_rng(2), replace(FAITHFUL_RINGS, catalogue=catalogue)).galaxies
    assert spectrum(source).anchor[1] == pytest.approx(25)
    assert spectrum(mid).anchor[1] == pytest.approx(24)
    assert spectrum(front).anchor[1] - distance_modulus_mag(front.redshift) == pytest.approx(-22)
