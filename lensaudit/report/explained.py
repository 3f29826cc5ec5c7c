"""A few systems explained for the page: occlusion maps, every method, dreams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.display.images import main_band
from lensaudit.display.numbers import decimal, plural
from lensaudit.errors import DataError
from lensaudit.explaining.judging.recommending import Found, advise, found_in, kind_of
from lensaudit.kept import Arrays
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.chapters import (
    DreamImage,
    Dreams,
    Gallery,
    GalleryEntry,
    GalleryGroup,
    MapEntry,
    MapMethod,
    Maps,
    MapScore,
)
from lensaudit.report.options import AuditOptions, arrays_piece, key_of, short_name
from lensaudit.spread import StageProgress

if TYPE_CHECKING:
    from lensaudit.explaining import Explainer
    from lensaudit.explaining.occluding.windows import Grid
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet

FACTS = (
    ("theta_e_arcsec", "θ_E {}″", 2),
    ("arc_snr", "arc S/N {}", 0),
    ("mag_source_VIS", "source {} mag (VIS)", 1),
)


def gallery_block(
    finder: Finder, lens_set: LensSet, p: np.ndarray, out: Path, options: AuditOptions, progress: StageProgress
) -> Gallery | None:
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
    total, done = sum(len(group.indices) for group in chosen), 0
    groups = []
    for group in chosen:
        entries = []
        for index in group.indices:
            progress("occlusion", done, total)
            entries.append(_entry(explainer, lens_set, index, float(p[index]), Path(out)))
            done += 1
        groups.append(GalleryGroup(group.title, group.note, tuple(entries)))
    progress("occlusion", done, total)
    grid = explainer.occluder.grid
    return Gallery(grid.patch, grid.stride, tuple(groups)) if total else None


@dataclass(frozen=True)
class Chosen:
    """Images that are shown for one reason, by their places in the set."""

    title: str
    note: str
    indices: tuple[int, ...]


def choose(labels: np.ndarray, p: np.ndarray, threshold: float, n: int) -> list[Chosen]:
    """Groups of at most `n` images; unlabelled sets get both ends of p.

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
    shown = np.isin(np.arange(len(p)), [index for group in groups for index in group.indices])
    near_hits, faint_hits = lost & ~shown & ~hits.any(), hits & ~shown & ~lost.any()
    near = other & known & ~shown & ~alarms.any()
    return groups + _groups(
        ("Misses with the highest p", "No lens is found at this threshold.", near_hits, -p),
        ("Hits with the lowest p", "No lens is lost at this threshold.", faint_hits, p),
        ("Non-lenses with the highest p", "No false positive at this threshold.", near, -p),
        n=n,
    )


def _both_ends(p: np.ndarray, known: np.ndarray, n: int) -> list[Chosen]:
    """Highest and lowest scores of cutouts without label; none is shown twice."""
    highest = _groups(("Highest scores", "Cutouts without label, highest p first.", known, -p), n=n)
    rest = known.copy()
    for group in highest:
        rest[list(group.indices)] = False
    return highest + _groups(("Lowest scores", "Cutouts without label, lowest p first.", rest, p), n=n)


def _groups(*named: tuple[str, str, np.ndarray, np.ndarray], n: int) -> list[Chosen]:
    groups = []
    for title, note, members, order in named:
        indices = np.flatnonzero(members)
        ranked = indices[np.argsort(order[indices], kind="stable")][:n]
        if len(ranked):
            groups.append(Chosen(title, note, tuple(int(index) for index in ranked)))
    return groups


def _entry(explainer: Explainer, lens_set: LensSet, index: int, p: float, out: Path) -> GalleryEntry:
    name = lens_set.ids[index]
    path, key = gallery_piece(explainer.finder, explainer.occluder.grid, lens_set, index)
    piece = arrays_piece(out, path, key)
    if piece.load() is None:
        cutouts = lens_set.cutouts([index])
        pixels = {f"band:{band}": images[0] for band, images in cutouts.items()}
        result = explainer.explain(cutouts, "occlusion", names=[name])
        assert result.patches is not None
        change = -result.patches.p_lost[0]  # kept as Wilde et al. 2022 count it, occluded − whole
        piece.write({"map": change, "attribution": result.maps[0], **pixels})
    band = main_band(lens_set.bands)
    width = lens_set.shape[band][1] * lens_set.pixel_scale_arcsec[band]
    return GalleryEntry(name, p, facts_of(lens_set, index), path, width)


def gallery_piece(finder: Finder, grid: Grid, lens_set: LensSet, index: int) -> tuple[str, str]:
    """Where the map of an image lies in the folder of the audit, and its key."""
    name = lens_set.ids[index]
    key = key_of(finder, lens_set, id=name, patch=grid.patch, stride=grid.stride, quantity="log-odds")
    return f"{ARRAYS}/occlusion-{short_name(name)}.npz", key


def facts_of(lens_set: LensSet, index: int) -> str:
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
    finder: Finder, lens_set: LensSet, p: np.ndarray, out: Path, options: AuditOptions, progress: StageProgress
) -> Maps | None:
    """Explain ``options.maps_n`` systems per group of the gallery by every method and write the maps under ``arrays/``.

    Parameters
    ----------
    p
        Scores, float64 (n,); NaN where an image could not be scored.

    Returns
    -------
    Maps or None
        None where none were asked for or no system has a score.
    """
    if options.maps_n == 0:
        return None
    from lensaudit.explaining import METHODS, Explainer

    explainer = Explainer(finder)
    chosen = [
        (group.title, index)
        for group in choose(lens_set.labels, p, finder.recipe.threshold, options.maps_n)
        for index in group.indices
    ]
    entries = []
    for done, (title, index) in enumerate(chosen):
        progress("maps of every method", done, len(chosen))
        entries.append(_map_entry(explainer, lens_set, index, (title, float(p[index])), Path(out)))
    progress("maps of every method", len(chosen), len(chosen))
    methods = tuple(
        MapMethod(
            name=method.name,
            title=method.title,
            paper=method.paper,
            known_to_fail=method.known_to_fail,
            notes=tuple(explainer.notes_on(method.name)),
            quantity=method.quantity,
        )
        for method in (METHODS[name] for name in explainer.methods)
    )
    kinds = dict.fromkeys(entry.kind for entry in entries)
    advice = tuple(advise(kind, finder.weights_hash, own_verdicts(finder, options)) for kind in kinds)
    return Maps(methods, tuple(entries), advice) if entries else None


def own_verdicts(finder: Finder, options: AuditOptions) -> dict[str, Found]:
    """Which methods the user's own judgement of the finder believes; empty without one.

    Raises
    ------
    DataError
        It is of another finder, or says nothing of this.
    """
    return {} if options.judged is None else found_in(options.judged, finder.name, finder.weights_hash)


def _map_entry(explainer: Explainer, lens_set: LensSet, index: int, shown: tuple[str, float], out: Path) -> MapEntry:
    """`shown`: title of its group, and p."""
    from lensaudit.explaining import METHODS

    finder, name = explainer.finder, lens_set.ids[index]
    band = main_band(lens_set.bands)
    path, key = maps_piece(finder, lens_set, index)
    arrays = arrays_piece(out, path, key).or_made(
        lambda: _explained(explainer, lens_set, index) | {f"band:{band}": lens_set.images(band, [index])[0]}
    )
    mask = _mask(finder, lens_set, index)
    return MapEntry(
        group=shown[0],
        id=name,
        p=shown[1],
        facts=facts_of(lens_set, index),
        array=path,
        fov_arcsec=lens_set.shape[band][1] * lens_set.pixel_scale_arcsec[band],
        area=None if mask is None else float(mask.mean()),
        scores={
            method: None if mask is None else _scores(arrays[MAP + method], mask, finder)
            for method in METHODS
            if MAP + method in arrays
        },
        failed={method: str(arrays[FAILED + method]) for method in METHODS if FAILED + method in arrays},
        kind=kind_of(lens_set, index),
    )


def maps_piece(finder: Finder, lens_set: LensSet, index: int) -> tuple[str, str]:
    """Where the maps of an image lie in the folder of the audit, and their key."""
    from lensaudit.explaining import METHODS
    from lensaudit.explaining.attribution.methods import default_methods

    name = lens_set.ids[index]
    quantities = {method: METHODS[method].quantity for method in default_methods(finder)}
    key = key_of(finder, lens_set, id=name, methods=quantities)
    return f"{ARRAYS}/maps-{short_name(name)}.npz", key


def _explained(explainer: Explainer, lens_set: LensSet, index: int) -> Arrays:
    found: Arrays = {}
    ready = explainer.prepare(lens_set.cutouts([index]), names=[lens_set.ids[index]])
    for method in explainer.methods:
        try:
            result = explainer.attribute(ready, method)
            found[MAP + method] = result.maps[0]
            found[TITLE + method], found[NOTES + method] = np.array(result.title), np.array(list(result.notes), str)
        except DataError as error:
            found[FAILED + method] = np.array(str(error))
    return found


def _mask(finder: Finder, lens_set: LensSet, index: int) -> np.ndarray | None:
    """Where lensed light is, on the finder's grid; None without truth or lensed light."""
    if not lens_set.has_truth:
        return None
    from lensaudit.explaining.judging.sample import truth_masks

    mask: np.ndarray = truth_masks(finder, lens_set, [index])[0]
    return mask if mask.any() else None


def _scores(values: np.ndarray, mask: np.ndarray, finder: Finder) -> MapScore:
    """Localisation of one map: fraction of the positive attribution, rank accuracy, and the pointing game."""
    from lensaudit.explaining.judging.scores import pointing_game, pointing_tolerance, positive_fraction, rank_accuracy

    tolerance = pointing_tolerance(finder.recipe.size, finder.field_arcsec)
    return MapScore(
        share=positive_fraction(values, mask),
        rank=rank_accuracy(values, mask),
        pointing=pointing_game(values, mask, tolerance),
    )


CLASSES = ("lens", "non-lens")


def dreams_block(
    finder: Finder, lens_set: LensSet, p: np.ndarray, out: Path, options: AuditOptions, progress: StageProgress
) -> Dreams | None:
    """Optimise noise and the best-scored cutout towards both classes; keeps the images under ``arrays/``.

    Parameters
    ----------
    p
        Scores, float64 (n,); NaN where an image could not be scored.

    Returns
    -------
    Dreams or None
        None where it was switched off, or the finder has no gradient.
    """
    if options.dream_steps == 0 or not finder.differentiable or finder.recipe.preprocessing:
        return None
    chosen, path, key = dreams_piece(finder, lens_set, p, options)
    name = None if chosen is None else lens_set.ids[chosen]
    arrays = arrays_piece(out, path, key).or_made(lambda: _dreamt(finder, lens_set, chosen, options, progress))
    images = (
        DreamImage(start, word, *(float(p) for p in arrays[f"p:{start}:{word}"]))
        for start in ("noise", "cutout")
        for word in CLASSES
        if f"{start}:{word}" in arrays
    )
    return Dreams(path, options.dream_steps, name, tuple(finder.recipe.bands), tuple(images))


def dreams_piece(
    finder: Finder, lens_set: LensSet, p: np.ndarray, options: AuditOptions
) -> tuple[int | None, str, str]:
    """Which image is dreamt of (None without any that has a score), where the dreams lie, and their key."""
    groups = choose(lens_set.labels, p, finder.recipe.threshold, 1)
    chosen = groups[0].indices[0] if groups else None
    name = None if chosen is None else lens_set.ids[chosen]
    key = key_of(finder, lens_set, steps=options.dream_steps, seed=options.seed, id=name)
    return chosen, f"{ARRAYS}/dreams.npz", key


def _dreamt(
    finder: Finder, lens_set: LensSet, chosen: int | None, options: AuditOptions, progress: StageProgress
) -> Arrays:
    """Start, image and p(lens) at start and end of both classes, from noise and from the chosen cutout."""
    from lensaudit.explaining.dreaming.dream import dream
    from lensaudit.explaining.dreaming.settings import class_target, cutout_start, noise_start, paper_settings

    targets = [class_target(word) for word in CLASSES]
    starts = {"noise": noise_start(finder, options.seed)}
    if chosen is not None:
        starts["cutout"] = cutout_start(finder, lens_set.cutouts([chosen]), lens_set.ids[chosen])
    arrays: Arrays = {}
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
