"""Targets that are optimised together, and where their files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lensaudit.explain.dreaming.dream import Dream
from lensaudit.explain.dreaming.dream_fits import Card, identity_cards, read_dream_fits, write_dream_fits
from lensaudit.explain.dreaming.settings import DreamSettings
from lensaudit.explain.dreaming.target import KernelTarget, Target
from lensaudit.explain.dreaming.wish import DreamStart, DreamWish
from lensaudit.explain.layers import find_layer
from lensaudit.finders import Finder
from lensaudit.untrusted import file_stem


@dataclass(frozen=True, eq=False)
class Group:
    """Classes, or kernels of one layer, from one start.

    Attributes
    ----------
    finder, targets, start, settings
        One optimisation.
    out
        Folder of its files.
    """

    finder: Finder
    targets: tuple[Target, ...]
    start: DreamStart
    settings: DreamSettings
    out: Path

    @property
    def layer(self) -> str | None:
        """Name of the layer; None for classes."""
        first = self.targets[0]
        return first.layer if isinstance(first, KernelTarget) else None

    @property
    def whole_layer(self) -> bool:
        """Whether all kernels of the layer are there."""
        return self.layer is not None and len(self.targets) == find_layer(self.finder.module, self.layer).kernels

    @property
    def stem(self) -> str:
        """Name of its files but for the ending."""
        return self.start.stem + ("classes" if self.layer is None else f"layer-{file_stem(self.layer)}")

    @property
    def words(self) -> str:
        """For a progress bar."""
        what = "classes" if self.layer is None else f"layer {self.layer}"
        return f"{what} from {self.start.name or 'noise'}"

    @property
    def checkpoint(self) -> Path:
        """State of an interrupted optimisation."""
        return self.out / f".{self.stem}.checkpoint"

    def path(self, target: Target) -> Path:
        """The FITS file of one target."""
        return self.out / f"{self.start.stem}{file_stem(target.stem)}.fits"

    def cards(self, target: Target) -> list[Card]:
        """What makes two images the same."""
        return identity_cards(self.finder, target, self.settings, self.start.name, self.start.hash)

    def read(self, target: Target) -> Dream | None:
        """The dream that is there already; None if there is none such."""
        return read_dream_fits(self.path(target), target, self.settings, self.cards(target))

    def write(self, dream: Dream) -> None:
        """Write a dream's FITS file."""
        write_dream_fits(self.path(dream.target), dream, self.cards(dream.target), self.start.wcs)


def groups_of(finder: Finder, wish: DreamWish, out: Path) -> list[Group]:
    """All optimisations of a wish; their settings are checked here, before the first begins.

    Raises
    ------
    UsageError
        A setting is not possible.
    """
    made = []
    for start in wish.starts:
        for targets in wish.groups():
            kernels = isinstance(targets[0], KernelTarget)
            settings = wish.changes.settings(kernels, bool(start.name), finder.recipe.size)
            made.append(Group(finder, targets, start, settings, out))
    return made
