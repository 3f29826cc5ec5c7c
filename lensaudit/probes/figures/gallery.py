"""The example pairs: control beside treated, both scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.probes.experiment import Experiment
from lensaudit.probes.finding import ARMS
from lensaudit.probes.result import Example, ProbeResult

COLOUR_BANDS = ("H", "J", "Y")
"""Red, green, blue: the NISP pictures of Wilde et al. 2022."""

DETAIL_BAND = "VIS"
SIDE_INCH = 1.7


def gallery_figure(result: ProbeResult, experiments: Mapping[str, Experiment]) -> Figure:
    """One row per example; per arm the NISP colours and log VIS, on one scale for both arms."""
    examples = result.examples
    kinds = _kinds(next(iter(experiments.values())).source.fields.bands)
    columns = len(ARMS) * len(kinds)
    figure = Figure(figsize=(SIDE_INCH * columns + 1.2, (SIDE_INCH + 0.28) * len(examples)), layout="constrained")
    grid = figure.subplots(len(examples), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    for row, example in zip(grid, examples, strict=True):
        panels = _panels(example, experiments[example.population], kinds)
        for axes, (title, panel) in zip(row, panels, strict=True):
            axes.imshow(panel, origin="lower", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(title, fontsize=7, pad=2)
        row[0].set_ylabel(f"{example.pair_id}\n{example.reason}", fontsize=6.5)
    return figure


def _kinds(bands: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Name and bands of each panel: colours where the NISP bands are there, and one band in detail."""
    detail = DETAIL_BAND if DETAIL_BAND in bands else bands[0]
    colours = [("NISP HJY", COLOUR_BANDS)] if set(COLOUR_BANDS) <= set(bands) else []
    return [*colours, (f"log {detail}", (detail,))]


def _panels(
    example: Example, experiment: Experiment, kinds: Sequence[tuple[str, tuple[str, ...]]]
) -> list[tuple[str, NDArray[np.float64]]]:
    """Title and picture of each panel of one row: all of the control, then all of the treated arm."""
    scores = {"control": example.p_control, "treated": example.p_treated}
    last = len(experiment.arms) - 1
    cutouts = {arm: experiment.images(example.index, number) for arm, number in zip(ARMS, (0, last), strict=True)}
    panels = []
    for arm in ARMS:
        for name, bands in kinds:
            channels = [_scaled(cutouts[arm][band], [cutouts[other][band] for other in ARMS]) for band in bands]
            picture = np.stack(channels, axis=-1) if len(bands) > 1 else channels[0]
            panels.append((f"{arm} p = {scores[arm]:.3f}, {name}", picture))
    return panels


def _scaled(image: NDArray[np.float32], both: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Logarithm of the light above the sky in units of the noise, on [0, 1]; sky and noise from both arms together."""
    pixels = np.concatenate([one.ravel() for one in both]).astype(float)
    sky = float(np.median(pixels))
    noise = 1.4826 * float(np.median(np.abs(pixels - sky))) or 1.0
    top = float(np.percentile(pixels, 99.9)) - sky
    scaled = np.log1p(np.clip(image - sky, 0, None) / noise) / np.log1p(max(top, noise) / noise)
    return np.clip(scaled, 0, 1)
