"""Explanations of single images: occlusion maps, as arrays, FITS and pictures."""

from lensaudit.explain.cost import Cost, LayerReport
from lensaudit.explain.grid import Grid
from lensaudit.explain.occlusion import ENGINES, Occluder, OcclusionMap, default_patch, occlusion
from lensaudit.explain.occlusion_fits import write_occlusion_fits
from lensaudit.explain.occlusion_picture import draw_colour_bar, draw_image, draw_occlusion, occlusion_figure, title_of
from lensaudit.explain.occlusion_set import MapFiles, chosen_systems, occlude_systems

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
