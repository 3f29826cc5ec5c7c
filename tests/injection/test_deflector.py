"""The host galaxy's light, measured, and the mass that follows it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from real_sky import a_lens, as_host, without_arc

from lensaudit.imaging import EUCLID
from lensaudit.injection import HostCutout, Hosts, InjectionSettings
from lensaudit.injection.choosing import prepare
from lensaudit.injection.light import measure
from lensaudit.scenes import Galaxy, Light, Scene
from lensaudit.scenes.cosmology import einstein_radius_arcsec
from lensaudit.scenes.populations.lenses import EUCLID_SKY, draw_early_type

SETTINGS = InjectionSettings(any_host=True)


def galaxy_host(light: Light, x: float = 0.2, y: float = -0.1, *others: Galaxy, row: dict | None = None) -> HostCutout:
    galaxy = Galaxy("companion", 0.5, x, y, (light,))
    return as_host(Scene("companions", (galaxy, *others), noise_seed=3), row=row)


def magnitudes(vis: float) -> dict[str, float]:
    return {"VIS": vis, "Y": vis - 1.2, "J": vis - 1.5, "H": vis - 1.8}


@pytest.mark.parametrize(("n", "size", "missed"), [(1.0, 0.1, 0.1), (4.0, 0.45, 0.4)])
@pytest.mark.parametrize(("ratio", "angle"), [(0.5, 0.4), (0.75, 2.2)])
def test_centre_shape_size_and_flux_are_those_of_the_galaxy(ratio, angle, n, size, missed):
    """Of a disc all of it; a Kron aperture misses the wings of a de Vaucouleurs galaxy (Graham & Driver 2005)."""
    light = Light("sersic", magnitudes(20.0), 0.8, n_sersic=n, axis_ratio=ratio, angle_rad=angle)
    found = measure(galaxy_host(light))
    assert found is not None
    assert (found.x_arcsec, found.y_arcsec) == pytest.approx((0.2, -0.1), abs=0.03)
    assert found.axis_ratio == pytest.approx(ratio, abs=0.05)
    assert math.remainder(found.angle_rad - angle, math.pi) == pytest.approx(0.0, abs=0.05)
    assert 1 - size < found.r_half_arcsec / 0.8 < 1.05
    assert not found.is_star
    for band in EUCLID.bands:
        assert 0 < found.magnitudes[band.name] - light.magnitudes[band.name] < missed


def test_a_neighbour_is_parted_from_the_galaxy():
    light = Light("sersic", magnitudes(20.5), 0.6, n_sersic=3.0, axis_ratio=0.7, angle_rad=0.5)
    alone = measure(galaxy_host(light))
    neighbour = Galaxy("companion", 0.5, 2.2, 0.4, (replace(light, magnitudes=magnitudes(21.0), r_eff_arcsec=0.4),))
    found = measure(galaxy_host(light, 0.2, -0.1, neighbour))
    assert alone is not None
    assert found is not None
    assert (found.x_arcsec, found.y_arcsec) == pytest.approx((0.2, -0.1), abs=0.05)
    assert found.magnitudes["VIS"] == pytest.approx(alone.magnitudes["VIS"], abs=0.25)


def test_a_star_and_an_empty_middle_are_told_apart_from_galaxies():
    star = galaxy_host(Light("sersic", magnitudes(19.0), 0.01, n_sersic=0.5))
    found = measure(star)
    assert found is not None
    assert found.is_star
    empty = galaxy_host(Light("sersic", magnitudes(19.0), 0.5), 7.0, 7.0)
    assert measure(empty) is None


def test_mass_follows_light_with_the_stated_scatter():
    light = Light("sersic", magnitudes(19.5), 0.9, n_sersic=4.0, axis_ratio=0.7, angle_rad=0.8)
    host = galaxy_host(light, row={"z": 0.4})
    settings = replace(SETTINGS, axis_ratio_scatter=0.05, angle_scatter_rad=0.2, n=200, reuse=True)
    hosts = Hosts([host], settings)
    seen = prepare(host, SETTINGS).light
    assert seen is not None
    masses = [hosts.scene(i).galaxies[0].mass for i in range(200)]
    ratio, angle = np.array([(m.axis_ratio, m.angle_rad) for m in masses]).T
    # 200 draws give mean and deviation to some 7 % and 10 %
    assert ratio.mean() == pytest.approx(seen.axis_ratio, abs=0.02)
    assert ratio.std() == pytest.approx(0.05, rel=0.2)
    assert angle.mean() == pytest.approx(seen.angle_rad, abs=0.06)
    assert angle.std() == pytest.approx(0.2, rel=0.2)


def test_columns_give_redshift_dispersion_or_einstein_radius():
    light = Light("sersic", magnitudes(19.5), 0.9, n_sersic=4.0)
    row = {"zphot": 0.35, "vdisp": 240.0, "radius": 1.3}
    by_sigma, words = Hosts([galaxy_host(light, row=row)], replace(SETTINGS, sigma_v="vdisp")).drawn(0)
    assert by_sigma.galaxies[0].redshift == 0.35
    assert by_sigma.galaxies[0].mass.sigma_v_km_s == 240.0
    assert (words["z_lens_from"], words["mass_from"]) == ("column zphot", "column vdisp")
    by_radius, words = Hosts([galaxy_host(light, row=row)], replace(SETTINGS, theta_e="radius")).drawn(0)
    lens, source = by_radius.galaxies
    assert einstein_radius_arcsec(lens.mass.sigma_v_km_s, 0.35, source.redshift) == pytest.approx(1.3)
    assert words["mass_from"] == "column radius"
    drawn, words = Hosts(
        [galaxy_host(light, row={"zphot": np.nan, "vdisp": np.nan})],
        replace(SETTINGS, sigma_v="vdisp", theta_e="prior"),
    ).drawn(0)
    assert (words["z_lens_from"], words["mass_from"]) == ("drawn", "drawn")
    assert 0.15 <= drawn.galaxies[0].redshift <= 1.3


def test_faber_jackson_gives_back_the_dispersion_a_galaxy_was_drawn_with():
    """A red galaxy of known σ_v, seen as a host: σ_v within the relation's scatter of 0.35 mag (8 %) and photometry."""
    rng = np.random.default_rng(4)
    ratios = []
    for _ in range(12):
        galaxy = draw_early_type(rng, EUCLID_SKY, sigma_v_km_s=260.0, redshift=0.4, x=0.0, y=0.0)
        host = as_host(Scene("no-source", (galaxy,)), row={"z": 0.4})
        scene, words = Hosts([host], SETTINGS).drawn(0)
        assert words["mass_from"] == "Faber-Jackson"
        ratios.append(scene.galaxies[0].mass.sigma_v_km_s / 260.0)
    # Twice the scatter of 8 % over √12, and the wings the aperture misses.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.07)


def test_an_einstein_radius_too_small_to_see_is_raised_and_that_is_written():
    faint = galaxy_host(Light("sersic", magnitudes(22.0), 0.5, n_sersic=2.0), row={"z": 0.4})
    scene, words = Hosts([faint], SETTINGS).drawn(0)
    lens, source = scene.galaxies
    radius = einstein_radius_arcsec(lens.mass.sigma_v_km_s, lens.redshift, source.redshift)
    assert radius == pytest.approx(0.5)
    assert words["mass_from"] == "Faber-Jackson, raised to 0.5 arcsec"


def test_a_system_depends_on_seed_and_number_alone():
    hosts = [as_host(without_arc(a_lens(i)), name=f"h{i}") for i in range(3)]
    one, other = Hosts(hosts, SETTINGS), Hosts(hosts, replace(SETTINGS, n=2))
    assert [one.scene(i) for i in (1, 0)] == [other.scene(1), other.scene(0)]
    assert one.scene(0) != Hosts(hosts, replace(SETTINGS, seed=2)).scene(0)
