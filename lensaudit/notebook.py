"""How sets, finders and results show themselves: one line where they are printed, a small table in a notebook.

Names, ids and paths come from other people's files: everything is escaped, and what is long is cut.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.untrusted import printable

MOST_ROWS = 12
"""Of a table; how many more there are is said below it."""

LONGEST_CELL, LONGEST_WORD = 400, 60
"""Characters of a cell, and of a value in one line."""

LARGEST_PAGE = 8_000_000
"""Bytes of a page that is still copied into a notebook; of a larger one its path is shown."""

_FRAME = (
    '<iframe srcdoc="{page}" title="{title}" sandbox="" loading="lazy" '
    'style="width: 100%; height: 36em; border: 1px solid #ccc"></iframe>'
)

_TABLE = '<table style="margin: 0; text-align: left; border-collapse: separate; border-spacing: 1em 0">'

Facts = Mapping[str, object]
"""Name → value."""

Cells = Mapping[str, object]
"""A row of a table: column → value."""


class Shown(ABC):
    """A result that shows itself by its `_facts`; a dataclass that is one is made with ``repr=False``."""

    @abstractmethod
    def _facts(self) -> Facts:
        """Name → value: one line where it is printed, the first table in a notebook."""

    def _rows(self) -> Sequence[Cells]:
        """Of a table below, in a notebook; its columns are those of the first row."""
        return ()

    def _picture(self) -> str:
        """Data URI of what stands between them; empty for none."""
        return ""

    def __repr__(self) -> str:
        facts = (f"{re.sub(r'[ -]', '_', name)}={_bare(value)}" for name, value in self._facts().items())
        return f"{type(self).__name__}({', '.join(facts)})"

    def _repr_html_(self) -> str:
        return card(type(self).__name__, self._facts(), self._picture()) + table(self._rows())


def _bare(value: object) -> str:
    words = _in_words(value, LONGEST_WORD)
    return repr(words) if isinstance(value, str | Path | list | tuple) else words


def card(title: str, facts: Facts, picture: str = "") -> str:
    """A title, a table of facts and a picture (a data URI), everything escaped.

    Examples
    --------
    >>> card("Finder", {"bands": "<VIS>"})
    '<div><strong>Finder</strong><table ...><tr><th>bands</th><td>&lt;VIS&gt;</td></tr></table></div>'
    """
    rows = "".join(f"<tr><th>{_cell(name)}</th><td>{_cell(value)}</td></tr>" for name, value in facts.items())
    drawn = f'<img src="{escape(picture)}" alt="{_cell(title)}" style="max-width: 24em">' if picture else ""
    return f"<div><strong>{_cell(title)}</strong>{_TABLE}{rows}</table>{drawn}</div>"


def table(rows: Sequence[Cells], title: str = "") -> str:
    """The first `MOST_ROWS` rows as a table, everything escaped; empty where there are none."""
    if not rows:
        return ""
    head = "".join(f"<th>{_cell(name)}</th>" for name in rows[0])
    body = "".join(_line(row.values()) for row in rows[:MOST_ROWS])
    more = f"<p>… and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    named = f"<strong>{_cell(title)}</strong>" if title else ""
    return f"<div>{named}{_TABLE}<tr>{head}</tr>{body}</table>{more}</div>"


def _line(values: Iterable[object]) -> str:
    return "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in values) + "</tr>"


def page_frame(page: Path) -> str:
    """One of our pages inside a frame in which nothing runs; its path where it is large, nothing where it is gone."""
    if not page.is_file():
        return ""
    if page.stat().st_size > LARGEST_PAGE:
        return f"<p>{_cell(page)} is too large to be shown here; open it in a browser</p>"
    return _FRAME.format(page=escape(page.read_text(encoding="utf-8")), title=_cell(page.name))


def shown(result: Any) -> str:
    """Any result (a dataclass) as a table of its fields; what it holds several of is a table below."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    lists = {name: value for name, value in values.items() if _is_list_of_results(value)}
    facts = {name: value for name, value in values.items() if name not in lists}
    return card(type(result).__name__, facts) + "".join(table(rows_of(many), name) for name, many in lists.items())


def rows_of(results: Sequence[Any]) -> list[Cells]:
    """Dataclasses of one kind as rows, a column for each field."""
    return [{field.name: getattr(result, field.name) for field in fields(result)} for result in results]


def _is_list_of_results(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(is_dataclass(one) for one in value)


def _cell(value: object) -> str:
    return escape(_in_words(value, LONGEST_CELL))


def _in_words(value: object, length: int) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        value = ", ".join(str(one) for one in value[:MOST_ROWS]) + (" …" if len(value) > MOST_ROWS else "")
    if is_dataclass(value) and not isinstance(value, Shown):
        return type(value).__name__
    return printable(value, length)
