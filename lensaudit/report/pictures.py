"""All pictures of the page, drawn from the audit's numbers and the arrays beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.display.colour import LEAST_LOG_ODDS, LEAST_P, SignedScale, symmetric_scale
from lensaudit.display.figures import styled, svg_picture
from lensaudit.display.images import (
    NISP_RGB,
    bar_length,
    grey,
    main_band,
    over_image,
    png_uri,
    resampled_rgb,
    shrink,
    to_bytes,
)
from lensaudit.display.numbers import decimal, percent, plural, signed, significant
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.selection import RecallMap, SelectionFunction
from lensaudit.kept import read_arrays
from lensaudit.report.audit_file import AUDIT_NAME
from lensaudit.report.figures import performance as scores
from lensaudit.report.figures import probes as effects
from lensaudit.report.figures import selection
from lensaudit.untrusted import path_within, printable


@styled
def pictures_of(audit: dict[str, Any]) -> dict[str, Any]:
    """Pictures by name, each ``{"uri", "alt", "width", "height"}`` or ``None`` where there is nothing to draw."""
    performance, chosen, function = audit["performance"], audit["selection"], audit["selection_function"]
    training = (audit["finder"].get("training") or {}).get("history")
    return {
        "roc": svg_picture(scores.draw_roc(performance), scores.alt_roc(performance)) if performance["roc"] else None,
        "histogram": svg_picture(scores.draw_histogram(performance), scores.alt_histogram(performance)),
        "history": _history(training),
        "curves": _curves(audit) if chosen else [],
        "kinds": _kinds(chosen),
        "maps": [_recall_map(one) for one in function.maps] if function else [],
        "drivers": _drivers(function),
        "probes": _probes(audit["probes"]),
    }


def _probes(probes: dict[str, Any] | None) -> dict[str, Any]:
    """Probe → its plot along the strength, or of both arms; None where no group has pairs."""
    drawn: dict[str, Any] = {}
    for detail in (probes or {"details": []})["details"]:
        if not effects.arms_drawable(detail):
            drawn[detail["probe"]] = None
        elif effects.doses_drawable(detail):
            drawn[detail["probe"]] = svg_picture(effects.draw_doses(detail), effects.alt_doses(detail))
        else:
            drawn[detail["probe"]] = svg_picture(effects.draw_arms(detail), effects.alt_arms(detail))
    return drawn


def _curves(audit: dict[str, Any]) -> list[dict[str, Any]]:
    performance = audit["performance"]
    overall = performance["confusion"]["tp"] / performance["n_lenses"] if performance["n_lenses"] else None
    shown = []
    for curve in audit["selection"]["curves"]:
        if curve["bins"]:
            picture = svg_picture(selection.draw_selection(curve, overall), selection.alt_selection(curve))
            shown.append({"picture": picture, "caption": _curve_caption(curve)})
    return shown


def _curve_caption(curve: dict[str, Any]) -> str:
    text = f"{curve['label']}: recall of {plural(curve['n'], 'lens', 'lenses')} with 95 % Wilson intervals"
    few = sum(one["few"] for one in curve["bins"])
    return text + (f"; * {plural(few, 'bin')} with too few lenses." if few else ".")


def _kinds(chosen: dict[str, Any] | None) -> dict[str, Any] | None:
    if not chosen or not any(selection.kinds_drawable(chosen[name]) for name in ("lens_kinds", "non_lens_kinds")):
        return None
    return svg_picture(selection.draw_kinds(chosen), selection.alt_kinds(chosen))


def _recall_map(one: RecallMap) -> dict[str, Any]:
    return svg_picture(selection.draw_recall_maps(one), selection.alt_recall_maps(one))


def _history(training: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    if training is None or not scores.history_drawable(training):
        return None
    return svg_picture(scores.draw_history(training), scores.alt_history(training))


def _drivers(function: SelectionFunction | None) -> dict[str, Any] | None:
    if function is None or not function.drivers.drivers:
        return None
    return svg_picture(selection.draw_drivers(function.drivers), selection.alt_drivers(function.drivers))


SHOWN = 8
"""Entries drawn per group at most: about 90 kB each, so that the page stays below 8 MB."""

PAIR_SIDE = 100
"""Pixels of a side of the panels of pairs, which are drawn about so large; there are many of them."""


def gallery_strips(audit: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Gallery groups with their panels; an entry whose array is missing has no panels and says so on the page."""
    if audit["gallery"] is None:
        return []
    threshold = audit["performance"]["threshold"]
    groups = []
    for group in audit["gallery"]["groups"]:
        shown = group["entries"][:SHOWN]
        more = len(group["entries"]) - len(shown)
        note = group["note"] + (f" {more} more in audit.json." if more else "")
        entries = [{**entry, "above": entry["p"] >= threshold, "panels": _entry(entry, folder)} for entry in shown]
        groups.append({"title": group["title"], "note": note, "entries": entries})
    return groups


def pair_strips(audit: dict[str, Any], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Probe → its pairs: control and treated, grey and colour."""
    details = (audit["probes"] or {"details": []})["details"]
    return {one["probe"]: [_pair(pair, folder) for pair in one["pairs"]] for one in details}


def arrays_of(folder: Path, block: dict[str, Any]) -> dict[str, np.ndarray] | None:
    """Arrays of the file below `folder` that a block of ``audit.json`` names, as `read_arrays`.

    Raises
    ------
    DataError
        It names one elsewhere, or no file.
    """
    name = block["array"]
    if not isinstance(name, str):
        words = f"{printable(repr(name), 60)} is no path"
        raise DataError(f"{folder / AUDIT_NAME}: array: {words}; build the audit again without --from")
    try:
        return read_arrays(path_within(folder, *name.split("/")))
    except UsageError as outside:
        raise DataError(f"{folder / AUDIT_NAME}: array: {outside}; build the audit again without --from") from outside


def _entry(entry: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    arrays = arrays_of(folder, entry)
    if arrays is None or "map" not in arrays:
        return []
    images = _images(arrays)
    band = main_band(list(images))
    values, unit, least = _attribution(arrays)
    scale = symmetric_scale(values, least)
    extremes = f"{unit} from {significant(float(values.min()), 2)} to {significant(float(values.max()), 2)}"
    over = to_bytes(over_image(values, shrink(images[band]), scale))
    return [
        *_pictures(images, entry["fov_arcsec"], entry["id"]),
        {
            **_panel(to_bytes(scale.colours(values)), "Occlusion map", f"Occlusion map of {entry['id']}: {extremes}"),
            "note": extremes,
            "scale": colour_bar(scale),
        },
        _panel(over, f"Map over {band}", f"Occlusion map over {band} of {entry['id']}"),
    ]


def _attribution(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, str, float]:
    """What an occlusion map shows, positive attribution above 0, its name, and the least full colour.

    Audits of earlier versions kept the change of p(lens) only, with the other sign.
    """
    if "attribution" in arrays:
        return arrays["attribution"], "Δ log-odds", LEAST_LOG_ODDS
    return -arrays["map"], "Δp", LEAST_P


def colour_bar(scale: SignedScale) -> dict[str, str]:
    """Colours with the values of both ends."""
    return {
        "uri": png_uri(to_bytes(scale.ramp(101)[None])),
        "low": signed(-scale.negative),
        "high": signed(scale.positive),
    }


def _pair(pair: dict[str, Any], folder: Path) -> dict[str, Any]:
    arrays = arrays_of(folder, pair)
    shown: list[dict[str, Any]] = []
    for arm in ("control", "treated") if arrays else ():
        images = {band: shrink(one, PAIR_SIDE) for band, one in _images(arrays or {}, f"{arm}:").items()}
        score = f"{arm}, p = {decimal(pair[f'p_{arm}'])}"
        shown += _pictures(images, pair["fov_arcsec"], f"{pair['title']}, {score}", note=score)
    return {"title": pair["title"], "facts": pair["facts"], "array": pair["array"], "panels": shown}


def _pictures(images: dict[str, np.ndarray], fov: float, name: str, note: str = "") -> list[dict[str, Any]]:
    band = main_band(list(images))
    bar = scale_bar(fov)
    shown = [
        _panel(
            to_bytes(grey(shrink(images[band]))),
            f"{band}, asinh",
            f"{band} cutout of {name}, {fov:.3g}″ wide",
            bar,
            note,
        )
    ]
    colour = resampled_rgb(images)
    if colour is not None:
        shown.append(_panel(to_bytes(colour), "NISP, RGB = H J Y", f"NISP colour cutout of {name}", bar, note))
    return shown


def _panel(rgb: np.ndarray, title: str, alt: str, bar: dict[str, Any] | None = None, note: str = "") -> dict[str, Any]:
    return {"uri": png_uri(rgb), "title": title, "alt": alt, "bar": bar, "note": note, "light": False}


def scale_bar(fov_arcsec: float) -> dict[str, Any]:
    """Bar of a round length on a panel of width 100."""
    length = bar_length(fov_arcsec)
    return {"length": round(100 * length / fov_arcsec, 2), "text": f"{length:g}″"}


def _images(arrays: dict[str, np.ndarray], prefix: str = "") -> dict[str, np.ndarray]:
    start = f"{prefix}band:"
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}


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
        {**entry, "above": entry["p"] >= threshold, **_map_pictures(entry, methods, folder, number)}
        for number, entry in enumerate(block["entries"])
    ]


def _map_pictures(entry: dict[str, Any], methods: list[dict[str, Any]], folder: Path, number: int) -> dict[str, Any]:
    arrays = arrays_of(folder, entry)
    band = next((name for name in arrays or {} if name.startswith("band:")), None)
    if arrays is None or band is None:
        return {"tiles": [], "image": None}
    image = {
        "uri": png_uri(to_bytes(grey(shrink(arrays[band])))),
        "title": f"{band.removeprefix('band:')}, asinh",
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
        "uri": png_uri(to_bytes(scale.colours(values))),
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


_STARTS = {"noise": "from noise", "cutout": "from a lens"}


def dream_strips(audit: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Start and dreams, two rows of panels; none where the array is missing."""
    block = audit["dreams"]
    arrays = None if block is None else arrays_of(folder, block)
    if block is None or arrays is None:
        return []
    shown = []
    for start, words in _STARTS.items():
        if f"{start}:start" not in arrays:
            continue
        here = [one for one in block["images"] if one["start"] == start]
        p = decimal(here[0]["p_start"])
        shown.append(_dream_panel(arrays[f"{start}:start"], block["bands"], f"start {words}", f"p = {p}"))
        for one in here:
            note = f"p = {p} → {decimal(one['p_end'])}"
            shown.append(
                _dream_panel(
                    arrays[f"{start}:{one['target']}"], block["bands"], f"towards {one['target']}, {words}", note
                )
            )
    return shown


def _dream_panel(image: np.ndarray, bands: list[str], title: str, note: str) -> dict[str, Any]:
    """H, J, Y as red, green, blue, linear in what the finder sees; one grey band where it has no colour."""
    if set(NISP_RGB) <= set(bands):
        planes = [image[bands.index(band)] for band in NISP_RGB]
    else:
        planes = [image[bands.index("VIS") if "VIS" in bands else 0]] * 3
    rgb = to_bytes(np.nan_to_num(np.stack(planes, axis=-1)))
    return {
        "uri": png_uri(rgb),
        "title": title,
        "alt": f"Image {title}",
        "bar": None,
        "note": note,
        "light": False,
    }
