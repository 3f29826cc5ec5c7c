"""Selection functions: which lenses a finder selects, and what drives it."""

from lensaudit.evaluation.selection.driver_model import Coefficient, Driver, DriverModel
from lensaudit.evaluation.selection.function import (
    Median,
    MedianRow,
    SelectionFunction,
    require_truth,
    selection_function,
)
from lensaudit.evaluation.selection.parameters import FEW, LADDER, Cut, Threshold
from lensaudit.evaluation.selection.recall_maps import Axis, RecallBin, RecallCurve, RecallMap, recall_map

__all__ = [
    "FEW",
    "LADDER",
    "Axis",
    "Coefficient",
    "Cut",
    "Driver",
    "DriverModel",
    "Median",
    "MedianRow",
    "RecallBin",
    "RecallCurve",
    "RecallMap",
    "SelectionFunction",
    "Threshold",
    "recall_map",
    "require_truth",
    "selection_function",
]
