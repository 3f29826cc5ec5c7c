"""Occlusion maps of systems of a lens set, as files: FITS and picture per system; an interrupted run goes on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.explain.kept_maps import refuse_other_maps
from lensaudit.explain.occluding.map_fits import identity_cards, is_map_of, write_occlusion_fits
from lensaudit.explain.occluding.map_picture import LOG_ODDS, check_view, occlusion_figure, title_of
from lensaudit.explain.occluding.occluder import Occluder, OcclusionMap
from lensaudit.figures import save_figure
from lensaudit.files import writable_folder
from lensaudit.finders import Finder
from lensaudit.lensset import LensSet
from lensaudit.untrusted import file_stem

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
    save_figure(picture, figure, metadata={"Software": "lensaudit"})
    write_occlusion_fits(path, result, cards, image, band, lens_set.wcs(system, band))  # last: it marks both as whole
    return MapFiles(name, path, picture, result, "made")


def shown_band(finder: Finder) -> str:
    """The band under the colours: ``VIS`` where the finder sees it, else its first."""
    return "VIS" if "VIS" in finder.recipe.bands else finder.recipe.bands[0]
