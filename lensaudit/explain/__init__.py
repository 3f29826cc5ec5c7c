"""Explanations of single images: occlusion maps, as arrays, FITS and pictures."""

from lensaudit.explain.occluding.cost import Cost, LayerReport
from lensaudit.explain.occluding.grid import Grid
from lensaudit.explain.occluding.map_files import MapFiles, chosen_systems, occlude_systems
from lensaudit.explain.occluding.map_fits import write_occlusion_fits
from lensaudit.explain.occluding.map_picture import (
    draw_colour_bar,
    draw_image,
    draw_occlusion,
    occlusion_figure,
    title_of,
)
from lensaudit.explain.occluding.occluder import ENGINES, Occluder, OcclusionMap, default_patch, occlusion

__all__ = [
    "ENGINES",
    "Cost",
    "Grid",
    "LayerReport",
    "MapFiles",
    "Occluder",
    "OcclusionMap",
    "chosen_systems",
    "default_patch",
    "draw_colour_bar",
    "draw_image",
    "draw_occlusion",
    "occlude_systems",
    "occlusion",
    "occlusion_figure",
    "title_of",
    "write_occlusion_fits",
]
