"""Which image statistics differ between two sets, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.lensset.image_statistics import kind_of
from lensaudit.realism_gate.result import Shift
from lensaudit.statistics import FEW, auroc, auroc_interval, holm, wilson_interval

Features = NDArray[np.floating[Any]]


def shifts_of(names: Sequence[str], real: Features, simulated: Features) -> tuple[Shift, ...]:
    """Every statistic of both sets, the one that differs most first; among those told apart alike, the widest apart.

    Parameters
    ----------
    names
        Of the columns.
    real, simulated
        Float (n, d) and (m, d), NaN where a statistic does not exist.
    """
    found = [_shift(name, real[:, at], simulated[:, at]) for at, name in enumerate(names)]
    known = [one for one in found if one is not None]
    corrected = holm([one.p_holm for one in known])
    final = [replace(one, p_holm=float(p)) for one, p in zip(known, corrected, strict=True)]
    return tuple(sorted(final, key=lambda one: (-round(abs(one.auroc - 0.5), 2), -one.separation)))


def _shift(name: str, real: Features, simulated: Features) -> Shift | None:
    from scipy.stats import ks_2samp

    one, other = (np.asarray(part[np.isfinite(part)], np.float64) for part in (real, simulated))
    if min(len(one), len(other)) < 2:
        return None
    test = ks_2samp(one, other, method="asymp")
    medians = float(np.median(one)), float(np.median(other))
    spread = float(np.median(np.abs(one - medians[0])) + np.median(np.abs(other - medians[1]))) / 2
    gap = abs(medians[0] - medians[1])
    separation = min(gap / spread, 1e6) if spread > 0 else 1e6 * (gap > 0)
    n, area = min(len(one), len(other)), auroc(one, other)
    return Shift(
        name,
        kind_of(name).words,
        area,
        *(wilson_interval(area * n, n) if n < FEW else auroc_interval(one, other)),
        ks=float(test.statistic),
        p_holm=float(test.pvalue),
        separation=separation,
        real=medians[0],
        simulated=medians[1],
        n_real=len(one),
        n_simulated=len(other),
    )
