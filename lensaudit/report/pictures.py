"""All line plots of the page, drawn from the audit's numbers."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from lensaudit.report.figures import arms, doses, drivers, histogram, history, kinds, recall_maps, roc, selection
from lensaudit.report.figures.encode import svg_uri
from lensaudit.report.figures.style import house_style
from lensaudit.report.numbers import plural


def pictures_of(audit: dict[str, Any]) -> dict[str, Any]:
    """Pictures by name, each ``{"uri", "alt", "width", "height"}`` or ``None`` where there is nothing to draw."""
    performance, chosen, function = audit["performance"], audit["selection"], audit["selection_function"]
    training = (audit["finder"].get("training") or {}).get("history")
    with house_style():
        return {
            "roc": _drawn(roc, performance) if performance["roc"] else None,
            "histogram": _drawn(histogram, performance),
            "history": _drawn(history, training) if history.drawable(training) else None,
            "curves": _curves(audit) if chosen else [],
            "kinds": _drawn(kinds, chosen) if chosen and _has_kinds(chosen) else None,
            "maps": [_drawn(recall_maps, one) for one in function["maps"]] if function else [],
            "drivers": _drawn(drivers, function["drivers"]) if function and drivers.drawable(function) else None,
            "probes": _probes(audit["probes"]),
        }


def _probes(probes: dict[str, Any] | None) -> dict[str, Any]:
    """Probe → its plot along the strength, or of both arms; None where no group has pairs."""
    drawn: dict[str, Any] = {}
    for detail in (probes or {"details": []})["details"]:
        figure = doses if doses.drawable(detail) else arms
        drawn[detail["probe"]] = _drawn(figure, detail) if arms.drawable(detail) else None
    return drawn


def _curves(audit: dict[str, Any]) -> list[dict[str, Any]]:
    performance = audit["performance"]
    overall = performance["confusion"]["tp"] / performance["n_lenses"] if performance["n_lenses"] else None
    shown = []
    for curve in audit["selection"]["curves"]:
        if curve["bins"]:
            picture = _picture(selection.draw(curve, overall), selection.alt(curve))
            shown.append({"picture": picture, "caption": _curve_caption(curve)})
    return shown


def _curve_caption(curve: dict[str, Any]) -> str:
    text = f"{curve['label']}: recall of {plural(curve['n'], 'lens', 'lenses')} with 95 % Wilson intervals"
    few = sum(one["few"] for one in curve["bins"])
    return text + (f"; * {plural(few, 'bin')} with too few lenses." if few else ".")


def _has_kinds(chosen: dict[str, Any]) -> bool:
    return any(kinds.drawable(chosen[name]) for name in ("lens_kinds", "non_lens_kinds"))


def _drawn(figure: Any, block: Any) -> dict[str, Any]:
    return _picture(figure.draw(block), figure.alt(block))


def _picture(figure: Figure, alt: str) -> dict[str, Any]:
    width, height = figure.get_size_inches()
    return {"uri": svg_uri(figure), "alt": alt, "width": round(width * 96), "height": round(height * 96)}
