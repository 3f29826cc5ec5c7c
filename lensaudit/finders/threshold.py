"""What a finder's scores mean: where it calls a lens, and what a probability becomes where lenses are rarer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from lensaudit.errors import DataError, UsageError
from lensaudit.finders.finder import Finder
from lensaudit.finders.recipe import builtin_recipes
from lensaudit.finders.store import FINDER_FILE, read_record
from lensaudit.statistics import allowed_false_positives, strict_threshold

_NEAREST = 1e-12
"""How near to 0 and 1 a threshold on p may lie."""


def calling_at(finder: Finder, labels: ArrayLike, logits: ArrayLike, fpr: float) -> Finder:
    """The same finder with the threshold at which at most `fpr` of the non-lenses are called lenses.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens; others are left out (n,).
    logits
        Log-odds of each (n,); NaN is left out.
    fpr
        False-positive rate in (0, 1), such as the 0.01 of Lanusse et al. 2018.

    Raises
    ------
    DataError
        There are too few non-lenses for such a rate to mean anything.
    """
    label, scores = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    others = scores[(label == 0) & np.isfinite(scores)]
    if len(others) * fpr < 1:
        raise DataError(
            f"a false-positive rate of {fpr:g} needs at least {int(np.ceil(1 / fpr))} non-lenses to be set on, there "
            f"are {len(others)}; give more, or a higher rate"
        )
    highest = strict_threshold(others, allowed_false_positives(len(others), fpr))
    value = float(np.nextafter(expit(highest), 1.0))  # a lens is called from the threshold on
    recipe = finder.recipe.model_copy(update={"threshold": min(max(value, _NEAREST), 1 - _NEAREST)})
    return replace(finder, recipe=recipe)


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
    folder = Path(name) if Path(name).is_dir() else builtin_recipes().get(finder.name)
    if ":" in name or folder is None or not (folder / FINDER_FILE).is_file():
        return 0.5
    training = finder.recipe.training
    facts = read_record(folder).training_data
    balanced = training.balanced_batches or bool(facts.get("balanced_batches"))
    return trained_fraction(facts, training.class_weights, balanced)


def trained_fraction(training_data: dict[str, Any], class_weights: str, balanced: bool) -> float:
    """Fraction of lenses a training made its finder expect: one half if loss or batches weigh the classes alike."""
    if class_weights == "inverse-frequency" or balanced or "training_lens_fraction" not in training_data:
        return 0.5
    return float(training_data["training_lens_fraction"])
