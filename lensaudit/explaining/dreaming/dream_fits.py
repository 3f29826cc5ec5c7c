"""A dream as FITS: the image band by band, where it began, its curves and its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.errors import LensauditError
from lensaudit.explaining.dreaming.dream import Dream
from lensaudit.explaining.dreaming.settings import DreamSettings
from lensaudit.explaining.dreaming.target import ClassTarget, Target
from lensaudit.files import replacing
from lensaudit.finders import Finder
from lensaudit.fits_input import open_fits
from lensaudit.provenance import provenance
from lensaudit.untrusted import in_header

Card = tuple[str, Any, str]

START, CURVE, SCORES, PATH = "START", "CURVE", "P_LENS", "PATH"


def identity_cards(finder: Finder, target: Target, settings: DreamSettings, start: str, start_hash: str) -> list[Card]:
    """Header cards that say what an image is; two files with equal cards hold the same image, up to rounding.

    Parameters
    ----------
    finder, target, settings
        What was maximised, and how.
    start
        Name of the cutout it began from; empty for noise.
    start_hash
        SHA-256 of the image it began from.
    """
    regular = settings.regularisation
    return [
        ("OBJECT", in_header(target.name), ""),
        ("FINDER", in_header(finder.name), ""),
        ("FNDHASH", finder.weights_hash, ""),
        ("BEGAN", in_header(start) if start else "uniform noise", ""),
        ("BEGHASH", start_hash, ""),
        ("MAXIMISE", settings.objective if isinstance(target, ClassTarget) else "mean before ReLU", ""),
        ("STEPS", settings.steps, "steps"),
        ("RATE", settings.rate, "size of a step"),
        ("OPTIM", settings.optimiser, "ascent or adam"),
        ("BOUNDS", settings.bounds, "what keeps pixels in [0, 1]"),
        ("DECAY", settings.decay, "weight decay"),
        ("SEED", settings.seed, "of noise and jitter"),
        ("JITTER", regular.jitter, "[pixel] regularisation"),
        ("TV", regular.tv, "regularisation, share of the gradient"),
        ("FOURIER", regular.fourier, "regularisation"),
    ]


def write_dream_fits(path: Path, dream: Dream, cards: list[Card], wcs: WCS | None) -> None:
    """Write the dream.

    Primary: the image (bands, size, size) as the finder sees it. ``START``: where it began. ``CURVE``: a row per step
    with the objective. ``P_LENS``: p(lens) at the steps where it was read. ``PATH``: images on the way, clipped to
    [0, 1], in 255ths.

    Parameters
    ----------
    path
        FITS file; written whole or not at all.
    dream
        The dream.
    cards
        Of `identity_cards`.
    wcs
        World coordinates of the finder's grid, where it began from a cutout that has any.

    Raises
    ------
    MachineError
        The disk is full.
    """
    header = fits.Header() if wcs is None else wcs.to_header(relax=True)
    header.extend([fits.Card(*card) for card in [*cards, *_facts(dream)]])
    header.add_history(in_header(provenance()["command"]))
    steps = np.arange(len(dream.values))
    hdus = [
        fits.PrimaryHDU(dream.image, header),
        fits.ImageHDU(dream.start, name=START),
        _table(CURVE, step=steps, value=dream.values),
        _table(SCORES, step=dream.p_steps, p_lens=dream.p_lens),
        fits.ImageHDU(dream.path, name=PATH),
        _table("PATHSTEP", step=dream.path_steps),
    ]
    with replacing(path) as partial:
        fits.HDUList(hdus).writeto(partial, overwrite=True)


def read_dream_fits(path: Path, target: Target, settings: DreamSettings, cards: list[Card]) -> Dream | None:
    """The dream in `path`; None where that is not a whole file of exactly what `cards` say, by this version."""
    try:
        with open_fits(path) as hdus:
            header = hdus[0].header
            if any(header.get(key) != value for key, value, _ in [*cards, ("CREATOR", _creator(), "")]):
                return None
            curve, scores = hdus[CURVE].data, hdus[SCORES].data
            return Dream(
                target=target,
                settings=settings,
                bands=tuple(header[f"BAND{n + 1}"] for n in range(header["NBANDS"])),
                start=_native(hdus[START].data, np.float32),
                image=_native(hdus[0].data, np.float32),
                values=_native(curve["value"], np.float64),
                p_steps=_native(scores["step"], np.int64),
                p_lens=_native(scores["p_lens"], np.float64),
                path_steps=_native(hdus["PATHSTEP"].data["step"], np.int64),
                path=_native(hdus[PATH].data, np.uint8),
                dead=bool(header["DEAD"]),
                fault="",
            )
    except (LensauditError, OSError, TypeError, ValueError, KeyError, fits.VerifyError):
        return None


def _facts(dream: Dream) -> list[Card]:
    bands = [(f"BAND{n + 1}", in_header(band), "") for n, band in enumerate(dream.bands)]
    return [
        ("NBANDS", len(dream.bands), "planes of the image"),
        *bands,
        ("DEAD", dream.dead, "no gradient reached the image: it is the start"),
        ("VALUE0", float(dream.values[0]), "what is maximised, at the start"),
        ("VALUE1", float(dream.values[-1]), "and at the end"),
        ("PLENS0", float(dream.p_lens[0]), "p(lens) of the start"),
        ("PLENS1", float(dream.p_lens[-1]), "and of the end"),
        ("CREATOR", _creator(), ""),
    ]


def _table(name: str, **columns: np.ndarray) -> fits.BinTableHDU:
    formats = {"i": "K", "f": "D"}
    made = [fits.Column(key, formats[values.dtype.kind], array=values) for key, values in columns.items()]
    return fits.BinTableHDU.from_columns(made, name=name)


def _native(values: Any, kind: type) -> np.ndarray:
    """In the machine's byte order; FITS arrays are big-endian."""
    return np.ascontiguousarray(values, dtype=kind)


def _creator() -> str:
    return f"lensaudit {provenance()['lensaudit']}"
