"""What is to be said of an ingested set once all its files were read: what differed between them, and what was done."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import numpy as np

from lensaudit.lensset.ingest.cutout import JITTER, RESCALED
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import WCS_NAME

MOST_SKIPPED = 100
_ERROR = re.compile(r"CSYER1 *= *(\S+)")


def remarks(lens_set: LensSet) -> list[str]:
    """Sentences on zero points that differed, and on sky coordinates that were fitted, rescaled or left out.

    One pass over the stored coordinates, line by line.
    """
    return [*_zero_points(lens_set), *_coordinates(lens_set)]


def skipped_lines(lens_set: LensSet) -> list[str]:
    """Why each system that ``--skip-bad`` left out cannot be used; `MOST_SKIPPED` of them, the header has all."""
    why = lens_set.header["source"].get("skipped", {}).get("why", {})
    lines = [f"left out: {reason}" for reason in list(why.values())[:MOST_SKIPPED]]
    if len(why) > MOST_SKIPPED:
        lines.append(f"… and {len(why) - MOST_SKIPPED} more; all in {lens_set.path}/lensset.json, source.skipped")
    return lines


def _zero_points(lens_set: LensSet) -> list[str]:
    said = []
    for band in lens_set.header["bands"]:
        name = f"zero_point_mag_{band['name']}"
        if name not in lens_set.columns or band["zero_point_mag"] is None:
            continue
        own = lens_set.column(name)
        other = np.abs(own - band["zero_point_mag"]) > JITTER
        if other.any():
            said.append(
                f"{band['name']}: {other.sum()} of {len(own)} files have another zero point ({own.min():g} to "
                f"{own.max():g} mag); their pixels were brought to {band['zero_point_mag']:g} mag"
            )
    return said


def _coordinates(lens_set: LensSet) -> list[str]:
    missing: Counter[str] = Counter()
    rescaled: Counter[str] = Counter()
    errors: dict[str, list[float]] = defaultdict(list)
    with open(lens_set.path / WCS_NAME, encoding="utf-8") as stream:
        for line in stream:
            cards = json.loads(line)
            for band in lens_set.bands:
                text = cards.get(band)
                missing[band] += text is None
                rescaled[band] += text is not None and RESCALED in text
                if text is not None and (error := _ERROR.search(text)):
                    errors[band].append(float(error[1]) * 3600)
    n, said = len(lens_set), []
    for band in lens_set.bands:
        if errors[band]:
            said.append(
                f"{band}: distortions that header cards cannot hold were fitted by a tangential projection in "
                f"{len(errors[band])} of {n} cutouts, at most {max(errors[band]):.2g}″ off (CSYERi of each)"
            )
        if rescaled[band]:
            said.append(
                f"{band}: --pixel-scale contradicts the headers; sky coordinates of {rescaled[band]} of {n} cutouts "
                "were scaled about their reference pixel"
            )
        if 0 < missing[band] < n:
            said.append(f"{band}: {missing[band]} of {n} cutouts have no sky coordinates that can be used")
    return said
