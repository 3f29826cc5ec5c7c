"""The picture of all correlations: kernels of each layer against the truth columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.explain.kernels.association import Correlations
from lensaudit.explain.kernels.study import KernelStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_ACROSS = 3
_COLOURS = ("#053061", "#2166ac", "#92c5de", "white", "#f4a582", "#b2182b", "#67001f")
_NOTHING = "0.87"  # where a layer has no such kernel, or a dead one


def correlation_figure(study: KernelStudy) -> Figure:
    """A panel per truth column: a row per layer, a cell per kernel, red where high values go with high ones.

    White: not significant after the correction for all of them. Grey: no such kernel, or a dead one. The study must
    have correlations.
    """
    from matplotlib.figure import Figure

    found = study.correlations
    assert found is not None
    layers = list(dict.fromkeys(kernel.layer for kernel in study.kernels))
    down = math.ceil(len(found.columns) / _ACROSS)
    panel = min(0.45 + 0.13 * len(layers), 4.0) + 0.55
    height = down * panel + 1.3
    figure = Figure(figsize=(12, height), dpi=120)
    grid = figure.add_gridspec(
        down,
        _ACROSS,
        left=0.06,
        right=0.9,
        bottom=0.75 / height,
        top=1 - 0.85 / height,
        wspace=0.14,
        hspace=0.6 / panel,
    )
    limit = _limit(found)
    for index in range(len(found.columns)):
        ax = figure.add_subplot(grid[index // _ACROSS, index % _ACROSS])
        image = _draw(ax, study, found, index, layers, limit)
        if index % _ACROSS == 0:
            ax.set_ylabel("layer", fontsize=8)
        if index + _ACROSS >= len(found.columns):
            ax.set_xlabel("kernel", fontsize=8)
    bar = figure.add_axes((0.925, 0.75 / height, 0.014, 1 - 1.6 / height))
    figure.colorbar(image, cax=bar).set_label("Spearman's ρ among lenses", fontsize=8)
    bar.tick_params(labelsize=7)
    figure.text(0.06, 1 - 0.32 / height, f"{study.table.record['finder']}: what its kernels go with", fontsize=13)
    figure.text(0.06, 0.2 / height, _legend(found), fontsize=8, color="0.3")
    return figure


def _draw(ax: Axes, study: KernelStudy, found: Correlations, index: int, layers: list[str], limit: float) -> AxesImage:
    from matplotlib.colors import LinearSegmentedColormap

    widest = 1 + max(kernel.number for kernel in study.kernels)
    rho = np.full((len(layers), widest), np.nan)
    for kernel, value, sure in zip(study.kernels, found.rho[:, index], found.significant[:, index], strict=True):
        # Zero is white: not significant. NaN stays the grey of the background.
        rho[layers.index(kernel.layer), kernel.number] = value if sure or np.isnan(value) else 0.0
    ax.set_facecolor(_NOTHING)
    colours = LinearSegmentedColormap.from_list("rho", _COLOURS, N=257)  # odd: 0 is exactly white
    image = ax.imshow(np.ma.masked_invalid(rho), cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    image.set_interpolation("nearest")
    steps = max(1, math.ceil(len(layers) / 25))
    ax.set_yticks(range(0, len(layers), steps), layers[::steps])
    ax.tick_params(labelsize=7, length=2)
    ax.set_title(f"{found.columns[index].words}, n {found.n[index]}", fontsize=9, loc="left", pad=3)
    return image


def _limit(found: Correlations) -> float:
    """Largest significant |ρ|, rounded up to a tenth."""
    largest = float(np.abs(found.rho[found.significant]).max(initial=0.1))
    return min(1.0, math.ceil(largest * 10) / 10)


def _legend(found: Correlations) -> str:
    tested = int(np.isfinite(found.p).sum())
    return (
        f"White: not significant at 0.05 after Holm's correction for all {tested} pairs. Grey: no such kernel, or a "
        "dead one. A correlation is no cause: truth columns hang together."
    )
