"""Explanations of systems of a lens set as files: FITS with one map a method, and a picture; resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from lensaudit.errors import DataError, LensauditError
from lensaudit.explain.attribution.explain import Explanation, explain
from lensaudit.explain.attribution.methods import METHODS, find_method
from lensaudit.explain.attribution.picture import explanations_figure, gradcam_figure
from lensaudit.explain.kept_maps import refuse_other_maps
from lensaudit.explain.occluding.map_files import shown_band
from lensaudit.explain.occluding.map_fits import ascii_text
from lensaudit.explain.occluding.map_picture import scored_title
from lensaudit.figures import save_figure
from lensaudit.files import replacing, writable_folder
from lensaudit.finders import Finder
from lensaudit.fits_input import open_fits
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance
from lensaudit.untrusted import file_stem, in_header

SIGN = "above 0 positive attribution, raises the log-odds of lens"
GRADCAM = ("gradcam", "guided-gradcam")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Request:
    """What is to be explained how.

    Attributes
    ----------
    finder
        The finder.
    methods
        Keys of `METHODS`.
    seed
        Of methods that draw noise.
    threshold
        Draw the Grad-CAM view with this threshold in place of one panel a method; None does not.
    """

    finder: Finder
    methods: tuple[str, ...]
    seed: int = 0
    threshold: float | None = None

    def __post_init__(self) -> None:
        for name in self.methods:
            find_method(name)

    @property
    def stem(self) -> str:
        """Ending of the files' names."""
        return "explained" if self.threshold is None else "gradcam"


@dataclass(frozen=True)
class ExplainedFiles:
    """One system's files.

    Attributes
    ----------
    id
        Name of the system.
    fits, png
        Paths; None where no method gave a map.
    status
        ``made``, ``kept``, or why there is nothing.
    failed
        Method → why it gave no map.
    results
        The explanations; empty where they were kept from an earlier run.
    """

    id: str
    fits: Path | None
    png: Path | None
    status: str
    failed: dict[str, str]
    results: tuple[Explanation, ...]

    def summary(self) -> dict[str, Any]:
        """JSON-able facts."""
        facts: dict[str, Any] = {"id": self.id, "status": self.status, "failed": self.failed}
        if self.fits is not None:
            facts |= {"fits": str(self.fits), "png": str(self.png)}
        if self.results:
            facts |= {"p_lens": float(self.results[0].p_lens[0]), "logit": float(self.results[0].logit[0])}
            facts["titles"] = {result.method: result.title for result in self.results}
            facts["hooked"] = {result.method: result.hooked for result in self.results if result.hooked}
            facts["notes"] = {result.method: list(result.notes) for result in self.results}
        return facts


def explain_systems(
    request: Request,
    lens_set: LensSet,
    systems: Sequence[int],
    out: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[ExplainedFiles]:
    """Explain `systems` of `lens_set` and write ``<id>-explained.fits`` and ``.png`` into `out`.

    Parameters
    ----------
    request
        Finder, methods and seed.
    systems
        Positions in the set, see `chosen_systems`.
    force
        Make files anew that are there already; by default those of the same request and set are kept.
    progress
        Called with systems done and all systems.

    Raises
    ------
    DataError
        The set is not what the finder takes, or nothing could be explained.
    UsageError
        `out` cannot be written.
    """
    request.finder.check(lens_set)
    writable_folder(out)
    if not force:
        paths = [_path(request, lens_set, system, out) for system in systems]
        refuse_other_maps(paths, request.finder.weights_hash, lens_set.content_hash)
    files = []
    for number, system in enumerate(systems):
        files.append(_one(request, lens_set, system, out, force))
        if progress is not None:
            progress(number + 1, len(systems))
    if files and all(entry.fits is None for entry in files):
        raise DataError(f"{lens_set.path}: none of {len(files)} systems could be explained ({files[0].status})")
    return files


def _path(request: Request, lens_set: LensSet, system: int, out: Path) -> Path:
    return out / f"{file_stem(lens_set.ids[system])}-{request.stem}.fits"


def _one(request: Request, lens_set: LensSet, system: int, out: Path, force: bool) -> ExplainedFiles:
    name = lens_set.ids[system]
    path = _path(request, lens_set, system, out)
    picture = path.with_suffix(".png")
    cards = _cards(request, lens_set, name)
    if not force and picture.is_file() and _holds(path, cards):
        return ExplainedFiles(name, path, picture, "kept", {}, ())
    results, failed = [], {}
    wcs = [lens_set.wcs(system, request.finder.recipe.bands[0])]
    cutouts = lens_set.cutouts([system])
    for method in request.methods:
        try:
            results.append(explain(request.finder, cutouts, method, wcs=wcs, seed=request.seed))
        except DataError as error:
            failed[method] = str(error)
    if not results:
        return ExplainedFiles(name, None, None, next(iter(failed.values())), failed, ())
    _write_picture(picture, request, lens_set, system, results)
    _write_fits(path, cards, results, lens_set, system, shown_band(request.finder))  # last: it marks both as whole
    return ExplainedFiles(name, path, picture, "made", failed, tuple(results))


def _cards(request: Request, lens_set: LensSet, name: str) -> list[tuple[str, Any, str]]:
    """Two files with equal cards hold the same maps."""
    return [
        ("OBJECT", ascii_text(name), ""),
        ("FINDER", ascii_text(request.finder.name), ""),
        ("FNDHASH", request.finder.weights_hash, ""),
        ("SETHASH", lens_set.content_hash, ""),
        ("METHODS", ",".join(request.methods), ""),
        ("QUANTITY", "log-odds of lens, see each extension", ""),
        ("SEED", request.seed, ""),
        ("SHOWN", -1.0 if request.threshold is None else request.threshold, "threshold of the picture; -1: none"),
        ("FIELD", request.finder.field_arcsec, "[arcsec] width of cutouts the finder was told"),
        ("CREATOR", f"lensaudit {provenance()['lensaudit']}", ""),
    ]


def _holds(path: Path, cards: list[tuple[str, Any, str]]) -> bool:
    try:
        with open_fits(path) as hdus:
            whole = all(hdu.data is not None for hdu in hdus[1:]) and len(hdus) > 1
            return whole and all(hdus[0].header.get(key) == value for key, value, _ in cards)
    except (LensauditError, OSError, TypeError, ValueError, fits.VerifyError):
        return False


def _write_fits(
    path: Path,
    cards: list[tuple[str, Any, str]],
    results: Sequence[Explanation],
    lens_set: LensSet,
    system: int,
    band: str,
) -> None:
    """An empty primary with the facts, one extension a method (a cube of bands where it has them), and the image."""
    primary = fits.Header([fits.Card(*card) for card in cards])
    primary["PLENS"] = (float(results[0].p_lens[0]), "p(lens)")
    primary["LOGIT"] = (float(results[0].logit[0]), "log-odds of lens")
    primary["SIGN"] = SIGN
    primary.add_history(ascii_text(provenance()["command"]))
    hdus: list[Any] = [fits.PrimaryHDU(header=primary)]
    for result in results:
        assert result.wcs is not None
        header = result.wcs[0].to_header(relax=True)
        header["METHOD"] = in_header(result.title.replace("×", "x"))
        header["QUANTITY"] = in_header(METHODS[result.method].quantity.replace("×", "x").replace("−", "-"))
        header["SIGN"] = SIGN
        if result.hooked:
            header["HOOKED"] = in_header(result.hooked.replace("×", "x"))
        for note in result.notes:
            header.add_history(ascii_text(note))
        hdus.append(fits.ImageHDU(result.maps[0], header, name=result.method))
    native = lens_set.images(band, [system])[0]
    hdus.append(
        fits.ImageHDU(np.asarray(native, np.float32), lens_set.wcs(system, band).to_header(relax=True), name=band)
    )
    with replacing(path) as partial:
        fits.HDUList(hdus).writeto(partial, overwrite=True)


def _write_picture(
    path: Path, request: Request, lens_set: LensSet, system: int, results: Sequence[Explanation]
) -> None:
    band = shown_band(request.finder)
    label, p_lens = int(lens_set.labels[system]), float(results[0].p_lens[0])
    facts: dict[str, Any] = {
        "title": scored_title(lens_set.ids[system], label, request.finder.name, p_lens),
        "band": band,
        "pixel_scale_arcsec": lens_set.pixel_scale_arcsec[band],
    }
    image = lens_set.images(band, [system])[0]
    if request.threshold is not None and tuple(result.method for result in results) == GRADCAM:
        figure = gradcam_figure(image, results[0], results[1], threshold=request.threshold, **facts)
    else:
        figure = explanations_figure(image, results, **facts)
    save_figure(path, figure, metadata={"Software": "lensaudit"})
