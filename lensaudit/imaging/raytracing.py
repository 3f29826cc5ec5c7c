"""Rays through all lens planes: where each image-plane point falls on every plane.

With α̂ the full deflection of an isothermal mass, the angular position on plane j is
θ_j = θ − Σ_{i<j} (D_ij / D_j) α̂_i(θ_i); one deflector is the special case of one term.
Deflections are lenstronomy's SIE.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lensaudit.scenes import Galaxy, Light
from lensaudit.scenes.cosmology import critical_angle_arcsec, distance_ratio

Array = NDArray[np.float64]


@dataclass
class RayTracer:
    """Traces one grid of rays to any redshift, keeping the deflections it has already computed.

    Attributes
    ----------
    x, y
        Image-plane coordinates in arcsec, any shape.
    deflectors
        Galaxies with mass, nearest first.
    shear_redshift
        Redshift for which the deflectors' shear is quoted (the farthest lensed galaxy's).
    key
        Names all of this, for those who keep what rays have seen.
    """

    x: Array
    y: Array
    deflectors: Sequence[Galaxy]
    shear_redshift: float
    key: Hashable = None

    def __post_init__(self) -> None:
        self._deflections: list[tuple[Array, Array]] = []

    def to_redshift(self, z: float) -> tuple[Array, Array]:
        """Angular coordinates (arcsec) at which the rays cross the plane at redshift `z`."""
        x, y = self.x, self.y
        for index, galaxy in enumerate(self.deflectors):
            ratio = distance_ratio(galaxy.redshift, z)
            if ratio <= 0.0:
                break
            alpha_x, alpha_y = self._deflection(index)
            x = x - ratio * alpha_x
            y = y - ratio * alpha_y
        return x, y

    def within(self, part: tuple[slice, slice], key: Hashable) -> RayTracer:
        """Some of the rays, with the deflections that are known of them."""
        some = RayTracer(self.x[part], self.y[part], self.deflectors, self.shear_redshift, key)
        some._deflections = [(alpha_x[part], alpha_y[part]) for alpha_x, alpha_y in self._deflections]
        return some

    def _deflection(self, index: int) -> tuple[Array, Array]:
        while len(self._deflections) <= index:
            galaxy = self.deflectors[len(self._deflections)]
            position = self.to_redshift(galaxy.redshift) if self._deflections else (self.x, self.y)
            self._deflections.append(full_deflection(galaxy, *position, shear_redshift=self.shear_redshift))
        return self._deflections[index]


def full_deflection(galaxy: Galaxy, x: Array, y: Array, *, shear_redshift: float) -> tuple[Array, Array]:
    """Full deflection α̂ in arcsec of a galaxy's mass for rays crossing its plane at `x`, `y` (arcsec)."""
    mass = galaxy.mass
    assert mass is not None
    dx, dy = x - galaxy.x_arcsec, y - galaxy.y_arcsec
    modulus = (1.0 - mass.axis_ratio) / (1.0 + mass.axis_ratio)
    e1, e2 = modulus * math.cos(2 * mass.angle_rad), modulus * math.sin(2 * mass.angle_rad)
    alpha_x, alpha_y = _sie().derivatives(dx, dy, critical_angle_arcsec(mass.sigma_v_km_s), e1, e2)
    ratio = distance_ratio(galaxy.redshift, shear_redshift)
    if ratio > 0 and (mass.gamma1 or mass.gamma2):
        # Shear is quoted as reduced for one source plane; its full deflection is larger by D_s / D_ls.
        gamma1, gamma2 = mass.gamma1 / ratio, mass.gamma2 / ratio
        alpha_x = alpha_x + gamma1 * dx + gamma2 * dy
        alpha_y = alpha_y + gamma2 * dx - gamma1 * dy
    return alpha_x, alpha_y


def image_reach_arcsec(
    galaxy: Galaxy, light: Light, extent_arcsec: float, deflectors: Sequence[Galaxy]
) -> tuple[float, float, float]:
    """A circle that holds all images of a component: centre x, y and radius in arcsec.

    A ray that lands within the component left the nearest deflector's direction by at most the component's offset
    and extent plus all deflections; isothermal ones are bounded, shear grows with distance. Infinite where shear
    leaves no bound.
    """
    in_front = [g for g in deflectors if g.redshift < galaxy.redshift]
    if not in_front:
        return galaxy.x_arcsec + light.dx_arcsec, galaxy.y_arcsec + light.dy_arcsec, extent_arcsec
    x, y = in_front[0].x_arcsec, in_front[0].y_arcsec
    reach = math.hypot(galaxy.x_arcsec + light.dx_arcsec - x, galaxy.y_arcsec + light.dy_arcsec - y) + extent_arcsec
    shear = 0.0
    for deflector in in_front:
        mass = deflector.mass
        assert mass is not None
        reach += _largest_deflection(mass.axis_ratio) * critical_angle_arcsec(mass.sigma_v_km_s)
        # Quoted for the farthest plane, so at most this for any nearer one; half as much again for several planes.
        shear += 1.5 * math.hypot(mass.gamma1, mass.gamma2)
        reach += shear * math.hypot(deflector.x_arcsec - x, deflector.y_arcsec - y)
    return x, y, reach / (1.0 - shear) if shear < 0.9 else math.inf


def _largest_deflection(axis_ratio: float) -> float:
    """Largest deflection of an isothermal ellipse over that of the sphere: on its minor axis."""
    if axis_ratio > 0.999:
        return 1.01
    f = math.sqrt(1.0 - axis_ratio**2)
    # α = b arctanh(f) / f on the minor axis; b = θ_E √q in lenstronomy's product-averaged convention.
    return 1.01 * math.sqrt(axis_ratio) * math.atanh(f) / f


@lru_cache(maxsize=1)
def _sie() -> Any:
    from lenstronomy.LensModel.Profiles.sie import SIE

    return SIE()


T = TypeVar("T")


class Shared:
    """Keeps results under a key that names everything they depend on."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this key the first time."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found
