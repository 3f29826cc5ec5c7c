"""Edits of what surrounds the lens: PSF, background noise, galaxies beside it, its place in the cutout."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, sin

from lensaudit.scenes.edits.lens import (
    demand,
    demand_finite,
    demand_reference,
    generator,
    the_lens,
    the_pair,
    theta_e_arcsec,
)
from lensaudit.scenes.populations.lenses import draw_star_forming
from lensaudit.scenes.scene import Galaxy, Psf, Scene

COMPANION_BRIGHTER_MAG = 1.5
"""Companions are brighter than the unlensed source by what a typical arc gains."""
COMPANION_DISTANCE_THETA_E = (0.8, 2.2)


def noise_level(scene: Scene, strength: float) -> Scene:
    """Scale the background noise: sky and read-out; photon noise of the light itself stays.

    Parameters
    ----------
    scene
        Any scene.
    strength
        Factor of the background's standard deviation, relative to the scene's own, above 0; 1 changes nothing.

    Raises
    ------
    UsageError
        The strength is not positive.
    """
    edit = "noise_level"
    demand_finite(strength, edit)
    demand(strength > 0, edit, f"the factor of the noise must be positive, not {strength}")
    return replace(scene, noise_scale=scene.noise_scale * strength)


def companions(scene: Scene, strength: float) -> Scene:
    """Add blue galaxies as bright as a typical arc, 0.8–2.2 θ_E from the lens; they are not lensed.

    Parameters
    ----------
    scene
        A lens with one deflector and magnitudes in its reference band.
    strength
        How many, a whole number, at least 0; more companions contain those of fewer.

    Raises
    ------
    UsageError
        The scene has no lensed source, not one deflector or no magnitudes in its reference band, or the strength is no
        whole number.
    """
    edit = "companions"
    deflector, source = the_pair(scene, edit)
    demand_finite(strength, edit)
    demand(strength >= 0 and strength == int(strength), edit, f"a whole number of galaxies is needed, not {strength}")
    demand_reference(scene, source, edit)
    rng = generator(scene, edit)
    theta_e = theta_e_arcsec(deflector, source)
    magnitude = source.magnitude(scene.sky.reference) - COMPANION_BRIGHTER_MAG
    added: list[Galaxy] = []
    for _ in range(int(strength)):
        angle, distance = rng.uniform(0.0, 2 * pi), theta_e * rng.uniform(*COMPANION_DISTANCE_THETA_E)
        galaxy = draw_star_forming(
            rng,
            scene.sky,
            "companion",
            redshift=deflector.redshift,
            magnitude=magnitude,
            x=deflector.x_arcsec + float(distance) * cos(angle),
            y=deflector.y_arcsec + float(distance) * sin(angle),
        )
        added.append(replace(galaxy, lensed=False))
    return replace(scene, galaxies=(*scene.galaxies, *added))


def psf_angle(scene: Scene, strength: float) -> Scene:
    """Turn the point-spread function to an angle.

    Parameters
    ----------
    scene
        A scene whose PSF is no Gaussian.
    strength
        The PSF's angle in degrees, counter-clockwise; absolute, whatever it was before.

    Raises
    ------
    UsageError
        The scene's PSF is round, or the strength is not finite.
    """
    edit = "psf_angle"
    demand_finite(strength, edit)
    demand(scene.psf.kind != "gaussian", edit, "the scene's PSF is a round Gaussian, which no turn changes")
    return replace(scene, psf=replace(scene.psf, angle_deg=float(strength)))


def psf_from_file(scene: Scene, strength: float, *, path: str, extension: str = "VIS_PSF") -> Scene:
    """Take the point-spread function of a FITS file, turned.

    Parameters
    ----------
    scene
        Any scene.
    strength
        The turn of the file's kernel in degrees, counter-clockwise; 0 takes it as it stands.
    path, extension
        The FITS file and the name of its extension; it is read when the scene is rendered.

    Raises
    ------
    UsageError
        No path is given, or the strength is not finite.
    """
    edit = "psf_from_file"
    demand_finite(strength, edit)
    demand(bool(str(path)), edit, "no file is given; name a FITS file with the kernel as 'path'")
    return replace(scene, psf=Psf("fits", angle_deg=float(strength), path=str(path), extension=extension))


def psf_round(scene: Scene, _strength: float = 0.0) -> Scene:
    """Take a round Gaussian of the instrument's FWHM, scaled as the scene's own was; the strength means nothing."""
    return replace(scene, psf=Psf("gaussian", fwhm_scale=scene.psf.fwhm_scale))


def psf_width(scene: Scene, strength: float) -> Scene:
    """Widen the point-spread function.

    Parameters
    ----------
    scene
        A scene with a Gaussian or three-fold PSF. Diffraction bounds how narrow the three-fold one can get.
    strength
        Factor of the FWHM, relative to the scene's own, above 0; 1 changes nothing.

    Raises
    ------
    UsageError
        The PSF comes from a file, whose width is its own, or the strength is not positive.
    """
    edit = "psf_width"
    demand_finite(strength, edit)
    demand(strength > 0, edit, f"the factor of the FWHM must be positive, not {strength}")
    demand(scene.psf.kind != "fits", edit, "the scene's PSF comes from a file and has that width only")
    return replace(scene, psf=replace(scene.psf, fwhm_scale=scene.psf.fwhm_scale * strength))


SYSTEM_ROLES = ("lens", "mid", "source", "companion")


def off_centre(scene: Scene, strength: float) -> Scene:
    """Move the lens system as one to another distance from the cutout's centre; field galaxies stay.

    Lens, middle galaxy, source and the lens galaxy's companions move together, in a direction that is the same for
    all strengths.

    Parameters
    ----------
    scene
        A scene with a lens galaxy.
    strength
        Distance of the lens galaxy from the centre in arcsec, at least 0 (the centre).

    Raises
    ------
    UsageError
        The scene has no lens galaxy, or the strength is negative.
    """
    edit = "off_centre"
    lens = the_lens(scene, edit)
    demand_finite(strength, edit)
    demand(strength >= 0, edit, f"the distance from the centre must be at least 0, not {strength} arcsec")
    angle = float(generator(scene, edit).uniform(0.0, 2 * pi))
    x, y = strength * cos(angle), strength * sin(angle)

    def moved(galaxy: Galaxy) -> Galaxy:
        if galaxy.role not in SYSTEM_ROLES:
            return galaxy
        dx, dy = galaxy.x_arcsec - lens.x_arcsec, galaxy.y_arcsec - lens.y_arcsec
        return replace(galaxy, x_arcsec=x + dx, y_arcsec=y + dy)

    return replace(scene, galaxies=tuple(moved(galaxy) for galaxy in scene.galaxies))
