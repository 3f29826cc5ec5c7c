"""Is a finder quicker once compiled? Forward passes of one thread, eager and compiled in turns, in one run.

python benchmarks/compiled.py [petrillo ou66 ou200 epfl-resnet]
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from lensaudit.finders import Finder, initialised_module, load_recipe
from lensaudit.finders.running import channels_last
from lensaudit.finders.score import default_batch_size

TURNS = 15


class Compiled(nn.Module):
    """Calls what torch made of a module, its weights constants laid out for the processor."""

    def __init__(self, module: nn.Module, images: torch.Tensor) -> None:
        super().__init__()
        self.module = module
        from torch._inductor import config

        with config.patch(freezing=True), torch.inference_mode():
            self._quick = torch.compile(module, dynamic=False)
            self._quick(channels_last(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """As the module does."""
        found: torch.Tensor = self._quick(images)
        return found


def main() -> None:
    """Print a line for each recipe."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ("petrillo", "ou66", "ou200", "epfl-resnet"):
        recipe = load_recipe(name)
        eager = Finder(recipe, initialised_module(recipe, torch.Generator().manual_seed(1)), "benchmark")
        n = default_batch_size(eager)
        images = torch.rand(n, recipe.channels, recipe.size, recipe.size, generator=torch.Generator().manual_seed(2))
        began = time.perf_counter()
        quick = replace(eager, module=Compiled(eager.module, images))
        took = time.perf_counter() - began
        spent: dict[str, list[float]] = {"eager": [], "compiled": []}
        with torch.inference_mode():
            off = float((eager.logit(images) - quick.logit(images)).abs().max())
            for _ in range(TURNS):
                for kind, finder in (("eager", eager), ("compiled", quick)):
                    start = time.process_time()
                    finder.logit(images)
                    spent[kind].append(time.process_time() - start)
        slow, fast = (n / float(np.median(spent[kind])) for kind in ("eager", "compiled"))
        print(
            f"{name:12s} eager {slow:6.0f}/s, compiled {fast:6.0f}/s: {fast / slow:.2f}×; off by {off:.1e}, "
            f"compiled in {took:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
