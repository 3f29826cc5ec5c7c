"""Learning-rate schedules: pure functions of how much of the training is done, so that nothing needs storing."""

from __future__ import annotations

import math
from collections.abc import Callable

_WARM_UP = 0.3  # share of the steps in which one-cycle rises; Smith & Topin 2018 use a third to a half
_START = 1 / 25  # one-cycle begins at this part of the peak rate
_END = 1e-4  # and ends at this one


def _constant(done: float) -> float:
    return 1.0


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _one_cycle(done: float) -> float:
    if done < _WARM_UP:
        return _between(_START, 1.0, done / _WARM_UP)
    return _between(1.0, _END, (done - _WARM_UP) / (1 - _WARM_UP))


def _between(first: float, last: float, done: float) -> float:
    return last + (first - last) * _cosine(done)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
}
"""Name → factor on the learning rate, from the share of all steps done, in [0, 1).

``constant``
    Wilde et al. 2022.
``cosine``
    Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, without restarts).
``one-cycle``
    Rises from 1/25 to 1 in the first 30 %, then falls to 1e-4, both along cosines (Smith & Topin 2018).
"""


def learning_rate(schedule: str, peak: float, step: int, steps: int) -> float:
    """Rate of optimisation step `step` (from 0) out of `steps`."""
    return peak * SCHEDULES[schedule](step / max(steps, 1))
