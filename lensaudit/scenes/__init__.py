"""Scenes: what is in a cutout, as values; populations that draw them; edits that change one thing."""

from lensaudit.scenes.edits import without_far_source, without_source
from lensaudit.scenes.populations import DEFAULT_POPULATION, POPULATIONS, draw_scene
from lensaudit.scenes.scene import (
    KINDS,
    LENS_KINDS,
    NON_LENS_KINDS,
    Galaxy,
    Light,
    Mass,
    Psf,
    Scene,
)

__all__ = [
    "DEFAULT_POPULATION",
    "KINDS",
    "LENS_KINDS",
    "NON_LENS_KINDS",
    "POPULATIONS",
    "Galaxy",
    "Light",
    "Mass",
    "Psf",
    "Scene",
    "draw_scene",
    "without_far_source",
    "without_source",
]
