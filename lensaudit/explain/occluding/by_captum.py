"""Occlusion by captum, one forward pass per position: slow, and the reference our exact engine is compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lensaudit.explain.occluding.grid import Grid

Progress = Callable[[int, int], None]


def captum_maps(
    log_odds: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    grid: Grid,
    batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Maps (size, size) of the change of p and of the log-odds under the patch, by ``captum.attr.Occlusion``.

    captum's sign is whole − occluded; these are occluded − whole. The finder runs once for both.

    Parameters
    ----------
    log_odds
        Prepared images (n, bands, size, size) → log-odds (n,).
    image
        One prepared image (1, bands, size, size).
    batch
        Positions per forward pass; captum's default is 1.
    """
    total, done = grid.n**2, -1  # captum's first pass is the unoccluded image
    known: list[torch.Tensor] = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        nonlocal done
        known.append(log_odds(images).double())
        done += len(images)
        if progress is not None and done > 0:
            progress(done, total)
        return known[-1]

    of_log_odds = _captum(counted, image, grid, batch)
    again = iter(known)  # captum asks for the same images in the same order
    of_p = _captum(lambda _images: next(again).sigmoid(), image, grid, batch)
    return of_p, of_log_odds


def _captum(
    score: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, grid: Grid, batch: int | None
) -> np.ndarray:
    from captum.attr import Occlusion

    bands = image.shape[1]
    attribution = Occlusion(score).attribute(
        image,
        sliding_window_shapes=(bands, grid.patch, grid.patch),
        strides=(bands, grid.stride, grid.stride),
        baselines=0,
        perturbations_per_eval=batch or 1,
    )
    change: np.ndarray = -attribution[0, 0].double().cpu().numpy()
    return change
