"""How results show themselves in a notebook: small escaped HTML for ``_repr_html_``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

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
