"""A few systems explained by every method, each map with its scores against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.errors import DataError
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.gallery import choose, facts_of
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import Progress, keep_arrays, kept_arrays, key_of, short_name

MAP = "map:"
FAILED = "failed:"
TITLE, NOTES = "title:", "notes:"


def maps_block(
    finder: Any, lens_set: Any, p: np.ndarray, out: Path, options: AuditOptions, progress: Progress
) -> dict[str, Any] | None:
    """Explain ``options.maps_n`` systems per group of the gallery by every method and write the maps under ``arrays/``.

    Parameters
    ----------
    p
        Scores, float64 (n,); NaN where an image could not be scored.

    Returns
    -------
    dict or None
        ``methods`` (name, title, paper, notes) and ``entries`` (id, p, facts, array, ``scores`` per method); None
        where none were asked for or no system has a score.
    """
    if options.maps_n == 0:
        return None
    from lensaudit.explain import METHODS, applicable_methods
    from lensaudit.explain.attribution.explain import notes_on
    from lensaudit.explain.attribution.methods import Target

    target = Target(finder)
    chosen = [
        (group["title"], int(index))
        for group in choose(lens_set.labels, p, finder.recipe.threshold, options.maps_n)
        for index in group["indices"]
    ]
    entries = []
    for done, (title, index) in enumerate(chosen):
        progress("maps of every method", done, len(chosen))
        entries.append({"group": title, **_entry(finder, lens_set, index, float(p[index]), Path(out))})
    progress("maps of every method", len(chosen), len(chosen))
    methods = [
        {
            "name": method.name,
            "title": method.title,
            "paper": method.paper,
            "known_to_fail": method.known_to_fail,
            "quantity": method.quantity,
            "notes": list(notes_on(method, target)),
        }
        for method in (METHODS[name] for name in applicable_methods(finder))
    ]
    return {"methods": methods, "entries": entries} if entries else None


def _entry(finder: Any, lens_set: Any, index: int, p: float, out: Path) -> dict[str, Any]:
    from lensaudit.explain import METHODS

    name = lens_set.ids[index]
    band = "VIS" if "VIS" in lens_set.bands else lens_set.bands[0]
    path, key = maps_piece(finder, lens_set, index)
    arrays = kept_arrays(out / path, key)
    if arrays is None:
        arrays = _explained(finder, lens_set, index) | {f"band:{band}": lens_set.images(band, [index])[0]}
        keep_arrays(out / path, key, arrays)
    mask = _mask(finder, lens_set, index)
    return {
        "id": name,
        "p": p,
        "facts": facts_of(lens_set, index),
        "array": path,
        "fov_arcsec": lens_set.shape[band][1] * lens_set.pixel_scale_arcsec[band],
        "area": None if mask is None else float(mask.mean()),
        "scores": {
            method: None if mask is None else _scores(arrays[MAP + method], mask, finder)
            for method in METHODS
            if MAP + method in arrays
        },
        "failed": {method: str(arrays[FAILED + method]) for method in METHODS if FAILED + method in arrays},
    }


def maps_piece(finder: Any, lens_set: Any, index: int) -> tuple[str, str]:
    """Where the maps of an image lie in the folder of the audit, and their key."""
    from lensaudit.explain import METHODS

    name = lens_set.ids[index]
    key = key_of(finder, lens_set, id=name, methods={one.name: one.quantity for one in METHODS.values()})
    return f"{ARRAYS}/maps-{short_name(name)}.npz", key


def _explained(finder: Any, lens_set: Any, index: int) -> dict[str, np.ndarray]:
    from lensaudit.explain import applicable_methods, explain

    found: dict[str, np.ndarray] = {}
    cutouts = lens_set.cutouts([index])
    for method in applicable_methods(finder):
        try:
            result = explain(finder, cutouts, method)
            found[MAP + method] = result.maps[0]
            found[TITLE + method], found[NOTES + method] = np.array(result.title), np.array(list(result.notes), str)
        except DataError as error:
            found[FAILED + method] = np.array(str(error))
    return found


def _mask(finder: Any, lens_set: Any, index: int) -> np.ndarray | None:
    """Where lensed light is, on the finder's grid; None without truth or lensed light."""
    if not lens_set.has_truth:
        return None
    from lensaudit.explain.judging.truth_masks import truth_masks

    mask: np.ndarray = truth_masks(finder, lens_set, [index])[0]
    return mask if mask.any() else None


def _scores(values: np.ndarray, mask: np.ndarray, finder: Any) -> dict[str, Any]:
    """Localisation of one map: fraction of the positive attribution, rank accuracy, and the pointing game."""
    from lensaudit.explain.judging.localisation import pointing_game, pointing_tolerance, positive_share, rank_accuracy

    tolerance = pointing_tolerance(finder.recipe.size, finder.field_arcsec)
    return {
        "share": positive_share(values, mask),
        "rank": rank_accuracy(values, mask),
        "pointing": pointing_game(values, mask, tolerance),
    }
