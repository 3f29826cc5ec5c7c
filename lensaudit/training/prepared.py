"""Images prepared once for a finder and kept on disk as 16-bit numbers.

Why prepared and not native: resizing and scaling an image costs a few per cent of a training step on a CPU and would
be paid again in every epoch. Why 16-bit integers: half the disk of float32 (7.7 GB for 24 000 OU-200 images), with an
error of at most 1/131 068 of an image's range, thirty times below float16's near 1. Images are read one by one into
a buffer, so memory does not grow with the set and shuffling costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.files import explained, writable_folder
from lensaudit.finders.finder import weights_hash
from lensaudit.finders.layers import P4MLift
from lensaudit.finders.preprocessing import digest_words
from lensaudit.kept import JsonForm, Piece

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet


Rows = NDArray[np.int64]


def labelled(labels: NDArray[np.integer]) -> Rows:
    """Positions of the images with a known label (0 or 1)."""
    return np.flatnonzero((labels == 0) | (labels == 1)).astype(np.int64)


def stratified_split(labels: NDArray[np.integer], fraction: float, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Split positions into (training, validation), the same fraction of each class; sorted.

    Parameters
    ----------
    labels
        0 and 1 (n,).
    fraction
        Fraction of each class for validation, rounded; each class keeps at least one image on either side.

    Raises
    ------
    DataError
        A class has fewer than two images, so that one side would have none.
    """
    training, validation = [], []
    for value, name in ((0, "non-lenses"), (1, "lenses")):
        rows = generator.permutation(np.flatnonzero(labels == value))
        if len(rows) < 2:
            raise DataError(f"the set has {len(rows)} {name}; training and validation need at least one each")
        kept = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        validation.append(rows[:kept])
        training.append(rows[kept:])
    return np.sort(np.concatenate(training)), np.sort(np.concatenate(validation))


CODES_FILE = "codes.i2"
SCALES_FILE = "scales.f4"
STATE_FILE = "prepared.json"
LAYOUT = 1
"""Changes when the files below change, so that older caches are not taken for new ones."""

_LARGEST_CODE = 32767
_CHUNK = 128  # images prepared at a time: 80 MB of float32 for OU-200
_MARGIN_BYTES = 100 * 2**20

Advance = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True)
class PreparedSet:
    """The labelled images of one set, ready for one finder.

    Attributes
    ----------
    folder
        Where the files lie.
    labels
        0 or 1, int8 (n,); −1 only where images without a label were requested.
    rows
        Position of each image in the set (n,).
    shape
        (channels, size, size).
    angles
        Number of angles that stand in the last channels, two planes each.
    """

    folder: Path
    labels: NDArray[np.int8]
    rows: Rows
    shape: tuple[int, int, int]
    angles: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, which: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes, int16 (m, bands, size, size), and scales, float32 (m, bands, 2), of the images `which`."""
        codes = np.empty((len(which), *self.shape), np.int16)
        scales = np.empty((len(which), self.shape[0], 2), np.float32)
        with (
            open(self.folder / CODES_FILE, "rb", buffering=0) as code_file,
            open(self.folder / SCALES_FILE, "rb", buffering=0) as scale_file,
        ):
            for position, image in enumerate(which):
                _read_at(code_file, int(image), codes[position])
                _read_at(scale_file, int(image), scales[position])
        return torch.from_numpy(codes), torch.from_numpy(scales)


@dataclass(frozen=True)
class JoinedSets:
    """Prepared images of several sets, one set after the other, read as one; all for the same finder.

    Attributes
    ----------
    parts
        Those of each set, in order.
    """

    parts: tuple[PreparedSet, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """0 or 1 of each image (n,)."""
        return np.concatenate([part.labels for part in self.parts])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return self.parts[0].shape

    @property
    def angles(self) -> int:
        """Number of angles that stand in the last channels."""
        return self.parts[0].angles

    def read(self, which: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """As `PreparedSet.read`, `which` counted through all sets."""
        codes = torch.empty((len(which), *self.shape), dtype=torch.int16)
        scales = torch.empty((len(which), self.shape[0], 2))
        first = 0
        for part in self.parts:
            here = np.flatnonzero((which >= first) & (which < first + len(part)))
            codes[here], scales[here] = part.read(which[here] - first)
            first += len(part)
        return codes, scales


Prepared = PreparedSet | JoinedSets


def decoded(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Float32 images (n, bands, size, size) from codes and (centre, step) per band, on their device."""
    centre, step = scales[:, :, 0, None, None], scales[:, :, 1, None, None]
    return torch.addcmul(centre, codes.to(torch.float32), step)


def encoded(images: torch.Tensor) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Codes int16 and (centre, step) float32 per image and band of finite images (n, bands, size, size)."""
    low, high = images.amin(dim=(-2, -1)), images.amax(dim=(-2, -1))
    centre = (low + high) / 2
    step = torch.where(high > low, (high - low) / (2 * _LARGEST_CODE), 1.0)
    codes = ((images - centre[:, :, None, None]) / step[:, :, None, None]).round()
    codes = codes.clamp(-_LARGEST_CODE, _LARGEST_CODE).to(torch.int16)
    return codes.cpu().numpy(), torch.stack([centre, step], dim=-1).cpu().numpy()


def prepare_set(
    finder: Finder, lens_set: LensSet, folder: Path, advance: Advance | None = None, rows: Rows | None = None
) -> PreparedSet:
    """Prepare images of `lens_set` for `finder`, going on where an earlier attempt stopped.

    Parameters
    ----------
    finder
        Only what it takes as input matters, not its weights.
    folder
        Files go to a folder below it, named by the hash of the set's content and of the finder's input specification.
    rows
        Positions in the set; by default those of all labelled images.

    Raises
    ------
    DataError
        An image cannot be scaled; the message names it.
    MachineError
        There is too little room on the disk.
    """
    key = _key(finder, lens_set, rows)
    rows = labelled(lens_set.labels) if rows is None else rows
    shape = (finder.recipe.channels, finder.recipe.size, finder.recipe.size)
    angles = len(finder.recipe.extra_inputs)
    prepared = PreparedSet(folder / f"prepared-{key}", lens_set.labels[rows], rows, shape, angles)
    done = _images_done(prepared)
    if done < len(rows):
        writable_folder(prepared.folder)
        _need_room(prepared, done)
        _write_from(done, prepared, finder, lens_set, advance)
    return prepared


def _write_from(done: int, prepared: PreparedSet, finder: Finder, lens_set: LensSet, advance: Advance | None) -> None:
    ids = lens_set.ids
    columns = {name: np.asarray(lens_set.column(name), np.float64) for name in finder.extra_columns}
    count, codes_path, scales_path = _count(prepared), prepared.folder / CODES_FILE, prepared.folder / SCALES_FILE
    with explained(prepared.folder), _opened_at(codes_path) as code_file, _opened_at(scales_path) as scale_file:
        code_file.seek(done * _bytes_per_image(prepared))
        scale_file.seek(done * prepared.shape[0] * 8)
        for first in range(done, len(prepared), _CHUNK):
            rows = prepared.rows[first : first + _CHUNK]
            inputs: dict[str, Any] = {band: lens_set.images(band, rows) for band in finder.recipe.bands}
            inputs.update({name: values[rows] for name, values in columns.items()})
            codes, scales = encoded(finder.preprocess(inputs, [ids[row] for row in rows]))
            code_file.write(codes.tobytes())
            scale_file.write(scales.tobytes())
            count.write(first + len(rows))
            if advance is not None:
                advance(first + len(rows), len(prepared))


def _opened_at(path: Path) -> BinaryIO:
    """`path` for writing anywhere in it, unbuffered, so that the count of finished images never runs ahead."""
    path.touch()
    return open(path, "r+b", buffering=0)


def _images_done(prepared: PreparedSet) -> int:
    """Images that an earlier attempt finished; 0 if its files are not what they say."""
    done = _count(prepared).load()
    files = [prepared.folder / name for name in (CODES_FILE, SCALES_FILE)]
    if done is None or not all(path.is_file() for path in files):
        return 0
    sizes = [path.stat().st_size for path in files]
    whole = sizes[0] >= done * _bytes_per_image(prepared) and sizes[1] >= done * prepared.shape[0] * 8
    return done if whole and 0 <= done <= len(prepared) else 0


def _count(prepared: PreparedSet) -> Piece[int]:
    """How many images are finished, beside them; the folder's name says what they rest on."""
    return Piece(prepared.folder / STATE_FILE, JsonForm("done", decode=int))


def _need_room(prepared: PreparedSet, done: int) -> None:
    needed = (len(prepared) - done) * _bytes_per_image(prepared) + _MARGIN_BYTES
    free = shutil.disk_usage(prepared.folder).free
    if free < needed:
        raise MachineError(
            f"{prepared.folder}: preparing {len(prepared)} images needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB "
            f"are free; free some space or name another place with --cache"
        )


def _bytes_per_image(prepared: PreparedSet) -> int:
    return int(np.prod(prepared.shape)) * 2


def _read_at(stream: BinaryIO, image: int, into: NDArray[np.generic]) -> None:
    stream.seek(image * into.nbytes)
    view = into.data.cast("B")
    filled = 0
    while filled < into.nbytes:
        got = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            raise MachineError(f"{stream.name}: ended early; remove that folder and run the same command again")
        filled += got


def _key(finder: Finder, lens_set: LensSet, rows: Rows | None) -> str:
    recipe = finder.recipe
    specification = [LAYOUT, lens_set.content_hash, list(recipe.bands), recipe.size, recipe.stretch]
    specification += [list(recipe.extra_inputs)] if recipe.extra_inputs else []
    specification += [weights_hash(nn.Identity(), finder.statistics)] if finder.statistics else []
    specification += [digest_words(recipe.preprocessing)] if recipe.preprocessing else []
    specification += [dict(finder.given_unit)] if finder.given_unit else []
    specification += [] if rows is None else [hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()]
    return hashlib.sha256(json.dumps(specification).encode()).hexdigest()[:16]


INPUTS = ("as-is", "standardised")
"""What ``--inputs`` may say; ``as-is`` is Wilde et al. 2022."""

_IMAGES = 1000
_PIECE = 50


@dataclass(frozen=True)
class Standard:
    """Mean and standard deviation of the pixels of each channel, float32 (channels,); 0 and 1 for an angle's planes."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Standardise images (n, bands, h, w) on their device."""
        mean, deviation = (part.to(images.device)[:, None, None] for part in (self.mean, self.deviation))
        return (images - mean) / deviation

    def fold(self, module: nn.Module) -> None:
        """Change the first convolution in place, so that `module` on plain images is what it was on standardised ones.

        Raises
        ------
        UsageError
            The first layer is no convolution without padding: a padded edge is 0 in both, and cannot be folded.
        """
        weight = foldable(module).weight.detach().double() / self.deviation.double()[:, None, None]
        _change_first(module, weight, -self._shift(weight))

    def unfold(self, module: nn.Module) -> None:
        """The inverse of `fold`: `module` on standardised images becomes what it was on plain ones."""
        weight = foldable(module).weight.detach().double()
        _change_first(module, weight * self.deviation.double()[:, None, None], self._shift(weight))

    def _shift(self, weight: torch.Tensor) -> torch.Tensor:
        """What the weights on plain images make of the mean image (kernels,)."""
        return (weight * self.mean.double()[:, None, None]).sum(dim=(1, 2, 3))


def _change_first(module: nn.Module, weight: torch.Tensor, shift: torch.Tensor) -> None:
    first = foldable(module)
    assert first.bias is not None
    with torch.no_grad():
        first.bias.copy_(first.bias.double() + shift)
        first.weight.copy_(weight)


def standard_of(prepared: Prepared, rows: Rows) -> Standard:
    """Mean and standard deviation per band over up to 1000 of the images `rows`, evenly spread."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _IMAGES)).round().astype(int))]
    total = torch.zeros(prepared.shape[0], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for start in range(0, len(chosen), _PIECE):
        images = decoded(*prepared.read(chosen[start : start + _PIECE])).double()
        total += images.sum(dim=(0, 2, 3))
        squares += images.square().sum(dim=(0, 2, 3))
    pixels = len(chosen) * prepared.shape[1] * prepared.shape[2]
    mean = total / pixels
    deviation = (squares / pixels - mean**2).sqrt()
    planes = 2 * prepared.angles
    if planes:  # an angle follows the turns of the image only while cosine and sine keep their zero and their scale
        mean[-planes:], deviation[-planes:] = 0.0, 1.0
    return Standard(mean.float(), deviation.float())


def foldable(module: nn.Module) -> nn.Conv2d | P4MLift:
    """The first layer with weights, if standardising can be folded into it; UsageError if not."""
    layers = (layer for layer in module.modules() if not list(layer.children()))
    first = next((layer for layer in layers if not _cuts(layer)), None)
    if isinstance(first, P4MLift):
        return first
    plain = isinstance(first, nn.Conv2d) and first.padding in ((0, 0), "valid") and first.groups == 1
    if not plain or first.bias is None:  # type: ignore[union-attr]
        raise UsageError("--inputs standardised needs a first layer that is a convolution without padding; use as-is")
    assert isinstance(first, nn.Conv2d)
    return first


def _cuts(layer: nn.Module) -> bool:
    """Whether a layer does nothing but cut the edges off, which goes with any change of the pixels."""
    return isinstance(layer, nn.ZeroPad2d) and max(layer.padding) <= 0
