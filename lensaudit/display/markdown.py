"""Markdown: tables, and a page of Markdown with its pictures as one HTML file."""

from __future__ import annotations

from collections.abc import Iterable


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown already; foreign words in them passed through `in_markdown`.

    Examples
    --------
    >>> print(table(("finder", "n"), [("ou66", "12")]))
    | finder | n |
    | --- | --- |
    | ou66 | 12 |
    """
    first = tuple(head)
    lines = (first, ("---",) * len(first), *(tuple(row) for row in rows))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
