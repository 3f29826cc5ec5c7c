"""Scores of all members on a set, piece by piece, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as arrays_as_bytes

from lensaudit.errors import UsageError
from lensaudit.files import write_bytes
from lensaudit.finders import Finder
from lensaudit.finders.finder import weights_hash
from lensaudit.finders.ou_tsne import OuTsne
from lensaudit.finders.score import out_of_memory_explained
from lensaudit.lensset import LensSet

PIECE = 100
"""Images whose scores are kept together: some seconds of work."""

BATCH = 25
"""Images read and prepared at once: 4 bands of 200×200 are 16 MB."""

Advance = Callable[[int, int], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MemberScores:
    """What the members of an ensemble say of some images of a set.

    Attributes
    ----------
    rows
        Which images of the set (n,).
    vectors
        p(lens) of each member (n, members), float64; NaN where one cannot scale the image.
    """

    rows: NDArray[np.intp]
    vectors: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Images with a score from every member (n,)."""
        known: NDArray[np.bool_] = np.asarray(np.isfinite(self.vectors).all(axis=1))
        return known


def spread_rows(total: int, images: int | None) -> list[range]:
    """Pieces of up to 100 neighbours, evenly spread over a set of `total`, that make up `images` (None: all).

    Raises
    ------
    UsageError
        `images` is below 1.
    """
    if images is not None and images < 1:
        raise UsageError(f"--images {images}: at least 1 is needed")
    wanted = total if images is None else min(images, total)
    lengths = [min(PIECE, wanted - done) for done in range(0, wanted, PIECE)]
    gap = (total - wanted) / max(1, len(lengths) - 1)
    starts = [PIECE * number + int(gap * number) for number in range(len(lengths))]
    return [range(start, start + length) for start, length in zip(starts, lengths, strict=True)]


def member_scores(
    ensemble: Finder, lens_set: LensSet, images: int | None, folder: Path, progress: Advance | None = None
) -> MemberScores:
    """Score `images` images of a set, evenly spread (None: all), with every member.

    Pieces that `folder` holds from an earlier run with the same members and set are taken as they are.

    Raises
    ------
    DataError
        A band is missing or the field of view is another.
    """
    ensemble.check(lens_set)
    module = cast(OuTsne, ensemble.module)
    spans = spread_rows(len(lens_set), images)
    total, done = sum(map(len, spans)), 0
    store = pieces_folder(folder, ensemble, lens_set)
    found: list[Floats] = []
    for span in spans:
        path = store / f"{span.start:08d}-{len(span)}.safetensors"
        scores = _read(path, span, len(module.members))
        if scores is None:
            scores = np.concatenate(list(_scored(ensemble, lens_set, span)))
            write_bytes(path, arrays_as_bytes({"scores": scores}))
        found.append(scores)
        done += len(span)
        if progress is not None:
            progress(done, total)
    return MemberScores(np.concatenate([np.asarray(span, np.intp) for span in spans]), np.concatenate(found))


def pieces_folder(folder: Path, ensemble: Finder, lens_set: LensSet) -> Path:
    """Where pieces of these members and this set lie below `folder`."""
    words = f"{weights_hash(cast(OuTsne, ensemble.module).members)} {lens_set.content_hash}"
    return folder / f"scores-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def forget_pieces(folder: Path) -> None:
    """Remove all pieces below `folder`."""
    for pieces in folder.glob("scores-*"):
        shutil.rmtree(pieces)


def _scored(ensemble: Finder, lens_set: LensSet, span: range) -> Iterator[Floats]:
    module = cast(OuTsne, ensemble.module)
    with torch.inference_mode(), out_of_memory_explained(BATCH):
        for first in range(span.start, span.stop, BATCH):
            part = slice(first, min(first + BATCH, span.stop))
            images, _ = ensemble.prepare({band: lens_set.images(band, part) for band in ensemble.recipe.bands})
            yield module.scores(images).double().cpu().numpy()


def _read(path: Path, span: range, members: int) -> Floats | None:
    """A piece of an earlier run; None if there is none that is whole."""
    try:
        scores = load_arrays(path.read_bytes())["scores"]
    except (FileNotFoundError, SafetensorError, KeyError):
        return None
    return scores.astype(np.float64) if scores.shape == (len(span), members) else None
