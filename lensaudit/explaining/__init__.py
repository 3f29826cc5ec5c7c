"""Explanations of a finder: where it looks, what excites it, and how far to believe that.

What is imported here is imported when it is first used, so that a result is read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lensaudit.display.images import NISP_RGB, ColourScale, colour_picture, colour_scale, nisp_rgb, prepared_rgb
    from lensaudit.explaining.attribution.methods import FOR_ANY, METHODS, Method, applicable_methods, no_gradient
    from lensaudit.explaining.dreaming.dream import Dream, dream
    from lensaudit.explaining.dreaming.dream_files import DreamFiles, DreamRun, dream_files
    from lensaudit.explaining.dreaming.exciting import Exciting, Scan, most_exciting
    from lensaudit.explaining.dreaming.settings import (
        ClassTarget,
        DreamSettings,
        KernelTarget,
        Regularisation,
        Target,
        chosen_targets,
        cutout_start,
        noise_start,
        paper_settings,
    )
    from lensaudit.explaining.dreaming.wish import Changes, DreamStart, DreamWish, from_cutouts, from_noise
    from lensaudit.explaining.explained_files import ExplainedFiles, Request, chosen_systems, explain_systems
    from lensaudit.explaining.explainer import Explainer
    from lensaudit.explaining.explanation import Explanation
    from lensaudit.explaining.functions import explain, explain_prepared, occlusion
    from lensaudit.explaining.judging.compound_view import compound_view
    from lensaudit.explaining.judging.judge import Watcher, judge
    from lensaudit.explaining.judging.judgement import Judgement
    from lensaudit.explaining.judging.randomisation import randomisation_check
    from lensaudit.explaining.judging.records import CompoundView, JudgeSettings, RandomisationResult
    from lensaudit.explaining.judging.scores import (
        SCORES,
        Curves,
        Score,
        deletion_insertion,
        pointing_game,
        positive_fraction,
        rank_accuracy,
    )
    from lensaudit.explaining.kernels.activations import kernel_activations, named_kernels
    from lensaudit.explaining.kernels.association import Correlations, Effects, TopLenses
    from lensaudit.explaining.kernels.kav_table import KavTable, Kernel
    from lensaudit.explaining.kernels.kernel_files import KernelFiles, KernelWish, look_at_kernels
    from lensaudit.explaining.kernels.study import KernelStudy, study_kernels
    from lensaudit.explaining.maps import VIEWS, Backdrop, Patches
    from lensaudit.explaining.occluding.exact import Cost, LayerReport
    from lensaudit.explaining.occluding.occluder import ENGINES, Occluder, default_patch
    from lensaudit.explaining.occluding.windows import Grid

__all__ = [
    "ENGINES",
    "FOR_ANY",
    "METHODS",
    "NISP_RGB",
    "SCORES",
    "VIEWS",
    "Backdrop",
    "Changes",
    "ClassTarget",
    "ColourScale",
    "CompoundView",
    "Correlations",
    "Cost",
    "Curves",
    "Dream",
    "DreamFiles",
    "DreamRun",
    "DreamSettings",
    "DreamStart",
    "DreamWish",
    "Effects",
    "Exciting",
    "ExplainedFiles",
    "Explainer",
    "Explanation",
    "Grid",
    "JudgeSettings",
    "Judgement",
    "KavTable",
    "Kernel",
    "KernelFiles",
    "KernelStudy",
    "KernelTarget",
    "KernelWish",
    "LayerReport",
    "Method",
    "Occluder",
    "Patches",
    "RandomisationResult",
    "Regularisation",
    "Request",
    "Scan",
    "Score",
    "Target",
    "TopLenses",
    "Watcher",
    "applicable_methods",
    "chosen_systems",
    "chosen_targets",
    "colour_picture",
    "colour_scale",
    "compound_view",
    "cutout_start",
    "default_patch",
    "deletion_insertion",
    "dream",
    "dream_files",
    "explain",
    "explain_prepared",
    "explain_systems",
    "from_cutouts",
    "from_noise",
    "judge",
    "kernel_activations",
    "look_at_kernels",
    "most_exciting",
    "named_kernels",
    "nisp_rgb",
    "no_gradient",
    "noise_start",
    "occlusion",
    "paper_settings",
    "pointing_game",
    "positive_fraction",
    "prepared_rgb",
    "randomisation_check",
    "rank_accuracy",
    "study_kernels",
]

_HOMES = {
    "display.images": ("NISP_RGB", "ColourScale", "colour_picture", "colour_scale", "nisp_rgb", "prepared_rgb"),
    "explaining.attribution.methods": ("FOR_ANY", "METHODS", "Method", "applicable_methods", "no_gradient"),
    "explaining.dreaming.dream": ("Dream", "dream"),
    "explaining.dreaming.dream_files": ("DreamFiles", "DreamRun", "dream_files"),
    "explaining.dreaming.exciting": ("Exciting", "Scan", "most_exciting"),
    "explaining.dreaming.settings": (
        "ClassTarget",
        "DreamSettings",
        "KernelTarget",
        "Regularisation",
        "Target",
        "chosen_targets",
        "cutout_start",
        "noise_start",
        "paper_settings",
    ),
    "explaining.dreaming.wish": ("Changes", "DreamStart", "DreamWish", "from_cutouts", "from_noise"),
    "explaining.explained_files": ("ExplainedFiles", "Request", "chosen_systems", "explain_systems"),
    "explaining.explainer": ("Explainer",),
    "explaining.explanation": ("Explanation",),
    "explaining.functions": ("explain", "explain_prepared", "occlusion"),
    "explaining.judging.compound_view": ("compound_view",),
    "explaining.judging.judge": ("Watcher", "judge"),
    "explaining.judging.judgement": ("Judgement",),
    "explaining.judging.randomisation": ("randomisation_check",),
    "explaining.judging.records": ("CompoundView", "JudgeSettings", "RandomisationResult"),
    "explaining.judging.scores": (
        "SCORES",
        "Curves",
        "Score",
        "deletion_insertion",
        "pointing_game",
        "positive_fraction",
        "rank_accuracy",
    ),
    "explaining.kernels.activations": ("kernel_activations", "named_kernels"),
    "explaining.kernels.association": ("Correlations", "Effects", "TopLenses"),
    "explaining.kernels.kav_table": ("KavTable", "Kernel"),
    "explaining.kernels.kernel_files": ("KernelFiles", "KernelWish", "look_at_kernels"),
    "explaining.kernels.study": ("KernelStudy", "study_kernels"),
    "explaining.maps": ("VIEWS", "Backdrop", "Patches"),
    "explaining.occluding.exact": ("Cost", "LayerReport"),
    "explaining.occluding.occluder": ("ENGINES", "Occluder", "default_patch"),
    "explaining.occluding.windows": ("Grid",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"lensaudit.{_HOME[name]}"), name)
    return value
