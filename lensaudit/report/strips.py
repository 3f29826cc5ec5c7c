"""Rows of panels for the gallery and the probes' pairs, drawn from the arrays beside ``audit.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.display import LEAST_LOG_ODDS, LEAST_P, SignedScale, signed, symmetric_scale
from lensaudit.errors import DataError, UsageError
from lensaudit.report.audit_file import AUDIT_NAME
from lensaudit.report.figures import panels
from lensaudit.report.figures.encode import png_uri
from lensaudit.report.numbers import decimal, significant
from lensaudit.untrusted import path_within, printable

SHOWN = 8
"""Entries drawn per group at most: about 90 kB each, so that the page stays below 8 MB."""

PAIR_SIDE = 100
"""Pixels of a side of the panels of pairs, which are drawn about so large; there are many of them."""

LARGEST_ARRAYS = 1 << 30
"""Bytes of all arrays of one file, unpacked: two hundred times those of an Euclid cutout."""

BARS_ARCSEC = (10.0, 5.0, 2.0, 1.0, 0.5)


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


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays of an ``.npz`` file by name, ``None`` where it is missing or torn; nothing pickled is ever read."""
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if sum(member.file_size for member in archive.zip.infolist()) > LARGEST_ARRAYS:
                return None
            return {name: archive[name] for name in archive.files}
    except Exception:  # zipfile, zlib and numpy have no common exception for what is torn
        return None


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
    band = panels.main_band(list(images))
    values, unit, least = _attribution(arrays)
    scale = symmetric_scale(values, least)
    extremes = f"{unit} from {significant(float(values.min()), 2)} to {significant(float(values.max()), 2)}"
    over = panels.overlay(values, images[band], scale)
    return [
        *_pictures(images, entry["fov_arcsec"], entry["id"]),
        {
            **_panel(panels.heat(values, scale), "Occlusion map", f"Occlusion map of {entry['id']}: {extremes}"),
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
    return {"uri": png_uri(panels.ramp(scale)), "low": signed(-scale.negative), "high": signed(scale.positive)}


def _pair(pair: dict[str, Any], folder: Path) -> dict[str, Any]:
    arrays = arrays_of(folder, pair)
    shown: list[dict[str, Any]] = []
    for arm in ("control", "treated") if arrays else ():
        images = {band: panels.shrink(one, PAIR_SIDE) for band, one in _images(arrays or {}, f"{arm}:").items()}
        score = f"{arm}, p = {decimal(pair[f'p_{arm}'])}"
        shown += _pictures(images, pair["fov_arcsec"], f"{pair['title']}, {score}", note=score)
    return {"title": pair["title"], "facts": pair["facts"], "array": pair["array"], "panels": shown}


def _pictures(images: dict[str, np.ndarray], fov: float, name: str, note: str = "") -> list[dict[str, Any]]:
    band = panels.main_band(list(images))
    bar = scale_bar(fov)
    shown = [_panel(panels.grey(images[band]), f"{band}, log", f"{band} cutout of {name}, {fov:.3g}″ wide", bar, note)]
    colour = panels.colour(images)
    if colour is not None:
        shown.append(_panel(colour, "NISP, RGB = H J Y", f"NISP colour cutout of {name}", bar, note))
    return shown


def _panel(rgb: np.ndarray, title: str, alt: str, bar: dict[str, Any] | None = None, note: str = "") -> dict[str, Any]:
    return {"uri": png_uri(rgb), "title": title, "alt": alt, "bar": bar, "note": note, "light": False}


def scale_bar(fov_arcsec: float) -> dict[str, Any]:
    """Bar of a round length that fills at most a third of a panel of width 100."""
    length = next((bar for bar in BARS_ARCSEC if bar <= fov_arcsec / 3), BARS_ARCSEC[-1])
    return {"length": round(100 * length / fov_arcsec, 2), "text": f"{length:g}″"}


def _images(arrays: dict[str, np.ndarray], prefix: str = "") -> dict[str, np.ndarray]:
    start = f"{prefix}band:"
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
