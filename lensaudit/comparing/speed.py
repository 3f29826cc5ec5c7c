"""Images per second of each finder on this machine, in this run; no result that must be repeatable holds them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lensaudit.comparing.entrants import Entrant
from lensaudit.finders import Finder
from lensaudit.finders.finder import Cutouts
from lensaudit.finders.score import default_batch_size
from lensaudit.lensset import LensSet

REPEATS = 5
SECONDS = 0.3
"""Least time of one repeat."""


def speeds_of(entrants: Sequence[Entrant], lens_set: LensSet, batch: int | None = None) -> list[dict[str, Any]]:
    """Images per second of preparing and scoring cutouts that lie in memory, for each finder.

    Repeats of the finders alternate, so that a busy minute of the machine does not fall on one of them alone.

    Returns
    -------
    list of dict
        ``finder``, ``images_per_s`` (median over the repeats), ``lowest``, ``highest``, ``repeats``, ``images`` of a
        repeat, ``batch``, ``device`` and ``threads``.
    """
    runs = [_Run(entrant, lens_set, batch) for entrant in entrants]
    for _ in range(REPEATS):
        for run in runs:
            run.repeat()
    return [run.told() for run in runs]


class _Run:
    """One finder with a batch of cutouts in memory, warmed up."""

    def __init__(self, entrant: Entrant, lens_set: LensSet, batch: int | None) -> None:
        self.entrant, self.batch = entrant, batch or default_batch_size(entrant.finder)
        self.cutouts = _cutouts(entrant.finder, lens_set, self.batch)
        self.found: list[float] = []
        self._score()
        self.rounds = max(1, round(SECONDS / max(self._score(), 1e-6)))

    def repeat(self) -> None:
        """Time one more repeat."""
        seconds = sum(self._score() for _ in range(self.rounds))
        self.found.append(self.rounds * self.batch / seconds)

    def told(self) -> dict[str, Any]:
        """Median and range."""
        device = self.entrant.finder.device
        return {
            "finder": self.entrant.label,
            "images_per_s": statistics.median(self.found),
            "lowest": min(self.found),
            "highest": max(self.found),
            "repeats": len(self.found),
            "images": self.rounds * self.batch,
            "batch": self.batch,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
            "threads": torch.get_num_threads(),
        }

    @torch.inference_mode()
    def _score(self) -> float:
        """Seconds of one batch; back on the CPU, so that a GPU has really finished."""
        began = time.perf_counter()
        images, _ = self.entrant.finder.prepare(self.cutouts)
        self.entrant.finder.logit(images).cpu()
        return time.perf_counter() - began


def _cutouts(finder: Finder, lens_set: LensSet, batch: int) -> Cutouts:
    """`batch` images of the set, from its first ones over and over where it has fewer."""
    rows = np.arange(batch) % len(lens_set)
    columns = {name: np.asarray(lens_set.column(name), np.float64)[rows] for name in finder.extra_columns}
    return {band: lens_set.images(band, rows) for band in finder.recipe.bands} | columns
