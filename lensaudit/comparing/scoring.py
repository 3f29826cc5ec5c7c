"""Scores of each finder on each set, computed once and kept under the folder of the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.comparing.entrants import Entrant
from lensaudit.comparing.options import CompareOptions
from lensaudit.finders import Scores, score_set, write_scores
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance
from lensaudit.report.pieces import KEY, Progress, key_of
from lensaudit.report.score_piece import kept_scores

FOLDER = "scores"


@dataclass(frozen=True)
class FirstImages:
    """The first `n` images of a set, as scoring reads them; all where there are no more."""

    lens_set: LensSet
    n: int | None = None

    def __len__(self) -> int:
        return len(self.lens_set) if self.n is None else min(self.n, len(self.lens_set))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lens_set, name)

    @property
    def ids(self) -> list[str]:
        """Names of the images."""
        return self.lens_set.ids[: len(self)]

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 lens, 0 non-lens, −1 unknown: int8 (n,)."""
        return self.lens_set.labels[: len(self)]

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (n,)."""
        found: NDArray[Any] = self.lens_set.column(name)[: len(self)]
        return found


def scored(entrant: Entrant, images: FirstImages, out: Path, options: CompareOptions, progress: Progress) -> Scores:
    """Scores of the images, from an earlier run where weights, recipe, set and version are the same."""
    path, key = _piece(entrant, images, out)
    kept = kept_of(entrant, images, out)
    if kept is not None:
        return kept
    told = partial(progress, f"{entrant.label} on {images.lens_set.path.name}")
    scores = score_set(entrant.finder, images, batch_size=options.batch, progress=told)
    inputs = {"finder": entrant.finder.weights_hash, "set": images.lens_set.content_hash}
    write_scores(scores, path, {KEY: key, "finder": entrant.finder.name, **provenance(inputs=inputs)})
    return scores


def kept_of(entrant: Entrant, images: FirstImages, out: Path) -> Scores | None:
    """Scores that an earlier run into `out` wrote of the same images by the same finder; None without."""
    path, key = _piece(entrant, images, out)
    found: Scores | None = kept_scores(entrant.finder, images, path, key)
    return found


def _piece(entrant: Entrant, images: FirstImages, out: Path) -> tuple[Path, str]:
    key = key_of(entrant.finder, images.lens_set, n=len(images))
    return Path(out) / FOLDER / f"{key[:32]}.parquet", key
