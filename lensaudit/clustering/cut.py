"""The lenses a person would see: the cut of Cheng et al. 2020, Section 4.2.3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet

LEAST_PIXELS, LEAST_SNR = 100, 50.0
"""The paper counts lensed pixels above 1 σ of the noise, our truth above 0.5 σ."""


def passes_cut(lens_set: LensSet) -> NDArray[np.bool_]:
    """Which images are kept (n,): lenses with at least 100 lensed pixels and S/N 50, and all non-lenses.

    Raises
    ------
    DataError
        The set has no truth.
    """
    if not {"n_arc_pixels", "arc_snr"} <= set(lens_set.columns):
        raise DataError(f"{lens_set.path}: has no n_arc_pixels and arc_snr to cut at; give a simulated set as --test")
    pixels, ratio = (np.asarray(lens_set.column(name), dtype=np.float64) for name in ("n_arc_pixels", "arc_snr"))
    labels: NDArray[Any] = lens_set.labels
    return (labels == 0) | ((labels == 1) & (pixels >= LEAST_PIXELS) & (ratio >= LEAST_SNR))
