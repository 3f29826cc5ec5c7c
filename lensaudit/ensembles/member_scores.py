"""Scores of all members on a set, piece by piece, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
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
from lensaudit.finders.ou_tsne import OuTsne, native_pixels
from lensaudit.finders.score import NO_BATCH, out_of_memory_explained
from lensaudit.lensset import LensSet
from lensaudit.untrusted import path_within

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

    Pieces are kept below `folder`, member by member: those of an earlier run with the same member and set are taken
    as they are, so that a stopped run goes on, and another ensemble of some of these members need not wait for them.

    Raises
    ------
    DataError
        A band is missing or the field of view is another.
    """
    ensemble.check(lens_set)
    module = cast(OuTsne, ensemble.module)
    spans = spread_rows(len(lens_set), images)
    total, done = sum(map(len, spans)), 0
    stores = {name: _folder_of(folder, name, ensemble, lens_set) for name in module.members}
    found: list[Floats] = []
    for span in spans:
        paths = {name: store / f"{span.start:08d}-{len(span)}.safetensors" for name, store in stores.items()}
        kept = {name: _read(path, span) for name, path in paths.items()}
        for name, scores in _scored(ensemble, lens_set, span, [name for name in kept if kept[name] is None]).items():
            write_bytes(paths[name], arrays_as_bytes({"p_lens": scores}))
            kept[name] = scores
        found.append(np.stack([kept[name] for name in stores], axis=1))  # type: ignore[misc]
        done += len(span)
        if progress is not None:
            progress(done, total)
    return MemberScores(np.concatenate([np.asarray(span, np.intp) for span in spans]), np.concatenate(found))


def _folder_of(folder: Path, name: str, ensemble: Finder, lens_set: LensSet) -> Path:
    """Where pieces of a member and a set lie below `folder`; the member's input is part of its name."""
    recipe = ensemble.recipe
    member = next(one for one in recipe.members if one.name == name)
    facts = {
        "weights": weights_hash(cast(OuTsne, ensemble.module).members[name]),
        "member": member.model_dump(mode="json"),
        "size": recipe.size,
        "native": dict(zip(recipe.bands, native_pixels(recipe), strict=True)),
        "set": lens_set.content_hash,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return path_within(folder, "scores", f"{name}-{digest[:16]}")


def _scored(ensemble: Finder, lens_set: LensSet, span: range, names: Sequence[str]) -> dict[str, Floats]:
    """p(lens) of the members `names` for the images `span`."""
    module = cast(OuTsne, ensemble.module)
    found: dict[str, list[Floats]] = {name: [] for name in names}
    with torch.inference_mode(), out_of_memory_explained(BATCH, NO_BATCH):
        for first in range(span.start, span.stop, BATCH) if names else ():
            part = slice(first, min(first + BATCH, span.stop))
            images, _ = ensemble.prepare({band: lens_set.images(band, part) for band in ensemble.recipe.bands})
            columns = module.scores(images, names).double().cpu().numpy()
            for name, column in zip(names, columns.T, strict=True):
                found[name].append(column.copy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _read(path: Path, span: range) -> Floats | None:
    """A piece of an earlier run; None if there is none that is whole."""
    if not path.is_file():
        return None
    try:
        scores = load_arrays(path.read_bytes())["p_lens"]
    except (OSError, SafetensorError, LookupError, ValueError, TypeError):
        return None
    fits = scores.shape == (len(span),) and scores.dtype.kind == "f" and not ((scores < 0) | (scores > 1)).any()
    return scores.astype(np.float64) if fits else None
