"""The HTML shell of every page: one template environment, one style sheet, one content policy, one limit of size.

A page is one file that asks the network for nothing: styles inside, pictures as ``data:`` URIs, at most one script. Its
Content-Security-Policy names style and script by their hashes and refuses everything else.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensaudit.display import numbers
from lensaudit.errors import DataError
from lensaudit.files import write_text
from lensaudit.verdicts import present_word

if TYPE_CHECKING:
    from jinja2 import Environment
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


def environment(*folders: Path) -> Environment:
    """The template environment of all pages: escapes everything, and an unknown name is an error."""
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
