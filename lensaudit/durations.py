"""Durations in the words people use."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as one says them.

    Examples
    --------
    >>> duration(41.6), duration(600), duration(7200)
    ('42 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
