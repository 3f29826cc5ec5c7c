"""What the finder holds for a lens: class images from noise, and Deep Dreams of one lens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.gallery import choose
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import Progress, keep_arrays, kept_arrays, key_of

CLASSES = ("lens", "non-lens")


def dreams_block(
    finder: Any, lens_set: Any, p: np.ndarray, out: Path, options: AuditOptions, progress: Progress
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
    arrays = kept_arrays(Path(out) / path, key)
    if arrays is None:
        arrays = _dreamt(finder, lens_set, chosen, options, progress)
        keep_arrays(Path(out) / path, key, arrays)
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
    finder: Any, lens_set: Any, chosen: int | None, options: AuditOptions, progress: Progress
) -> dict[str, np.ndarray]:
    """Start, image and p(lens) at start and end of both classes, from noise and from the chosen cutout."""
    from dataclasses import replace

    from lensaudit.explain.dreaming.dream import dream
    from lensaudit.explain.dreaming.settings import paper_settings
    from lensaudit.explain.dreaming.start import cutout_start, noise_start
    from lensaudit.explain.dreaming.target import class_target

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
