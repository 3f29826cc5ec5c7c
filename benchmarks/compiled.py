"""Is a finder quicker once compiled? What `lensaudit score --compile on` calls, beside the eager call, in one run.

python benchmarks/compiled.py [--set SET] [RECIPE ...]

One thread, whose processor time is taken in turns: the module as `score` calls it (channels last), as a user's own
module is called (contiguous), and compiled; with their ratios, the greatest difference of log-odds as a fraction of
1 + |log-odds|, and what part of the processor's own matrix product the eager call's arithmetic reaches, which is what
no compiler adds to. Recipes have seeded weights where none are shipped. With ``--set`` the whole of ``score`` is timed
too, reading and writing included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lensaudit.errors import LensauditError
from lensaudit.files import builtin_folder
from lensaudit.finders import Finder, initialised_module, load_finder, load_recipe, score_set
from lensaudit.finders.compiling import Compiled, compiled
from lensaudit.finders.running import module_outputs
from lensaudit.finders.score import default_batch_size, first_batch
from lensaudit.lensset import Cutouts, open_cutouts

TURNS = 15
SIDE = 1024
RECIPES = ("petrillo", "ou66", "ou200", "deeplens", "epfl-resnet", "lastro", "ou66-p4m", "lensflow", "ou-tsne")


def finder_of(name: str) -> Finder:
    """With the weights that are shipped, or seeded ones."""
    if (builtin_folder("models") / name / "finder.yaml").is_file():
        return load_finder(name)
    recipe = load_recipe(name)
    return Finder(recipe, initialised_module(recipe, torch.Generator().manual_seed(1)), "benchmark")


def seconds(calls: dict[str, Callable[[], object]], turns: int = TURNS) -> dict[str, float]:
    """Median of the processor time of each, in turns, the first one left out."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns + 1):
        for name, call in calls.items():
            began = time.process_time()
            call()
            spent[name].append(time.process_time() - began)
    return {name: float(np.median(times[1:])) for name, times in spent.items()}


def product_rate() -> float:
    """Operations a second of a matrix product of this processor."""
    one, other = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    return 2 * SIDE**3 / seconds({"product": lambda: one @ other})["product"]


def line(finder: Finder, images: torch.Tensor, cutouts: Cutouts | None) -> str:
    """What came of one finder."""
    began = time.perf_counter()
    quick = compiled(finder, images)
    took = time.perf_counter() - began
    with FlopCounterMode(display=False) as counted:
        eager = finder.logit(images)
    off = float(((eager - quick(images)[0]).abs() / (1 + eager.abs())).max())
    spent = seconds(
        {
            "eager": lambda: finder.logit(images),
            "contiguous": lambda: module_outputs(finder.module, images),
            "compiled": lambda: quick(images),
        }
    )
    n, fast = len(images), spent["compiled"]
    reached = counted.get_total_flops() / spent["eager"] / product_rate()
    words = (
        f"{finder.name:26s} eager {n / spent['eager']:6.0f}/s, compiled {n / fast:6.0f}/s: {spent['eager'] / fast:.2f}×"
        f", {spent['contiguous'] / fast:.2f}× the contiguous call; off by {off:.0e}; eager is at {reached:.2f} of a "
        f"matrix product; compiled in {took:.0f} s"
    )
    return words if cutouts is None else f"{words}; score {_scored(finder, quick, cutouts):.2f}×"


def _scored(finder: Finder, quick: Compiled, cutouts: Cutouts) -> float:
    """How many times as fast the whole of scoring is."""
    spent = seconds(
        {
            "eager": lambda: score_set(finder, cutouts),
            "compiled": lambda: score_set(finder, cutouts, compiled=quick),
        },
        3,
    )
    return spent["eager"] / spent["compiled"]


def main() -> None:
    """Print a line for each finder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", type=Path)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cutouts = None if asked.set is None else open_cutouts(asked.set)
    for name in asked.recipes:
        finder = finder_of(name)
        with torch.inference_mode():
            if cutouts is not None:
                finder = replace(finder, resamples=True)
                images = first_batch(finder, cutouts)
            else:
                shape = default_batch_size(finder), finder.recipe.channels, *[finder.recipe.size] * 2
                images = torch.rand(shape, generator=torch.Generator().manual_seed(2))
            try:
                print(line(finder, images, cutouts), flush=True)
            except LensauditError as refused:
                print(f"{name:26s} {refused}", flush=True)


if __name__ == "__main__":
    main()
