"""The page from ``audit.json`` and its arrays; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError

from lensaudit.display.numbers import count
from lensaudit.display.page import render_page, write_page
from lensaudit.errors import DataError, LensauditError
from lensaudit.evaluation.selection import SelectionFunction
from lensaudit.report.audit_file import PAGE_NAME, read_audit
from lensaudit.report.facts import GLOSSARY, audited_facts
from lensaudit.report.pictures import FULL_COLOUR, dream_strips, gallery_strips, map_tiles, pair_strips
from lensaudit.report.plots import pictures_of
from lensaudit.report.schema import MIN_BIN, Audit, Training
from lensaudit.untrusted import printable

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
    return write_page(folder / PAGE_NAME, page, "use a smaller --occlusion-n or --maps-n")


@dataclass(frozen=True)
class Section:
    """A section of the page: its anchor, which names its template too, and its title."""

    id: str
    title: str


def sections_of(audit: Audit) -> list[Section]:
    """Sections of the page in reading order; those without data are left out (the audit lists them as not measured)."""
    named = (
        ("verdict", "Verdict", True),
        ("limits", "How far to trust it", True),
        ("probes", "What it loses", audit.probes is not None),
        ("selection", "Which lenses are found", audit.selection is not None),
        ("performance", "Performance", True),
        ("gallery", "What it looks at", audit.gallery is not None),
        ("maps", "The same by other methods", audit.maps is not None),
        ("judged", "How far to believe the maps", audit.judged is not None),
        ("kernels", "What its kernels answer to", audit.kernels is not None),
        ("dreams", "What it holds for a lens", audit.dreams is not None),
        ("certificate", "The audit, audited", True),
        ("not-measured", "Not measured", True),
        ("glossary", "Glossary", True),
        ("audited", "What was audited", True),
    )
    return [Section(name, title) for name, title, there in named if there]


def _html(audit: Audit, folder: Path) -> str:
    return render_page(
        _TEMPLATE,
        "page.html.j2",
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
        history_n=_history_n(audit.finder.training),
        glossary=GLOSSARY,
        min_bin=MIN_BIN,
        shown_cuts=_shown_cuts(audit.selection_function),
    )


def _shown_cuts(function: SelectionFunction | None) -> list[str]:
    """The thresholds of the table of medians: the finder's, and the false-positive rates that leave lenses."""
    cuts = () if function is None else function.cuts
    rates = [cut.words for cut in cuts[1:] if cut.threshold.of == "fpr" and cut.recall.k]
    return [cut.words for cut in cuts[:1]] + rates


def _history_n(training: Training | None) -> str:
    if training is None or not training.images("training"):
        return ""
    return f" ({count(training.images('training'))} and {count(training.images('validation'))} images)"
