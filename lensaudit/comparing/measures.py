"""What one finder's scores on one set come to."""

from __future__ import annotations

from typing import Any

from lensaudit.comparing.entrants import Entrant
from lensaudit.comparing.scoring import FirstImages
from lensaudit.evaluation import calibrate, evaluate
from lensaudit.finders import Scores, pixel_record


def row_of(entrant: Entrant, images: FirstImages, scores: Scores, seed: int) -> dict[str, Any]:
    """Metrics, ROC curve and calibration with their intervals, as JSON.

    Returns
    -------
    dict
        ``finder``, ``n…``, ``metrics`` (name → value, low, high, n, method, status), ``counts`` at the finder's
        threshold, ``roc``, ``calibration``, ``seen`` (``training`` where the finder learnt from this very set),
        ``unused_bands`` (of the set, that the finder does not look at), ``other_pixels`` (in which band the set's
        pixels are not those of its training), ``pixels`` (see `lensaudit.finders.pixel_record`).
    """
    labels, recipe = images.labels, entrant.finder.recipe
    result = evaluate(labels, scores.p_lens, scores.logit, threshold=recipe.threshold, seed=seed).as_json()
    metrics = {metric["name"]: metric for metric in result["metrics"]}
    counted = ("n", "n_lenses", "n_non_lenses", "n_unlabelled", "n_unscored", "threshold", "counts", "roc")
    return {
        "finder": entrant.label,
        **{name: result[name] for name in counted},
        "metrics": metrics,
        "calibration": calibrate(labels, scores.p_lens, seed).as_json(),
        "seen": entrant.has_seen(images.lens_set.content_hash),
        "unused_bands": list(entrant.finder.unused_bands(images.lens_set)),
        "other_pixels": entrant.finder.other_pixels(images.lens_set),
        "pixels": pixel_record(entrant.finder, images.lens_set, scores.clipping),
    }
