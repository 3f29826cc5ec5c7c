"""A band's own point-spread function: a GalSim profile out of a short list, or a kernel that was measured.

`lensaudit.imaging.psf` draws it on the band's pixels.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.imaging.band import OwnPsf
from lensaudit.scenes.colours import roman_bands
from lensaudit.untrusted import printable

Array = NDArray[np.float64]

_SHAPE = frozenset({"flux", "dilate", "rotate", "ellip", "shear"})
_SIZE = frozenset({"sigma", "fwhm", "half_light_radius"})
_SCALE = frozenset({"lam", "diam", "lam_over_diam"})
PROFILES: Mapping[str, frozenset[str]] = {
    "Gaussian": _SIZE,
    "Moffat": frozenset({"beta", "scale_radius", "fwhm", "half_light_radius", "trunc"}),
    "Airy": _SCALE | {"obscuration"},
    "Kolmogorov": frozenset({"lam_over_r0", "fwhm", "half_light_radius", "lam", "r0", "r0_500"}),
    "VonKarman": frozenset({"lam", "r0", "r0_500", "L0"}),
    "OpticalPSF": _SCALE
    | {"obscuration", "defocus", "astig1", "astig2", "coma1", "coma2", "trefoil1", "trefoil2", "spher", "nstruts"}
    | {"strut_thick", "strut_angle"},
    "Convolve": frozenset({"items"}),
    "Convolution": frozenset({"items"}),
    "Sum": frozenset({"items"}),
    "Add": frozenset({"items"}),
    "RomanPSF": frozenset({"SCA", "filter"}),
}
"""GalSim's profiles that a file may name, and their arguments; ``RomanPSF`` is `galsim.roman.getPSF`."""
SHEARS: Mapping[str, frozenset[str]] = {
    "E1E2": frozenset({"e1", "e2"}),
    "G1G2": frozenset({"g1", "g2"}),
    "QBeta": frozenset({"q", "beta"}),
}
DEEPEST = 4
MOST_ITEMS = 16
_ANGLE = re.compile(r"^[-+0-9.eE]+ (deg|rad|degrees|radians)$")
LARGEST_STAMP = 256


def galsim_psf(words: Mapping[str, Any]) -> OwnPsf:
    """A PSF from a GalSim configuration, such as ``{type: Moffat, beta: 2.5, fwhm: 0.7}``; lengths in arcsec.

    Nothing is evaluated: `PROFILES` are allowed, with numbers as arguments.

    Raises
    ------
    ValueError
        A profile or argument is not allowed.
    """
    _check(words, 0)
    return OwnPsf(galsim=json.dumps(words, sort_keys=True))


def _check(words: Any, depth: int) -> None:
    if not isinstance(words, Mapping) or depth > DEEPEST:
        raise ValueError("galsim: write a mapping with a type, such as {type: Moffat, beta: 2.5, fwhm: 0.7}")
    kind = str(words.get("type"))
    if kind not in PROFILES:
        raise ValueError(f"galsim: type '{printable(kind, 40)}' is not allowed; take {', '.join(PROFILES)}")
    for key, value in words.items():
        if key == "type":
            continue
        if key not in PROFILES[kind] | _SHAPE:
            allowed = ", ".join(sorted(PROFILES[kind] | _SHAPE))
            raise ValueError(f"galsim: {kind} has no '{printable(key, 40)}'; allowed: {allowed}")
        _check_value(key, value, depth)


def _check_value(key: str, value: Any, depth: int) -> None:
    if key == "items":
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_ITEMS:
            raise ValueError(f"galsim: items is a list of one to {MOST_ITEMS} profiles")
        for item in value:
            _check(item, depth + 1)
    elif key in ("ellip", "shear"):
        allowed = SHEARS.get(value.get("type", "")) if isinstance(value, Mapping) else None
        if allowed is None or not set(value) <= allowed | {"type"}:
            raise ValueError(f"galsim: {key} is written as {{type: G1G2, g1: 0.01, g2: 0}}, or E1E2, QBeta")
        for name in allowed & set(value):
            _check_number(name, value[name])
    else:
        _check_number(key, value)


def _check_number(key: str, value: Any) -> None:
    angle = isinstance(value, str) and _ANGLE.match(value)
    name = key == "filter" and isinstance(value, str) and value.isalnum()
    if not (angle or name) and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"galsim: {key} is a number (angles: '30 deg'), not '{printable(value, 40)}'")
    if isinstance(value, int | float) and not math.isfinite(value):
        raise ValueError(f"galsim: {key} is not finite")


@lru_cache(maxsize=32)
def galsim_profile(words: str) -> Any:
    """The GalSim object of a checked configuration."""
    import galsim

    config = json.loads(words)
    try:
        if config["type"] == "RomanPSF":
            return _roman(int(config.get("SCA", 1)), str(config.get("filter", "")))
        return galsim.config.BuildGSObject({"psf": config}, "psf")[0]
    except (galsim.GalSimError, ValueError, TypeError) as refused:
        raise UsageError(f"psf.galsim: {printable(' '.join(str(refused).split()), 160)}") from refused


def _roman(sca: int, filter_name: str) -> Any:
    import galsim
    import galsim.roman

    bands = roman_bands()
    if filter_name not in bands:
        raise ValueError(f"RomanPSF: filter '{printable(filter_name, 20)}' is none of {', '.join(bands)}")
    name, band = bands[filter_name]
    optics = galsim.roman.getPSF(sca, name, pupil_bin=8, wavelength=band.effective_wavelength)
    jitter = galsim.Gaussian(sigma=galsim.roman.jitter_rms)
    diffusion = galsim.Gaussian(sigma=galsim.roman.charge_diffusion * galsim.roman.pixel_scale)
    return galsim.Convolve(optics, jitter, diffusion)


def stamp_psf(values: Array, pixel_scale_arcsec: float) -> OwnPsf:
    """A measured kernel (k, k), pixel response included, at its own pixels; its middle is kept where it is large."""
    side = values.shape[0]
    if side > LARGEST_STAMP:
        cut = -(-(side - LARGEST_STAMP) // 2)
        values = values[cut : side - cut, cut : side - cut]
    stored = np.ascontiguousarray(values / values.sum(), dtype="<f4")
    packed = base64.b64encode(stored.tobytes()).decode()
    return OwnPsf(values=packed, side=stored.shape[0], pixel_scale_arcsec=pixel_scale_arcsec)


def stamp_values(psf: OwnPsf) -> Array:
    """The pixels (side, side) of a measured kernel, in double precision.

    Raises
    ------
    UsageError
        They were changed and are no kernel any more.
    """
    try:
        values = np.frombuffer(base64.b64decode(psf.values, validate=True), "<f4").astype(np.float64)
        return values.reshape(psf.side, psf.side)
    except ValueError as broken:
        raise UsageError("an instrument's PSF is damaged; take the instrument from its YAML again") from broken


def kernel_fwhm_arcsec(values: Array, pixel_scale_arcsec: float) -> float:
    """FWHM of a kernel: the diameter of the circle as large as the area above half its maximum, on an 8 times finer
    grid."""
    from scipy.ndimage import zoom

    fine = zoom(values, 8, order=3, grid_mode=True, mode="nearest")
    area = float((fine > fine.max() / 2).sum()) / 64.0
    return 2.0 * math.sqrt(area / math.pi) * pixel_scale_arcsec
