"""How names and facts are written on the page."""

from __future__ import annotations

from dataclasses import dataclass

from lensaudit.display.numbers import count, significant
from lensaudit.provenance import Provenance
from lensaudit.report.schema import Audit, AuditedFinder, AuditedSet, Clipping, Pixels, Settings

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
    ("McNemar, Holm", "Exact test on pairs that changed sides; correction for making several tests."),
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
