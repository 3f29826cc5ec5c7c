"""Explanations of a finder: where it looks, what excites it, and how far to believe that."""

from lensaudit.display.images import NISP_RGB, ColourScale, colour_scale, nisp_rgb
from lensaudit.explain.attributed import Backdrop, Patches
from lensaudit.explain.attribution.methods import METHODS, Method, applicable_methods, no_gradient
from lensaudit.explain.dreaming.dream import Dream, dream
from lensaudit.explain.dreaming.dream_files import DreamFiles, DreamRun, dream_files
from lensaudit.explain.dreaming.dream_picture import prepared_rgb
from lensaudit.explain.dreaming.exciting import Exciting, Scan, most_exciting
from lensaudit.explain.dreaming.settings import DreamSettings, Regularisation, cutout_start, noise_start, paper_settings
from lensaudit.explain.dreaming.target import ClassTarget, KernelTarget, Target, chosen_targets
from lensaudit.explain.dreaming.wish import Changes, DreamStart, DreamWish, from_cutouts, from_noise
from lensaudit.explain.explained_files import ExplainedFiles, Request, chosen_systems, explain_systems
from lensaudit.explain.explainer import Explainer
from lensaudit.explain.explanation import Explanation
from lensaudit.explain.functions import explain, explain_prepared, occlusion
from lensaudit.explain.judging.attributor import JudgeSettings
from lensaudit.explain.judging.compound_view import CompoundView, compound_view
from lensaudit.explain.judging.judge import Watcher, judge
from lensaudit.explain.judging.judgement import Judgement, read_judgement
from lensaudit.explain.judging.randomisation import RandomisationResult, randomisation_check
from lensaudit.explain.judging.scores import (
    SCORES,
    Curves,
    Score,
    deletion_insertion,
    pointing_game,
    positive_share,
    rank_accuracy,
)
from lensaudit.explain.kernels.activations import kernel_activations, named_kernels
from lensaudit.explain.kernels.association import Correlations, Effects, TopLenses
from lensaudit.explain.kernels.kav_table import KavTable, Kernel
from lensaudit.explain.kernels.kernel_files import KernelFiles, KernelWish, look_at_kernels
from lensaudit.explain.kernels.study import KernelStudy, study_kernels
from lensaudit.explain.map_picture import VIEWS
from lensaudit.explain.occluding.exact import Cost, LayerReport
from lensaudit.explain.occluding.occluder import ENGINES, Occluder, default_patch
from lensaudit.explain.occluding.windows import Grid

__all__ = [
    "ENGINES",
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
    "positive_share",
    "prepared_rgb",
    "randomisation_check",
    "rank_accuracy",
    "read_judgement",
    "study_kernels",
]
