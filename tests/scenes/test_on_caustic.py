"""Lenses as Section 4 of Lanusse et al. 2018 draws them, by lenstronomy's deflections."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lensaudit.imaging.raytracing import RayTracer
from lensaudit.scenes import draw_scene
from lensaudit.scenes.cosmology import comoving_distance_mpc, einstein_radius_arcsec
from lensaudit.scenes.populations.on_caustic import tangential_caustic

N = 300


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene("lsst-best-faithful-lens", 3, index) for index in range(N)]


def theta_e(scene):
    lens = scene.galaxies[0]
    return einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, 2.0)


@pytest.mark.parametrize(
    ("what", "low", "high"),
    [("sigma_v_km_s", 150.0, 350.0), ("axis_ratio", 0.5, 1.0), ("angle_rad", 0.0, np.pi), ("redshift", 0.2, 0.7)],
)
def test_lenses_are_drawn_evenly_from_the_papers_ranges(scenes, what, low, high):
    lenses = [scene.galaxies[0] for scene in scenes]
    drawn = np.array([getattr(lens if what == "redshift" else lens.mass, what) for lens in lenses])
    # 1 in 1000 of the even draws is refused; the seed is fixed.
    assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_light_has_the_shape_of_the_mass_and_there_is_no_shear(scenes):
    for scene in scenes:
        lens = scene.galaxies[0]
        assert (lens.mass.gamma1, lens.mass.gamma2) == (0.0, 0.0)
        assert (lens.x_arcsec, lens.y_arcsec) == (0.0, 0.0)
        assert [(p.axis_ratio, p.angle_rad) for p in lens.light] == [(lens.mass.axis_ratio, lens.mass.angle_rad)]
    # Of 3.3 kpc at 250 km/s half are larger: 300 draws of a median, five standard errors of 1.25 · 0.15 dex / √300.
    sigma = np.array([scene.galaxies[0].mass.sigma_v_km_s for scene in scenes])
    lenses = [scene.galaxies[0] for scene in scenes]
    kpc = np.array([lens.light[0].r_eff_arcsec * _kpc_per_arcsec(lens.redshift) for lens in lenses])
    assert np.median(np.log10(kpc / (sigma / 250.0) ** 1.6)) == pytest.approx(np.log10(3.3), abs=0.054)


def _kpc_per_arcsec(redshift):
    return comoving_distance_mpc(redshift) / (1.0 + redshift) * 1e3 / 206264.8


def test_sources_are_discs_at_redshift_2_as_large_as_those_they_were(scenes):
    sources = [scene.galaxies[1] for scene in scenes]
    assert {(source.role, source.redshift) for source in sources} == {("source", 2.0)}
    kpc = np.array([source.light[0].r_eff_arcsec for source in sources]) * _kpc_per_arcsec(2.0)
    assert np.median(kpc) == pytest.approx(5.5, rel=0.14)  # five standard errors, as above
    magnitudes = np.array([source.magnitude("g") for source in sources])
    assert magnitudes.min() >= 21.5
    assert magnitudes.max() <= 26.0
    assert np.median(magnitudes) == pytest.approx(24.0, abs=0.33)


@pytest.mark.parametrize("axis_ratio", [0.5, 0.7, 0.95])
def test_the_caustic_is_where_rays_of_the_critical_curve_land(scenes, axis_ratio):
    lens = scenes[0].galaxies[0]
    lens = replace(lens, mass=replace(lens.mass, axis_ratio=axis_ratio, angle_rad=0.0))
    radius = einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, 2.0)
    angle = np.array([0.1, 0.8, 1.4, 2.5, 4.0])
    critical = radius / np.sqrt(axis_ratio * np.cos(angle) ** 2 + np.sin(angle) ** 2 / axis_ratio)
    x, y = critical * np.cos(angle), critical * np.sin(angle)

    def source(x, y):
        return np.stack(RayTracer(x, y, [lens], 2.0).to_redshift(2.0))

    expected = np.array([tangential_caustic(radius, axis_ratio, one) for one in angle]).T
    np.testing.assert_allclose(source(x, y), expected, atol=1e-7)  # lenstronomy's SIE has a core of 1e-8″
    step = 1e-5
    along_x = (source(x + step, y) - source(x - step, y)) / (2 * step)
    along_y = (source(x, y + step) - source(x, y - step)) / (2 * step)
    # Magnification has no bound there: the determinant is zero but for the differences' error.
    assert np.abs(along_x[0] * along_y[1] - along_x[1] * along_y[0]).max() < 1e-5


def test_sources_stand_near_the_caustic(scenes):
    off, turned = [], []
    for scene in scenes:
        lens, source = scene.galaxies[:2]
        c, s = np.cos(lens.mass.angle_rad), np.sin(lens.mass.angle_rad)
        own = np.array([c * source.x_arcsec + s * source.y_arcsec, c * source.y_arcsec - s * source.x_arcsec])
        angles = np.linspace(0, 2 * np.pi, 180)
        curve = np.array([tangential_caustic(theta_e(scene), lens.mass.axis_ratio, one) for one in angles])
        off.append(np.hypot(*(curve - own).T).min() / source.light[0].r_eff_arcsec)
        turned.append(own.prod() * np.sin(4 * lens.mass.angle_rad))
    # A normal of half a radius in x and y from a point of the curve, and never nearer to that point than to the curve.
    assert np.median(off) < 0.59
    assert np.mean(np.array(off) > 1.0) < 0.14
    # In the frame of the lens neither diagonal is preferred, however it is turned: four standard errors.
    assert abs(np.mean(turned)) < 4 * np.std(turned) / np.sqrt(N)


def test_no_lens_is_refused_for_a_small_einstein_radius(scenes):
    assert min(theta_e(scene) for scene in scenes) < 0.45  # 150 km/s at z = 0.7: 0.35″


def test_half_of_a_set_are_lenses_and_the_others_the_same_galaxies_without_source():
    scenes = [draw_scene("lsst-best-faithful", 4, index) for index in range(N)]
    kinds = Counter(scene.kind for scene in scenes)
    assert set(kinds) == {"single", "no-source"}
    assert 111 <= kinds["single"] <= 189  # binomial: 4.5 standard deviations
    dispersion = [[s.galaxies[0].mass.sigma_v_km_s for s in scenes if s.kind == kind] for kind in kinds]
    assert stats.ks_2samp(*dispersion).pvalue > 1e-3
    assert not any(g.lensed for s in scenes for g in s.galaxies if g.role == "field")
