"""Occlusion maps of systems of a lens set, as files: FITS and picture per system; an interrupted run goes on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from lensaudit.display.figures import save_figure
from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.explain.layers import refuse_other_maps
from lensaudit.explain.occluding.map_picture import LOG_ODDS, check_view, occlusion_figure, title_of
from lensaudit.explain.occluding.occluder import Occluder, OcclusionMap
from lensaudit.files import replacing, writable_folder
from lensaudit.finders import Finder
from lensaudit.fits_input import open_fits
from lensaudit.lensset import LensSet
from lensaudit.lensset.coordinates import wcs_on_grid
from lensaudit.provenance import provenance
from lensaudit.untrusted import file_stem, in_header

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


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MapFiles:
    """One system's files, or why there are none.

    Attributes
    ----------
    id
        Name of the system.
    fits, png
        Paths; None where the map could not be made.
    result
        The map; None if it was kept from an earlier run, or could not be made.
    status
        ``made``, ``kept``, or why there is no map.
    """

    id: str
    fits: Path | None
    png: Path | None
    result: OcclusionMap | None
    status: str

    @property
    def failed(self) -> bool:
        """Whether there is no map."""
        return self.fits is None

    def summary(self) -> dict[str, Any]:
        """JSON-able facts."""
        facts: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.fits is not None and self.png is not None:
            facts |= {"fits": str(self.fits), "png": str(self.png)}
        if self.result is not None:
            facts |= {
                "p_lens": self.result.p_lens,
                "min": float(self.result.delta.min()),
                "max": float(self.result.delta.max()),
                "attribution_min": float(self.result.attribution.min()),
                "attribution_max": float(self.result.attribution.max()),
                "attribution_unit": "log-odds, whole - occluded",
                "seconds": round(self.result.seconds, 3),
                "fallbacks": list(self.result.fallbacks),
                "note": self.result.note,
                "layers": [str(layer) for layer in self.result.layers],
            }
        return facts


def chosen_systems(lens_set: LensSet, ids: Sequence[str], first: int | None, every: bool) -> list[int]:
    """Positions in the set that the user named, in one of three ways.

    Raises
    ------
    UsageError
        None or several of the ways are used, an id is not in the set (the nearest are named), or `first` is below 1.
    """
    if sum((bool(ids), first is not None, every)) != 1:
        raise UsageError("say which systems: --id ID (as often as you like), --first N or --all, one of the three")
    if first is not None and first < 1:
        raise UsageError(f"--first {first} names no system; choose 1 to {len(lens_set)}")
    if not ids:
        return list(range(len(lens_set) if first is None else min(first, len(lens_set))))
    known = {name: index for index, name in enumerate(lens_set.ids)}
    for name in ids:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
            raise UsageError(f"{lens_set.path}: no system '{name}'; nearest ids: {', '.join(near)}")
    return [known[name] for name in dict.fromkeys(ids)]


def occlude_systems(
    occluder: Occluder,
    lens_set: LensSet,
    systems: Sequence[int],
    out: Path,
    *,
    view: str = LOG_ODDS,
    force: bool = False,
    progress: Progress | None = None,
) -> list[MapFiles]:
    """Map `systems` of `lens_set` and write ``<id>-occlusion.fits`` and ``.png`` into `out`.

    The FITS file holds both quantities; the picture shows one of them.

    Parameters
    ----------
    occluder
        Finder, patch, stride and engine.
    systems
        Positions in the set, see `chosen_systems`.
    view
        Of the picture, one of `VIEWS`; that of the paper is called ``<id>-occlusion-paper.png``.
    force
        Make maps anew that are there already; by default those of the same finder, set and settings are kept.
    progress
        Called with positions done and all positions, over all systems.

    Raises
    ------
    DataError
        The set is not what the finder takes, or no system could be mapped.
    UsageError
        `out` cannot be written, or there is no such view.
    """
    check_view(view)
    occluder.finder.check(lens_set)
    writable_folder(out)
    place = Place(out, view, force)
    if not force:
        paths = [place.paths(lens_set.ids[system])[0] for system in systems]
        refuse_other_maps(paths, occluder.finder.weights_hash, lens_set.content_hash)
    each = occluder.grid.n**2
    files = []
    for number, system in enumerate(systems):

        def report(done: int, _total: int, before: int = number * each) -> None:
            if progress is not None:
                progress(before + done, each * len(systems))

        files.append(_one(occluder, lens_set, system, place, report))
        report(each, each)
    if files and all(entry.failed for entry in files):
        raise DataError(f"{lens_set.path}: none of {len(files)} systems could be mapped ({files[0].status})")
    return files


@dataclass(frozen=True)
class Place:
    """Where maps go, which picture is drawn, and whether those that are there are made anew."""

    out: Path
    view: str
    force: bool

    def paths(self, name: str) -> tuple[Path, Path]:
        """FITS file and picture of a system."""
        stem = f"{file_stem(name)}-occlusion"
        shown = stem if self.view == LOG_ODDS else f"{stem}-{self.view}"
        return self.out / f"{stem}.fits", self.out / f"{shown}.png"


def _one(occluder: Occluder, lens_set: LensSet, system: int, place: Place, progress: Progress) -> MapFiles:
    name = lens_set.ids[system]
    path, picture = place.paths(name)
    cards = identity_cards(
        {
            "id": name,
            "finder": occluder.finder.name,
            "finder_hash": occluder.finder.weights_hash,
            "set_hash": lens_set.content_hash,
            "patch": occluder.grid.patch,
            "stride": occluder.grid.stride,
            "engine": occluder.engine,
            "field": occluder.finder.field_arcsec,
        }
    )
    if not place.force and picture.is_file() and is_map_of(path, cards):
        return MapFiles(name, path, picture, None, "kept")
    try:
        result = occluder.map(lens_set.cutouts([system]), name=name, progress=progress)
    except DataError as error:
        return MapFiles(name, None, None, None, str(error))
    band = shown_band(occluder.finder)
    image = lens_set.images(band, [system])[0]
    figure = occlusion_figure(
        image,
        result,
        title=title_of(name, int(lens_set.labels[system]), result),
        band=band,
        pixel_scale_arcsec=lens_set.pixel_scale_arcsec[band],
        view=place.view,
    )
    save_figure(picture, figure)
    write_occlusion_fits(path, result, cards, image, band, lens_set.wcs(system, band))  # last: it marks both as whole
    return MapFiles(name, path, picture, result, "made")


def shown_band(finder: Finder) -> str:
    """The band under the colours: ``VIS`` where the finder sees it, else its first."""
    return "VIS" if "VIS" in finder.recipe.bands else finder.recipe.bands[0]
