"""What a finder's record has to do with an evaluation: metrics as it keeps them, and the sets that trained it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lensaudit.errors import DataError
from lensaudit.evaluation.metric import Evaluation

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.finders.facts import MeasuredFacts
    from lensaudit.lensset import Cutouts


def refuse_training_set(finder: Finder, lens_set: Cutouts, advice: str) -> None:
    """Refuse a set that the finder was trained or validated on; `advice` ends the line.

    Raises
    ------
    DataError
        Its record names the set.
    """
    from lensaudit.finders.load import making_of

    if making_of(finder).seen_as(lens_set.content_hash):
        raise DataError(
            f"{lens_set.path}: trained {finder.name}, whose scores there are better than elsewhere; {advice}"
        )


def facts_of(result: Evaluation) -> MeasuredFacts:
    """Counts, threshold, and each metric of an evaluation, as a finder's record keeps them."""
    from lensaudit.finders.facts import MeasuredFacts

    counted = {"n": result.counts.n, "n_lenses": result.n_lenses, "n_non_lenses": result.n_non_lenses}
    metrics = {metric.name: metric.to_json() for metric in result.metrics}
    for words in metrics.values():
        del words["name"]
    called = {"n_unscored": result.n_unscored, "threshold": result.threshold, "beta": result.beta}
    return MeasuredFacts.model_validate({**counted, **called, **metrics})
