"""Panels of the chapter on dreams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.report.figures.encode import png_uri
from lensaudit.report.figures.panels import NISP_RGB
from lensaudit.report.numbers import decimal
from lensaudit.report.strips import arrays_of

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
        shown.append(_panel(arrays[f"{start}:start"], block["bands"], f"start {words}", f"p = {p}"))
        for one in here:
            note = f"p = {p} → {decimal(one['p_end'])}"
            shown.append(
                _panel(arrays[f"{start}:{one['target']}"], block["bands"], f"towards {one['target']}, {words}", note)
            )
    return shown


def _panel(image: np.ndarray, bands: list[str], title: str, note: str) -> dict[str, Any]:
    """H, J, Y as red, green, blue, linear in what the finder sees; one grey band where it has no colour."""
    if set(NISP_RGB) <= set(bands):
        planes = [image[bands.index(band)] for band in NISP_RGB]
    else:
        planes = [image[bands.index("VIS") if "VIS" in bands else 0]] * 3
    rgb = np.round(255 * np.clip(np.nan_to_num(np.stack(planes, axis=-1)), 0, 1)).astype(np.uint8)[::-1]
    return {
        "uri": png_uri(np.ascontiguousarray(rgb)),
        "title": title,
        "alt": f"Image {title}",
        "bar": None,
        "note": note,
        "light": False,
    }
