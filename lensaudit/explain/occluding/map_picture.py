"""Pictures of signed maps over the log-scaled image, and the picture of an occlusion map in both its views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lensaudit.display import (
    LEAST_LOG_ODDS,
    LEAST_P,
    NEGATIVE,
    POSITIVE,
    SignedScale,
    signed,
    symmetric_scale,
    two_scales,
)
from lensaudit.errors import UsageError
from lensaudit.explain.occluding.occluder import OcclusionMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_ODDS, PAPER = "log-odds", "paper"
VIEWS = (LOG_ODDS, PAPER)
"""``log-odds``: their change on one symmetric scale. ``paper``: Figs 11 to 13 of Wilde et al. 2022, the change of
p(lens), each side scaled to its own extreme."""

CONTRAST = 0.55
"""Fraction of the image's own contrast that is kept under the colours, so that these stay readable on bright pixels."""

SOFTENING = 3.0
"""Sky sigmas over which the logarithm turns linear: noise stays quiet, arcs and cores are both seen."""


def log_scaled(image: np.ndarray, from_sigma: float = -1.0) -> np.ndarray:
    """Scale an image to [0, 1] by log(1 + x / 3), x in sky sigmas above the median less `from_sigma`; NaN is 0.

    The sky's level and sigma are the median and half the 16–84 % range, robust while objects fill less than half of
    the cutout; the 99.9 % percentile is 1.
    """
    image = np.asarray(image, dtype=float)
    finite = image[np.isfinite(image)]
    if not finite.size or finite.max() <= finite.min():
        return np.zeros(image.shape)
    faint, median, high = np.percentile(finite, [15.87, 50, 99.9])
    sigma = max(median - faint, 1e-6 * (finite.max() - median), np.finfo(float).tiny)
    level = np.maximum((np.nan_to_num(image, nan=faint) - median) / sigma - from_sigma, 0)
    top = max((high - median) / sigma - from_sigma, 1.0)
    return np.clip(np.log1p(level / SOFTENING) / np.log1p(top / SOFTENING), 0, 1)


def draw_image(ax: Axes, image: np.ndarray, pixel_scale_arcsec: float) -> None:
    """Draw a native image in log-scaled grey with a scale bar; the first row is at the bottom, as in DS9."""
    extent = _extent(image.shape, pixel_scale_arcsec)
    ax.imshow(log_scaled(image), cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent, interpolation="nearest")
    _finish(ax, extent, "white")


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
    """Draw the map over the negative, log-scaled `image` of the same field, with a scale bar.

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
    fine = max(*image.shape, *values.shape)
    backdrop = 1 - CONTRAST * _nearest(log_scaled(image, from_sigma=1.5), fine)  # sky stays white
    extent = _extent(image.shape, pixel_scale_arcsec)
    picture = backdrop[..., None] * _nearest(scale.colours(values), fine)
    ax.imshow(np.clip(picture, 0, 1), origin="lower", extent=extent, interpolation="nearest")
    _finish(ax, extent, "black")


def draw_colour_bar(ax: Axes, result: OcclusionMap, view: str = LOG_ODDS) -> None:
    """Draw the colours with the value of both ends and what they are; in the paper's view each half has its scale."""
    check_view(view)
    scale = scale_of(result, view)
    if view == LOG_ODDS:
        draw_scale(ax, scale, "attribution: Δ log-odds (whole − patch hidden)")
        return
    ends = min(float(result.delta.min()), 0.0), max(float(result.delta.max()), 0.0)
    draw_scale(ax, scale, "p(lens | hidden) − p(lens), two scales", (signed(ends[1]), signed(ends[0])))


def draw_scale(ax: Axes, scale: SignedScale, label: str, ends: tuple[str, str] | None = None) -> None:
    """Draw a colour bar, red below and blue above, with the values of its `ends` (by default the scale's)."""
    ax.imshow(scale.ramp()[:, None], origin="lower", aspect="auto", extent=(0, 1, -1, 1))
    low, high = ends or (signed(-scale.negative), signed(scale.positive))
    ax.set_yticks([-1, 0, 1], [low, "0", high])
    ax.set_xticks([])
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set_ylabel(label)


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
    from matplotlib.figure import Figure

    check_view(view)
    figure = Figure(figsize=(9.6, 4.9), dpi=120)
    grid = figure.add_gridspec(
        1, 3, width_ratios=[1, 1, 0.045], wspace=0.06, left=0.02, right=0.88, bottom=0.13, top=0.87
    )
    plain, mapped, bar = (figure.add_subplot(cell) for cell in (grid[0], grid[1], grid[2]))
    draw_image(plain, image, pixel_scale_arcsec)
    plain.set_title(f"{band}, log scale", fontsize=9)
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
    return f"{name}: {words}, {finder} p(lens) = {_probability(p_lens)}"


def _legend(result: OcclusionMap, view: str) -> str:
    score, least = ("the log-odds of lens", LEAST_LOG_ODDS) if view == LOG_ODDS else ("p(lens)", LEAST_P)
    if np.abs(attribution_of(result, view)).max() < least:
        return f"No patch changes {score} by more than {least:g}."
    scales = "Both on one scale." if view == LOG_ODDS else "Each side to its own extreme: compare no colours across."
    return f"Blue, {POSITIVE}: hiding the patch lowers {score}. Red, {NEGATIVE}: hiding it raises {score}.\n{scales}"


def _probability(p: float) -> str:
    """Three decimals, more near 0 and 1 where three would round to certainty."""
    near = min(p, 1 - p)
    return f"{p:.3f}" if near >= 5e-4 else f"{p:.2e}" if p < 0.5 else f"1 − {1 - p:.1e}"


def _extent(shape: tuple[int, ...], pixel_scale_arcsec: float) -> tuple[float, float, float, float]:
    return (0.0, shape[1] * pixel_scale_arcsec, 0.0, shape[0] * pixel_scale_arcsec)


def _nearest(values: np.ndarray, size: int) -> np.ndarray:
    """Repeat the nearest pixels so that both image and map have `size` × `size` of them."""
    rows, columns = (((np.arange(size) + 0.5) * side / size).astype(int) for side in values.shape[:2])
    return values[rows][:, columns]


def _finish(ax: Axes, extent: tuple[float, float, float, float], colour: str) -> None:
    """No ticks, and a scale bar of a round number of arcsec, about a fifth of the field."""
    ax.set_xticks([])
    ax.set_yticks([])
    length = _round_below(extent[1] / 4)
    left, bottom = 0.05 * extent[1], 0.05 * extent[3]
    ax.plot([left, left + length], [bottom, bottom], color=colour, linewidth=2.5, solid_capstyle="butt")
    ax.text(
        left + length / 2,
        bottom + 0.02 * extent[3],
        f"{length:g}″",
        color=colour,
        ha="center",
        va="bottom",
        fontsize=11,
    )
    ax.set_xlim(extent[0], extent[1])
    ax.set_ylim(extent[2], extent[3])


def _round_below(length: float) -> float:
    """The largest of 1, 2, 5 × a power of ten that is not above `length`."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(next(step * power for step in (5, 2, 1) if step * power <= length * (1 + 1e-9)))
