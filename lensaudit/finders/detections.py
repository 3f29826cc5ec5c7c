"""Calibrated scores as a FITS table of detections, in the manner of Euclid's strong-lens detections."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.numbers import significant
from lensaudit.errors import UsageError
from lensaudit.files import replacing
from lensaudit.finders.score import Scores
from lensaudit.untrusted import in_header

_COLUMNS = {
    "OBJECT_ID": ("meta.id;meta.main", "object in the survey"),
    "SL_CUTOUT_ID": ("meta.id", "name of the cutout in its lens set"),
    "RIGHT_ASCENSION": ("pos.eq.ra;meta.main", "right ascension, ICRS"),
    "DECLINATION": ("pos.eq.dec;meta.main", "declination, ICRS"),
    "SL_SCORES": ("stat.likelihood", "score: log-odds of lens of the finder"),
    "SL_PROBABILITY": ("stat.probability", "calibrated probability of lens"),
    "SL_PROBABILITY_LOW": ("stat.probability;stat.min", "lower end of the Venn-Abers probability"),
    "SL_PROBABILITY_HIGH": ("stat.probability;stat.max", "upper end of the Venn-Abers probability"),
    "SL_RANK": ("stat.rank", "1 is the highest score"),
}
"""Column → its UCD1+ and what it holds; names as in the Euclid product DpdSleDetectionOutput where that has them."""

_WHOLE = re.compile(r"-?[0-9]{1,19}")


def expected(scores: Scores) -> str:
    """How many lenses the calibrated probabilities of a set add up to, in words."""
    assert scores.calibrated is not None
    ends = [np.nansum(one) for one in (scores.calibrated.low, scores.calibrated.high)]
    total = significant(float(np.nansum(scores.calibrated.p)))
    return f"{total} ({significant(ends[0])} to {significant(ends[1])})" if any(ends) else total


def detection_cards(
    finder: str, inputs: Mapping[str, str], method: str, prevalence: float, **_: Any
) -> dict[str, str | float]:
    """Cards of a table of detections: finder, hashes, method and prevalence."""
    hashes = {card: inputs.get(name, "")[:16] for card, name in (("WEIGHTS", "finder"), ("SETHASH", "set"))}
    return {"FINDER": finder, **hashes, "CALIB": method, "PREVAL": prevalence}


def check_detections_path(path: Path) -> None:
    """Raise UsageError unless a table of detections can have this name."""
    if Path(path).suffix.lower() not in (".fits", ".fit"):
        raise UsageError(f"{path}: detections are a FITS table; choose a name that ends in .fits")


def write_detections(
    path: Path,
    scores: Scores,
    facts: Mapping[str, str | float],
    sky: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> int:
    """Write calibrated scores as a FITS table in the manner of Euclid's strong-lens detections, the highest first.

    Columns have units, UCDs (TUCD) and descriptions (TCOMM). Images without a probability are left out; the card
    NLEFTOUT counts them. `OBJECT_ID` is the id as a 64-bit integer where all are whole numbers, as Euclid's are.

    Parameters
    ----------
    path
        Ends in ``.fits``.
    scores
        With calibrated probabilities.
    facts
        Card → value, beside those of the table: method, prevalence, hashes.
    sky
        Right ascension and declination in degrees, (n,) each.

    Returns
    -------
    int
        Rows written.
    """
    from astropy.io import fits

    check_detections_path(path)
    assert scores.calibrated is not None
    rows = np.flatnonzero(np.isfinite(scores.calibrated.p))
    rows = rows[np.argsort(-scores.logit[rows], kind="stable")]
    names = [in_header(scores.ids[row]) for row in rows]
    values: dict[str, Any] = {"OBJECT_ID": _objects(names), "SL_CUTOUT_ID": np.array(names, dtype=np.str_)}
    if sky is not None:
        values |= {"RIGHT_ASCENSION": sky[0][rows], "DECLINATION": sky[1][rows]}
    values |= {"SL_SCORES": scores.logit[rows], "SL_PROBABILITY": scores.calibrated.p[rows]}
    if np.isfinite(scores.calibrated.low[rows]).any():
        values["SL_PROBABILITY_LOW"] = scores.calibrated.low[rows]
        values["SL_PROBABILITY_HIGH"] = scores.calibrated.high[rows]
    values["SL_RANK"] = np.arange(1, len(rows) + 1, dtype=np.int32)
    table = fits.BinTableHDU.from_columns([_column(name, found) for name, found in values.items()], name="SLDETECT")
    for number, name in enumerate(values, 1):
        table.header[f"TUCD{number}"], table.header[f"TCOMM{number}"] = _COLUMNS[name]
    for name, value in {**facts, "NLEFTOUT": len(scores.ids) - len(rows)}.items():
        table.header[name] = in_header(value) if isinstance(value, str) else value
    with replacing(Path(path)) as partial:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(partial, overwrite=True)
    return len(rows)


def _objects(names: list[str]) -> NDArray[Any]:
    whole = bool(names) and all(_WHOLE.fullmatch(name) and -(2**63) <= int(name) < 2**63 for name in names)
    return np.array([int(name) for name in names], np.int64) if whole else np.array(names, dtype=np.str_)


def _column(name: str, values: NDArray[Any]) -> Any:
    from astropy.io import fits

    kinds = {"i8": "K", "i4": "J", "f8": "D"}
    form = kinds.get(values.dtype.str[1:]) or f"{max(1, values.dtype.itemsize // 4)}A"
    unit = "deg" if name in ("RIGHT_ASCENSION", "DECLINATION") else None
    return fits.Column(name=name, format=form, unit=unit, array=values)
