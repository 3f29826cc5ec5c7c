"""Measuring a finder against labels: metrics with intervals, as numbers, JSON and a plot."""

from lensaudit.evaluation.calibration import Calibration, calibrate
from lensaudit.evaluation.matching import in_order_of
from lensaudit.evaluation.measure import FPR, PAPER_BETA, evaluate
from lensaudit.evaluation.metric import CONFIDENCE, Evaluation, Metric
from lensaudit.evaluation.roc_band import RocBand

__all__ = [
    "CONFIDENCE",
    "FPR",
    "PAPER_BETA",
    "Calibration",
    "Evaluation",
    "Metric",
    "RocBand",
    "calibrate",
    "evaluate",
    "in_order_of",
]
