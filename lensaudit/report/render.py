"""The page from ``audit.json`` and its arrays, and the facts it prints of finder and set; imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import TemplateError

from lensaudit.display.numbers import count, significant
from lensaudit.display.page import render_page, write_page
from lensaudit.errors import DataError, LensauditError
from lensaudit.evaluation.selection import SelectionFunction
from lensaudit.provenance import Clipping, Pixels, Provenance
from lensaudit.report.audit_file import PAGE_NAME, read_audit
from lensaudit.report.embedded import embedding_pictures, reading_picture
from lensaudit.report.pictures import FULL_COLOUR, dream_strips, gallery_strips, known_strips, map_tiles, pair_strips
from lensaudit.report.plots import pictures_of
from lensaudit.report.schema import MIN_BIN, Audit, AuditedFinder, AuditedSet, Settings, Training
from lensaudit.untrusted import printable

_ENTRIES = (
    (
        "Recall",
        "Fraction of lenses that score at or above the threshold. Also: completeness, true-positive rate, TPR.",
    ),
    ("False-positive rate", "Fraction of non-lenses that score at or above the threshold."),
    ("AUROC", "Area under the ROC curve: chance that a lens scores above a non-lens. 0.5 is guessing."),
    ("TPR0, TPR10", "Highest recall with no false positive, and with fewer than ten, in this set."),
    ("Fβ", "Weighted mean of precision and recall; a small β makes precision count."),
    ("Logit", "ln p/(1 − p): the score on a scale without ends, on which changes can be averaged."),
    ("Arc S/N", "Flux of the noiseless arc over σ√N, N its pixels above 0.5 σ (Lanusse et al. 2018)."),
    ("θ_E", "Einstein radius in arcseconds; for lenses at two distances, that of the main lens."),
    ("Wilson interval", "Interval of a fraction that stays honest for few objects and near 0 and 1."),
    (
        "p, Holm",
        "Chance of a change so far beyond the tolerance, were the true one no more than it; Holm’s correction for "
        "making several tests.",
    ),
    ("Compound lens", "One source behind two lens galaxies at different distances: compound arcs, double rings."),
)


@dataclass(frozen=True)
class Term:
    """An entry of the glossary."""

    term: str
    meaning: str


GLOSSARY = tuple(Term(*entry) for entry in _ENTRIES)


@dataclass(frozen=True)
class Fact:
    """Something of what was audited, as text; a hash is shown as `code`."""

    name: str
    value: str
    code: bool = False


@dataclass(frozen=True)
class Facts:
    """Facts under a title."""

    title: str
    facts: tuple[Fact, ...]


def audited_facts(audit: Audit) -> list[Facts]:
    """Everything that identifies the audit."""
    return [
        Facts("Finder", _finder(audit.finder)),
        Facts("Lens set", _set(audit.set)),
        *([Facts("Pixels", pixel_facts(audit.pixels))] if audit.pixels else []),
        Facts("Versions", _versions(audit.provenance)),
        Facts("Audit", _options(audit.options)),
    ]


def _finder(finder: AuditedFinder) -> tuple[Fact, ...]:
    return (
        Fact("name", finder.name),
        Fact("loaded from", finder.origin),
        Fact("weights", finder.weights_hash, code=True),
        *([Fact("trained", finder.training.origin)] if finder.training else []),
        Fact("architecture", f"{finder.architecture}, {count(finder.parameters)} parameters"),
        Fact("bands", ", ".join(finder.bands) + " (in this order)"),
        Fact("input", _input(finder)),
        Fact("stretch", finder.stretch),
        Fact("threshold", f"p(lens) ≥ {significant(finder.threshold)}"),
    )


def _input(finder: AuditedFinder) -> str:
    text = f"{finder.size} × {finder.size} pixels, {finder.field_of_view_arcsec:g}″ wide"
    given = finder.given_field_arcsec
    return text if given is None else f"{text} in training; here cutouts of {given:g}″ were resized to it"


def _set(lens_set: AuditedSet) -> tuple[Fact, ...]:
    labels = f"{count(lens_set.n_lenses)} lenses, {count(lens_set.n_non_lenses)} non-lenses"
    if lens_set.n_unlabelled:
        labels += f", {count(lens_set.n_unlabelled)} without label"
    return (
        Fact("name", lens_set.name),
        Fact("content", lens_set.content_hash, code=True),
        Fact("cutouts", f"{count(lens_set.n)}: {labels}"),
        Fact("instrument", lens_set.instrument),
        Fact("bands", "; ".join(lens_set.bands)),
        Fact("made by", lens_set.made_by),
        *([Fact("seed", str(lens_set.seed))] if lens_set.seed is not None else []),
    )


def pixel_facts(pixels: Pixels) -> tuple[Fact, ...]:
    """By band the unit of the pixels, that of the finder's numbers where it holds any, and the fractions clipped."""
    facts = []
    for band, unit in pixels.units.items():
        own, clipped = pixels.finder_units.get(band), pixels.clipping.get(band)
        words = [f"unit {unit}" if unit == "unknown" else unit]
        if own is not None:
            words.append(f"the stretch holds numbers in {'an unknown unit' if own == 'unknown' else own}")
        words.append(clipped_words(clipped) if clipped else "no clipping by the stretch")
        facts.append(Fact(band, "; ".join(words)))
    return tuple(facts)


def clipped_words(clipped: Clipping) -> str:
    """Fractions of the pixels beyond the limits of a stretch."""
    return f"clipped {significant(100 * clipped.below)} % below, {significant(100 * clipped.above)} % above"


def _versions(provenance: Provenance) -> tuple[Fact, ...]:
    packages = {"lensaudit": provenance.lensaudit, "python": provenance.python, **provenance.packages}
    return tuple(Fact(name, version) for name, version in packages.items() if version)


def _options(options: Settings) -> tuple[Fact, ...]:
    return (
        Fact("seed", str(options.seed)),
        Fact("tolerance", f"{significant(options.tolerance)} in recall or false-positive rate"),
        Fact("device", options.device),
    )


TRUTH = {
    "theta_e_arcsec": ("Einstein radius θ_E", "″"),
    "arc_snr": ("arc S/N", ""),
    "colour_source_VIS_H": ("source colour VIS − H", "mag"),
    "colour_lens_VIS_H": ("lens colour VIS − H", "mag"),
    "mag_source_VIS": ("source magnitude VIS", "mag"),
    "mag_lens_VIS": ("lens magnitude VIS", "mag"),
}
"""Truth columns of the doses → how an astronomer calls them, and the unit."""

_OF_BANDS = re.compile(r"(?P<what>mag|colour)_(?P<of>source|lens)_(?P<bands>\w+)")


def truth_words(column: str) -> tuple[str, str]:
    """Words and unit of a truth column; of those that the page does not know its name."""
    found = _OF_BANDS.fullmatch(column)
    if column in TRUTH or found is None:
        return TRUTH.get(column, (column, ""))
    if found["what"] == "mag":
        return f"{found['of']} magnitude {found['bands']}", "mag"
    return f"{found['of']} colour {found['bands'].replace('_', ' − ')}", "mag"


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
        ("realism", "How far from the sky", audit.realism is not None),
        ("probes", "What it loses", audit.probes is not None),
        ("selection", "Which lenses are found", audit.selection is not None),
        ("performance", "Performance", True),
        ("known", "Known lenses, as a check", bool(audit.known)),
        ("gallery", "What it looks at", audit.gallery is not None),
        ("maps", "The same by other methods", audit.maps is not None),
        ("judged", "How far to believe the maps", audit.judged is not None),
        ("kernels", "What its kernels answer to", audit.kernels is not None),
        ("embedding", "What the network knows", audit.embedding is not None),
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
        known_pictures=[known_strips(one, audit.performance.threshold, folder) for one in audit.known],
        dreams=dream_strips(audit, folder),
        maps=map_tiles(audit, folder),
        embedding_pictures=embedding_pictures(folder),
        reading_picture=reading_picture(audit.embedding),
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
