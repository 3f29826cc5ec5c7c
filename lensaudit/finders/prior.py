"""Fractions of lenses: the one a training made its finder expect, and probabilities where it is another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from lensaudit.errors import UsageError
from lensaudit.finders.facts import TrainingFacts
from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import builtin_recipes
from lensaudit.finders.store import FINDER_FILE, read_record


def with_prior(p_lens: ArrayLike, prior: float, trained: float = 0.5) -> NDArray[np.float64]:
    """Probabilities of "lens" where the fraction of lenses is `prior` instead of the `trained` one.

    q' = λ q / (λ q + μ (1 − q)) with λ = prior / trained and μ = (1 − prior) / (1 − trained) (Lanusse et al. 2018, as
    in Saerens et al. 2002): the log-odds shift by a constant, so that no two images change places.

    Parameters
    ----------
    p_lens
        Probabilities (n,), NaN stays.
    prior, trained
        Fractions of lenses in (0, 1): where the finder is used, and among the images (or the weights) of its training.

    Raises
    ------
    UsageError
        A fraction is not in (0, 1).
    """
    return np.asarray(expit(logit(np.asarray(p_lens, dtype=np.float64)) + prior_shift(prior, trained)))


def prior_shift(prior: float, trained: float = 0.5) -> float:
    """What `with_prior` adds to the log-odds."""
    for name, value in (("prior", prior), ("training fraction", trained)):
        if not 0 < value < 1:
            raise UsageError(f"{name} {value:g} is not a fraction of lenses; give a number between 0 and 1")
    return float(logit(prior) - logit(trained))


def fraction_expected_by(name: str, finder: Finder) -> float:
    """`trained_fraction` of a finder by the record of its folder; one half for one that has none.

    Parameters
    ----------
    name
        What the user called it: see `lensaudit.finders.load_finder`.
    """
    folder = Path(name) if Path(name).exists() else builtin_recipes().get(finder.name)
    if ":" in name or folder is None or not (folder / FINDER_FILE).is_file():
        return 0.5
    training = finder.recipe.training
    facts = read_record(folder).training_data
    balanced = training.balanced_batches or bool(facts.balanced_batches)
    return trained_fraction(facts, training.class_weights, balanced)


def trained_fraction(training_data: TrainingFacts, class_weights: str, balanced: bool) -> float:
    """Fraction of lenses a training made its finder expect: one half if loss or batches weigh the classes alike."""
    fraction = training_data.training_lens_fraction
    return 0.5 if class_weights == "inverse-frequency" or balanced or fraction is None else fraction
