"""Statistics of finders: intervals, paired tests, corrections, ROC. Imports numpy and scipy only."""

from lensaudit.statistics.auroc import auroc, auroc_interval, auroc_variance
from lensaudit.statistics.bootstrap import RESAMPLES, bootstrap_interval, paired_bootstrap_interval
from lensaudit.statistics.calibration import (
    CalibrationError,
    ReliabilityBin,
    brier_score,
    calibration_error,
    expected_calibration_error,
    reliability,
)
from lensaudit.statistics.confusion import Confusion, confusion, fbeta_of_counts
from lensaudit.statistics.holm import holm
from lensaudit.statistics.mcnemar import mcnemar_exact
from lensaudit.statistics.medians import MedianShifts, median_shifts
from lensaudit.statistics.paired_auroc import PairedAuroc, paired_auroc
from lensaudit.statistics.paired_difference import paired_difference_interval
from lensaudit.statistics.pairs_needed import (
    TYPICAL_DISCORDANT,
    pairs_needed,
    pairs_that_never_tell,
    pairs_to_assess,
    pairs_to_settle,
    scenes_to_settle,
)
from lensaudit.statistics.proportions import BinnedShare, binned_shares, binomial_exact, wilson_interval
from lensaudit.statistics.roc import (
    Roc,
    allowed_false_positives,
    at_least,
    roc_curve,
    strict_threshold,
    tpr0,
    tpr10,
    tpr_at_fpr,
    tpr_with_false_positives,
)
from lensaudit.statistics.spearman import RankCorrelations, spearman
from lensaudit.statistics.top_group import TopGroups, top_groups

__all__ = [
    "RESAMPLES",
    "TYPICAL_DISCORDANT",
    "BinnedShare",
    "CalibrationError",
    "Confusion",
    "MedianShifts",
    "PairedAuroc",
    "RankCorrelations",
    "ReliabilityBin",
    "Roc",
    "TopGroups",
    "allowed_false_positives",
    "at_least",
    "auroc",
    "auroc_interval",
    "auroc_variance",
    "binned_shares",
    "binomial_exact",
    "bootstrap_interval",
    "brier_score",
    "calibration_error",
    "confusion",
    "expected_calibration_error",
    "fbeta_of_counts",
    "holm",
    "mcnemar_exact",
    "median_shifts",
    "paired_auroc",
    "paired_bootstrap_interval",
    "paired_difference_interval",
    "pairs_needed",
    "pairs_that_never_tell",
    "pairs_to_assess",
    "pairs_to_settle",
    "reliability",
    "roc_curve",
    "scenes_to_settle",
    "spearman",
    "strict_threshold",
    "top_groups",
    "tpr0",
    "tpr10",
    "tpr_at_fpr",
    "tpr_with_false_positives",
    "wilson_interval",
]
