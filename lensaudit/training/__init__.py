"""Training a finder by its paper's protocol, in one loop that can be stopped at any moment and goes on exactly."""

from lensaudit.training.ablation import ABLATIONS, ablate, arms_of
from lensaudit.training.augment import AUGMENTATIONS, SCHEDULES
from lensaudit.training.checkpoint import FLAT, EpochRow, Progress, late_fall, read_history
from lensaudit.training.cross_validation import CrossValidation, cross_validate, folds_of
from lensaudit.training.group import together
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.run import Place, Trained, Watch, follow, train
from lensaudit.training.sets import TrainingData

__all__ = [
    "ABLATIONS",
    "AUGMENTATIONS",
    "FLAT",
    "SCHEDULES",
    "CrossValidation",
    "EpochRow",
    "Machine",
    "Place",
    "Progress",
    "Trained",
    "TrainingData",
    "TrainingOptions",
    "Watch",
    "ablate",
    "arms_of",
    "cross_validate",
    "folds_of",
    "follow",
    "late_fall",
    "read_history",
    "together",
    "train",
]
