"""A few systems explained for the page: occlusion maps, every method, dreams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.display.numbers import decimal, plural
from lensaudit.errors import DataError
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.options import AuditOptions, arrays_piece, key_of, short_name
from lensaudit.spread import StageProgress

FACTS = (
    ("theta_e_arcsec", "θ_E {}″", 2),
    ("arc_snr", "arc S/N {}", 0),
    ("mag_source_VIS", "source {} mag (VIS)", 1),
)


def gallery_block(
    finder: Any, lens_set: Any, p: np.ndarray, out: Path, options: AuditOptions, progress: StageProgress
) -> dict[str, Any] | None:
    """Choose the images, map each by occlusion, and write pixels and map under ``arrays/``.

    Parameters
    ----------
    p
        Scores, float64 (n,); NaN where an image could not be scored.
    """
    if options.occlusion_n == 0:
        return None
    from lensaudit.explaining import Explainer

    chosen = choose(lens_set.labels, p, finder.recipe.threshold, options.occlusion_n)
    explainer = Explainer(finder)
    total, done = sum(len(group["indices"]) for group in chosen), 0
    groups = []
    for group in chosen:
        entries = []
        for index in group.pop("indices"):
            progress("occlusion", done, total)
            entries.append(_entry(explainer, lens_set, int(index), float(p[index]), Path(out)))
            done += 1
        groups.append({**group, "entries": entries})
    progress("occlusion", done, total)
    grid = explainer.occluder.grid
    return {"patch": grid.patch, "stride": grid.stride, "groups": groups} if total else None


def choose(labels: np.ndarray, p: np.ndarray, threshold: float, n: int) -> list[dict[str, Any]]:
    """Groups of at most `n` images with ``title``, ``note`` and ``indices``; unlabelled sets get both ends of p.

    No image is in two groups, and a group without an image is left out.
    """
    lens, other, known = labels == 1, labels == 0, np.isfinite(p)
    if not (lens | other).any():
        return _both_ends(p, known, n)
    called = p >= threshold
    hits, lost, alarms = lens & called, lens & known & ~called, other & called
    groups = _groups(
        ("Hits", f"Lenses with the highest p; {plural(int(hits.sum()), 'hit')} in all.", hits, -p),
        (
            "Worst misses",
            f"Lenses with the lowest p; {plural(int(lost.sum()), 'lens', 'lenses')} lost in all.",
            lost,
            p,
        ),
        (
            "Worst false positives",
            f"Non-lenses with the highest p; {plural(int(alarms.sum()), 'false positive')} in all.",
            alarms,
            -p,
        ),
        n=n,
    )
    shown = np.isin(np.arange(len(p)), np.concatenate([np.zeros(0, int), *(group["indices"] for group in groups)]))
    near_hits, faint_hits = lost & ~shown & ~hits.any(), hits & ~shown & ~lost.any()
    near = other & known & ~shown & ~alarms.any()
    return groups + _groups(
        ("Misses with the highest p", "No lens is found at this threshold.", near_hits, -p),
        ("Hits with the lowest p", "No lens is lost at this threshold.", faint_hits, p),
        ("Non-lenses with the highest p", "No false positive at this threshold.", near, -p),
        n=n,
    )


def _both_ends(p: np.ndarray, known: np.ndarray, n: int) -> list[dict[str, Any]]:
    """Highest and lowest scores of cutouts without label; none is shown twice."""
    highest = _groups(("Highest scores", "Cutouts without label, highest p first.", known, -p), n=n)
    rest = known.copy()
    for group in highest:
        rest[group["indices"]] = False
    return highest + _groups(("Lowest scores", "Cutouts without label, lowest p first.", rest, p), n=n)


def _groups(*named: tuple[str, str, np.ndarray, np.ndarray], n: int) -> list[dict[str, Any]]:
    groups = []
    for title, note, members, order in named:
        indices = np.flatnonzero(members)
        ranked = indices[np.argsort(order[indices], kind="stable")][:n]
        if len(ranked):
            groups.append({"title": title, "note": note, "indices": ranked})
    return groups


def _entry(explainer: Any, lens_set: Any, index: int, p: float, out: Path) -> dict[str, Any]:
    name = lens_set.ids[index]
    path, key = gallery_piece(explainer.finder, explainer.occluder.grid, lens_set, index)
    piece = arrays_piece(out, path, key)
    if piece.load() is None:
        cutouts = lens_set.cutouts([index])
        pixels = {f"band:{band}": images[0] for band, images in cutouts.items()}
        result = explainer.explain(cutouts, "occlusion", names=[name])
        change = -result.patches.p_lost[0]  # kept as Wilde et al. 2022 count it, occluded − whole
        piece.write({"map": change, "attribution": result.maps[0], **pixels})
    band = "VIS" if "VIS" in lens_set.bands else lens_set.bands[0]
    return {
        "id": name,
        "p": p,
        "facts": facts_of(lens_set, index),
        "array": path,
        "fov_arcsec": lens_set.shape[band][1] * lens_set.pixel_scale_arcsec[band],
    }


def gallery_piece(finder: Any, grid: Any, lens_set: Any, index: int) -> tuple[str, str]:
    """Where the map of an image lies in the folder of the audit, and its key."""
    name = lens_set.ids[index]
    key = key_of(finder, lens_set, id=name, patch=grid.patch, stride=grid.stride, quantity="log-odds")
    return f"{ARRAYS}/occlusion-{short_name(name)}.npz", key


def facts_of(lens_set: Any, index: int) -> str:
    """Kind and main properties of one system, as far as its catalogue has them."""
    words = []
    if "kind" in lens_set.columns:
        words.append(str(lens_set.column("kind")[index]))
    for column, text, digits in FACTS:
        if column in lens_set.columns:
            value = float(lens_set.column(column)[index])
            if np.isfinite(value):
                words.append(text.format(decimal(value, digits)))
    return ", ".join(word for word in words if word)


MAP = "map:"
FAILED = "failed:"
TITLE, NOTES = "title:", "notes:"


def maps_block(
    finder: Any, lens_set: Any, p: np.ndarray, out: Path, options: AuditOptions, progress: StageProgress
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
    from lensaudit.explaining import METHODS, Explainer

    explainer = Explainer(finder)
    chosen = [
        (group["title"], int(index))
        for group in choose(lens_set.labels, p, finder.recipe.threshold, options.maps_n)
        for index in group["indices"]
    ]
    entries = []
    for done, (title, index) in enumerate(chosen):
        progress("maps of every method", done, len(chosen))
        entries.append({"group": title, **_map_entry(explainer, lens_set, index, float(p[index]), Path(out))})
    progress("maps of every method", len(chosen), len(chosen))
    methods = [
        {
            "name": method.name,
            "title": method.title,
            "paper": method.paper,
            "known_to_fail": method.known_to_fail,
            "quantity": method.quantity,
            "notes": list(explainer.notes_on(method.name)),
        }
        for method in (METHODS[name] for name in explainer.methods)
    ]
    return {"methods": methods, "entries": entries} if entries else None


def _map_entry(explainer: Any, lens_set: Any, index: int, p: float, out: Path) -> dict[str, Any]:
    from lensaudit.explaining import METHODS

    finder, name = explainer.finder, lens_set.ids[index]
    band = "VIS" if "VIS" in lens_set.bands else lens_set.bands[0]
    path, key = maps_piece(finder, lens_set, index)
    arrays = arrays_piece(out, path, key).or_made(
        lambda: _explained(explainer, lens_set, index) | {f"band:{band}": lens_set.images(band, [index])[0]}
    )
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
    from lensaudit.explaining import METHODS

    name = lens_set.ids[index]
    key = key_of(finder, lens_set, id=name, methods={one.name: one.quantity for one in METHODS.values()})
    return f"{ARRAYS}/maps-{short_name(name)}.npz", key


def _explained(explainer: Any, lens_set: Any, index: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    ready = explainer.prepare(lens_set.cutouts([index]), names=[lens_set.ids[index]])
    for method in explainer.methods:
        try:
            result = explainer.attribute(ready, method)
            found[MAP + method] = result.maps[0]
            found[TITLE + method], found[NOTES + method] = np.array(result.title), np.array(list(result.notes), str)
        except DataError as error:
            found[FAILED + method] = np.array(str(error))
    return found


def _mask(finder: Any, lens_set: Any, index: int) -> np.ndarray | None:
    """Where lensed light is, on the finder's grid; None without truth or lensed light."""
    if not lens_set.has_truth:
        return None
    from lensaudit.explaining.judging.sample import truth_masks

    mask: np.ndarray = truth_masks(finder, lens_set, [index])[0]
    return mask if mask.any() else None


def _scores(values: np.ndarray, mask: np.ndarray, finder: Any) -> dict[str, Any]:
    """Localisation of one map: fraction of the positive attribution, rank accuracy, and the pointing game."""
    from lensaudit.explaining.judging.scores import pointing_game, pointing_tolerance, positive_share, rank_accuracy

    tolerance = pointing_tolerance(finder.recipe.size, finder.field_arcsec)
    return {
        "share": positive_share(values, mask),
        "rank": rank_accuracy(values, mask),
        "pointing": pointing_game(values, mask, tolerance),
    }


CLASSES = ("lens", "non-lens")


def dreams_block(
    finder: Any, lens_set: Any, p: np.ndarray, out: Path, options: AuditOptions, progress: StageProgress
) -> dict[str, Any] | None:
    """Optimise noise and the best-scored cutout towards both classes; keeps the images under ``arrays/``.

    Parameters
    ----------
    p
        Scores, float64 (n,); NaN where an image could not be scored.

    Returns
    -------
    dict or None
        ``array``, ``steps``, ``id``, ``bands`` and ``images`` (start, target, p at start and end); None where it was
        switched off, or the finder has no gradient.
    """
    if options.dream_steps == 0 or not finder.differentiable:
        return None
    chosen, path, key = dreams_piece(finder, lens_set, p, options)
    name = None if chosen is None else lens_set.ids[chosen]
    arrays = arrays_piece(out, path, key).or_made(lambda: _dreamt(finder, lens_set, chosen, options, progress))
    return {
        "array": path,
        "steps": options.dream_steps,
        "id": name,
        "bands": list(finder.recipe.bands),
        "images": [
            {
                "start": start,
                "target": word,
                "p_start": float(arrays[f"p:{start}:{word}"][0]),
                "p_end": float(arrays[f"p:{start}:{word}"][1]),
            }
            for start in ("noise", "cutout")
            for word in CLASSES
            if f"{start}:{word}" in arrays
        ],
    }


def dreams_piece(finder: Any, lens_set: Any, p: np.ndarray, options: AuditOptions) -> tuple[int | None, str, str]:
    """Which image is dreamt of (None without any that has a score), where the dreams lie, and their key."""
    groups = choose(lens_set.labels, p, finder.recipe.threshold, 1)
    chosen = int(groups[0]["indices"][0]) if groups else None
    name = None if chosen is None else lens_set.ids[chosen]
    key = key_of(finder, lens_set, steps=options.dream_steps, seed=options.seed, id=name)
    return chosen, f"{ARRAYS}/dreams.npz", key


def _dreamt(
    finder: Any, lens_set: Any, chosen: int | None, options: AuditOptions, progress: StageProgress
) -> dict[str, np.ndarray]:
    """Start, image and p(lens) at start and end of both classes, from noise and from the chosen cutout."""
    from dataclasses import replace

    from lensaudit.explaining.dreaming.dream import dream
    from lensaudit.explaining.dreaming.settings import cutout_start, noise_start, paper_settings
    from lensaudit.explaining.dreaming.target import class_target

    targets = [class_target(word) for word in CLASSES]
    starts = {"noise": noise_start(finder, options.seed)}
    if chosen is not None:
        starts["cutout"] = cutout_start(finder, lens_set.cutouts([chosen]), lens_set.ids[chosen])
    arrays: dict[str, np.ndarray] = {}
    for number, (start, image) in enumerate(starts.items()):

        def report(done: int, total: int, before: int = number) -> None:
            progress("dreaming", before * total + done, len(starts) * total)

        settings = paper_settings(kernels=False, from_cutout=start == "cutout")
        settings = replace(settings, steps=options.dream_steps, seed=options.seed)
        made = dream(finder, targets, image, settings, progress=report)
        arrays[f"{start}:start"] = made[0].start
        for word, one in zip(CLASSES, made, strict=True):
            arrays[f"{start}:{word}"] = one.image
            arrays[f"p:{start}:{word}"] = np.array([one.p_lens[0], one.p_lens[-1]])
    return arrays
