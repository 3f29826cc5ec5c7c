"""An occlusion map as FITS on the sky, to be blinked against the image in DS9."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.errors import LensauditError
from lensaudit.explain.occluding.occluder import OcclusionMap
from lensaudit.files import replacing
from lensaudit.fits_input import open_fits
from lensaudit.lensset.coordinates import wcs_on_grid
from lensaudit.provenance import provenance
from lensaudit.untrusted import in_header

QUANTITY, SIGN = "change of p(lens)", "p(lens|occluded) - p(lens); below 0 positive attribution"
ATTRIBUTION = "ATTRIBUTION"
"""Name of the extension with the log-odds."""

LOG_ODDS_QUANTITY = "log-odds of lens"
LOG_ODDS_SIGN = "whole - occluded; above 0 positive attribution"


def identity_cards(result_of: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Header cards that say what a map is of; two files with equal cards hold the same map.

    Parameters
    ----------
    result_of
        ``finder``, ``finder_hash`` (SHA-256 of the weights), ``set_hash`` (content of the lens set), ``id``,
        ``patch``, ``stride``, ``engine``, ``field`` (arcsec). Texts of unknown length get no
        comment: it would not fit on the card.
    """
    return [
        ("OBJECT", ascii_text(result_of["id"]), ""),
        ("FINDER", ascii_text(result_of["finder"]), ""),
        ("FNDHASH", result_of["finder_hash"], ""),
        ("SETHASH", result_of["set_hash"], ""),
        ("PATCH", result_of["patch"], "[pixel] side of the occluding patch"),
        ("STRIDE", result_of["stride"], "[pixel] between patches"),
        ("ENGINE", result_of["engine"], "exact or captum"),
        ("FIELD", result_of["field"], "[arcsec] width of cutouts the finder was told"),
    ]


def write_occlusion_fits(
    path: Path, result: OcclusionMap, cards: list[tuple[str, Any, str]], image: np.ndarray, band: str, wcs: WCS
) -> None:
    """Write both maps, and the native `image` (h, w) of `band` with its own coordinates.

    The primary array is the paper's quantity, the change of p(lens); extension ``ATTRIBUTION`` holds the log-odds,
    whose sign is the other one. Both headers say quantity and sign.

    Parameters
    ----------
    path
        FITS file; written whole or not at all.
    result
        The map.
    cards
        Of `identity_cards`.
    image, band, wcs
        One band of the cutout; `wcs` are its coordinates.

    Raises
    ------
    MachineError
        The disk is full.
    """
    shape = (int(image.shape[0]), int(image.shape[1]))
    header = wcs_on_grid(wcs, shape, result.size).to_header(relax=True)
    own = [("QUANTITY", LOG_ODDS_QUANTITY, ""), ("SIGN", LOG_ODDS_SIGN, "")]
    of_log_odds = header.copy()
    of_log_odds.extend([fits.Card(*card) for card in own])
    log_odds = fits.ImageHDU(result.attribution, of_log_odds, name=ATTRIBUTION)
    header.extend([fits.Card(*card) for card in [*cards, *_facts(result)]])
    for line in _history(result):
        header.add_history(line)
    native = fits.ImageHDU(np.asarray(image, np.float32), wcs.to_header(relax=True), name=ascii_text(band))
    with replacing(path) as partial:
        fits.HDUList([fits.PrimaryHDU(result.delta, header), native, log_odds]).writeto(partial, overwrite=True)


def is_map_of(path: Path, cards: list[tuple[str, Any, str]]) -> bool:
    """Whether `path` is a whole FITS file that holds exactly the map these cards describe, by this version."""
    try:
        with open_fits(path) as hdus:
            header = hdus[0].header
            whole = len(hdus) == 3 and all(hdu.data is not None for hdu in hdus)
            wanted = [*cards, ("CREATOR", _creator(), "")]
            return whole and all(header.get(key) == value for key, value, _ in wanted)
    except (LensauditError, OSError, TypeError, ValueError, fits.VerifyError):
        return False


def _facts(result: OcclusionMap) -> list[tuple[str, Any, str]]:
    tiling = "all whole" if result.tiles else "last of a row or column cut off"
    return [
        ("QUANTITY", QUANTITY, ""),
        ("SIGN", SIGN, ""),
        ("PLENS", result.p_lens, "p(lens) of the whole image"),
        ("LOGIT", result.logit, "log-odds of the whole image"),
        ("TILING", tiling, "patches at the edge"),
        ("CREATOR", _creator(), ""),
    ]


def _history(result: OcclusionMap) -> list[str]:
    lines = [ascii_text(provenance()["command"])]
    if result.note:
        lines.append(ascii_text(result.note))
    return lines + [f"no rule, plain batches from here: {ascii_text(label)}" for label in result.fallbacks]


def _creator() -> str:
    return f"lensaudit {provenance()['lensaudit']}"


def ascii_text(text: str) -> str:
    """FITS headers hold printable ASCII only; other signs are written as escapes."""
    return in_header(text)
