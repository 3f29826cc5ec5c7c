"""What a user asks of `lensaudit dream`, checked before any work is done, and each dream of it as FITS."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.errors import LensauditError, UsageError
from lensaudit.explaining.dreaming.dream import Dream
from lensaudit.explaining.dreaming.exciting import SCAN
from lensaudit.explaining.dreaming.settings import (
    ClassTarget,
    DreamSettings,
    KernelTarget,
    Regularisation,
    Target,
    cutout_start,
    noise_start,
    paper_settings,
    regularisation,
)
from lensaudit.explaining.explained_files import chosen_systems
from lensaudit.explaining.layers import find_layer
from lensaudit.files import replacing
from lensaudit.finders import Finder
from lensaudit.fits_input import open_fits
from lensaudit.lensset import Cutouts
from lensaudit.lensset.coordinates import wcs_on_grid
from lensaudit.provenance import provenance
from lensaudit.untrusted import file_stem, in_header

Card = tuple[str, Any, str]

START, CURVE, SCORES, PATH = "START", "CURVE", "P_LENS", "PATH"


def identity_cards(finder: Finder, target: Target, settings: DreamSettings, start: str, start_hash: str) -> list[Card]:
    """Header cards that say what an image is; two files with equal cards hold the same image, up to rounding.

    Parameters
    ----------
    finder, target, settings
        What was maximised, and how.
    start
        Name of the cutout it began from; empty for noise.
    start_hash
        SHA-256 of the image it began from.
    """
    regular = settings.regularisation
    return [
        ("OBJECT", in_header(target.name), ""),
        ("FINDER", in_header(finder.name), ""),
        ("FNDHASH", finder.weights_hash, ""),
        ("BEGAN", in_header(start) if start else "uniform noise", ""),
        ("BEGHASH", start_hash, ""),
        ("MAXIMISE", settings.objective if isinstance(target, ClassTarget) else "mean before ReLU", ""),
        ("STEPS", settings.steps, "steps"),
        ("RATE", settings.rate, "size of a step"),
        ("OPTIM", settings.optimiser, "ascent or adam"),
        ("BOUNDS", settings.bounds, "what keeps pixels in [0, 1]"),
        ("DECAY", settings.decay, "weight decay"),
        ("SEED", settings.seed, "of noise and jitter"),
        ("JITTER", regular.jitter, "[pixel] regularisation"),
        ("TV", regular.tv, "regularisation, share of the gradient"),
        ("FOURIER", regular.fourier, "regularisation"),
    ]


def write_dream_fits(path: Path, dream: Dream, cards: list[Card], wcs: WCS | None) -> None:
    """Write the dream.

    Primary: the image (bands, size, size) as the finder sees it. ``START``: where it began. ``CURVE``: a row per step
    with the objective. ``P_LENS``: p(lens) at the steps where it was read. ``PATH``: images on the way, clipped to
    [0, 1], in 255ths.

    Parameters
    ----------
    path
        FITS file; written whole or not at all.
    dream
        The dream.
    cards
        Of `identity_cards`.
    wcs
        World coordinates of the finder's grid, where it began from a cutout that has any.

    Raises
    ------
    MachineError
        The disk is full.
    """
    header = fits.Header() if wcs is None else wcs.to_header(relax=True)
    header.extend([fits.Card(*card) for card in [*cards, *_facts(dream)]])
    header.add_history(in_header(provenance()["command"]))
    steps = np.arange(len(dream.values))
    hdus = [
        fits.PrimaryHDU(dream.image, header),
        fits.ImageHDU(dream.start, name=START),
        _table(CURVE, step=steps, value=dream.values),
        _table(SCORES, step=dream.p_steps, p_lens=dream.p_lens),
        fits.ImageHDU(dream.path, name=PATH),
        _table("PATHSTEP", step=dream.path_steps),
    ]
    with replacing(path) as partial:
        fits.HDUList(hdus).writeto(partial, overwrite=True)


def read_dream_fits(path: Path, target: Target, settings: DreamSettings, cards: list[Card]) -> Dream | None:
    """The dream in `path`; None where that is not a whole file of exactly what `cards` say, by this version."""
    try:
        with open_fits(path) as hdus:
            header = hdus[0].header
            if any(header.get(key) != value for key, value, _ in [*cards, ("CREATOR", _creator(), "")]):
                return None
            curve, scores = hdus[CURVE].data, hdus[SCORES].data
            return Dream(
                target=target,
                settings=settings,
                bands=tuple(header[f"BAND{n + 1}"] for n in range(header["NBANDS"])),
                start=_native(hdus[START].data, np.float32),
                image=_native(hdus[0].data, np.float32),
                values=_native(curve["value"], np.float64),
                p_steps=_native(scores["step"], np.int64),
                p_lens=_native(scores["p_lens"], np.float64),
                path_steps=_native(hdus["PATHSTEP"].data["step"], np.int64),
                path=_native(hdus[PATH].data, np.uint8),
                dead=bool(header["DEAD"]),
                fault="",
            )
    except (LensauditError, OSError, TypeError, ValueError, KeyError, fits.VerifyError):
        return None


def _facts(dream: Dream) -> list[Card]:
    bands = [(f"BAND{n + 1}", in_header(band), "") for n, band in enumerate(dream.bands)]
    return [
        ("NBANDS", len(dream.bands), "planes of the image"),
        *bands,
        ("DEAD", dream.dead, "no gradient reached the image: it is the start"),
        ("VALUE0", float(dream.values[0]), "what is maximised, at the start"),
        ("VALUE1", float(dream.values[-1]), "and at the end"),
        ("PLENS0", float(dream.p_lens[0]), "p(lens) of the start"),
        ("PLENS1", float(dream.p_lens[-1]), "and of the end"),
        ("CREATOR", _creator(), ""),
    ]


def _table(name: str, **columns: np.ndarray) -> fits.BinTableHDU:
    formats = {"i": "K", "f": "D"}
    made = [fits.Column(key, formats[values.dtype.kind], array=values) for key, values in columns.items()]
    return fits.BinTableHDU.from_columns(made, name=name)


def _native(values: Any, kind: type) -> np.ndarray:
    """In the machine's byte order; FITS arrays are big-endian."""
    return np.ascontiguousarray(values, dtype=kind)


def _creator() -> str:
    return f"lensaudit {provenance()['lensaudit']}"


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


def from_cutouts(finder: Finder, lens_set: Cutouts, ids: Sequence[str]) -> tuple[DreamStart, ...]:
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
    beside: Cutouts | None = None
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
