"""Bologna Lens Factory challenge 2: Euclid-like VIS (200×200 at 0.1″) and NISP J, Y, H (66×66 at 0.3″).

Files are ``imageEUC_<VIS|J|Y|H>-<ID>.fits`` in one folder per band. The catalogue is a CSV file behind ``#`` lines;
``ein_area`` is in steradian. Nine of its ids have no image: they are counted and named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.lensset.ingest.blf import (
    chosen_bands,
    compared,
    find_images,
    numeric_columns,
    plates_of,
    read_catalogue,
    theta_e_arcsec,
)
from lensaudit.lensset.ingest.labels import UNKNOWN, label_rule
from lensaudit.lensset.ingest.plan import LABEL, PixelPolicy, Plan, System

BANDS = ("VIS", "J", "Y", "H")
_PATTERN = re.compile(r"imageEUC_(?P<band>VIS|J|Y|H)-(?P<id>\d+)\.fits(\.gz)?")
_SCALES = {"VIS": 0.1, "J": 0.3, "Y": 0.3, "H": 0.3}
_KNOWN = {
    "theta_e_arcsec": ("arcsec", "Einstein radius, square root of ein_area over pi"),
    "magnification": ("", "effective magnification of the source (mag_eff)"),
    "ein_area": ("sr", "area of the largest critical curve"),
    "mag_eff": ("", "effective magnification of the source"),
    "n_source_im": ("", "number of images of the source"),
    "n_sources": ("", "number of sources"),
    "n_pix_source": ("pixel", "pixels of the source above the noise threshold"),
    "n_pix_lens": ("pixel", "pixels of the lens above the noise threshold"),
    "z_lens": ("", "redshift of the lens"),
    "z_source": ("", "redshift of the source"),
    "mag_lens": ("mag", "magnitude of the lens"),
    "mag_source": ("mag", "magnitude of the source"),
}


def plan_blf2(
    root: Path,
    *,
    catalogue: Path | None = None,
    rule: str = "wilde",
    bands: Sequence[str] = (),
    policy: PixelPolicy | None = None,
) -> Plan:
    """Plan the ingest of a challenge-2 folder.

    Parameters
    ----------
    root
        Folder searched downwards for images.
    catalogue
        The challenge's log of lens properties; without it all systems are unlabelled.
    rule
        Name of the label rule: ``wilde`` or ``challenge`` (see `labels`).
    bands
        A choice among VIS, J, Y, H; all by default.
    """
    rated = label_rule(rule)
    found = find_images(root, _PATTERN, {band: band for band in BANDS})
    if not found:
        raise UsageError(f"{root}: no imageEUC_VIS-ID.fits (or J, Y, H) below it; check the path")
    chosen = chosen_bands(bands, BANDS)
    table, inputs = read_catalogue(catalogue, found, _KNOWN)
    facts, notes = compared(found, table, catalogue)
    if catalogue is None:
        notes = ["no --catalogue given: all systems are unlabelled"]
    carried = _carried(table)
    systems = tuple(
        System(name, plates_of(found[name], chosen), _row(table.get(name), carried, rated)) for name in sorted(found)
    )
    return Plan(
        layout="blf2",
        instrument="euclid",
        bands=chosen,
        systems=systems,
        columns=(LABEL, *numeric_columns(carried, _KNOWN)),
        policy=replace(policy or PixelPolicy(), known_scale=_SCALES),
        unit="challenge flux unit",
        root=root,
        source={"challenge": "2", "label_rule": rule if table else None, **facts},
        notes=tuple(notes),
        inputs=inputs,
    )


def _carried(table: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    first = next(iter(table.values()), {})
    derived = [
        name for name, origin in (("theta_e_arcsec", "ein_area"), ("magnification", "mag_eff")) if origin in first
    ]
    return (*derived, *(name for name in first if name not in derived))


def _row(
    listed: Mapping[str, float] | None, carried: Sequence[str], rated: Callable[[Mapping[str, float]], int]
) -> dict[str, Any]:
    values = dict(listed or {})
    if listed is not None:
        values["theta_e_arcsec"] = theta_e_arcsec(values.get("ein_area", math.nan))
        values["magnification"] = values.get("mag_eff", math.nan)
    label = UNKNOWN if listed is None else rated(listed)
    return {"label": label} | {name: values.get(name, math.nan) for name in carried}
