"""Explanations of systems of a lens set as files: FITS with one map a method, and a picture; resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from lensaudit.display.colour import ALARM, LEAST_LOG_ODDS, NEGATIVE, POSITIVE, SignedScale, symmetric_scale
from lensaudit.display.figures import draw_signed_bar, new_figure, save_figure, styled
from lensaudit.display.images import grey, nearest
from lensaudit.errors import DataError, LensauditError
from lensaudit.explain.attribution.explain import Explanation, explain
from lensaudit.explain.attribution.methods import METHODS, find_method
from lensaudit.explain.layers import refuse_other_maps
from lensaudit.explain.occluding.map_files import ascii_text, shown_band
from lensaudit.explain.occluding.map_picture import draw_image, draw_signed, scored_title
from lensaudit.files import replacing, writable_folder
from lensaudit.finders import Finder
from lensaudit.fits_input import open_fits
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance
from lensaudit.untrusted import file_stem, in_header

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CLIPPED_ABOVE = 99.8
"""Percentile of |value| from which colours are full: gradients have a few pixels far above the rest."""

LEGEND = (
    f"Blue: {POSITIVE}, raises the log-odds of lens. Red: {NEGATIVE}, lowers it. One scale a map, full "
    f"colour from the {CLIPPED_ABOVE:g}th percentile, for occlusion from the largest value."
)


SHOWN_FROM = 0.05
"""Guided Grad-CAM of a pixel from which Wilde et al. 2022 show it."""

ACROSS = 5


def scale_of(result: Explanation) -> SignedScale:
    """Colours of one image's map: both sides alike, full from the `CLIPPED_ABOVE` percentile of |value|.

    Occlusion, which has no few pixels above the rest, is not clipped, and what no patch changes keeps pale.
    """
    if result.method == "occlusion":
        return symmetric_scale(result.maps[0], LEAST_LOG_ODDS)
    return symmetric_scale(result.maps[0], percentile=CLIPPED_ABOVE)


@styled
def explanations_figure(
    image: np.ndarray, results: Sequence[Explanation], *, title: str, band: str, pixel_scale_arcsec: float
) -> Figure:
    """The image and a panel for each explanation of it.

    Parameters
    ----------
    image
        Native image (h, w) of `band`.
    results
        Of this one image (each with one map).
    title
        What stands above.
    band
        Name of the band.
    pixel_scale_arcsec
        Of `image`.
    """
    panels = 1 + len(results)
    across = min(panels, ACROSS)
    down = math.ceil(panels / across)
    height = 3.35 * down + 1.1
    figure = new_figure(2.7 * across, height, constrained=False)
    grid = figure.add_gridspec(
        down, across, wspace=0.04, hspace=0.36, left=0.01, right=0.99, bottom=0.95 / height, top=1 - 0.8 / height
    )
    axes = [figure.add_subplot(grid[i // across, i % across]) for i in range(panels)]
    draw_image(axes[0], image, pixel_scale_arcsec)
    axes[0].set_title(f"{band}, asinh scale", fontsize=9)
    for ax, result in zip(axes[1:], results, strict=True):
        draw_map(ax, image, result, pixel_scale_arcsec)
    figure.suptitle(title, fontsize=11)
    figure.text(0.01, 0.12 / height, LEGEND, fontsize=8)
    return figure


def draw_map(ax: Axes, image: np.ndarray, result: Explanation, pixel_scale_arcsec: float) -> None:
    """Draw one image's map over `image`, with its name above and its colour bar below."""
    scale = scale_of(result)
    draw_signed(ax, image, result.maps[0], scale, pixel_scale_arcsec)
    name_panel(ax, result)
    bar = ax.inset_axes((0.1, -0.07, 0.8, 0.035))
    draw_signed_bar(bar, scale, METHODS[result.method].quantity, horizontal=True)


@styled
def gradcam_figure(
    image: np.ndarray,
    gradcam: Explanation,
    guided: Explanation,
    *,
    title: str,
    band: str,
    pixel_scale_arcsec: float,
    threshold: float = SHOWN_FROM,
) -> Figure:
    """Image, Grad-CAM, Guided Grad-CAM, and the image where Guided Grad-CAM reaches `threshold` in any band."""
    figure = new_figure(11.6, 4.2, constrained=False)
    grid = figure.add_gridspec(1, 4, wspace=0.04, left=0.01, right=0.99, bottom=0.17, top=0.82)
    axes = [figure.add_subplot(grid[i]) for i in range(4)]
    draw_image(axes[0], image, pixel_scale_arcsec)
    axes[0].set_title(f"{band}, asinh scale", fontsize=9)
    for ax, result in zip(axes[1:3], (gradcam, guided), strict=True):
        draw_map(ax, image, result, pixel_scale_arcsec)
    shown = reached(guided, threshold)
    _draw_where(axes[3], image, shown, pixel_scale_arcsec)
    axes[3].set_title(f"{band} where Guided Grad-CAM ≥ {threshold:g}\n{100 * shown.mean():.1f} % of pixels", fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.text(0.01, 0.02, LEGEND, fontsize=8)
    return figure


def reached(guided: Explanation, threshold: float) -> np.ndarray:
    """Where one image's Guided Grad-CAM is at least `threshold` in any band, bool (size, size)."""
    assert guided.attributions is not None
    where: np.ndarray = guided.attributions[0].max(axis=0) >= threshold
    return where


def name_panel(ax: Axes, result: Explanation) -> None:
    """Name of the method above its map, with what a reader must know of it in red."""
    method = METHODS[result.method]
    ax.set_title(result.title, fontsize=9, pad=15 if result.notes else None)
    if result.notes:
        word = "fails the randomisation check" if method.known_to_fail else "see the notes"
        ax.text(0.5, 1.015, word, transform=ax.transAxes, ha="center", va="bottom", fontsize=7.5, color=ALARM)
    if not np.any(result.maps[0]):
        ax.text(0.5, 0.9, "zero everywhere", transform=ax.transAxes, ha="center", fontsize=8, color=ALARM)


def _draw_where(ax: Axes, image: np.ndarray, shown: np.ndarray, pixel_scale_arcsec: float) -> None:
    draw_image(ax, image, pixel_scale_arcsec)
    picture = np.where(nearest(shown, image.shape), grey(image), 0.0)
    ax.images[0].set_data(picture)


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
    save_figure(path, figure)
