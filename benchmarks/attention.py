"""Where a vision transformer's attention lies beside the truth: a picture of the first lenses that it finds.

``python benchmarks/attention.py FINDER SET --out docs/attention.png [--lenses 4]``. Columns: VIS with the outline of
the truth mask, attention rollout, attention relevance, tokens dropped, gradient × input. Each map has its own scale,
red for a lens, blue against. What the methods are worth ``lensaudit judge`` measures; this shows what that looks like.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

METHODS = ("attention-rollout", "attention-relevance", "token-drop", "input-x-gradient")


def main() -> int:
    from timm_here import let_timm_load

    from lensaudit.display.figures import new_figure, save_figure
    from lensaudit.display.images import grey
    from lensaudit.explaining import METHODS as ALL
    from lensaudit.explaining import Explainer
    from lensaudit.explaining.judging.sample import truth_masks
    from lensaudit.finders import load_finder
    from lensaudit.lensset import LensSet

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("finder")
    parser.add_argument("set")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lenses", type=int, default=4)
    arguments = parser.parse_args()
    let_timm_load()
    finder, lens_set = load_finder(arguments.finder), LensSet.open(Path(arguments.set))
    explainer = Explainer(finder)
    lenses = [row for row, label in enumerate(lens_set.labels[:200]) if label == 1]
    ready = explainer.prepare(lens_set.cutouts(lenses), names=[lens_set.ids[row] for row in lenses])
    found = np.flatnonzero(ready.logit > 0)[: arguments.lenses]
    rows = [lenses[place] for place in found]
    ready = explainer.prepare(lens_set.cutouts(rows), names=[lens_set.ids[row] for row in rows])
    masks, pictures = truth_masks(finder, lens_set, rows), lens_set.images("VIS", rows)
    maps = {name: explainer.attribute(ready, name).maps for name in METHODS}
    figure = new_figure(6.4, 1.35 * len(rows), constrained=True)
    axes = figure.subplots(len(rows), 1 + len(METHODS), squeeze=False)
    size = finder.recipe.size
    for line, (ax, row) in enumerate(zip(axes, rows, strict=True)):
        ax[0].imshow(grey(pictures[line]), origin="lower", cmap="gray", extent=(0, size, 0, size))
        for panel, name in zip(ax[1:], METHODS, strict=True):
            level = float(np.percentile(np.abs(maps[name][line]), 99.5)) or 1.0
            panel.imshow(
                maps[name][line] / level, origin="lower", cmap="RdBu_r", vmin=-1, vmax=1, extent=(0, size, 0, size)
            )
        for panel in ax:
            panel.contour(
                np.arange(size) + 0.5, np.arange(size) + 0.5, masks[line], levels=[0.5], colors="k", linewidths=0.7
            )
            panel.set_xticks([])
            panel.set_yticks([])
        ax[0].contour(
            np.arange(size) + 0.5, np.arange(size) + 0.5, masks[line], levels=[0.5], colors="tab:orange", linewidths=0.7
        )
        ax[0].set_ylabel(f"{lens_set.ids[row]}\np = {1 / (1 + np.exp(-ready.logit[line])):.2f}", fontsize=6)
    for panel, title in zip(axes[0], ("VIS, truth", *(ALL[name].title for name in METHODS)), strict=True):
        panel.set_title(title, fontsize=7)
    save_figure(arguments.out, figure)
    print(f"{arguments.out}: {len(rows)} lenses, {arguments.out.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
