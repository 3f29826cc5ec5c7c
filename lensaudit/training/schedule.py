"""Learning-rate schedules: pure functions of how much of the training is done, so that nothing needs storing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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


def _steps(done: float) -> float:
    return 10.0 ** -min(int(3 * done), 2)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "steps": _steps,
    "plateau": _constant,
}
"""Name → factor on the learning rate, from the share of all steps done, in [0, 1).

``constant``
    Wilde et al. 2022.
``cosine``
    Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, without restarts).
``one-cycle``
    Rises from 1/25 to 1 in the first 30 %, then falls to 1e-4, both along cosines (Smith & Topin 2018).
``steps``
    Divided by 10 after each third: every 40 of the 120 epochs of Lanusse et al. 2018.
``plateau``
    Divided by 10 at each of two plateaus of the validation loss (Forero Sanchez et al. 2019): see `plateaus`.
"""

PLATEAU = "plateau"
DROPS = 2
USUAL_PATIENCE = 5
"""Epochs that make a plateau where a recipe with ``schedule: plateau`` gives no `patience`; the paper gives none."""


def plateaus(losses: Sequence[float], patience: int) -> int:
    """How many plateaus the validation losses of the epochs so far show: runs of `patience` epochs without a new low.

    A function of the history alone, so that a resumed training goes on alike.
    """
    lowest, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < lowest:
            lowest, waited = loss, 0
            continue
        waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found


def patience_of(schedule: str, patience: int | None) -> int | None:
    """Epochs that make a plateau; None: there are none."""
    return USUAL_PATIENCE if schedule == PLATEAU and patience is None else patience


def has_ended(schedule: str, patience: int | None, losses: Sequence[float]) -> bool:
    """Whether early stopping ends the training after these epochs: one plateau, or one more than the rate's drops."""
    wait = patience_of(schedule, patience)
    return wait is not None and plateaus(losses, wait) > (DROPS if schedule == PLATEAU else 0)


def learning_rate(schedule: str, peak: float, step: int, steps: int) -> float:
    """Rate of optimisation step `step` (from 0) out of `steps`."""
    return peak * SCHEDULES[schedule](step / max(steps, 1))
