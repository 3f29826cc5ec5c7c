"""What a user asks of `lensaudit dream`, checked before any work is done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lensaudit.errors import UsageError
from lensaudit.explaining.dreaming.dream import Dream
from lensaudit.explaining.dreaming.dream_fits import Card, identity_cards, read_dream_fits, write_dream_fits
from lensaudit.explaining.dreaming.exciting import SCAN
from lensaudit.explaining.dreaming.settings import (
    DreamSettings,
    Regularisation,
    cutout_start,
    noise_start,
    paper_settings,
    regularisation,
)
from lensaudit.explaining.dreaming.target import KernelTarget, Target
from lensaudit.explaining.explained_files import chosen_systems
from lensaudit.explaining.layers import find_layer
from lensaudit.finders import Finder
from lensaudit.lensset import LensSet
from lensaudit.lensset.coordinates import wcs_on_grid
from lensaudit.untrusted import file_stem

if TYPE_CHECKING:
    from astropy.wcs import WCS


@dataclass(frozen=True)
class Changes:
    """What is to differ from the paper's settings; None leaves them.

    Attributes
    ----------
    steps, rate, optimiser, bounds, objective, decay
        As in `DreamSettings`.
    seed
        Of the noise and the jitter.
    regularise
        As in `lensaudit.explaining.dreaming.settings.regularisation`.
    """

    steps: int | None = None
    rate: float | None = None
    optimiser: str | None = None
    bounds: str | None = None
    objective: str | None = None
    decay: float | None = None
    seed: int = 0
    regularise: str = ""

    def settings(self, kernels: bool, from_cutout: bool, size: int) -> DreamSettings:
        """The settings for classes or `kernels`, from noise or a cutout, for a finder of `size` pixels.

        Raises
        ------
        UsageError
            A value is not possible.
        """
        words = ("steps", "rate", "optimiser", "bounds", "objective", "decay")
        given = {word: value for word in words if (value := getattr(self, word)) is not None}
        regular = regularisation(self.regularise, size) if self.regularise else Regularisation()
        return replace(paper_settings(kernels, from_cutout), **given, seed=self.seed, regularisation=regular)


@dataclass(frozen=True, eq=False)
class DreamStart:
    """An image to begin from.

    Attributes
    ----------
    name
        Of the cutout; empty for noise.
    words
        The same for a legend.
    image
        Prepared (bands, size, size).
    wcs
        Coordinates of the finder's grid on the sky; None for noise.
    """

    name: str
    words: str
    image: torch.Tensor
    wcs: WCS | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the image."""
        return hashlib.sha256(self.image.cpu().contiguous().numpy().tobytes()).hexdigest()

    @property
    def stem(self) -> str:
        """Beginning of the names of files."""
        return f"{file_stem(self.name)}-" if self.name else ""


def from_noise(finder: Finder, seed: int) -> DreamStart:
    """The noise of that seed."""
    return DreamStart("", f"uniform noise, the same in every band, seed {seed}", noise_start(finder, seed))


def from_cutouts(finder: Finder, lens_set: LensSet, ids: Sequence[str]) -> tuple[DreamStart, ...]:
    """Systems of a set as starts, with the coordinates of the finder's first band.

    Raises
    ------
    UsageError
        No id is given, or one is not in the set.
    DataError
        The finder cannot take the set as input, or a cutout is constant or not finite.
    """
    if not ids:
        raise UsageError(f"--from {lens_set.path} needs --id ID (as often as you like), the systems to begin from")
    finder.check(lens_set)
    band, starts = finder.recipe.bands[0], []
    for index in chosen_systems(lens_set, ids, None, False):
        name = lens_set.ids[index]
        image = cutout_start(finder, lens_set.cutouts([index]), name)
        wcs = wcs_on_grid(lens_set.wcs(index, band), lens_set.shape[band], finder.recipe.size)
        label = {1: "lens ", 0: "non-lens "}.get(int(lens_set.labels[index]), "")
        starts.append(DreamStart(name, f"{label}{name} of {lens_set.path.name}", image, wcs))
    return tuple(starts)


@dataclass(frozen=True, eq=False)
class DreamWish:
    """All of one run.

    Attributes
    ----------
    targets
        Classes and kernels, from `chosen_targets`.
    starts
        From `from_noise` or `from_cutouts`.
    changes
        Of the paper's settings.
    beside
        Set whose most exciting cutouts are drawn; None draws none.
    scan
        Most cutouts of it to look at.
    brighten
        Per cent, see `prepared_rgb`.
    force
        Make anew what is there already.
    """

    targets: tuple[Target, ...]
    starts: tuple[DreamStart, ...]
    changes: Changes = Changes()
    beside: LensSet | None = None
    scan: int = SCAN
    brighten: float = 0.0
    force: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.brighten < float("inf"):
            raise UsageError(f"--brighten {self.brighten:g} is not possible; give per cent, as 150")
        if self.scan < 1:
            raise UsageError(f"--scan {self.scan} looks at nothing; give 1 or more")

    def groups(self) -> list[tuple[Target, ...]]:
        """The targets that are optimised together: classes, and the kernels of each layer."""
        found: dict[str, list[Target]] = {}
        for target in self.targets:
            found.setdefault(target.layer if isinstance(target, KernelTarget) else "", []).append(target)
        return [tuple(group) for group in found.values()]


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
