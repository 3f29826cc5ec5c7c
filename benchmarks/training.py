"""Training speed: our loop from disk against a plain PyTorch loop over tensors in memory, in one run.

The plain loop is the shortest one that trains the same net: float32 images in memory, the module as built, Adam,
one batch per step. It runs in torch's own memory format and with channels last. Ours is `lensaudit.training.train`
itself: prepared images read from disk in shuffled order, decoded, dropout from seeded streams. Rounds
alternate, so that a busy machine slows both alike; the best round of each counts.

    python benchmarks/training.py [--finders ou66 ou200] [--threads 1] [--rounds 3] [--compile] [--steps 4]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lensaudit.finders import Recipe, initialised, load_recipe
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, Records, chunk_for
from lensaudit.training import Machine, Place, Progress, TrainingData, TrainingOptions, Watch, train

LEAST_RATIO = 0.9
PIXELS = {"VIS": (200, 0.1), "Y": (66, 0.3), "J": (66, 0.3), "H": (66, 0.3)}
BATCH = {66: 100, 200: 25}
VALIDATION = 4


@dataclass(frozen=True)
class Speed:
    """Images per second, by the clock and by the processor time of this process."""

    wall: float
    cpu: float


def noise_set(path: Path, n: int) -> LensSet:
    """`n` noise images of Euclid's shapes, half of them called lenses."""
    rng = np.random.default_rng(1)
    bands = tuple(
        BandHeader(name=name, shape=(pixels, pixels), pixel_scale_arcsec=scale, unit="electron / s")
        for name, (pixels, scale) in PIXELS.items()
    )
    label = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens", dtype="int64")
    header = Header(instrument="euclid", bands=bands, n=n, chunk=chunk_for(n), columns=(label,))
    writer = LensSetWriter(path, header)
    writer.start()
    for chunk in range(header.n_chunks):
        rows = range(header.span(chunk).start, header.span(chunk).stop)
        images = {name: rng.normal(size=(len(rows), p, p)).astype(np.float32) for name, (p, _) in PIXELS.items()}
        ids = [f"noise-{row}" for row in rows]
        writer.write(chunk, Records(ids=ids, images=images, rows=[{"label": row % 2} for row in rows]))
    writer.finish()
    return LensSet.open(path)


def ours(recipe: Recipe, data: LensSet, folder: Path, machine: Machine) -> Speed:
    """Speed of `train` between the end of its first step and the end of its last one."""
    batch, marks = BATCH[recipe.size], []

    def stepped(progress: Progress, steps: int) -> None:
        if progress.batch:
            marks.append((time.perf_counter(), time.process_time()))

    options = TrainingOptions.of(
        recipe.training, epochs=1, batch_size=batch, validation_fraction=VALIDATION / len(data)
    )
    place = Place(folder / "out", folder / "cache", restart=True)
    train(recipe, TrainingData(data), place, options, machine, Watch(stepped=stepped))
    return _speed(marks, batch)


def plain(recipe: Recipe, steps: int, memory_format: torch.memory_format, threads: int) -> Speed:
    """Speed of the shortest loop over tensors in memory."""
    torch.set_num_threads(threads)
    batch, bands = BATCH[recipe.size], len(recipe.bands)
    generator = torch.Generator().manual_seed(1)
    net = initialised(recipe.architecture, bands, 2, generator=generator).train()
    net.to(memory_format=memory_format)
    images = torch.rand((steps * batch, bands, recipe.size, recipe.size), generator=generator)
    images = images.contiguous(memory_format=memory_format)
    labels = torch.arange(steps * batch) % 2
    optimizer, loss, marks = torch.optim.Adam(net.parameters(), 3e-4), nn.CrossEntropyLoss(), []
    for step in range(steps):
        part = slice(step * batch, (step + 1) * batch)
        optimizer.zero_grad()
        loss(net(images[part]), labels[part]).backward()
        optimizer.step()
        marks.append((time.perf_counter(), time.process_time()))
    return _speed(marks, batch)


def _speed(marks: list[tuple[float, float]], batch: int) -> Speed:
    images = (len(marks) - 1) * batch
    wall, cpu = (marks[-1][clock] - marks[0][clock] for clock in (0, 1))
    return Speed(images / wall, images / cpu)


def compare(name: str, options: argparse.Namespace, folder: Path) -> bool:
    """Print the speeds and ratios of one finder; whether ours is quick enough."""
    recipe = load_recipe(name)
    data = noise_set(folder / "set", options.steps * BATCH[recipe.size] + VALIDATION)
    machine = Machine("cpu", options.threads, True, options.compile)
    steps, threads = options.steps, options.threads
    runs: dict[str, Callable[[], Speed]] = {
        "plain loop": lambda: plain(recipe, steps, torch.contiguous_format, threads),
        "plain loop, channels last": lambda: plain(recipe, steps, torch.channels_last, threads),
        "lensaudit train" + (" --compile" if options.compile else ""): lambda: ours(recipe, data, folder, machine),
    }
    speeds: dict[str, list[Speed]] = {label: [] for label in runs}
    for _ in range(options.rounds):
        for label, run in runs.items():
            speeds[label].append(run())
    best = {label: max(found, key=lambda speed: speed.wall) for label, found in speeds.items()}
    print(f"{name}, {threads} thread(s), batches of {BATCH[recipe.size]}, best of {options.rounds} rounds:")
    for label, speed in best.items():
        print(f"  {label:28s} {speed.wall:7.1f} images/s   {speed.cpu:7.1f} images per CPU second")
    first, second, mine = (speed.wall for speed in best.values())
    print(f"  ratio to the plain loop {mine / first:.2f}, with channels last {mine / second:.2f} (least {LEAST_RATIO})")
    return mine / max(first, second) >= LEAST_RATIO


def main() -> None:
    """Compare each finder; exit 1 if one is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finders", nargs="+", default=["ou66", "ou200"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    quick = []
    for name in options.finders:
        with tempfile.TemporaryDirectory() as folder:
            quick.append(compare(name, options, Path(folder)))
    raise SystemExit(0 if all(quick) else 1)


if __name__ == "__main__":
    main()
