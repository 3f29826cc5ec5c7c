"""The page from ``audit.json`` and its arrays; imports no torch."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from lensaudit.errors import DataError, LensauditError
from lensaudit.files import write_text
from lensaudit.report import facts
from lensaudit.report.audit_file import PAGE_NAME, read_audit
from lensaudit.report.facts import GLOSSARY, audited_facts
from lensaudit.report.options import MIN_BIN
from lensaudit.report.pictures import FULL_COLOUR, dream_strips, gallery_strips, map_tiles, pair_strips, pictures_of
from lensaudit.untrusted import printable
from lensaudit.verdicts import present_word

MAX_BYTES = 8_000_000
SHOWN_FINDINGS = 6
_TEMPLATE = Path(__file__).parent / "template"


def render_report(folder: Path) -> Path:
    """Write ``index.html`` beside the ``audit.json`` in `folder`; returns its path.

    The page is one file: styles inside, pictures as ``data:`` URIs, no script, and a Content-Security-Policy that
    refuses everything else.

    Raises
    ------
    UsageError
        `folder` holds no ``audit.json``.
    DataError
        The audit lacks a block or a field, or the page would be larger than 8 MB.
    """
    folder = Path(folder)
    audit = read_audit(folder)
    try:
        page = _html(audit, folder)
    except LensauditError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, TemplateError) as error:
        raise DataError(
            f"{folder}/audit.json: a field is missing or wrong ({printable(error, 100)}); build the audit again"
        ) from error
    size = len(page.encode("utf-8"))
    if size > MAX_BYTES:
        raise DataError(
            f"{folder}: the page would be {size / 1e6:.1f} MB, 8 MB at most; use a smaller --occlusion-n or --maps-n"
        )
    path = folder / PAGE_NAME
    write_text(path, page)
    return path


def sections_of(audit: dict[str, Any]) -> list[dict[str, str]]:
    """Sections of the page in reading order; those without data are left out (the audit lists them as not measured)."""
    named = (
        ("verdict", "Verdict", True),
        ("limits", "How far to trust it", True),
        ("probes", "What it loses", audit["probes"] is not None),
        ("selection", "Which lenses are found", audit["selection"] is not None),
        ("performance", "Performance", audit["performance"] is not None),
        ("gallery", "What it looks at", audit["gallery"] is not None),
        ("maps", "The same by other methods", audit["maps"] is not None),
        ("judged", "How far to believe the maps", audit["judged"] is not None),
        ("kernels", "What its kernels answer to", audit["kernels"] is not None),
        ("dreams", "What it holds for a lens", audit["dreams"] is not None),
        ("certificate", "The audit, audited", True),
        ("not-measured", "Not measured", True),
        ("glossary", "Glossary", True),
        ("audited", "What was audited", True),
    )
    return [{"id": name, "title": title} for name, title, there in named if there]


def _html(audit: dict[str, Any], folder: Path) -> str:
    css = (_TEMPLATE / "page.css").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            audit=audit,
            sections=sections_of(audit),
            audited=audited_facts(audit),
            pictures=pictures_of(audit),
            gallery=gallery_strips(audit, folder),
            dreams=dream_strips(audit, folder),
            maps=map_tiles(audit, folder),
            shown_findings=SHOWN_FINDINGS,
            full_colour=f"{FULL_COLOUR:g}",
            pairs=pair_strips(audit, folder),
            history_n=_history_n(audit["finder"]),
            glossary=GLOSSARY,
            min_bin=MIN_BIN,
            shown_cuts=_shown_cuts(audit["selection_function"]),
            css=Markup(css),
            policy=policy(css),
        )
    )


def policy(css: str) -> str:
    """Content-Security-Policy that allows this one style sheet and ``data:`` pictures, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; script-src 'none'; "
        "base-uri 'none'; form-action 'none'"
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(
        decimal=facts.decimal,
        significant=facts.significant,
        percent=facts.percent,
        count=facts.count,
        p_value=facts.p_value,
        between=lambda group, digits=3: facts.interval(group["low"], group["high"], digits),
        span=lambda group: facts.percent_interval(group["low"], group["high"]),
        symbols=_symbols,
        p_short=lambda p: facts.p_value(p).removeprefix("p = ").removeprefix("p "),
        groupby_first=_grouped,
        slug=lambda text: text.replace(" ", "-"),
        present_word=present_word,
    )
    return environment


def _symbols(text: str) -> Markup:
    """Escape `text` and set θ_E with a real subscript."""
    return Markup(str(Markup.escape(text)).replace("θ_E", "θ<sub>E</sub>"))


def _grouped(rows: list[dict[str, Any]], name: str) -> list[list[dict[str, Any]]]:
    """Rows that share a value, in the order of their first one."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[name], []).append(row)
    return list(groups.values())


def _shown_cuts(function: dict[str, Any] | None) -> list[str]:
    """The thresholds of the table of medians: the finder's, and the false-positive rates that leave lenses."""
    cuts = [] if function is None else function["cuts"]
    rates = [cut["threshold"] for cut in cuts[1:] if cut["of"] == "fpr" and cut["recall"]["k"]]
    return [cut["threshold"] for cut in cuts[:1]] + rates


def _history_n(finder: dict[str, Any]) -> str:
    data = (finder.get("training") or {}).get("data") or {}
    if not data.get("n_training"):
        return ""
    return f" ({facts.count(data['n_training'])} and {facts.count(data.get('n_validation'))} images)"
