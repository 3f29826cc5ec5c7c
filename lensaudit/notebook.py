"""How results show themselves in a notebook: small escaped HTML for ``_repr_html_``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

MOST_ROWS = 12

_FRAME = (
    '<iframe srcdoc="{page}" title="{title}" sandbox="" loading="lazy" '
    'style="width: 100%; height: 36em; border: 1px solid #ccc"></iframe>'
)


def card(title: str, facts: Mapping[str, object]) -> str:
    """A title and a table of facts, everything escaped.

    Examples
    --------
    >>> card("Finder", {"bands": "<VIS>"})
    '<div><strong>Finder</strong><table><tr><th>bands</th><td>&lt;VIS&gt;</td></tr></table></div>'
    """
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"


def page_frame(page: Path) -> str:
    """One of our pages inside a frame in which nothing runs; empty where the page is gone."""
    if not page.is_file():
        return ""
    return _FRAME.format(page=escape(page.read_text(encoding="utf-8")), title=escape(page.name))


def shown(result: Any) -> str:
    """A result (a dataclass) as a table of its fields; one that holds several of a kind gets a table of those below."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    lists = {name: value for name, value in values.items() if _is_list_of_results(value)}
    facts = {name: _in_words(value) for name, value in values.items() if name not in lists}
    return card(type(result).__name__, facts) + "".join(_table(name, rows) for name, rows in lists.items())


def _is_list_of_results(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(is_dataclass(one) for one in value)


def _in_words(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if is_dataclass(value):
        return type(value).__name__
    text = str(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _table(title: str, rows: tuple[Any, ...]) -> str:
    names = [field.name for field in fields(rows[0])]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_in_words(getattr(row, name)))}</td>" for name in names) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = f"<p>… and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    return f"<div><strong>{escape(title)}</strong><table><tr>{head}</tr>{body}</table>{more}</div>"
