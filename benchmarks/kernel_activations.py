"""Kernel activation values of a whole set against plain scoring of the same set.

``python benchmarks/kernel_activations.py`` scores a set and takes the values of all its kernels in turns, on the same
threads, and prints the images per second of both (medians over the turns) and their ratio: claim ≥ 0.90. The pass
with kernels reads, forwards and writes the whole table; the statistics after it, which take no forward pass, are
timed apart. The images are seeded noise; `--set` takes a real set instead. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from scoring import write_noise

CLAIMED_RATIO = 0.90


def main() -> None:
    from lensaudit.explaining import kernel_activations, study_kernels
    from lensaudit.finders import Finder, initialised, load_finder, load_recipe, score_set
    from lensaudit.lensset import LensSet

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finder", default="ou66", help="name of a recipe, its weights random; or a finder's folder")
    parser.add_argument("--images", type=int, default=640, help="of noise")
    parser.add_argument("--set", type=Path, default=None)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if Path(arguments.finder).is_dir():
        finder = load_finder(arguments.finder, arguments.device)
    else:
        recipe = load_recipe(arguments.finder)
        generator = torch.Generator().manual_seed(1)
        module = initialised(recipe.architecture, len(recipe.bands), recipe.outputs, generator=generator)
        finder = Finder(recipe, module.to(arguments.device), "benchmark")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.set is None:
            write_noise(Path(folder) / "noise", arguments.images)
        lens_set = LensSet.open(arguments.set or Path(folder) / "noise")
        path = Path(folder) / "kav.parquet"
        tasks = {
            "score": lambda: score_set(finder, lens_set),
            "kernels": lambda: kernel_activations(finder, lens_set, path, force=True),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
        for turn in range(1 + arguments.turns):
            for name, task in tasks.items():
                began = time.perf_counter(), time.process_time()
                task()
                if turn:  # the first is to warm up
                    seconds[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
        began_study = time.perf_counter()
        study_kernels(kernel_activations(finder, lens_set, path), lens_set)
        study = time.perf_counter() - began_study
    sys.exit(show(finder.name, len(lens_set), seconds, study, arguments.threads))


def show(name: str, n: int, seconds: dict[str, list[tuple[float, float]]], study: float, threads: int) -> bool:
    """Print what was measured; whether the claim is broken."""
    wall, cpu = (
        {task: statistics.median(t[clock] for t in turns) for task, turns in seconds.items()} for clock in (0, 1)
    )
    ratio = wall["score"] / wall["kernels"]
    print(f"{name}, {n} images, {threads} thread(s), medians of {len(seconds['score'])} turns:")
    print(f"  score_set {n / wall['score']:.1f}/s, kernel_activations {n / wall['kernels']:.1f}/s")
    print(f"  ratio {ratio:.3f} (claim ≥ {CLAIMED_RATIO}), by CPU seconds {cpu['score'] / cpu['kernels']:.3f}")
    print(f"  statistics of all kernels afterwards: {study:.2f} s ({study / wall['kernels']:.1%} of the pass)")
    return ratio < CLAIMED_RATIO


if __name__ == "__main__":
    main()
