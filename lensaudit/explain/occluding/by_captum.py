"""Occlusion by captum, one forward pass per position: slow, and the reference our exact engine is compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lensaudit.explain.occluding.grid import Grid

Progress = Callable[[int, int], None]


def captum_map(
    probability: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    grid: Grid,
    batch: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Map (size, size) of p(occluded) − p by ``captum.attr.Occlusion``; its sign is p − p(occluded).

    Parameters
    ----------
    probability
        Prepared images (n, bands, size, size) → p (n,).
    image
        One prepared image (1, bands, size, size).
    batch
        Positions per forward pass; captum's default is 1.
    """
    from captum.attr import Occlusion

    total, done = grid.n**2, -1  # captum's first pass is the unoccluded image

    def counted(images: torch.Tensor) -> torch.Tensor:
        nonlocal done
        done += len(images)
        if progress is not None and done > 0:
            progress(done, total)
        return probability(images)

    bands = image.shape[1]
    attribution = Occlusion(counted).attribute(
        image,
        sliding_window_shapes=(bands, grid.patch, grid.patch),
        strides=(bands, grid.stride, grid.stride),
        baselines=0,
        perturbations_per_eval=batch or 1,
    )
    delta: np.ndarray = -attribution[0, 0].double().cpu().numpy()
    return delta
