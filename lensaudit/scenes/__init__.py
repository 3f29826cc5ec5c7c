"""Scenes: what is in a cutout, as values; populations that draw them; edits that change one thing."""

from lensaudit.scenes.edits import without_far_source, without_source
from lensaudit.scenes.populations import POPULATIONS, draw_scene
from lensaudit.scenes.scene import (
    EUCLID_SKY,
    KINDS,
    LENS_KINDS,
    LSST_SKY,
    NON_LENS_KINDS,
    Galaxy,
    Light,
    Mass,
    Psf,
    Scene,
    Sky,
    Stamp,
)

__all__ = [
    "EUCLID_SKY",
    "KINDS",
    "LENS_KINDS",
    "LSST_SKY",
    "NON_LENS_KINDS",
    "POPULATIONS",
    "Galaxy",
    "Light",
    "Mass",
    "Psf",
    "Scene",
    "Sky",
    "Stamp",
    "draw_scene",
    "without_far_source",
    "without_source",
]
