"""The blocks "finder", "set" and "software" of the page, as pairs of name and value."""

from __future__ import annotations

from typing import Any

from lensaudit.report.numbers import count, significant


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
