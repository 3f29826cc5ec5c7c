"""The scores of ``judge`` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from lensaudit.explain import Judgement, Score


NAME_WIDTH = 24
SCORE_WIDTH = 17
FAILS, UNDECIDED = " †", " ‡"


def tables_of(found: Judgement, width: int) -> Iterator[Table]:
    """Tables for each kind of lens and for the non-lenses: methods and baselines down, as many scores across as fit."""
    from lensaudit.explain.judging.page import scores_of
    from lensaudit.explain.judging.picture import shown_kinds

    across = max(1, (width - NAME_WIDTH) // SCORE_WIDTH)
    for kind in shown_kinds(found):
        scores = scores_of(found, kind)
        for first in range(0, len(scores), across):
            yield _table(found, kind, scores[first : first + across])


def _table(found: Judgement, kind: str, scores: Sequence[Score]) -> Table:
    import math

    from rich import box
    from rich.table import Table

    from lensaudit.explain import METHODS
    from lensaudit.explain.judging.page import ARROWS, cell, chance_of
    from lensaudit.explain.judging.picture import methods_of

    table = Table(title=f"{found.finder}: {kind}", box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1))
    table.add_column("method", no_wrap=True)
    for score in scores:
        table.add_column(score.name + ARROWS[score.better], justify="right", no_wrap=True)
    chance = [chance_of(found, kind, score) for score in scores]
    table.add_row("chance", *("–" if math.isnan(value) else f"{value:.2f} " for value in chance), style="dim")
    for name in methods_of(found):
        rows = [found.row(name, kind, score.name) for score in scores]
        if any(rows):
            label = found.label(name)
            mark = "" if not label else FAILS if label.startswith("fails") else UNDECIDED
            cells = [_narrow(cell(row, marks=False), bool(row and row.beats_chance)) for row in rows]
            table.add_row(name + mark, *cells, style="" if name in METHODS else "dim")
    return table


def _narrow(text: str, beats: bool) -> str:
    """The interval below the value; a star where it is beyond chance."""
    value, _, interval = text.partition(" [")
    return f"{value}{'*' if beats else ' '}\n\\[{interval}" if interval else f"{value} "
