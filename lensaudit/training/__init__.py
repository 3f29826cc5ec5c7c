"""Training a finder by the protocol of Wilde et al. 2022, on Lightning, so that it can be stopped at any moment."""

from lensaudit.training.ablate import ablate
from lensaudit.training.ablation import ABLATIONS, arms_of
from lensaudit.training.augment import AUGMENTATIONS
from lensaudit.training.cross_validate import cross_validate
from lensaudit.training.cross_validation import CrossValidation, folds_of
from lensaudit.training.history import read_history
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.progress import EpochRow, Progress
from lensaudit.training.run import Place, Trained, Watch, train
from lensaudit.training.schedule import SCHEDULES
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
