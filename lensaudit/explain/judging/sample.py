"""Which images are judged: the first so many of each kind of scene, over one or several sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.explain.judging.truth_masks import truth_masks
from lensaudit.explain.judging.two_sources import COMPOUND_KINDS, TwoSources, two_sources
from lensaudit.finders import Finder
from lensaudit.lensset import LensSet
from lensaudit.scenes.scene import KINDS, LENS_KINDS

AT_ONCE = 8
_OF_LABEL = {1: "lens", 0: "non-lens", -1: "unlabelled"}


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

    def pieces(self, finder: Finder) -> Iterator[tuple[range, torch.Tensor]]:
        """Rows and prepared images (m, bands, size, size) of a few systems at a time."""
        for first in range(0, len(self), AT_ONCE):
            rows = range(first, min(first + AT_ONCE, len(self)))
            yield rows, prepared(finder, [self.systems[row] for row in rows])


def prepared(finder: Finder, systems: Sequence[System]) -> torch.Tensor:
    """Prepared images (n, bands, size, size) of systems that may come from several sets."""
    return torch.cat([finder.preprocess(one.lens_set.cutouts([one.index]), [one.name]) for one in systems])


def choose(
    finder: Finder, sets: Sequence[LensSet], per_kind: int, kinds: Sequence[str] = ()
) -> tuple[tuple[KindSample, ...], dict[str, str]]:
    """The first `per_kind` usable images of each kind (with `kinds`, of these alone), and why others were left out.

    Of compound lenses those come first whose two sources can both be seen on the finder's grid.

    Raises
    ------
    DataError
        A set is not what the finder eats, or no image can be used.
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
        sample = _sample_of(finder, kind, by_kind[kind], per_kind, left_out)
        samples += [sample] if len(sample) else []
    if not samples:
        why = next(iter(left_out.values()), "there is none")
        raise DataError(f"{sets[0].path if sets else 'no set'}: no image can be judged ({why})")
    return tuple(samples), left_out


def kinds_of(lens_set: LensSet) -> list[str]:
    """Kind of scene of every system, or what its label says where the set tells no kinds."""
    if "kind" in lens_set.columns:
        return [str(kind) for kind in lens_set.column("kind")]
    return [_OF_LABEL.get(int(label), "unlabelled") for label in lens_set.labels]


def _tags(sets: Sequence[LensSet]) -> list[str]:
    """Names of the sets' folders, numbered where two are alike."""
    names = [lens_set.path.resolve().name for lens_set in sets]
    return [name if names.count(name) == 1 else f"{name}-{place}" for place, name in enumerate(names, 1)]


def _sample_of(
    finder: Finder, kind: str, systems: Sequence[System], per_kind: int, left_out: dict[str, str]
) -> KindSample:
    with_scenes = [one for one in systems if one.lens_set.header["has_scenes"]]
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
