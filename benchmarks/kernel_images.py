"""Images for all kernels of a layer in one optimisation, against one kernel at a time: time, and the same images.

``python benchmarks/kernel_images.py [ou66|ou200|FOLDER] [--layer NAME …] [--threads N] [--device cuda]``; without names
all convolutions of OU-66 with seeded weights. The loop is the usual one: one image through the whole module, a forward
hook on the layer, backward from the kernel's mean, torch's Adam; its weights ask for no gradient either. Ours is timed
as a user calls it, with the scores and stages of the path that the loop does not give. Both take the same steps from
the same noise. ``--loop N`` times the loop on N kernels of each layer, evenly spaced, and multiplies.

Claim: at least 5×; how far it reaches is printed per layer. On few cores deep layers cannot: there both need nearly
the same multiply-adds, those of ours already run near the processor's peak, and what is left is what a batch gains over
single images, more on many cores and on a GPU. Images are compared after `FEW` steps, pixel by pixel: Adam divides a
gradient by its own size, so that rounding decides about pixels whose gradient is as good as 0, and on from there about
others. Other load on the machine touches both: of wall and processor time the smaller ratio counts.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from lensaudit.explaining import DreamSettings
    from lensaudit.finders import Finder

CLAIMED_RATIO = 5.0
FEW = 3
EQUAL = 1e-3
"""Pixels that differ by less are equal; each moved by about 0.1 in each step."""

CLAIMED_FRACTION = 0.01
"""Most pixels that may differ."""


@dataclass(frozen=True)
class Timed:
    """Wall and processor seconds."""

    wall: float
    processor: float


def timed(call: Callable[[], object], device: torch.device) -> tuple[Any, Timed]:
    wait(device)
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    wait(device)
    return result, Timed(time.perf_counter() - wall, time.process_time() - processor)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def finder_called(name: str, device: str) -> Finder:
    """A saved finder, or a built-in architecture with seeded weights."""
    from lensaudit.finders import ARCHITECTURES, Finder, initialised, load_finder, load_recipe

    if name not in ARCHITECTURES:
        return load_finder(name, device)
    recipe = load_recipe(name)
    generator = torch.Generator().manual_seed(1)
    module = initialised(recipe.architecture, len(recipe.bands), generator=generator).to(device)
    return Finder(recipe, module, "benchmark")


def one_by_one(
    finder: Finder, layer: str, kernels: list[int], start: torch.Tensor, settings: DreamSettings
) -> np.ndarray:
    """The loop: images (kernels, bands, size, size)."""
    module = copy.deepcopy(finder.module).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    maps: dict[str, torch.Tensor] = {}
    module.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: maps.update(of=output))
    images = []
    for kernel in kernels:
        image = start[None].clone().requires_grad_()
        optimiser = torch.optim.Adam([image], lr=settings.rate, weight_decay=settings.decay, maximize=True)
        for _ in range(settings.steps):
            optimiser.zero_grad()
            module(image)
            maps["of"][0, kernel].mean().backward()
            optimiser.step()
        images.append(image.detach()[0].cpu().numpy())
    return np.stack(images)


def measure(finder: Finder, layer: str, looped: int | None, steps: int) -> bool:
    """Print one layer's numbers; whether the images are equal and the claim holds."""
    from lensaudit.explaining import dream, noise_start, paper_settings
    from lensaudit.explaining.dreaming.settings import layer_targets

    settings = replace(paper_settings(kernels=True, from_cutout=False), steps=steps)
    few = replace(settings, steps=FEW)
    start, targets = noise_start(finder, 0), layer_targets(finder.module, layer)
    count = len(targets) if looped is None else min(looped, len(targets))
    kernels = [int(n) for n in np.linspace(0, len(targets) - 1, count).round()]
    early, _ = timed(lambda: dream(finder, targets, start, few), finder.device)
    slow_early, _ = timed(lambda: one_by_one(finder, layer, kernels, start, few), finder.device)
    fast_early = np.stack([early[kernel].image for kernel in kernels])
    fraction_different = float((np.abs(fast_early - slow_early) > EQUAL).mean())
    _, ours = timed(lambda: dream(finder, targets, start, settings), finder.device)
    _, loop = timed(lambda: one_by_one(finder, layer, kernels, start, settings), finder.device)
    fraction = len(targets) / len(kernels)
    wall, processor = fraction * loop.wall / ours.wall, fraction * loop.processor / ours.processor
    ratio = wall if finder.device.type == "cuda" else min(wall, processor)
    print(
        f"{layer:>6} {len(targets):8} {fraction * loop.wall:9.2f} {ours.wall:9.2f} {wall:7.1f}× {processor:8.1f}×   "
        f"{fraction_different:13.0e}   {'yes' if ratio >= CLAIMED_RATIO else 'no'}",
        flush=True,
    )
    return fraction_different <= CLAIMED_FRACTION


def main() -> int:
    from lensaudit.explaining import paper_settings
    from lensaudit.explaining.layers import convolutions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("finder", nargs="?", default="ou66", help="architecture or a finder's folder")
    parser.add_argument("--layer", action="append", help="only these; by default all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loop", type=int, help="time the loop on so many kernels of a layer; by default all")
    parser.add_argument("--steps", type=int, default=paper_settings(kernels=True, from_cutout=False).steps)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    finder = finder_called(arguments.finder, arguments.device)
    layers = arguments.layer or [layer.name for layer in convolutions(finder.module)]
    print(f"{finder.name}, {arguments.steps} steps, {arguments.threads} threads, {finder.device}")
    print(f" layer  kernels    loop s    ours s    wall  processor  pixels differ   ≥ {CLAIMED_RATIO:g}×")
    same = [measure(finder, layer, arguments.loop, arguments.steps) for layer in layers]
    verdict = "yes" if all(same) else "NO"
    print(f"after {FEW} steps at most {CLAIMED_FRACTION:.0%} of the pixels differ by {EQUAL:g}: {verdict}")
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
