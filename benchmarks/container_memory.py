"""Memory of scoring in place: the peak of `score` over many small cutouts of each kind, against a third as many.

``python benchmarks/container_memory.py`` writes 100 000 cutouts of 16 × 16 pixels as every container, scores all of
them and a third in processes of their own, and prints the peak of each (VmHWM). What grows are ids and scores, about
1 kB an image where they become one file; pixels, 2 kB an image, do not. Claim: no more than 1600 bytes an image.
Formats of a file for each image are written with fewer (``--files``). Packed ``.npz`` is unpacked whole: not claimed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from container_files import EXACT, Sample, pictures

SIDE, MOST_BYTES = 16, 1600
OF_FILES = ("fits_folder", "fits_listed", "png")
CHILD = """
import json, sys, torch
from torch import nn
from lensaudit.finders import declare_finder, score_set
from lensaudit.lensset import open_cutouts
torch.manual_seed(1)
module = nn.Sequential(nn.Conv2d(2, 2, 5), nn.ReLU(), nn.Flatten(), nn.Linear(288, 1))
finder = declare_finder(module, bands=tuple(sys.argv[2].split(",")), size=16, field_of_view_arcsec=8.0)
scores = score_set(finder, open_cutouts(sys.argv[1]), batch_size=256)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"n": len(scores.ids), "peak": peak * 1024}))
"""


def written(name: str, folder: Path, n: int) -> tuple[Path, str]:
    """A container of `n` cutouts, and its bands."""
    bands = ("R", "G") if name != "png" else ("R", "G", "B")
    drawn = Sample.drawn(n=n, side=SIDE, bands=bands)
    drawn = replace(drawn, ids=[f"J{i:07d}" for i in range(n)], labels=[i % 2 for i in range(n)])
    folder.mkdir()
    return (pictures(folder, drawn) if name == "png" else EXACT[name](folder, drawn)), ",".join(bands[:2])


def measured(name: str, folder: Path, n: int) -> Mapping[str, int]:
    """Images, and peak of a process that scores them."""
    path, bands = written(name, folder, n)
    done = subprocess.run([sys.executable, "-c", CHILD, path, bands], capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def main() -> int:
    """Print a line for each container; 1 where one needs more than is claimed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--n", type=int, default=100_000)
    asked.add_argument("--files", type=int, default=10_000, help="images of formats with a file for each")
    asked.add_argument("--only", nargs="*", default=[*EXACT, "png"])
    options = asked.parse_args()
    worst = 0.0
    for name in options.only:
        n = options.files if name in OF_FILES else options.n
        with tempfile.TemporaryDirectory() as place:
            few, many = (measured(name, Path(place) / str(m), m) for m in (n // 3, n))
        each = (many["peak"] - few["peak"]) / (many["n"] - few["n"])
        worst = max(worst, 0.0 if name == "npz_packed" else each)
        print(
            f"{name:12} {few['n']:7d} images {few['peak'] / 1e6:6.0f} MB, {many['n']:7d} {many['peak'] / 1e6:6.0f} MB: "
            f"{each:6.0f} bytes an image",
            flush=True,
        )
    return int(worst > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
