"""Pictures of signed maps over the log-scaled image, and the picture of an occlusion map in both its views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lensaudit.display.colour import (
    LEAST_LOG_ODDS,
    LEAST_P,
    NEGATIVE,
    POSITIVE,
    SignedScale,
    symmetric_scale,
    two_scales,
)
from lensaudit.display.figures import draw_pixels, draw_signed_bar, new_figure, styled
from lensaudit.display.images import grey, over_image
from lensaudit.display.numbers import probability, signed
from lensaudit.errors import UsageError
from lensaudit.explain.occluding.occluder import OcclusionMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_ODDS, PAPER = "log-odds", "paper"
VIEWS = (LOG_ODDS, PAPER)
"""``log-odds``: their change on one symmetric scale. ``paper``: Figs 11 to 13 of Wilde et al. 2022, the change of
p(lens), each side scaled to its own extreme."""


def draw_image(ax: Axes, image: np.ndarray, pixel_scale_arcsec: float) -> None:
    """Draw a native image in stretched grey with a scale bar; the first row is at the bottom, as in DS9."""
    draw_pixels(ax, grey(image), image.shape[1] * pixel_scale_arcsec)


def check_view(view: str) -> None:
    """Make sure that there is such a view.

    Raises
    ------
    UsageError
        There is not; the line lists those that exist.
    """
    if view not in VIEWS:
        raise UsageError(f"view '{view}' is not known; allowed: {', '.join(VIEWS)}")


def attribution_of(result: OcclusionMap, view: str = LOG_ODDS) -> np.ndarray:
    """What a view draws, above 0 positive attribution: log-odds or, in the paper's view, p lost under the patch."""
    return result.attribution if view == LOG_ODDS else -result.delta


def scale_of(result: OcclusionMap, view: str = LOG_ODDS) -> SignedScale:
    """Its colours."""
    values = attribution_of(result, view)
    return symmetric_scale(values, LEAST_LOG_ODDS) if view == LOG_ODDS else two_scales(values, LEAST_P)


def draw_occlusion(
    ax: Axes, image: np.ndarray, result: OcclusionMap, pixel_scale_arcsec: float, view: str = LOG_ODDS
) -> None:
    """Draw the map over the negative, stretched `image` of the same field, with a scale bar.

    Parameters
    ----------
    ax
        Where to draw.
    image
        Native image (h, w) of one band; its pixels need not be those of the map.
    result
        The map.
    pixel_scale_arcsec
        Of `image`.
    view
        One of `VIEWS`.

    Raises
    ------
    UsageError
        No such view.
    """
    check_view(view)
    draw_signed(ax, image, attribution_of(result, view), scale_of(result, view), pixel_scale_arcsec)


def draw_signed(ax: Axes, image: np.ndarray, values: np.ndarray, scale: SignedScale, pixel_scale_arcsec: float) -> None:
    """Draw attribution `values` (size, size), blue above 0, over the negative `image` (h, w) of its field."""
    width_arcsec = image.shape[1] * pixel_scale_arcsec
    draw_pixels(ax, over_image(values, image, scale), width_arcsec, dark=False)


def draw_colour_bar(ax: Axes, result: OcclusionMap, view: str = LOG_ODDS) -> None:
    """Draw the colours with the value of both ends and what they are; in the paper's view each half has its scale."""
    check_view(view)
    scale = scale_of(result, view)
    if view == LOG_ODDS:
        draw_signed_bar(ax, scale, "attribution: Δ log-odds (whole − patch hidden)")
        return
    ends = min(float(result.delta.min()), 0.0), max(float(result.delta.max()), 0.0)
    draw_signed_bar(ax, scale, "p(lens | hidden) − p(lens), two scales", (signed(ends[1]), signed(ends[0])))


@styled
def occlusion_figure(
    image: np.ndarray,
    result: OcclusionMap,
    *,
    title: str,
    band: str,
    pixel_scale_arcsec: float,
    view: str = LOG_ODDS,
) -> Figure:
    """Image and map side by side, with the colour bar.

    Parameters
    ----------
    image
        Native image (h, w) of `band`.
    result
        The map.
    title
        What stands above, see `title_of`.
    band
        Name of the band.
    pixel_scale_arcsec
        Of `image`.
    view
        One of `VIEWS`.

    Raises
    ------
    UsageError
        No such view.
    """
    check_view(view)
    figure = new_figure(9.6, 4.9, constrained=False)
    grid = figure.add_gridspec(
        1, 3, width_ratios=[1, 1, 0.045], wspace=0.06, left=0.02, right=0.88, bottom=0.13, top=0.87
    )
    plain, mapped, bar = (figure.add_subplot(cell) for cell in (grid[0], grid[1], grid[2]))
    draw_image(plain, image, pixel_scale_arcsec)
    plain.set_title(f"{band}, asinh scale", fontsize=9)
    draw_occlusion(mapped, image, result, pixel_scale_arcsec, view)
    quantity = "Δ log-odds" if view == LOG_ODDS else "Δp as Wilde et al. 2022"
    mapped.set_title(
        f"{quantity}, {result.patch}×{result.patch} of {result.size}×{result.size} pixels hidden", fontsize=9
    )
    draw_colour_bar(bar, result, view)
    figure.suptitle(title, fontsize=12)
    figure.text(0.02, 0.025, _legend(result, view), fontsize=8.5, linespacing=1.4)
    return figure


def title_of(name: str, label: int, result: OcclusionMap) -> str:
    """``name: lens, ou66 p(lens) = 0.912``, see `scored_title`."""
    return scored_title(name, label, result.finder, result.p_lens)


def scored_title(name: str, label: int, finder: str, p_lens: float) -> str:
    """Title of a picture of one system; label 1 lens, 0 non-lens, anything else unlabelled."""
    words = {1: "lens", 0: "non-lens"}.get(int(label), "unlabelled")
    return f"{name}: {words}, {finder} p(lens) = {probability(p_lens)}"


def _legend(result: OcclusionMap, view: str) -> str:
    score, least = ("the log-odds of lens", LEAST_LOG_ODDS) if view == LOG_ODDS else ("p(lens)", LEAST_P)
    if np.abs(attribution_of(result, view)).max() < least:
        return f"No patch changes {score} by more than {least:g}."
    scales = "Both on one scale." if view == LOG_ODDS else "Each side to its own extreme: compare no colours across."
    return f"Blue, {POSITIVE}: hiding the patch lowers {score}. Red, {NEGATIVE}: hiding it raises {score}.\n{scales}"
