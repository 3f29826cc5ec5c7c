"""Bringing scores from a file into the order of a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.errors import DataError

if TYPE_CHECKING:
    from lensaudit.finders import Scores

_NAMED = 3


def in_order_of(ids: Sequence[str], scores: Scores, path: Path) -> Scores:
    """The scores of exactly the images `ids`, in that order.

    Raises
    ------
    DataError
        An image is scored twice, is missing, or does not belong to the set; the message names up to three.
    """
    from lensaudit.finders import Scores as Ordered

    counted = Counter(scores.ids)
    wanted = set(ids)
    faults = {
        "are there more than once": [name for name, times in counted.items() if times > 1],
        "are missing": [name for name in ids if name not in counted],
        "do not belong to the set": [name for name in counted if name not in wanted],
    }
    for fault, names in faults.items():
        if names:
            shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
            raise DataError(f"{path}: {len(names)} ids {fault} ({shown}); write it with lensaudit score on this set")
    position = {name: row for row, name in enumerate(scores.ids)}
    rows = [position[name] for name in ids]
    return Ordered(tuple(ids), scores.p_lens[rows], scores.logit[rows], tuple(scores.status[row] for row in rows))
