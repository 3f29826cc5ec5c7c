"""Scoring from every container against the raw forward of the same module, in one process each.

``python benchmarks/containers.py`` writes seeded noise as every container that is read in place, scores it, and prints
the throughput over that of the bare module called on prepared tensors in memory in turns (see ``scoring.py``). Claims:
at least 0.85 with petrillo, the fastest finder, and 0.90 with ou66. The ratio by the clock says what a user waits for;
that by CPU seconds, of all threads, what reading costs on one core. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import numpy as np
from container_files import EXACT, Sample, pictures
from scoring import WARM_BATCHES, RawForward, clocks

if TYPE_CHECKING:
    from lensaudit.finders import Recipe

CLAIMED = {"petrillo": 0.85, "ou66": 0.90}
STORED = {"petrillo": 384, "ou66": 96}
READ = {"petrillo": 6000, "ou66": 1200}


@dataclass(frozen=True)
class Repeated:
    """`n` images of an endless repetition of cutouts; every access reads the files."""

    cutouts: Any
    n: int

    def __len__(self) -> int:
        return self.n

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cutouts, name)

    @property
    def ids(self) -> list[str]:
        return [f"noise-{i:06d}" for i in range(self.n)]

    def images(self, band: str, span: slice) -> np.ndarray:
        return np.asarray(self.cutouts.images(band, np.arange(span.start, span.stop) % len(self.cutouts)))


def sample_for(recipe: Recipe, n: int) -> Sample:
    """Noise of the finder's field of view, in pixels of its size; VIS of ou66 in its native 200."""
    drawn = Sample.drawn(n, recipe.size, recipe.bands)
    if recipe.name == "ou66":
        images = dict(drawn.images) | Sample.drawn(n, 200, ("VIS",)).images
        return replace(drawn, images=images)
    return drawn


def written(name: str, folder: Path, recipe: Recipe, n: int) -> Path:
    """The container and its declaration, with the finder's field of view."""
    import yaml

    sample = sample_for(recipe, n)
    path = pictures(folder, sample, name) if name in ("png", "jpg") else EXACT[name](folder, sample)
    words = yaml.safe_load(path.read_text())
    words.pop("pixel_scale_arcsec")
    path.write_text(yaml.safe_dump(words | {"field_of_view_arcsec": recipe.field_of_view_arcsec}))
    return path


def measure(name: str, finder_name: str, path: Path) -> dict:
    """Score in one call, with turns of the raw forward in between: ratios by the clock and by CPU seconds."""
    import torch

    from lensaudit.finders import STRETCHES, Finder, initialised, load_recipe, refitted, score_set
    from lensaudit.finders.score import default_batch_size
    from lensaudit.lensset import open_cutouts

    torch.set_num_threads(1)
    recipe = load_recipe(finder_name)
    generator = torch.Generator().manual_seed(1)
    module = initialised(recipe.architecture, len(recipe.bands), recipe.outputs, generator=generator)
    finder, cutouts = Finder(recipe, module, "benchmark"), open_cutouts(path)
    if STRETCHES[recipe.stretch].fitted:
        finder = refitted(finder, cutouts)
    batch, n = default_batch_size(finder), READ[finder_name]
    score_set(finder, Repeated(cutouts, WARM_BATCHES * batch), batch_size=batch)
    with torch.inference_mode():
        raw = RawForward(module, finder.preprocess(cutouts.cutouts(np.arange(batch) % len(cutouts))))
        began = clocks()
        score_set(finder, Repeated(cutouts, n), batch_size=batch, progress=raw.take_turns)
        scoring = (clocks() - began - raw.total) / n
    forward = raw.spent["contiguous"] / raw.images
    return {"name": name, "per_second": 1 / scoring[0], "ratios": (forward / scoring).tolist()}


def alike(finder_name: str) -> list[str]:
    """Containers for a finder: those with all bands in one array only where the bands are alike."""
    together = ("hdf5", "hdf5_last", "npy", "npz", "npz_packed", "hats", "huggingface")
    if finder_name == "ou66":
        return [name for name in EXACT if name not in together]
    return [*EXACT, "png", "jpg"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finder", choices=[*CLAIMED], nargs="+", default=[*CLAIMED])
    parser.add_argument("--container", nargs="+", default=None, help="Only these; by default all that hold its bands.")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, finder, path = arguments.child
        print(json.dumps(measure(name, finder, Path(path))))
        return
    from lensaudit.finders import load_recipe

    lowest: dict[str, float] = {}
    for finder in arguments.finder:
        for name in arguments.container or alike(finder):
            with tempfile.TemporaryDirectory() as folder:
                path = written(name, Path(folder), load_recipe(finder), STORED[finder])
                command = [sys.executable, __file__, "--child", name, finder, str(path)]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            wall, cpu = found["ratios"]
            lowest[finder] = min(lowest.get(finder, np.inf), wall)
            words = f"{finder} from {name}: {found['per_second']:.0f}/s, {wall:.3f} of the raw forward"
            print(f"{words} (by CPU seconds {cpu:.3f})", flush=True)
    for finder, ratio in lowest.items():
        print(f"{finder}: lowest ratio {ratio:.3f} (claim ≥ {CLAIMED[finder]:.2f})")
    sys.exit(int(any(ratio < CLAIMED[finder] for finder, ratio in lowest.items())))


if __name__ == "__main__":
    main()
