"""Values that come in groups, as several arcs in one host: a mean, a fraction, and their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from lensaudit.statistics.proportions import wilson_interval


@dataclass(frozen=True)
class GroupedMean:
    """A mean of values that come in groups, its interval, standard error, and degrees of freedom (groups less one)."""

    value: float
    low: float
    high: float
    error: float
    freedom: int

    @property
    def p(self) -> float:
        """Two-sided, that the mean is 0; 1 where all values are 0."""
        if self.error == 0:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))


def grouped_mean(values: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> GroupedMean:
    """The mean of values that are not independent within a group: arcs in one host, crops of one image.

    Student's t with the cluster-robust standard error (Liang & Zeger 1986), with as many degrees of freedom as groups
    less one. With groups of one size it is Student's interval of the groups' means.

    Parameters
    ----------
    values, groups
        A number and the group of each (n,).
    confidence
        Two-sided, in (0, 1).

    Returns
    -------
    GroupedMean
        Interval, error and p are NaN with fewer than two groups.

    Examples
    --------
    >>> found = grouped_mean([0.0, 1.0, 1.0, 2.0], [1, 1, 2, 2])  # means 0.5 and 1.5
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2), round(found.p, 2)
    (1.0, -5.35, 7.35, 0.3)
    """
    numbers = np.asarray(values, float)
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    mean, n_groups = float(numbers.mean()) if len(numbers) else math.nan, len(np.unique(group))
    if n_groups < 2:
        return GroupedMean(mean, math.nan, math.nan, math.nan, max(n_groups - 1, 0))
    sums = np.bincount(group, numbers - mean)
    error = math.sqrt(n_groups / (n_groups - 1) * float(sums @ sums)) / len(numbers)
    half = float(stdtrit(n_groups - 1, 0.5 + confidence / 2)) * error
    return GroupedMean(mean, mean - half, mean + half, error, n_groups - 1)


def grouped_fraction_interval(called: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a fraction of objects that are not independent within a group, as several arcs in one host.

    The wider of Wilson's, which takes them as independent, and of `grouped_mean`; where all or none are called, which
    tells nothing of how groups differ, Wilson's with as many trials as groups.

    Parameters
    ----------
    called, groups
        Whether, and the group of each (n,).
    confidence
        Two-sided, in (0, 1).

    Returns
    -------
    low, high
        In [0, 1], and all of it for one group; (NaN, NaN) for none.

    Examples
    --------
    >>> [round(end, 2) for end in grouped_fraction_interval([True, True, True, True, False, False], [1, 1, 2, 2, 3, 3])]
    [0.0, 1.0]
    >>> [round(end, 2) for end in grouped_fraction_interval([True] * 6, [1, 1, 2, 2, 3, 3])]  # 3 of 3
    [0.44, 1.0]
    """
    flags = np.asarray(called, bool)
    k, n, n_groups = int(flags.sum()), flags.size, len(np.unique(groups))
    if n_groups == 1:
        return 0.0, 1.0
    if k in (0, n):
        return wilson_interval(n_groups if k else 0, n_groups, confidence)
    low, high = wilson_interval(k, n, confidence)
    over_groups = grouped_mean(flags, groups, confidence)
    return max(0.0, min(low, over_groups.low)), min(1.0, max(high, over_groups.high))
