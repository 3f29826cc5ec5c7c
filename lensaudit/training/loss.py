"""Class-weighted categorical cross-entropy (Wilde et al. 2022, Section 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lensaudit.errors import DataError


def class_weights(labels: NDArray[np.integer], scheme: str) -> tuple[float, float]:
    """Weights (non-lens, lens): n / (2 n_class), so that their mean over the set is 1; or (1, 1) for ``none``.

    Parameters
    ----------
    labels
        0 and 1 (n,).
    scheme
        ``inverse-frequency`` or ``none``.

    Raises
    ------
    DataError
        A class has no examples.
    """
    counts = [int(np.sum(labels == value)) for value in (0, 1)]
    for name, count in zip(("non-lenses", "lenses"), counts, strict=True):
        if count == 0:
            raise DataError(f"the training set has no {name} among its {len(labels)} images; both classes are needed")
    if scheme == "none":
        return 1.0, 1.0
    total = sum(counts)
    return total / (2 * counts[0]), total / (2 * counts[1])


def weighted_losses(logit: torch.Tensor, is_lens: torch.Tensor, weights: tuple[float, float]) -> torch.Tensor:
    """Weighted cross-entropy of each image (n,), from the log-odds of "lens".

    With two outputs, −log softmax is the softplus of ∓(z_lens − z_other), which is this form; with one output it is
    the binary cross-entropy. The mean over images, not over weights, makes an epoch's loss independent of its batches.

    Parameters
    ----------
    logit
        Log-odds (n,).
    is_lens
        0.0 or 1.0 (n,).
    weights
        For non-lenses and lenses.
    """
    plain = functional.binary_cross_entropy_with_logits(logit, is_lens, reduction="none")
    return plain * torch.where(is_lens > 0.5, weights[1], weights[0])
