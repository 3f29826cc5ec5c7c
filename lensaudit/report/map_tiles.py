"""Tiles of the chapter on maps: each method's map of a system, to be enlarged beside its image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.display import LEAST_LOG_ODDS, LEAST_P, symmetric_scale
from lensaudit.report.figures import panels
from lensaudit.report.figures.encode import png_uri
from lensaudit.report.numbers import percent, significant
from lensaudit.report.strips import arrays_of, colour_bar, scale_bar

FULL_COLOUR = 99.8
"""Percentile of |value| from which colours are full, as in the pictures of ``lensaudit explain``."""

TINY = "no change worth a colour"
"""Instead of a score: a map whose values rounding could give."""


def map_tiles(audit: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Systems with their tiles; a system whose arrays are missing has none and says so on the page."""
    block = audit["maps"]
    if block is None:
        return []
    threshold = audit["performance"]["threshold"]
    measured = {check["method"]: check for check in (audit["judged"] or {"checks": []})["checks"]}
    methods = [{**method, "warning": _warning(method, measured.get(method["name"]))} for method in block["methods"]]
    return [
        {**entry, "above": entry["p"] >= threshold, **_pictures(entry, methods, folder, number)}
        for number, entry in enumerate(block["entries"])
    ]


def _pictures(entry: dict[str, Any], methods: list[dict[str, Any]], folder: Path, number: int) -> dict[str, Any]:
    arrays = arrays_of(folder, entry)
    band = next((name for name in arrays or {} if name.startswith("band:")), None)
    if arrays is None or band is None:
        return {"tiles": [], "image": None}
    image = {
        "uri": png_uri(panels.grey(arrays[band])),
        "title": f"{band.removeprefix('band:')}, log",
        "alt": f"{band.removeprefix('band:')} cutout of {entry['id']}",
        "bar": scale_bar(entry["fov_arcsec"]),
        "anchor": f"pixels-{number}",
    }
    tiles = [_tile(entry, method, arrays, f"map-{number}-{method['name']}") for method in methods]
    return {"image": image, "tiles": [tile for tile in tiles if tile is not None]}


def _tile(
    entry: dict[str, Any], method: dict[str, Any], arrays: dict[str, np.ndarray], anchor: str
) -> dict[str, Any] | None:
    name = method["name"]
    if f"map:{name}" not in arrays:
        return None
    values = arrays[f"map:{name}"]
    title = str(arrays.get(f"title:{name}", method["title"]))
    quantity = method.get("quantity", "")  # audits of earlier versions do not say it: their occlusion is Δp
    least = LEAST_LOG_ODDS if name == "occlusion" and quantity else LEAST_P
    scale = symmetric_scale(values, least, 100.0 if name == "occlusion" else FULL_COLOUR)
    extremes = f"{significant(float(values.min()), 2)} to {significant(float(values.max()), 2)}"
    return {
        "anchor": anchor,
        "title": title,
        "alt": f"{title} of {entry['id']}: {extremes}",
        "uri": png_uri(panels.heat(values, scale)),
        "scale": colour_bar(scale),
        "extremes": f"{extremes} ({quantity})" if quantity else extremes,
        "warning": method["warning"] or ("partial" if title != method["title"] else ""),
        "notes": [str(note) for note in arrays.get(f"notes:{name}", method["notes"])],
        "score": _short(entry["scores"].get(name)) if np.abs(values).max() >= least else TINY,
        "words": _words(entry["scores"].get(name), entry["area"]),
    }


def _warning(method: dict[str, Any], check: dict[str, Any] | None) -> str:
    """What this audit measured of the method; what is known of it where nothing was, or too little."""
    if check is not None and check["verdict"] in ("passes", "fails"):
        return str(check["label"])
    return "fails the randomisation check" if method["known_to_fail"] else ""


def _short(score: dict[str, Any] | None) -> str:
    if score is None:
        return "no truth mask"
    return f"{percent(score['share'])} on the arc" if score["share"] is not None else "nothing positive"


def _words(score: dict[str, Any] | None, area: float | None) -> str:
    if score is None or area is None:
        return "There is no lensed light here, or no truth: no score."
    if score["share"] is None:
        return "There is no positive attribution in this map, so there is no fraction."
    pointed = "lies" if score["pointing"] >= 0.5 else "does not lie"
    return (
        f"{percent(score['share'])} of the positive attribution falls on the lensed light, which covers "
        f"{percent(area)} of the image (what chance gives). Of the highest pixels, as many as the lensed light has, "
        f"{percent(score['rank'])} lie on it. The highest pixel of all {pointed} on it or beside it."
    )
