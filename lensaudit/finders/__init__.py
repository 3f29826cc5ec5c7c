"""Finders: architectures, recipes, loading, saving, importing and scoring."""

from lensaudit.finders.architectures import ARCHITECTURES, initialised
from lensaudit.finders.build import initialised_module, unfilled_module
from lensaudit.finders.compact import rounded_to_bits, rounded_to_half
from lensaudit.finders.finder import Finder
from lensaudit.finders.layers import Symmetrised
from lensaudit.finders.load import declare_finder, load_finder
from lensaudit.finders.pretrained import body_facts, fill_body, in_mode, read_pretrained
from lensaudit.finders.prior import fraction_expected_by, prior_shift, trained_fraction, with_prior
from lensaudit.finders.published import read_published
from lensaudit.finders.recipe import Recipe, Training, builtin_recipes, load_recipe
from lensaudit.finders.refit import clips, pixel_record, refitted, remarks_on, takes_statistics
from lensaudit.finders.running import DEVICES, choose_device
from lensaudit.finders.score import Scores, calling_at, score_set
from lensaudit.finders.scores_file import check_scores_path, read_scores, write_scores
from lensaudit.finders.store import FinderRecord, read_record, save_finder
from lensaudit.finders.stretch import STRETCHES, Statistics, fit_statistics
from lensaudit.provenance import Clipping

__all__ = [
    "ARCHITECTURES",
    "DEVICES",
    "STRETCHES",
    "Clipping",
    "Finder",
    "FinderRecord",
    "Recipe",
    "Scores",
    "Statistics",
    "Symmetrised",
    "Training",
    "body_facts",
    "builtin_recipes",
    "calling_at",
    "check_scores_path",
    "choose_device",
    "clips",
    "declare_finder",
    "fill_body",
    "fit_statistics",
    "fraction_expected_by",
    "in_mode",
    "initialised",
    "initialised_module",
    "load_finder",
    "load_recipe",
    "pixel_record",
    "prior_shift",
    "read_pretrained",
    "read_published",
    "read_record",
    "read_scores",
    "refitted",
    "remarks_on",
    "rounded_to_bits",
    "rounded_to_half",
    "save_finder",
    "score_set",
    "takes_statistics",
    "trained_fraction",
    "unfilled_module",
    "with_prior",
    "write_scores",
]
