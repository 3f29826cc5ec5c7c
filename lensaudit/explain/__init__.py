"""Explanations of a finder: where it looks, what excites it, and how far to believe that."""

from lensaudit.explain.attribution.explain import Explanation, explain, explain_prepared
from lensaudit.explain.attribution.map_files import ExplainedFiles, Request, explain_systems
from lensaudit.explain.attribution.methods import METHODS, Method
from lensaudit.explain.colour import NISP_RGB, ColourScale, colour_scale, nisp_rgb
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
    "METHODS",
    "NISP_RGB",
    "ColourScale",
    "Cost",
    "ExplainedFiles",
    "Explanation",
    "Grid",
    "LayerReport",
    "MapFiles",
    "Method",
    "Occluder",
    "OcclusionMap",
    "Request",
    "chosen_systems",
    "colour_scale",
    "default_patch",
    "draw_colour_bar",
    "draw_image",
    "draw_occlusion",
    "explain",
    "explain_prepared",
    "explain_systems",
    "nisp_rgb",
    "occlude_systems",
    "occlusion",
    "occlusion_figure",
    "title_of",
    "write_occlusion_fits",
]
