"""Pictures of a probe, each drawn from the numbers of a `ProbeResult`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lensaudit.figures import save_figure
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.experiment import Experiment
from lensaudit.probes.figures.bars import recall_figure
from lensaudit.probes.figures.curves import curves_figure
from lensaudit.probes.figures.doses import doses_figure
from lensaudit.probes.figures.effect import effect_figure
from lensaudit.probes.figures.gallery import gallery_figure
from lensaudit.probes.result import ProbeResult

DPI = 110
_FROM_NUMBERS = {"recall": recall_figure, "doses": doses_figure, "curves": curves_figure, "effect": effect_figure}


def figure_files(definition: ProbeDefinition) -> dict[str, str]:
    """Name of each figure this probe has → its file, in the order of the page."""
    doses = ("doses",) if definition.doses and len(definition.doses.values) > 1 else ()
    names = ("recall", *doses, *(("curves",) if definition.curves else ()), "effect", "pairs")
    return {name: f"{name}.png" for name in names}


def draw_figures(result: ProbeResult, experiments: Mapping[str, Experiment], folder: Path) -> None:
    """Draw every figure the result has something for into `folder`; `experiments` are those of each population."""
    for name, file in result.figures.items():
        figure = gallery_figure(result, experiments) if name == "pairs" else _FROM_NUMBERS[name](result)
        save_figure(folder / file, figure, dpi=DPI)


__all__ = [
    "curves_figure",
    "doses_figure",
    "draw_figures",
    "effect_figure",
    "figure_files",
    "gallery_figure",
    "recall_figure",
]
