"""Edits of a scene: plain functions ``edit(scene, strength) -> scene`` that change one thing and keep the noise.

Random choices of an edit come from the scene's noise seed, so they are the same for all strengths. At an edit's neutral
strength the scene comes back as it was. Names and strengths a scene does not fit raise a UsageError.
"""

from lensaudit.scenes.edits.lens import (
    as_merger,
    as_ring,
    as_spiral,
    einstein_radius,
    lens_colour,
    lens_light,
    unlensed,
)
from lensaudit.scenes.edits.source import (
    arc_colour,
    arc_colour_drawn,
    second_source,
    source_clumpiness,
    source_colour,
    source_colour_total_flux,
    source_dimmed,
    source_offset,
    sources_dimmed,
    without_far_source,
    without_source,
)
from lensaudit.scenes.edits.source_shape import source_sersic, source_size
from lensaudit.scenes.edits.surroundings import (
    companions,
    noise_level,
    off_centre,
    psf_angle,
    psf_from_file,
    psf_round,
    psf_width,
)

__all__ = [
    "arc_colour",
    "arc_colour_drawn",
    "as_merger",
    "as_ring",
    "as_spiral",
    "companions",
    "einstein_radius",
    "lens_colour",
    "lens_light",
    "noise_level",
    "off_centre",
    "psf_angle",
    "psf_from_file",
    "psf_round",
    "psf_width",
    "second_source",
    "source_clumpiness",
    "source_colour",
    "source_colour_total_flux",
    "source_dimmed",
    "source_offset",
    "source_sersic",
    "source_size",
    "sources_dimmed",
    "unlensed",
    "without_far_source",
    "without_source",
]
