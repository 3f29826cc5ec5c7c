"""Which images are judged: the first so many of each kind of scene, over one or several sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.explaining.judging.recommending import OF_LABEL
from lensaudit.finders import Finder
from lensaudit.finders.stretch import resized
from lensaudit.imaging import Instrument, noiseless_images
from lensaudit.imaging.truth import ARC_THRESHOLD_SIGMA
from lensaudit.lensset import LensSet, instrument_of
from lensaudit.scenes import Scene
from lensaudit.scenes.scene import KINDS, LENS_KINDS

HALF = 0.5


def truth_masks(finder: Finder, lens_set: LensSet, systems: Sequence[int]) -> NDArray[np.bool_]:
    """Where the finder is shown lensed light, in any of its bands: bool (n, size, size).

    Raises
    ------
    DataError
        The set has no truth.
    """
    index = np.asarray(systems, dtype=np.intp)
    return on_grid({band: lens_set.mask(band, index) for band in finder.recipe.bands}, finder.recipe.size)


def on_grid(masks: Mapping[str, NDArray[np.bool_]], size: int) -> NDArray[np.bool_]:
    """Native masks (n, h, w) of several bands → their union (n, size, size) on a finder's grid.

    A pixel is inside where at least half of the weight by which the finder's own resize composes it falls on inside
    pixels. So the mask follows what the finder is shown, whatever the ratio of pixel sizes; counting native pixels by
    area would blur differently from the image itself.
    """
    found: NDArray[np.bool_] | None = None
    for native in masks.values():
        weight = resized(torch.from_numpy(np.asarray(native, dtype=np.float32)), size).numpy()
        inside = weight >= HALF - 1e-6  # sums of float32 weights: exactly half must not depend on rounding
        found = inside if found is None else found | inside
    if found is None:
        raise ValueError("no band, so no mask")
    return found


COMPOUND_KINDS = ("compound-arcs", "compound-rings")
NEARER, FARTHER = "mid", "source"
FEWEST_PIXELS = 4
"""Of either source, on the finder's grid; with fewer there is nothing to look at."""

Light = dict[str, NDArray[np.float32]]


def light_of(scene: Scene, role: str, instrument: Instrument) -> Light:
    """Noiseless light of the galaxies of one role after the PSF: band → (h, w) in electron/s.

    All other galaxies keep their mass and lose their light, so that the rays run as in the whole scene and the parts
    add up to it. (Removing the far source instead would change the shear, which is quoted for the farthest lensed
    galaxy, and so move the nearer one's images.)
    """
    galaxies = tuple(g if g.role == role else replace(g, light=()) for g in scene.galaxies)
    dark = replace(scene, galaxies=galaxies)
    return {band: light.astype(np.float32) for band, light in noiseless_images(dark, instrument).items()}


@dataclass(frozen=True, eq=False)
class TwoSources:
    """Both sources of n compound lenses on a finder's grid.

    Attributes
    ----------
    nearer, farther
        Where that source's light exceeds 0.5 σ of the background in any of the finder's bands and is the brighter of
        the two, bool (n, size, size); no pixel is in both.
    light
        Both sources' light together, summed over the finder's bands in units of each band's σ, (n, size, size).
    lensed
        Whether the nearer source's light is lensed, as in nature (n).
    """

    nearer: NDArray[np.bool_]
    farther: NDArray[np.bool_]
    light: NDArray[np.float32]
    lensed: NDArray[np.bool_]

    @property
    def apart(self) -> NDArray[np.bool_]:
        """Whether each source has pixels enough of its own to be looked at, bool (n)."""
        pixels = [part.sum(axis=(1, 2)) for part in (self.nearer, self.farther)]
        return np.minimum(*pixels) >= FEWEST_PIXELS

    @classmethod
    def joined(cls, parts: Sequence[TwoSources]) -> TwoSources:
        """Those of several calls, one after the other; at least one is needed."""
        return cls(
            np.concatenate([part.nearer for part in parts]),
            np.concatenate([part.farther for part in parts]),
            np.concatenate([part.light for part in parts]),
            np.concatenate([part.lensed for part in parts]),
        )

    def rows(self, index: Sequence[int]) -> TwoSources:
        """The sources of some of the lenses."""
        keep = np.asarray(index, dtype=np.intp)
        return TwoSources(self.nearer[keep], self.farther[keep], self.light[keep], self.lensed[keep])


def two_sources(finder: Finder, lens_set: LensSet, systems: Sequence[int]) -> TwoSources:
    """Render both sources of compound lenses apart.

    Raises
    ------
    DataError
        A system is no simulated compound lens.
    UsageError
        The set does not hold its instrument, which is none of ours.
    """
    instrument = instrument_of(lens_set)
    scenes = [_compound_scene(lens_set, system) for system in systems]
    parts = [[light_of(scene, role, instrument) for scene in scenes] for role in (NEARER, FARTHER)]
    seen = [_mask(finder, instrument, lights) for lights in parts]
    light = [_in_sigma(finder, instrument, lights) for lights in parts]
    farther_brighter = light[1] > light[0]
    lensed = [all(g.lensed for g in scene.galaxies if g.role == NEARER) for scene in scenes]
    return TwoSources(
        nearer=seen[0] & ~(seen[1] & farther_brighter),
        farther=seen[1] & (farther_brighter | ~seen[0]),
        light=light[0] + light[1],
        lensed=np.asarray(lensed, dtype=bool),
    )


def _compound_scene(lens_set: LensSet, system: int) -> Scene:
    scene = lens_set.scene(system)
    if scene is None or scene.kind not in COMPOUND_KINDS:
        kind = "has no scene" if scene is None else f"is '{scene.kind}'"
        raise DataError(f"{lens_set.path}: system {lens_set.ids[system]} {kind}; give simulated compound lenses")
    return scene


def _mask(finder: Finder, instrument: Instrument, lights: Sequence[Light]) -> NDArray[np.bool_]:
    native = {}
    for band in finder.recipe.bands:
        threshold = ARC_THRESHOLD_SIGMA * instrument.band(band).background_sigma
        native[band] = np.stack([light[band] > threshold for light in lights])
    return on_grid(native, finder.recipe.size)


def _in_sigma(finder: Finder, instrument: Instrument, lights: Sequence[Light]) -> NDArray[np.float32]:
    size = finder.recipe.size
    total = np.zeros((len(lights), size, size), np.float32)
    for band in finder.recipe.bands:
        native = np.stack([light[band] for light in lights]) / instrument.band(band).background_sigma
        total += resized(torch.from_numpy(native.astype(np.float32)), size).numpy()
    return total


AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class System:
    """One image of a set; `tag` tells sets apart that use the same names."""

    lens_set: LensSet
    index: int
    tag: str

    @property
    def name(self) -> str:
        """The set and its name in it."""
        return f"{self.tag}/{self.lens_set.ids[self.index]}"


@dataclass(frozen=True, eq=False)
class KindSample:
    """The images of one kind.

    Attributes
    ----------
    kind
        Kind of scene; for sets that tell none ``lens``, ``non-lens`` or ``unlabelled``.
    systems
        The images.
    masks
        Truth on the finder's grid, bool (n, size, size); None where there is none, see `no_mask`.
    no_mask
        Why there are no masks; empty if there are.
    sources
        Of compound lenses, the light of each source; else None.
    """

    kind: str
    systems: tuple[System, ...]
    masks: NDArray[np.bool_] | None
    no_mask: str
    sources: TwoSources | None = None

    def __len__(self) -> int:
        return len(self.systems)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images."""
        return tuple(system.name for system in self.systems)

    def pieces(self, finder: Finder, first: int = 0) -> Iterator[tuple[range, torch.Tensor]]:
        """Rows and prepared images (m, bands, size, size) of a few systems at a time, from row `first` on."""
        for begin in range(first, len(self), AT_ONCE):
            rows = range(begin, min(begin + AT_ONCE, len(self)))
            yield rows, prepared(finder, [self.systems[row] for row in rows])


def prepared(finder: Finder, systems: Sequence[System]) -> torch.Tensor:
    """Prepared images (n, bands, size, size) of systems that may come from several sets."""
    return torch.cat([finder.preprocess(one.lens_set.cutouts([one.index]), [one.name]) for one in systems])


def choose(
    finder: Finder,
    sets: Sequence[LensSet],
    per_kind: int,
    kinds: Sequence[str] = (),
    *,
    both_sources: bool = True,
) -> tuple[tuple[KindSample, ...], dict[str, str]]:
    """The first `per_kind` usable images of each kind (with `kinds`, of these alone), and why others were left out.

    With `both_sources`, of compound lenses those come first whose two sources can both be seen on the finder's grid;
    each source is rendered for that.

    Raises
    ------
    DataError
        The finder cannot take a set as input, or no image can be used.
    """
    left_out: dict[str, str] = {}
    by_kind: dict[str, list[System]] = {}
    for tag, lens_set in zip(_tags(sets), sets, strict=True):
        finder.check(lens_set)
        for index, kind in enumerate(kinds_of(lens_set)):
            if not kinds or kind in kinds:
                by_kind.setdefault(kind, []).append(System(lens_set, index, tag))
    order = {kind: place for place, kind in enumerate(KINDS)}
    samples = []
    for kind in sorted(by_kind, key=lambda kind: (order.get(kind, len(order)), kind)):
        sample = _sample_of(finder, kind, by_kind[kind], (per_kind, both_sources), left_out)
        samples += [sample] if len(sample) else []
    if not samples:
        why = next(iter(left_out.values()), "there is none")
        raise DataError(f"{sets[0].path if sets else 'no set'}: no image can be judged ({why})")
    return tuple(samples), left_out


def kinds_of(lens_set: LensSet) -> list[str]:
    """Kind of scene of every system, or what its label says where the set tells no kinds."""
    if "kind" in lens_set.columns:
        return [str(kind) for kind in lens_set.column("kind")]
    return [OF_LABEL.get(int(label), "unlabelled") for label in lens_set.labels]


def _tags(sets: Sequence[LensSet]) -> list[str]:
    """Names of the sets' folders, numbered where two are alike."""
    names = [lens_set.path.resolve().name for lens_set in sets]
    return [name if names.count(name) == 1 else f"{name}-{place}" for place, name in enumerate(names, 1)]


def _sample_of(
    finder: Finder, kind: str, systems: Sequence[System], wanted: tuple[int, bool], left_out: dict[str, str]
) -> KindSample:
    """`wanted`: how many, and whether both sources of compound lenses are to be seen."""
    per_kind, both_sources = wanted
    with_scenes = [one for one in systems if one.lens_set.has_scenes] if both_sources else []
    if kind in COMPOUND_KINDS and with_scenes:
        return _compound_sample(finder, kind, with_scenes, per_kind, left_out)
    return _with_masks(finder, KindSample(kind, _usable(finder, systems, per_kind, left_out), None, ""))


def _compound_sample(
    finder: Finder, kind: str, systems: Sequence[System], per_kind: int, left_out: dict[str, str]
) -> KindSample:
    """Reads on until there are enough of which both sources can be seen; others fill up the rest."""
    found: list[tuple[System, TwoSources]] = []
    for first in range(0, len(systems), AT_ONCE):
        some = _usable(finder, systems[first : first + AT_ONCE], AT_ONCE, left_out)
        found += [(one, two_sources(finder, one.lens_set, [one.index])) for one in some]
        if sum(bool(sources.apart[0]) for _, sources in found) >= per_kind:
            break
    chosen = sorted(found, key=lambda pair: not pair[1].apart[0])[:per_kind]
    sample = _with_masks(finder, KindSample(kind, tuple(one for one, _ in chosen), None, ""))
    return replace(sample, sources=TwoSources.joined([sources for _, sources in chosen])) if chosen else sample


def _usable(finder: Finder, systems: Sequence[System], wanted: int, left_out: dict[str, str]) -> tuple[System, ...]:
    """The first `wanted` whose bands can all be scaled; the others met on the way are noted."""
    found: list[System] = []
    for one in systems:
        if len(found) == wanted:
            break
        cutouts = one.lens_set.cutouts([one.index])
        if bool(finder.prepare(cutouts)[1].all()):
            found.append(one)
        else:
            left_out[one.name] = finder.fault(cutouts, 0)
    return tuple(found)


def _with_masks(finder: Finder, sample: KindSample) -> KindSample:
    if not all(one.lens_set.has_truth for one in sample.systems):
        return replace(sample, no_mask="no truth: the set was not simulated")
    if sample.kind not in LENS_KINDS:
        return replace(sample, no_mask="no truth mask: nothing is lensed")
    masks = [truth_masks(finder, one.lens_set, [one.index]) for one in sample.systems]
    return replace(sample, masks=np.concatenate(masks)) if masks else sample
