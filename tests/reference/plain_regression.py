"""A new finder against an earlier one the obvious way: one image, one pair and one swap at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence


def plain_mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p: the chance that a fair coin falls as unevenly."""
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n
    return min(1.0, 2 * tail)


def plain_holm(p_values: Sequence[float]) -> list[float]:
    """The smallest p times m, the next times m − 1 and so on, never below what came before."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for done, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - done)))
        adjusted[index] = highest
    return adjusted


def plain_area(lenses: Sequence[float], others: Sequence[float]) -> float:
    """Fraction of pairs in which the lens scores higher; ties count half."""
    won = sum(1.0 if lens > other else 0.5 if lens == other else 0.0 for lens in lenses for other in others)
    return won / len(lenses) / len(others)


def plain_area_error(old: tuple[list[float], list[float]], new: tuple[list[float], list[float]]) -> tuple[float, float]:
    """DeLong's standard error of the change of the area, and Welch's degrees of freedom, image by image."""
    parts = []
    for which in (0, 1):
        each = []
        for place in range(len(old[which])):
            areas = []
            for scores in (old, new):
                alone = [scores[which][place]]
                areas.append(plain_area(alone, scores[1]) if which == 0 else plain_area(scores[0], alone))
            each.append(areas[1] - areas[0])
        mean = sum(each) / len(each)
        parts.append((sum((one - mean) ** 2 for one in each) / (len(each) - 1) / len(each), len(each)))
    variance = sum(part for part, _ in parts)
    return math.sqrt(variance), variance**2 / sum(part**2 / (n - 1) for part, n in parts)


def plain_found(lenses: Sequence[float], others: Sequence[float], allowed: int) -> list[bool]:
    """Which lenses lie above the highest threshold that leaves `allowed` others above it."""
    threshold = sorted(others, reverse=True)[allowed]
    return [lens > threshold for lens in lenses]


def plain_resampled_changes(
    old: tuple[list[float], list[float]], new: tuple[list[float], list[float]], allowed: int, draws: Sequence[list[int]]
) -> list[float]:
    """Change of the rate of all lenses where the others are drawn again, the same ones for both finders."""
    changes = []
    for drawn in draws:
        found = [plain_found(lenses, [others[j] for j in drawn], allowed) for lenses, others in (old, new)]
        changes.append((sum(found[1]) - sum(found[0])) / len(old[0]))
    return changes
