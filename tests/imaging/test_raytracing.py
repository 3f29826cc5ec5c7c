"""Rays against closed forms and against lenstronomy's multi-plane."""

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.LensModel.lens_model import LensModel

from lensaudit.imaging.raytracing import RayTracer, image_reach_arcsec
from lensaudit.scenes import Galaxy, Light, Mass
from lensaudit.scenes.cosmology import einstein_radius_arcsec

COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3, Tcmb0=0.0)
AXIS = np.linspace(-6.0, 6.0, 41) + 0.013


def points() -> tuple[np.ndarray, np.ndarray]:
    return np.meshgrid(AXIS, AXIS)


def test_isothermal_sphere_moves_rays_by_its_einstein_radius() -> None:
    lens = Galaxy("lens", 0.5, 0.4, -0.3, (), Mass(260.0, axis_ratio=1.0))
    x, y = points()
    beta_x, beta_y = RayTracer(x, y, [lens], 2.0).to_redshift(2.0)
    shift = np.hypot(x - beta_x, y - beta_y)
    # lenstronomy rounds q = 1 to 1 - 1e-8, and softens by 1e-10″.
    np.testing.assert_allclose(shift, einstein_radius_arcsec(260.0, 0.5, 2.0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Cosmology is provided:UserWarning")
def test_two_planes_agree_with_lenstronomy() -> None:
    front = Galaxy("lens", 0.35, 0.4, -0.3, (), Mass(250.0, 0.7, 0.3, 0.03, -0.02))
    mid = Galaxy("mid", 0.9, -0.5, 0.2, (), Mass(220.0, 0.8, 1.1, -0.01, 0.04))
    z_source = 2.3
    models, kwargs, redshifts = [], [], []
    for galaxy in (front, mid):
        mass = galaxy.mass
        modulus = (1 - mass.axis_ratio) / (1 + mass.axis_ratio)
        centre = {"center_x": galaxy.x_arcsec, "center_y": galaxy.y_arcsec}
        models += ["SIE", "SHEAR"]
        redshifts += [galaxy.redshift] * 2
        kwargs += [
            {
                "theta_E": einstein_radius_arcsec(mass.sigma_v_km_s, galaxy.redshift, z_source),
                "e1": modulus * np.cos(2 * mass.angle_rad),
                "e2": modulus * np.sin(2 * mass.angle_rad),
                **centre,
            },
            {"gamma1": mass.gamma1, "gamma2": mass.gamma2, "ra_0": galaxy.x_arcsec, "dec_0": galaxy.y_arcsec},
        ]
    x, y = points()
    for z in (0.9, z_source):
        theirs = LensModel(
            models,
            z_source=z,
            z_source_convention=z_source,
            lens_redshift_list=redshifts,
            cosmo=COSMOLOGY,
            multi_plane=True,
        ).ray_shooting(x.ravel(), y.ravel(), kwargs)
        ours = RayTracer(x, y, [front, mid], z_source).to_redshift(z)
        # Both trace the same equation; what is left is our distance table (1e-6) on deflections of some arcsec.
        np.testing.assert_allclose([o.ravel() for o in ours], theirs, atol=2e-5)


@pytest.mark.parametrize("axis_ratio", [0.3, 0.6, 0.95])
def test_images_lie_within_the_stated_reach(axis_ratio: float) -> None:
    rng = np.random.default_rng(1)
    axis = np.linspace(-25.0, 25.0, 501)
    x, y = np.meshgrid(axis, axis)
    for _ in range(5):
        front = Galaxy("lens", 0.3, *rng.uniform(-3, 3, 2), (), Mass(300.0, axis_ratio, 0.4, 0.05, 0.03))
        mid = Galaxy("mid", 0.8, *rng.uniform(-3, 3, 2), (), Mass(250.0, axis_ratio, 1.0, -0.03, 0.05))
        light = Light("sersic", {"VIS": 20.0}, 0.5)
        source = Galaxy("source", 2.0, *rng.uniform(-3, 3, 2), (light,))
        centre_x, centre_y, reach = image_reach_arcsec(source, light, 0.8, [front, mid])
        beta_x, beta_y = RayTracer(x, y, [front, mid], 2.0).to_redshift(2.0)
        seen = np.hypot(beta_x - source.x_arcsec, beta_y - source.y_arcsec) < 0.8
        assert seen.any()
        assert np.hypot(x[seen] - centre_x, y[seen] - centre_y).max() <= reach
