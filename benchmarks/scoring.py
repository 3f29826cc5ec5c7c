"""Scoring a lens set from disk against the raw forward of the same module, and its peak memory.

``python benchmarks/scoring.py`` prints, for 1 000 and 20 000 cutouts, the throughput of `score_set` over that of
the bare module called on prepared tensors in memory (same batch size), and the peak resident memory of a process
that scores them. Claim: ratio ≥ 0.85, memory flat. The stricter ratio, to the module on channels-last tensors as
scoring itself uses them, is printed beside it: it is what reading and preprocessing cost. The images on disk are
seeded noise; larger sets read the same files again through the real reader. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

CLAIMED_RATIO = 0.85
CLAIMED_GROWTH_MB = 64
STORED = 200
WARM_BATCHES = 8
CHUNK = 100  # as in a set of 20 000


@dataclass(frozen=True)
class Repeated:
    """`n` images from `first` on of an endless repetition of a lens set; every access reads the disk."""

    lens_set: Any
    n: int
    first: int = 0

    def __len__(self) -> int:
        return self.n

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lens_set, name)

    @property
    def ids(self) -> list[str]:
        return [f"noise-{i:06d}" for i in range(self.first, self.first + self.n)]

    def images(self, band: str, span: slice) -> np.ndarray:
        wanted = np.arange(self.first + span.start, self.first + span.stop)
        return np.asarray(self.lens_set.images(band, wanted % len(self.lens_set)))


def write_noise(path: Path, n: int) -> None:
    """A lens set of `n` noise images with the shapes of Euclid."""
    from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSetWriter, Records

    shapes = {"VIS": (200, 0.1), "Y": (66, 0.3), "J": (66, 0.3), "H": (66, 0.3)}
    bands = tuple(
        BandHeader(name=b, shape=(size, size), pixel_scale_arcsec=scale, unit="electron / s")
        for b, (size, scale) in shapes.items()
    )
    label = CatalogueColumn(name="label", unit="", description="unknown", dtype="int64")
    header = Header(instrument="euclid", bands=bands, n=n, chunk=min(n, CHUNK), columns=(label,))
    writer = LensSetWriter(path, header)
    writer.start()
    rng = np.random.default_rng(1)
    for chunk in range(header.n_chunks):
        ids = [f"noise-{i:06d}" for i in range(n)[header.span(chunk)]]
        images = {b: rng.normal(size=(len(ids), s, s)).astype(np.float32) for b, (s, _) in shapes.items()}
        writer.write(chunk, Records(ids=ids, images=images, rows=[{"label": -1} for _ in ids]))
    writer.finish()


def measure(finder_name: str, path: Path, n: int, batch: int | None, threads: int) -> dict:
    """Score `n` images in one call, with turns of the raw forward in between: seconds of each, peak memory in MB."""
    import torch

    from lensaudit.finders import Finder, initialised, load_recipe, score_set
    from lensaudit.finders.score import default_batch_size
    from lensaudit.lensset import LensSet

    torch.set_num_threads(threads)
    recipe = load_recipe(finder_name)
    generator = torch.Generator().manual_seed(1)
    module = initialised(recipe.architecture, len(recipe.bands), recipe.outputs, generator=generator)
    finder = Finder(recipe, module, "benchmark")
    lens_set = LensSet.open(path)
    batch = batch or default_batch_size(finder)
    score_set(finder, Repeated(lens_set, WARM_BATCHES * batch), batch_size=batch)
    with torch.inference_mode():
        raw = RawForward(module, finder.preprocess(lens_set.cutouts(np.arange(batch) % len(lens_set))))
        began = clocks()
        score_set(finder, Repeated(lens_set, n), batch_size=batch, progress=raw.take_turns)
        scoring = clocks() - began - raw.total
    seconds = {"score": scoring / n} | {name: spent / raw.images for name, spent in raw.spent.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"n": n, "batch": batch, "seconds": {k: v.tolist() for k, v in seconds.items()}, "peak_rss_mb": peak}


class RawForward:
    """The bare module on the same prepared images in both memory formats, timed while scoring pauses.

    While it runs the reader gets at most two batches ahead of the `EVERY` of a turn.
    """

    EVERY = 20
    BATCHES = 4

    def __init__(self, module: torch.nn.Module, prepared: torch.Tensor) -> None:
        from lensaudit.finders.running import channels_last

        self.module = module
        self.inputs = {"contiguous": prepared.contiguous()}
        self.inputs["channels last"] = channels_last(prepared)
        self.spent = {name: np.zeros(2) for name in self.inputs}
        self.total, self.images, self.calls = np.zeros(2), 0, 0

    def take_turns(self, done: int, n: int) -> None:
        self.calls += 1
        if self.calls % self.EVERY and done < n:
            return
        began = clocks()
        for name, images in self.inputs.items():
            started = clocks()
            for _ in range(self.BATCHES):
                self.module(images)
            self.spent[name] += clocks() - started
        self.images += self.BATCHES * len(images)
        self.total += clocks() - began


def clocks() -> np.ndarray:
    """Wall-clock and CPU seconds (all threads) of this process; the second is steady on a busy machine."""
    return np.array([time.perf_counter(), time.process_time()])


def in_new_process(arguments: argparse.Namespace, path: Path, n: int) -> dict:
    """`measure` in a process of its own, as peak memory never falls again."""
    command = [sys.executable, __file__, "--finder", arguments.finder, "--threads", str(arguments.threads)]
    command += ["--set", str(path), "--images", str(n), "--child"]
    command += ["--batch", str(arguments.batch)] if arguments.batch else []
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def show(result: dict) -> float:
    """Print what was measured and return the ratio to the module as it is called on prepared tensors."""
    seconds = result["seconds"]
    print(f"{result['n']} cutouts, batch {result['batch']}, peak RSS {result['peak_rss_mb']:.0f} MB", end="")
    print(f": scored {1 / seconds['score'][0]:.1f}/s")
    for name in ("contiguous", "channels last"):
        wall, cpu = (seconds[name][clock] / seconds["score"][clock] for clock in (0, 1))
        raw = 1 / seconds[name][0]
        print(f"  raw forward, {name}: {raw:.1f}/s, ratio {wall:.3f} (by CPU seconds {cpu:.3f})", flush=True)
    return seconds["contiguous"][0] / seconds["score"][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finder", default="ou66", help="recipe of bands of Euclid; its weights are random")
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 20_000])
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        (n,) = arguments.images
        print(json.dumps(measure(arguments.finder, arguments.set, n, arguments.batch, arguments.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise"
        write_noise(path, STORED)
        results = [in_new_process(arguments, path, n) for n in arguments.images]
    ratios = [show(result) for result in results]
    growth = results[-1]["peak_rss_mb"] - results[0]["peak_rss_mb"]
    print(f"{arguments.finder}: lowest ratio {min(ratios):.3f} (claim ≥ {CLAIMED_RATIO}), ", end="")
    print(f"memory grows by {growth:.0f} MB (claim ≤ {CLAIMED_GROWTH_MB})")
    sys.exit(int(min(ratios) < CLAIMED_RATIO or growth > CLAIMED_GROWTH_MB))


if __name__ == "__main__":
    main()
