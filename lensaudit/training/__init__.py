"""Training a finder by the protocol of Wilde et al. 2022, on Lightning, so that it can be stopped at any moment."""

from lensaudit.training.ablation import ABLATIONS, ablate, arms_of
from lensaudit.training.augment import AUGMENTATIONS, SCHEDULES
from lensaudit.training.checkpoint import EpochRow, Progress, read_history
from lensaudit.training.cross_validation import CrossValidation, cross_validate, folds_of
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.run import Place, Trained, Watch, train
from lensaudit.training.sets import TrainingData

__all__ = [
    "ABLATIONS",
    "AUGMENTATIONS",
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
    "read_history",
    "train",
]
