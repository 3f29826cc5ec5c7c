"""``compare.html`` from ``compare.json``: a template and pictures, no finder and no set."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from lensaudit.comparing.comparison_file import PAGE_NAME, read_comparison
from lensaudit.comparing.figures import pictures_of
from lensaudit.comparing.tables import HEADS, matrices_of, probe_table, set_table, told_apart, verdicts_said
from lensaudit.errors import DataError
from lensaudit.files import write_text
from lensaudit.report import numbers, render
from lensaudit.report.facts import pixel_facts
from lensaudit.untrusted import printable
from lensaudit.verdicts import NATURES

MAX_BYTES = 8_000_000
_TEMPLATE = Path(__file__).parent / "template"
_HOUSE = Path(render.__file__).parent / "template"


def render_comparison(folder: Path) -> Path:
    """Write ``compare.html`` beside the ``compare.json`` in `folder`; returns its path.

    The page is one file: styles inside, pictures as ``data:`` URIs, one script that sorts tables, and a
    Content-Security-Policy that refuses everything else.

    Raises
    ------
    UsageError
        `folder` holds no ``compare.json``.
    DataError
        A field is missing, or the page would be larger than 8 MB.
    """
    folder = Path(folder)
    comparison = read_comparison(folder)
    try:
        page = _html(comparison)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, TemplateError) as error:
        raise DataError(
            f"{folder}/compare.json: a field is missing or wrong ({printable(error, 100)}); compare again"
        ) from error
    size = len(page.encode("utf-8"))
    if size > MAX_BYTES:
        raise DataError(f"{folder}: the page would be {size / 1e6:.1f} MB, 8 MB at most; compare fewer finders or sets")
    path = folder / PAGE_NAME
    write_text(path, page)
    return path


def policy(css: str, script: str) -> str:
    """Content-Security-Policy that allows this style sheet, this script and ``data:`` pictures, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in (css, script)]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _html(comparison: dict[str, Any]) -> str:
    house = (_HOUSE / "page.css").read_text(encoding="utf-8")
    css = house + (_TEMPLATE / "compare.css").read_text(encoding="utf-8")
    script = (_TEMPLATE / "sort.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            sections=[_section(comparison, place) for place in range(len(comparison["sets"]))],
            heads=HEADS,
            probes=probe_table(comparison["probes"]),
            natures=dict(NATURES),
            verdicts=verdicts_said(comparison["probes"]),
            css=Markup(css),
            script=Markup(script),
            policy=policy(css, script),
        )
    )


def _section(comparison: dict[str, Any], place: int) -> dict[str, Any]:
    block = comparison["sets"][place]
    return {
        "id": f"set-{place + 1}",
        "block": block,
        "table": set_table(comparison, block),
        "told": told_apart(block),
        "pixels": [
            {"finder": row["finder"], "facts": pixel_facts(row["pixels"])} for row in block["rows"] if row.get("pixels")
        ],
        "matrices": matrices_of(block),
        "pictures": pictures_of(block),
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([_TEMPLATE, _HOUSE]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(
        decimal=numbers.decimal,
        significant=numbers.significant,
        percent=numbers.percent,
        count=numbers.count,
        p_value=numbers.p_value,
        between=lambda group, digits=3: numbers.interval(group["low"], group["high"], digits),
        span=lambda group: numbers.percent_interval(group["low"], group["high"]),
        symbols=lambda text: text,
        slug=lambda text: text.replace(" ", "-"),
    )
    return environment
