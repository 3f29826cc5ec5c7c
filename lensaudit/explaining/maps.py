"""Maps of what speaks for and against a lens, whatever method made them: as data, and their pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.display.colour import (
    ALARM,
    LEAST_LOG_ODDS,
    LEAST_P,
    NEGATIVE,
    POSITIVE,
    SignedScale,
    symmetric_scale,
    two_scales,
)
from lensaudit.display.figures import draw_pixels, draw_signed_bar, new_figure, styled
from lensaudit.display.images import grey, nearest, over_image
from lensaudit.display.numbers import probability, signed
from lensaudit.errors import UsageError
from lensaudit.records import Facts, Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lensaudit.explaining.occluding.exact import Cost, LayerReport


SIGN = "positive: for a lens"
"""Of every map; stands so in the card ``SIGN`` of every header."""


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The native images under the maps.

    Attributes
    ----------
    band
        Name of their band.
    images
        (n, h, w); pixels need not be those of the maps.
    pixel_scale_arcsec
        Of the images.
    wcs
        World coordinates of each, or None.
    """

    band: str
    images: NDArray[np.float32]
    pixel_scale_arcsec: float
    wcs: tuple[WCS, ...] | None = None


@dataclass(frozen=True, eq=False)
class Patches:
    """What occlusion alone has.

    Attributes
    ----------
    patch, stride
        Pixels of the finder's grid.
    engine
        ``exact`` or ``captum``.
    p_lost
        p(lens) − p(lens | patch hidden), float32 (n, size, size): the quantity of Wilde et al. 2022 with the sign of
        every map. Where p is close to 0 or 1 it says little.
    fallbacks
        Layers without a rule, from which on the exact engine ran plain batches.
    note
        Why it did so all through; empty if it did not.
    layers, cost, seconds
        How the exact engine calculated each layer of the last image, its multiply-adds and the wall time; not kept on
        disk.
    """

    patch: int
    stride: int
    engine: str
    p_lost: NDArray[np.float32]
    fallbacks: tuple[str, ...] = ()
    note: str = ""
    layers: tuple[LayerReport, ...] = ()
    cost: Cost | None = None
    seconds: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Attributed(Shown):
    """Attribution of the log-odds of "lens" to the pixels of n images, by any method.

    Attributes
    ----------
    method
        Name in `METHODS`.
    title
        Name of what was really done, as ``DeepLIFT, partial`` where it does not reach all of the finder.
    quantity
        What the numbers are, as ``log-odds, whole − patch hidden``. Above 0 they speak for a lens.
    maps
        float32 (n, size, size) on the finder's grid: the attribution summed over bands.
    attributions
        float32 (n, bands, size, size); None where the method tells no bands apart (Grad-CAM, occlusion).
    logit
        Log-odds of the whole images, float64 (n,).
    bands
        Of `attributions`, in the finder's order.
    field_arcsec
        Width of the field, in arcseconds.
    finder, finder_hash
        Name of the finder and SHA-256 of its weights.
    hooked
        What the method hooked, in words; empty for one that hooks nothing.
    notes
        What a reader must know beside the maps: sanity checks that the method fails, what no hook reaches.
    known_to_fail
        Whether the method failed the parameter-randomisation check in Adebayo et al. 2018.
    wcs
        World coordinates of each map, or None where none were given.
    backdrop
        Native images of one band for pictures, or None.
    patches
        What only occlusion has; None for other methods.

    See Also
    --------
    lensaudit.explaining.explain : makes one from cutouts.
    """

    method: str
    title: str
    quantity: str
    maps: NDArray[np.float32]
    attributions: NDArray[np.float32] | None
    logit: NDArray[np.float64]
    bands: tuple[str, ...]
    field_arcsec: float
    finder: str
    finder_hash: str
    hooked: str = ""
    notes: tuple[str, ...] = ()
    known_to_fail: bool = False
    wcs: tuple[WCS, ...] | None = None
    backdrop: Backdrop | None = None
    patches: Patches | None = None

    sign = SIGN

    def _facts(self) -> Facts:
        n, height, width = self.maps.shape
        facts = {"method": self.title, "finder": self.finder, "maps": f"{n} of {height}×{width}"}
        facts |= {"quantity": self.quantity, "sign": self.sign}
        notes = {"notes": "; ".join(self.notes)} if self.notes else {}
        return {**facts, **notes}

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> Self:
        """That of one image."""
        here = slice(index, index + 1) if index >= 0 else slice(len(self) + index, len(self) + index + 1)
        if not len(self.maps[here]):
            raise IndexError(index)
        backdrop, patches = self.backdrop, self.patches
        if backdrop is not None:
            wcs = None if backdrop.wcs is None else backdrop.wcs[here]
            backdrop = replace(backdrop, images=backdrop.images[here], wcs=wcs)
        return replace(
            self,
            maps=self.maps[here],
            attributions=None if self.attributions is None else self.attributions[here],
            logit=self.logit[here],
            wcs=None if self.wcs is None else self.wcs[here],
            backdrop=backdrop,
            patches=None if patches is None else replace(patches, p_lost=patches.p_lost[here]),
        )

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    @property
    def p_lens(self) -> NDArray[np.float64]:
        """p(lens) of the whole images, float64 (n,)."""
        return np.asarray(expit(self.logit), np.float64)

    @property
    def size(self) -> int:
        """Pixels along a side of the maps."""
        return int(self.maps.shape[-1])


LOG_ODDS, PAPER = "log-odds", "paper"
VIEWS = (LOG_ODDS, PAPER)
"""Of an occlusion. ``log-odds``: their change on one symmetric scale. ``paper``: Figs 11 to 13 of Wilde et al. 2022,
the change of p(lens), each side scaled to its own extreme."""

CLIPPED_ABOVE = 99.8
"""Percentile of |value| from which colours are full: gradients have a few pixels far above the rest."""

LEGEND = (
    f"Blue: {POSITIVE}, raises the log-odds of lens. Red: {NEGATIVE}, lowers it. One scale a map, full "
    f"colour from the {CLIPPED_ABOVE:g}th percentile, for occlusion from the largest value."
)

SHOWN_FROM = 0.05
"""Guided Grad-CAM of a pixel from which Wilde et al. 2022 show it."""

ACROSS = 5


def backdrop_of(result: Attributed) -> Backdrop:
    """The native image of one image's explanation; where there is none, white of the same field."""
    if result.backdrop is not None:
        return result.backdrop
    return Backdrop("no image", np.zeros_like(result.maps), result.field_arcsec / result.size)


def draw_image(ax: Axes, under: Backdrop) -> None:
    """Draw the native image in stretched grey with a scale bar; the first row is at the bottom, as in DS9."""
    image = under.images[0]
    draw_pixels(ax, grey(image), image.shape[1] * under.pixel_scale_arcsec)
    ax.set_title(f"{under.band}, asinh scale", fontsize=9)


def check_view(view: str) -> None:
    """Make sure that there is such a view.

    Raises
    ------
    UsageError
        There is not; the line lists those that exist.
    """
    if view not in VIEWS:
        raise UsageError(f"view '{view}' is not known; allowed: {', '.join(VIEWS)}")


def values_of(result: Attributed, view: str = LOG_ODDS) -> np.ndarray:
    """What is drawn of one image, (size, size): its map, or in the paper's view p lost under the patch."""
    if view == LOG_ODDS:
        return result.maps[0]
    if result.patches is None:
        raise UsageError(f"view '{PAPER}' is of occlusion; {result.title} has none")
    return result.patches.p_lost[0]


def scale_of(result: Attributed, view: str = LOG_ODDS) -> SignedScale:
    """Colours of one image's map: both sides alike, full from the `CLIPPED_ABOVE` percentile of |value|.

    Occlusion, which has no few pixels above the rest, is not clipped, and what no patch changes keeps pale; in the
    paper's view each side has a scale of its own.
    """
    values = values_of(result, view)
    if view == PAPER:
        return two_scales(values, LEAST_P)
    if result.method == "occlusion":
        return symmetric_scale(values, LEAST_LOG_ODDS)
    return symmetric_scale(values, percentile=CLIPPED_ABOVE)


def draw_signed(ax: Axes, result: Attributed, view: str = LOG_ODDS) -> None:
    """Draw one image's map, blue above 0, over the negative image of its field, with a scale bar."""
    under = backdrop_of(result)
    image = under.images[0]
    pixels = over_image(values_of(result, view), image, scale_of(result, view))
    draw_pixels(ax, pixels, image.shape[1] * under.pixel_scale_arcsec, dark=False)


def draw_map(ax: Axes, result: Attributed) -> None:
    """Draw one image's map with its name above and its colour bar below."""
    draw_signed(ax, result)
    _name_panel(ax, result)
    bar = ax.inset_axes((0.1, -0.07, 0.8, 0.035))
    draw_signed_bar(bar, scale_of(result), result.quantity, horizontal=True)


def _name_panel(ax: Axes, result: Attributed) -> None:
    """Name of the method above its map, with what a reader must know of it in red."""
    ax.set_title(result.title, fontsize=9, pad=15 if result.notes else None)
    if result.notes:
        word = "fails the randomisation check" if result.known_to_fail else "see the notes"
        ax.text(0.5, 1.015, word, transform=ax.transAxes, ha="center", va="bottom", fontsize=7.5, color=ALARM)
    if not np.any(result.maps[0]):
        ax.text(0.5, 0.9, "zero everywhere", transform=ax.transAxes, ha="center", fontsize=8, color=ALARM)


@styled
def explanations_figure(results: Sequence[Attributed], title: str) -> Figure:
    """The image and a panel for each explanation of it; `results` are of this one image."""
    panels = 1 + len(results)
    across = min(panels, ACROSS)
    down = math.ceil(panels / across)
    height = 3.35 * down + 1.1
    figure = new_figure(2.7 * across, height, constrained=False)
    grid = figure.add_gridspec(
        down, across, wspace=0.04, hspace=0.36, left=0.01, right=0.99, bottom=0.95 / height, top=1 - 0.8 / height
    )
    axes = [figure.add_subplot(grid[i // across, i % across]) for i in range(panels)]
    draw_image(axes[0], backdrop_of(results[0]))
    for ax, result in zip(axes[1:], results, strict=True):
        draw_map(ax, result)
    figure.suptitle(title, fontsize=11)
    figure.text(0.01, 0.12 / height, LEGEND, fontsize=8)
    return figure


@styled
def gradcam_figure(gradcam: Attributed, guided: Attributed, title: str, threshold: float = SHOWN_FROM) -> Figure:
    """Image, Grad-CAM, Guided Grad-CAM, and the image where Guided Grad-CAM reaches `threshold` in any band."""
    figure = new_figure(11.6, 4.2, constrained=False)
    grid = figure.add_gridspec(1, 4, wspace=0.04, left=0.01, right=0.99, bottom=0.17, top=0.82)
    axes = [figure.add_subplot(grid[i]) for i in range(4)]
    under = backdrop_of(gradcam)
    draw_image(axes[0], under)
    for ax, result in zip(axes[1:3], (gradcam, guided), strict=True):
        draw_map(ax, result)
    shown = reached(guided, threshold)
    draw_image(axes[3], under)
    axes[3].images[0].set_data(np.where(nearest(shown, under.images[0].shape), grey(under.images[0]), 0.0))
    percent = 100 * shown.mean()
    axes[3].set_title(f"{under.band} where Guided Grad-CAM ≥ {threshold:g}\n{percent:.1f} % of pixels", fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.text(0.01, 0.02, LEGEND, fontsize=8)
    return figure


def reached(guided: Attributed, threshold: float) -> np.ndarray:
    """Where one image's Guided Grad-CAM is at least `threshold` in any band, bool (size, size)."""
    assert guided.attributions is not None
    where: np.ndarray = guided.attributions[0].max(axis=0) >= threshold
    return where


def draw_colour_bar(ax: Axes, result: Attributed, view: str = LOG_ODDS) -> None:
    """Draw the colours of an occlusion with the value of both ends and what they are."""
    if view == LOG_ODDS:
        draw_signed_bar(ax, scale_of(result), "attribution: Δ log-odds (whole − patch hidden)")
        return
    change = -values_of(result, view)  # as the paper counts it
    ends = signed(max(float(change.max()), 0.0)), signed(min(float(change.min()), 0.0))
    draw_signed_bar(ax, scale_of(result, view), "p(lens | hidden) − p(lens), two scales", ends)


@styled
def occlusion_figure(result: Attributed, title: str, view: str = LOG_ODDS) -> Figure:
    """Image and occlusion map side by side, with the colour bar.

    Raises
    ------
    UsageError
        No such view.
    """
    check_view(view)
    assert result.patches is not None
    figure = new_figure(9.6, 4.9, constrained=False)
    grid = figure.add_gridspec(
        1, 3, width_ratios=[1, 1, 0.045], wspace=0.06, left=0.02, right=0.88, bottom=0.13, top=0.87
    )
    plain, mapped, bar = (figure.add_subplot(cell) for cell in (grid[0], grid[1], grid[2]))
    draw_image(plain, backdrop_of(result))
    draw_signed(mapped, result, view)
    quantity, patch = "Δ log-odds" if view == LOG_ODDS else "Δp as Wilde et al. 2022", result.patches.patch
    mapped.set_title(f"{quantity}, {patch}×{patch} of {result.size}×{result.size} pixels hidden", fontsize=9)
    draw_colour_bar(bar, result, view)
    figure.suptitle(title, fontsize=12)
    figure.text(0.02, 0.025, _legend(result, view), fontsize=8.5, linespacing=1.4)
    return figure


def title_of(name: str, label: int, result: Attributed) -> str:
    """``name: lens, ou66 p(lens) = 0.912``; label 1 lens, 0 non-lens, anything else unlabelled."""
    words = {1: "lens", 0: "non-lens"}.get(int(label), "unlabelled")
    return f"{name}: {words}, {result.finder} p(lens) = {probability(float(result.p_lens[0]))}"


def _legend(result: Attributed, view: str) -> str:
    score, least = ("the log-odds of lens", LEAST_LOG_ODDS) if view == LOG_ODDS else ("p(lens)", LEAST_P)
    if np.abs(values_of(result, view)).max() < least:
        return f"No patch changes {score} by more than {least:g}."
    scales = "Both on one scale." if view == LOG_ODDS else "Each side to its own extreme: compare no colours across."
    return f"Blue, {POSITIVE}: hiding the patch lowers {score}. Red, {NEGATIVE}: hiding it raises {score}.\n{scales}"
