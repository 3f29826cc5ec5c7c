"""Explanations of a finder: where it looks, what excites it, and how far to believe that."""

from lensaudit.explain.attribution.explain import Explanation, explain, explain_prepared
from lensaudit.explain.attribution.map_files import ExplainedFiles, Request, explain_systems
from lensaudit.explain.attribution.methods import METHODS, Method
from lensaudit.explain.colour import NISP_RGB, ColourScale, colour_scale, nisp_rgb
from lensaudit.explain.kernels.activations import kernel_activations
from lensaudit.explain.kernels.chosen import named_kernels
from lensaudit.explain.kernels.kav_table import KavTable, Kernel
from lensaudit.explain.kernels.kernel_files import KernelFiles, Wish, look_at_kernels
from lensaudit.explain.kernels.study import Correlations, KernelStudy, study_kernels
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
    "Correlations",
    "Cost",
    "ExplainedFiles",
    "Explanation",
    "Grid",
    "KavTable",
    "Kernel",
    "KernelFiles",
    "KernelStudy",
    "LayerReport",
    "MapFiles",
    "Method",
    "Occluder",
    "OcclusionMap",
    "Request",
    "Wish",
    "chosen_systems",
    "colour_scale",
    "default_patch",
    "draw_colour_bar",
    "draw_image",
    "draw_occlusion",
    "explain",
    "explain_prepared",
    "explain_systems",
    "kernel_activations",
    "look_at_kernels",
    "named_kernels",
    "nisp_rgb",
    "occlude_systems",
    "occlusion",
    "occlusion_figure",
    "study_kernels",
    "title_of",
    "write_occlusion_fits",
]
