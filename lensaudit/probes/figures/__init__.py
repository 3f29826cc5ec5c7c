"""Pictures of a probe, each drawn from the numbers of a `ProbeResult`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lensaudit.files import replacing
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.figures.bars import recall_figure
from lensaudit.probes.figures.curves import curves_figure
from lensaudit.probes.figures.effect import effect_figure
from lensaudit.probes.figures.gallery import gallery_figure
from lensaudit.probes.pairs import PairSets
from lensaudit.probes.result import ProbeResult

DPI = 110
_FROM_NUMBERS = {"recall": recall_figure, "curves": curves_figure, "effect": effect_figure}


def figure_files(definition: ProbeDefinition) -> dict[str, str]:
    """Name of each figure this probe has → its file, in the order of the page."""
    names = ("recall", *(("curves",) if definition.curves else ()), "effect", "pairs")
    return {name: f"{name}.png" for name in names}


def draw_figures(result: ProbeResult, pairs: Mapping[str, PairSets], folder: Path) -> None:
    """Draw every figure the result has something for into `folder`; `pairs` are the lens sets per population."""
    for name, file in result.figures.items():
        figure = gallery_figure(result, pairs) if name == "pairs" else _FROM_NUMBERS[name](result)
        with replacing(folder / file) as partial:
            figure.savefig(partial, format="png", dpi=DPI)


__all__ = ["curves_figure", "draw_figures", "effect_figure", "figure_files", "gallery_figure", "recall_figure"]
