"""The HTML shell of every page: one template environment, one style sheet, one content policy, one limit of size.

A page is one file that asks the network for nothing: styles inside, pictures as ``data:`` URIs, at most one script. Its
Content-Security-Policy names style and script by their hashes and refuses everything else. Pages written in Markdown,
and their tables, go into the same shell.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensaudit.display import numbers
from lensaudit.display.images import data_uri
from lensaudit.errors import DataError
from lensaudit.files import write_text
from lensaudit.untrusted import markdown_page
from lensaudit.verdicts import present_word

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it.token import Token
    from markupsafe import Markup


MAX_BYTES = 8_000_000
TEMPLATE = Path(__file__).parent / "template"


def render_page(folder: Path, template: str, *, styles: Sequence[str] = (), script: str = "", **values: Any) -> str:
    """HTML of a page whose template extends ``shell.html.j2``.

    Parameters
    ----------
    folder
        Of `template`, `styles` and `script`.
    template
        Name of the file.
    styles
        Names of style sheets that follow the common one.
    script
        Name of the one script, if there is one.
    values
        What the template shows; everything is escaped.
    """
    from markupsafe import Markup

    sheets = (TEMPLATE / "page.css", *(folder / name for name in styles))
    css = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    code = (folder / script).read_text(encoding="utf-8") if script else ""
    shell = {"css": Markup(css), "script": Markup(code), "policy": content_policy(css, code)}
    page = environment(folder).get_template(template).render(**values, **shell)
    parts = _NO_WORDS.split(page)
    parts[::2] = map(numbers.unbroken, parts[::2])
    return "".join(parts)


_NO_WORDS = re.compile(r"(<style.*?</style>|<script.*?</script>)", re.DOTALL)
"""What the content policy holds to the letter."""


def content_policy(css: str, script: str = "") -> str:
    """Content-Security-Policy: this style sheet, this script if any, ``data:`` pictures, and nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(css)}'; "
        f"script-src '{_hash(script) if script else 'none'}'; base-uri 'none'; form-action 'none'"
    )


@cache
def environment(*folders: Path) -> Environment:
    """The template environment of all pages: escapes everything, and an unknown name is an error.

    Made once for each folder, so that templates are compiled once in a process.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATE]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters.update(
        decimal=numbers.decimal,
        significant=numbers.significant,
        percent=numbers.percent,
        count=numbers.count,
        p_value=numbers.p_value,
        p_short=numbers.p_short,
        between=lambda group, digits=3: numbers.interval(*_ends(group), digits),
        span=lambda group: numbers.percent_interval(*_ends(group)),
        finite=lambda value: value is not None and math.isfinite(value),
        symbols=_symbols,
        groupby_first=_grouped,
        slug=lambda text: text.replace(" ", "-"),
        present_word=present_word,
    )
    return made


def write_page(path: Path, page: str, smaller: str) -> Path:
    """Write a page whole or not at all; returns `path`.

    Parameters
    ----------
    smaller
        What makes the page smaller, for the message.

    Raises
    ------
    DataError
        It is larger than 8 MB.
    """
    size = len(page.encode("utf-8"))
    if size > MAX_BYTES:
        raise DataError(f"{path.parent}: the page would be {size / 1e6:.1f} MB, 8 MB at most; {smaller}")
    write_text(path, page)
    return path


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _ends(group: Any) -> tuple[float | None, float | None]:
    """Both ends of a record's interval, or of a mapping's."""
    return (group["low"], group["high"]) if isinstance(group, dict) else (group.low, group.high)


def _symbols(text: str) -> Markup:
    """Escape `text`, set θ_E with a real subscript, and keep a number and its per cent sign on one line."""
    from markupsafe import Markup

    return Markup(str(Markup.escape(text)).replace("θ_E", "θ<sub>E</sub>").replace(" %", "\u202f%"))


def _grouped(rows: Sequence[Any], name: str) -> list[list[Any]]:
    """Rows that have a value in common, in the order of their first one."""
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(row[name] if isinstance(row, dict) else getattr(row, name), []).append(row)
    return list(groups.values())


_INTERVAL = re.compile(r"\[([^][,]{1,12}), ([^][,]{1,12})\]")
"""Two ends that stay on one line."""

_PERCENT = re.compile(r"(?<=\d) %")
"""A number and what it belongs to stay on one line too."""

_PICTURE = re.compile(r"[A-Za-z0-9._-]+\.png")


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are Markdown already; foreign words in them passed through `in_markdown`.

    Examples
    --------
    >>> print(markdown_table(("finder", "n"), [("ou66", "12")]))
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
