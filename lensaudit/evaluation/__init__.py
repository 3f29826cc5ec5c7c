"""Measuring a finder against labels: metrics with intervals, as numbers, JSON and a plot."""

from lensaudit.evaluation.measure import FPR, PAPER_BETA, Calibration, calibrate, evaluate, in_order_of
from lensaudit.evaluation.metric import CONFIDENCE, Evaluation, Metric, RocBand, ScoreHistogram

__all__ = [
    "CONFIDENCE",
    "FPR",
    "PAPER_BETA",
    "Calibration",
    "Evaluation",
    "Metric",
    "RocBand",
    "ScoreHistogram",
    "calibrate",
    "evaluate",
    "in_order_of",
]
