"""Distances against astropy, and θ_E against the closed form."""

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

from lensaudit.scenes import cosmology

ASTROPY = FlatLambdaCDM(H0=70.0, Om0=0.3, Tcmb0=0.0)


@pytest.mark.parametrize("z", [0.1, 0.53217, 1.7, 3.8])
def test_distances_agree_with_astropy(z: float) -> None:
    # The table steps by 0.001 in z and is interpolated linearly: good to 1e-6.
    assert cosmology.comoving_distance_mpc(z) == pytest.approx(ASTROPY.comoving_distance(z).value, rel=1e-6)
    assert cosmology.angular_diameter_distance_mpc(z) == pytest.approx(
        ASTROPY.angular_diameter_distance(z).value, rel=1e-6
    )
    assert cosmology.distance_modulus_mag(z) == pytest.approx(ASTROPY.distmod(z).value, abs=1e-5)
    assert cosmology.arcsec_per_kpc(z) == pytest.approx(ASTROPY.arcsec_per_kpc_proper(z).value, rel=1e-6)


def test_distance_ratio_and_einstein_radius() -> None:
    ratio = ASTROPY.angular_diameter_distance(0.4, 1.9) / ASTROPY.angular_diameter_distance(1.9)
    assert cosmology.distance_ratio(0.4, 1.9) == pytest.approx(float(ratio), rel=1e-6)
    # 4π(σ/c)² of 250 km/s is 1.802″ by hand.
    expected = 4 * np.pi * (250.0 / 299792.458) ** 2 * 206264.806 * float(ratio)
    assert cosmology.einstein_radius_arcsec(250.0, 0.4, 1.9) == pytest.approx(expected, rel=1e-6)


def test_no_lensing_of_what_stands_in_front() -> None:
    assert cosmology.distance_ratio(1.0, 0.5) == 0.0
    assert cosmology.einstein_radius_arcsec(250.0, 1.0, 1.0) == 0.0
