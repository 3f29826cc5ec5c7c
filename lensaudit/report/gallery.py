"""Which images are shown, and their occlusion maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.numbers import decimal, plural
from lensaudit.report.options import AuditOptions
from lensaudit.report.pieces import Progress, keep_arrays, kept_arrays, key_of, short_name

FACTS = (
    ("theta_e_arcsec", "θ_E {}″", 2),
    ("arc_snr", "arc S/N {}", 0),
    ("mag_source_VIS", "source {} mag (VIS)", 1),
)


def gallery_block(
    finder: Any, lens_set: Any, p: np.ndarray, out: Path, options: AuditOptions, progress: Progress
) -> dict[str, Any] | None:
    """Choose the images, map each by occlusion, and write pixels and map under ``arrays/``.

    Parameters
    ----------
    p
        Scores, float64 (n,); NaN where an image could not be scored.
    """
    if options.occlusion_n == 0:
        return None
    from lensaudit.explain import Occluder

    chosen = choose(lens_set.labels, p, finder.recipe.threshold, options.occlusion_n)
    occluder = Occluder(finder)
    total, done = sum(len(group["indices"]) for group in chosen), 0
    groups = []
    for group in chosen:
        entries = []
        for index in group.pop("indices"):
            progress("occlusion", done, total)
            entries.append(_entry(occluder, lens_set, int(index), float(p[index]), Path(out)))
            done += 1
        groups.append({**group, "entries": entries})
    progress("occlusion", done, total)
    grid = occluder.grid
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
            "Worst false alarms",
            f"Non-lenses with the highest p; {plural(int(alarms.sum()), 'false alarm')} in all.",
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
        ("Non-lenses with the highest p", "No false alarm at this threshold.", near, -p),
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


def _entry(occluder: Any, lens_set: Any, index: int, p: float, out: Path) -> dict[str, Any]:
    name = lens_set.ids[index]
    path, key = gallery_piece(occluder.finder, occluder.grid, lens_set, index)
    if kept_arrays(out / path, key) is None:
        cutouts = lens_set.cutouts([index])
        pixels = {f"band:{band}": images[0] for band, images in cutouts.items()}
        result = occluder.map(cutouts, name=name)
        keep_arrays(out / path, key, {"map": result.delta, "attribution": result.attribution, **pixels})
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
