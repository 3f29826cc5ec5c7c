"""Explanations: where a finder looks, what excites it, and how far to believe that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import index
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

import lensaudit.explaining as room
from lensaudit.api.calling import (
    AnyData,
    Data,
    Watcher,
    as_cutouts,
    as_finder,
    as_pair,
    as_sets,
    counting,
    folder_for,
    front_door,
    kept_with,
    temporary_folder,
    watching,
)
from lensaudit.errors import UsageError
from lensaudit.explaining import Dream, Explanation, Judgement, KernelStudy
from lensaudit.finders import Finder
from lensaudit.lensset import Cutouts as AnySet

Cutouts = Mapping[str, np.ndarray]
"""Band → native images (n, h, w)."""

System = str | int | np.integer[Any]
"""Id of a system, or its position in the set."""

Systems = System | Sequence[System] | NDArray[np.integer[Any]]


@front_door
def explain(
    finder: Finder | str | Path,
    data: AnyData | Cutouts,
    ids: Systems = 0,
    *,
    method: str = "integrated-gradients",
    seed: int = 0,
) -> Explanation:
    """Attribute a finder's log-odds of "lens" to the pixels of cutouts.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes; its module is left as it was.
    data
        A set, its folder, or cutouts: band → native images (n, h, w).
    ids
        Systems of the set, by id or position; of cutouts all are explained.
    method
        A key of `lensaudit.explaining.METHODS`: ``integrated-gradients``, ``gradcam``, ``occlusion`` …
    seed
        Of the noise, for methods that draw any.

    Returns
    -------
    Explanation
        Maps (n, size, size) on the finder's grid, with their sky coordinates where the set has some. Above 0, positive
        attribution: the pixel raises the log-odds.

    Raises
    ------
    UsageError
        No such method or system; the line lists those that exist. Also a `ValueError`.
    DataError
        A band is missing, constant or not finite, or the method cannot explain the finder. Also a `ValueError`.

    See Also
    --------
    occlusion : what hiding a patch does to the score.
    judge : how far such maps can be believed.

    Examples
    --------
    >>> import lensaudit as la
    >>> lenses = la.simulate("euclid", n=4, seed=7)
    >>> found = la.explain("ou66", lenses, "euclid-000002", method="input-x-gradient")
    >>> found.maps.shape
    (1, 66, 66)
    """
    loaded, cutouts, places = _cutouts(finder, data, ids)
    wcs = None
    if not isinstance(data, Mapping):
        opened, band = as_cutouts(data), loaded.recipe.bands[0]
        wcs = [opened.wcs(place, band) for place in places]
    return room.explain(loaded, cutouts, method, wcs=wcs, seed=seed)


def _cutouts(finder: Finder | str | Path, data: AnyData | Cutouts, ids: Systems) -> tuple[Finder, Cutouts, list[int]]:
    """The finder, the cutouts of the systems, and their positions in the set (none where cutouts were given)."""
    if isinstance(data, Mapping):
        return as_finder(finder), data, []
    loaded, opened = as_pair(finder, data)
    places = [_place(opened, one) for one in ([ids] if isinstance(ids, str | int | np.integer) else ids)]
    if not places:
        raise UsageError("ids names no system; give ids of the set, or positions")
    return loaded, opened.cutouts(places), places


def _place(data: AnySet, system: System) -> int:
    if isinstance(system, str):
        return room.chosen_systems(data, [system], None, False)[0]
    position = index(system)  # a TypeError for 0.5
    if not 0 <= position < len(data):
        raise UsageError(f"{data.path}: no system at position {position}; choose 0 to {len(data) - 1}")
    return position


@front_door
def occlusion(
    finder: Finder | str | Path,
    data: AnyData | Cutouts,
    ids: System = 0,
    *,
    patch: int | None = None,
    stride: int | None = None,
    engine: str = "exact",
    progress: bool | Watcher = False,
) -> Explanation:
    """Map where hiding a patch changes the score of one cutout.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes; its module is left as it was.
    data
        A set, its folder, or one cutout: band → native image (h, w).
    ids
        The system of the set, by id or position.
    patch, stride
        Pixels of the finder's grid; by default those of Wilde et al. 2022, the stride equal to the patch.
    engine
        ``exact`` recalculates only what a patch changes; ``captum`` is the reference, one forward pass per patch.
    progress
        Whether to show a bar, or a function called with (stage, done, total).

    Returns
    -------
    Explanation
        With one map, the log-odds less those with the patch hidden, and in ``patches.p_lost`` p(lens) less that with
        the patch hidden, the quantity of Wilde et al. 2022: above 0 speaks for a lens in both.

    Raises
    ------
    UsageError
        The patch, stride, engine or system is not possible. Also a `ValueError`.
    DataError
        A band is missing, constant or not finite. Also a `ValueError`.

    See Also
    --------
    explain : gradient methods, and occlusion of many cutouts.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.occlusion("ou66", la.simulate("euclid", n=2, seed=7), patch=11)
    >>> found.maps.shape, found.patches.patch, found.patches.stride
    ((1, 66, 66), 11, 11)
    """
    loaded, cutouts, _ = _cutouts(finder, data, ids)
    with watching(progress) as watch:
        report = counting(watch, f"occluding with {loaded.name}")
        return room.occlusion(loaded, cutouts, patch=patch, stride=stride, engine=engine, progress=report)


@front_door
def kernels(
    finder: Finder | str | Path,
    data: AnyData,
    *,
    top: int = 9,
    batch_size: int | None = None,
    progress: bool | Watcher = False,
) -> KernelStudy:
    """Find what excites each convolution kernel over a set, and what that correlates with among the lenses.

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A set, or its folder; correlations need its truth.
    top
        Cutouts at either end that are named.
    batch_size
        Images at a time; by default what runs fastest.
    progress
        Whether to show a bar, or a function called with (stage, done, total).

    Returns
    -------
    KernelStudy
        Mean, spread and extremes of every kernel, and Spearman correlations with the truth after Holm's correction.
        A correlation is no cause.

    Raises
    ------
    UsageError
        The module has no convolution, or `top` or `batch_size` is below 1. Also a `ValueError`.
    DataError
        The finder cannot take the set as input, or no image could be scored. Also a `ValueError`.

    See Also
    --------
    dream : an image that excites a kernel most.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.kernels("ou66", la.simulate("euclid", n=30, seed=7), top=3)
    >>> found.top.shape[1], len(found.kernels) == len(found.mean)
    (3, True)
    """
    loaded, opened = as_pair(finder, data)
    table = temporary_folder("kernel-activations.parquet")
    with watching(progress) as watch:
        report = counting(watch, f"kernels of {loaded.name}")
        values = room.kernel_activations(loaded, opened, table, batch_size=batch_size, progress=report)
    return kept_with(room.study_kernels(values, opened, top), table)


class DreamOptions(TypedDict, total=False):
    """What may differ from the paper's settings; see `lensaudit.explaining.DreamSettings` for each."""

    steps: int
    rate: float
    optimiser: str
    bounds: str
    objective: str
    decay: float
    regularise: str


@front_door
def dream(
    finder: Finder | str | Path,
    data: AnyData | None = None,
    ids: System = 0,
    *,
    target: str = "lens",
    seed: int = 0,
    progress: bool | Watcher = False,
    **options: Unpack[DreamOptions],
) -> Dream:
    """Make an image that excites a class or a kernel most (activation maximisation).

    Parameters
    ----------
    finder
        A finder with a gradient, or what `load_finder` takes.
    data, ids
        A set, or its folder, and the system to begin from, by id or position. None: begin from noise.
    target
        ``lens``, ``non-lens``, or a kernel as ``13:4`` (layer and number).
    seed
        Of the noise at the start.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.explaining.DreamOptions`; by default the settings of Wilde et al. 2022.

    Returns
    -------
    Dream
        ``image`` float32 (bands, size, size) as the finder sees it, and the way there.

    Raises
    ------
    UsageError
        The finder has no gradient, or there is no such target, system or setting. Also a `ValueError`.

    See Also
    --------
    kernels : which cutouts of a set excite a kernel most.

    Examples
    --------
    >>> import lensaudit as la
    >>> found = la.dream("ou66", target="lens", steps=20)
    >>> found.image.shape, bool(found.gain > 0)
    ((4, 66, 66), True)
    """
    from lensaudit.explaining.dreaming.settings import CLASSES, class_target, kernel_target

    loaded = as_finder(finder) if data is None else as_pair(finder, data)[0]
    chosen = class_target(target) if target in CLASSES or ":" not in target else kernel_target(loaded.module, target)
    settings = room.Changes(seed=seed, **options).settings(
        isinstance(chosen, room.KernelTarget), data is not None, loaded.recipe.size
    )
    if data is None:
        start = room.from_noise(loaded, seed)
    else:
        opened = as_cutouts(data)
        start = room.from_cutouts(loaded, opened, [opened.ids[_place(opened, ids)]])[0]
    with watching(progress) as watch:
        report = counting(watch, f"dreaming with {loaded.name}")
        [found] = room.dream(loaded, [chosen], start.image, settings, progress=report)
    return found


class JudgeOptions(TypedDict, total=False):
    """What is judged; see `lensaudit.explaining.JudgeSettings` for each."""

    parts: Sequence[str]
    few: int
    check_images: int
    fill: str
    seed: int
    kinds: Sequence[str]
    layers: bool


@front_door
def judge(
    finder: Finder | str | Path,
    data: Data | Sequence[Data],
    *,
    methods: Sequence[str] = (),
    per_kind: int = 20,
    out: Path | str | None = None,
    progress: bool | Watcher = False,
    **options: Unpack[JudgeOptions],
) -> Judgement:
    """Evaluate explanations: do they lie on the lensed light, does the finder use what they show, have they learnt it?

    Parameters
    ----------
    finder
        A finder, or what `load_finder` takes.
    data
        A set or several, or their folders; without truth there is no localisation, all else still comes.
    methods
        Methods of explanation; empty for all that apply.
    per_kind
        Images of each kind of scene.
    out
        Folder for tables, page and pictures; an interrupted run there goes on. None: the result is in memory alone.
    progress
        Whether to show a bar, or a function called with (stage, done, total).
    **options
        See `lensaudit.api.explaining.JudgeOptions`.

    Returns
    -------
    Judgement
        Every score beside chance and beside baselines that know nothing of the finder.

    Raises
    ------
    UsageError
        A method, part or number is not possible. Also a `ValueError`.
    DataError
        The finder cannot take the set as input, or no image can be used. Also a `ValueError`.

    See Also
    --------
    explain : the maps that are judged.

    Examples
    --------
    >>> import lensaudit as la
    >>> lenses = la.simulate("euclid", n=20, seed=7)
    >>> found = la.judge("ou66", lenses, methods=["input-x-gradient"], parts=["localisation"], per_kind=4)
    >>> found.finder
    'ou66'
    """
    pairs = [(as_pair(finder, one)[0], one) for one in as_sets(data)]
    words: dict[str, Any] = {**options, "methods": tuple(methods), "per_kind": per_kind}
    words |= {name: tuple(words[name]) for name in ("parts", "kinds") if name in words}
    settings = room.JudgeSettings(**words)
    loaded = pairs[0][0]
    applying = room.applicable_methods(loaded)
    if not methods:
        settings = replace(settings, methods=tuple(name for name in settings.methods if name in applying))
    with watching(progress) as watch, folder_for(out) as folder:
        told = room.Watcher(progress=partial(watch, f"judging {loaded.name}"))
        return room.judge(loaded, [opened for _, opened in pairs], folder, settings, told)
