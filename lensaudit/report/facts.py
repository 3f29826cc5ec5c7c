"""How names, numbers and facts are written on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_ENTRIES = (
    ("Recall", "Share of lenses that score at or above the threshold. Also: completeness, true-positive rate (TPR)."),
    ("False-positive rate", "Share of non-lenses that score at or above the threshold."),
    ("AUROC", "Area under the ROC curve: chance that a lens scores above a non-lens. 0.5 is guessing."),
    ("TPR0, TPR10", "Highest recall with no false positive, and with fewer than ten, in this set."),
    ("Fβ", "Weighted mean of precision and recall; a small β makes precision count."),
    ("Logit", "ln p/(1 − p): the score on a scale without ends, on which changes can be averaged."),
    ("Arc S/N", "Flux of the noiseless arc over σ√N, N its pixels above 0.5 σ (Lanusse et al. 2018)."),
    ("θ_E", "Einstein radius in arcseconds; for lenses at two distances, that of the main lens."),
    ("Wilson interval", "Interval of a share that stays honest for few objects and near 0 and 1."),
    ("McNemar, Holm", "Exact test on pairs that changed sides; correction for making several tests."),
    ("Compound lens", "One source behind two lens galaxies at different distances: compound arcs, double rings."),
)

GLOSSARY = tuple({"term": term, "meaning": meaning} for term, meaning in _ENTRIES)


MISSING = "—"
"""Shown where a number is not defined; the status beside it says why."""

_THIN = "\u202f"  # narrow no-break space: a number and its unit never part at a line end
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def jsonable(value: Any) -> Any:
    """Turn numpy scalars, arrays, tuples and mappings into JSON types; NaN and infinities become ``None``."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def decimal(value: float | None, digits: int = 3) -> str:
    """``0.9273`` → ``0.927``; a missing value → an em dash; the minus sign is a true minus."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def significant(value: float | None, digits: int = 3) -> str:
    """Write `value` with `digits` significant figures and without exponent where it is readable."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}×10{str(int(exponent)).translate(_RAISED)}".replace("-", "−")
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-").replace("-", "−")


def percent(fraction: float | None) -> str:
    """``0.214`` → ``21 %``; one decimal below 1 % and above 99 %, so that 0.4 % is not called 0 %."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    return f"{_hundred(fraction)}{_THIN}%"


def percent_interval(low: float | None, high: float | None) -> str:
    """``(0.173, 0.261)`` → ``17–26 %``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{_hundred(low)}–{_hundred(high)}{_THIN}%"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """``(0.173, 0.261)`` → ``0.173–0.261``, with "to" between negative ends; a missing interval → an em dash."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    between = " to " if low < 0 or high < 0 else "–"
    return f"{decimal(low, digits)}{between}{decimal(high, digits)}"


def p_value(p: float | None) -> str:
    """``0.00004`` → ``p < 0.001``; otherwise two significant figures."""
    if p is None or not math.isfinite(p):
        return f"p {MISSING}"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {min(p, 1.0):.2g}"


def count(n: int | None) -> str:
    """``45000`` → ``45 000`` with narrow spaces."""
    return MISSING if n is None else f"{n:,}".replace(",", _THIN)


def plural(n: int, one: str, many: str | None = None) -> str:
    """``(1, "lens", "lenses")`` → ``1 lens``."""
    return f"{count(n)} {one if n == 1 else (many or one + 's')}"


def _hundred(fraction: float) -> str:
    value = 100 * fraction
    near_edge = 0 < value < 1 or 99 < value < 100
    text = f"{value:.1f}" if near_edge else f"{value:.0f}"
    return text.replace("-", "−")


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
    labels = f"{count(lens_set['n_lenses'])} lenses, {count(lens_set['n_nonlenses'])} non-lenses"
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
