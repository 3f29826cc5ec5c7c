"""Edits of the point-spread function: its angle, kind and width."""

from __future__ import annotations

from dataclasses import replace

from lensaudit.scenes.edits.parts import demand, demand_finite
from lensaudit.scenes.scene import Psf, Scene


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
