"""Selection functions: which lenses a finder selects, and what drives it."""

from lensaudit.evaluation.selection.cuts import FEW, LADDER, Cut, Share, Threshold
from lensaudit.evaluation.selection.driver_model import Coefficient, Driver, DriverModel
from lensaudit.evaluation.selection.function import SelectionFunction, require_truth, selection_function
from lensaudit.evaluation.selection.grid import Axis, RecallMap, recall_map
from lensaudit.evaluation.selection.medians import Median, MedianRow

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
    "RecallMap",
    "SelectionFunction",
    "Share",
    "Threshold",
    "recall_map",
    "require_truth",
    "selection_function",
]
