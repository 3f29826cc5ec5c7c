"""Scores of images for which the rule's verdict is known."""

from __future__ import annotations

import numpy as np

from lensaudit.explaining.judging.believing import NEEDED, RIVALS, Belief, beliefs_of
from lensaudit.explaining.judging.records import ImageScore

RIVAL = (0.8, 0.4, 0.5)
"""Infidelity, deletion, insertion of every rival."""


def scores(values: tuple[float, float, float], n: int = 8, spread: float = 0.01, of: str = "set") -> list[ImageScore]:
    """Of n images; image i is a little worse than the last in nothing, better in all."""
    step = spread * np.arange(n)
    columns = (values[0] - step, values[1] - step, values[2] + step)
    return [
        ImageScore(f"{of}/{i}", score, float(column[i]))
        for score, column in zip(NEEDED, columns, strict=True)
        for i in range(n)
    ]


def judged(
    methods: dict[str, tuple[float, float, float]], n: int = 8, kinds: tuple[str, ...] = ("single",), **checks
) -> dict[tuple[str, str], Belief]:
    """Beliefs by (method, kind); all checks pass but those named."""
    scored = {(rival, kind): scores(RIVAL, n, 0, kind) for kind in kinds for rival in RIVALS}
    scored |= {(name, kind): scores(values, n, of=kind) for kind in kinds for name, values in methods.items()}
    found = beliefs_of("toy", scored, {**dict.fromkeys(methods, "passes"), **checks})
    return {(one.method, one.kind): one for one in found}


BOTH, AMOUNT, ORDER = (0.5, 0.3, 0.6), (0.5, 0.4, 0.35), (0.95, 0.3, 0.6)
