"""McNemar's test on pairs, exact."""

from __future__ import annotations

from scipy.stats import binom


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value that a pair is as likely to turn one way as the other.

    Parameters
    ----------
    b, c
        Numbers of discordant pairs of the two kinds; without any the p-value is 1.
    """
    if b < 0 or c < 0:
        raise ValueError(f"{b} and {c} are no counts of pairs")
    return float(min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5)))
