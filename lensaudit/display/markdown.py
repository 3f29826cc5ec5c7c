"""Markdown: tables, and a page of Markdown with its pictures as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensaudit.display.images import data_uri
from lensaudit.display.page import TEMPLATE, render_page, write_page
from lensaudit.untrusted import markdown_page

if TYPE_CHECKING:
    from markdown_it.token import Token

_INTERVAL = re.compile(r"\[([^][,]{1,12}), ([^][,]{1,12})\]")
"""Two ends that stay on one line."""

_PERCENT = re.compile(r"(?<=\d) %")
"""A number and what it belongs to stay on one line too."""

_PICTURE = re.compile(r"[A-Za-z0-9._-]+\.png")


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
    return "\n".join(re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(cells)} |") for cells in lines)


def write_html(path: Path, text: str, made_by: str) -> Path:
    """Write a page of Markdown as one HTML file in the shell of all pages; returns `path`.

    Parameters
    ----------
    path
        Of the page; pictures that `text` names are PNGs in the same folder and go into the file.
    text
        Markdown with tables; its first heading is the title. HTML in it is shown as it stands.
    made_by
        What is said at its foot.

    Raises
    ------
    DataError
        The page would be larger than 8 MB.
    """
    from markupsafe import Markup

    tokens = _parser().parse(markdown_page(text))
    headings = _headings(tokens)
    title = headings[0][2] if headings and headings[0][0] == 1 else path.stem
    body = _parser().renderer.render(tokens, _parser().options, {"folder": path.parent})
    level = 2 if sum(heading[0] == 2 for heading in headings) > 1 else 3
    page = render_page(
        TEMPLATE,
        "document.html.j2",
        title=title,
        body=Markup(body),
        sections=[(name, words) for depth, name, words in headings if depth == level],
        made_by=made_by,
    )
    return write_page(path, page, "its pictures are too many")


def _headings(tokens: Sequence[Token]) -> list[tuple[int, str, str]]:
    """Depth, anchor and words of every heading; the anchors are written into the tokens."""
    found: list[tuple[int, str, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            name = f"section-{len(found)}"
            token.attrSet("id", name)
            words = "".join(child.content for child in tokens[place + 1].children or ())
            found.append((int(token.tag[1:]), name, words))
    return found


def _parser() -> Any:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML

    class Renderer(RendererHTML):
        """Tables that scroll, pictures inside the page, θ_E with a real subscript."""

        def table_open(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
            return '<div class="scroll"><table>\n'

        def table_close(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
            return "</table></div>\n"

        def text(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
            words = _INTERVAL.sub("[\\1,\u00a0\\2]", super().text(tokens, place, options, env))
            return _PERCENT.sub("\u202f%", words).replace("θ_E", "θ<sub>E</sub>")

        def image(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
            token, folder = tokens[place], env["folder"]
            name = str(token.attrGet("src"))
            if not _PICTURE.fullmatch(name) or not (folder / name).is_file():
                return ""
            token.attrSet("src", data_uri("image/png", (folder / name).read_bytes()))
            return f'<span class="picture">{super().image(tokens, place, options, env)}</span>'

    return MarkdownIt("commonmark", {"html": False}, renderer_cls=Renderer).enable("table")
