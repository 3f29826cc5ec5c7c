"""How names and facts are written on the page."""

from __future__ import annotations

from typing import Any

from lensaudit.display.numbers import count, significant

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

GLOSSARY = tuple({"term": term, "meaning": meaning} for term, meaning in _ENTRIES)


def audited_facts(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """Titled lists of ``{"name", "value", "code"}``; values are text, hashes are marked as code."""
    return [
        {"title": "Finder", "facts": _finder(audit["finder"])},
        {"title": "Lens set", "facts": _set(audit["set"])},
        *([{"title": "Pixels", "facts": pixel_facts(audit["pixels"])}] if audit.get("pixels") else []),
        {"title": "Versions", "facts": _versions(audit["provenance"])},
        {"title": "Audit", "facts": _audit(audit)},
    ]


def _finder(finder: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _fact("name", finder["name"]),
        _fact("loaded from", finder["origin"]),
        _fact("weights", finder["weights_hash"], code=True),
        *([_fact("trained", finder["training"]["origin"])] if finder.get("training") else []),
        _fact("architecture", f"{finder['architecture']}, {count(finder['parameters'])} parameters"),
        _fact("bands", ", ".join(finder["bands"]) + " (in this order)"),
        _fact("input", _input(finder)),
        _fact("stretch", finder["stretch"]),
        _fact("threshold", f"p(lens) ≥ {significant(finder['threshold'])}"),
    ]


def _input(finder: dict[str, Any]) -> str:
    text = f"{finder['size']} × {finder['size']} pixels, {finder['field_of_view_arcsec']:g}″ wide"
    given = finder.get("given_field_arcsec")
    return text if given is None else f"{text} in training; here cutouts of {given:g}″ were resized to it"


def _set(lens_set: dict[str, Any]) -> list[dict[str, Any]]:
    labels = f"{count(lens_set['n_lenses'])} lenses, {count(lens_set['n_non_lenses'])} non-lenses"
    if lens_set["n_unlabelled"]:
        labels += f", {count(lens_set['n_unlabelled'])} without label"
    facts = [
        _fact("name", lens_set["name"]),
        _fact("content", lens_set["content_hash"], code=True),
        _fact("cutouts", f"{count(lens_set['n'])}: {labels}"),
        _fact("instrument", lens_set["instrument"]),
        _fact("bands", "; ".join(lens_set["bands"])),
        _fact("made by", lens_set["made_by"]),
    ]
    return facts + ([_fact("seed", str(lens_set["seed"]))] if lens_set["seed"] is not None else [])


def pixel_facts(pixels: dict[str, Any]) -> list[dict[str, Any]]:
    """By band the unit of the pixels, that of the finder's numbers where it holds any, and the fractions clipped.

    Parameters
    ----------
    pixels
        Of `lensaudit.finders.pixel_record`.
    """
    facts = []
    for band, unit in pixels["units"].items():
        own, clipped = pixels["finder_units"].get(band), pixels["clipping"].get(band)
        words = [f"unit {unit}" if unit == "unknown" else unit]
        if own is not None:
            words.append(f"the stretch holds numbers in {'an unknown unit' if own == 'unknown' else own}")
        words.append(clipped_words(clipped) if clipped else "no clipping by the stretch")
        facts.append(_fact(band, "; ".join(words)))
    return facts


def clipped_words(clipped: dict[str, Any]) -> str:
    """Fractions of the pixels beyond the limits of a stretch."""
    return f"clipped {significant(100 * clipped['below'])} % below, {significant(100 * clipped['above'])} % above"


def _versions(provenance: dict[str, Any]) -> list[dict[str, Any]]:
    packages = {"lensaudit": provenance["lensaudit"], "python": provenance["python"], **provenance["packages"]}
    return [_fact(name, version) for name, version in packages.items() if version]


def _audit(audit: dict[str, Any]) -> list[dict[str, Any]]:
    options = audit["options"]
    return [
        _fact("seed", str(options["seed"])),
        _fact("tolerance", f"{significant(options['tolerance'])} in recall or false-positive rate"),
        _fact("device", options["device"]),
    ]


def _fact(name: str, value: str, code: bool = False) -> dict[str, Any]:
    return {"name": name, "value": value, "code": code}


TRUTH = {
    "theta_e_arcsec": ("Einstein radius θ_E", "″"),
    "arc_snr": ("arc S/N", ""),
    "colour_source_VIS_H": ("source colour VIS − H", "mag"),
    "colour_lens_VIS_H": ("lens colour VIS − H", "mag"),
    "mag_source_VIS": ("source magnitude VIS", "mag"),
    "mag_lens_VIS": ("lens magnitude VIS", "mag"),
}
"""Truth columns of the doses → how an astronomer calls them, and the unit."""

POPULATIONS = {"arcs": "compound arcs", "rings": "double rings"}
"""Labels of populations that have a better name."""
