"""Scoring and probing on a local dask cluster: two worker processes against one.

Both arms run the same command into fresh folders, in turns, after one run that warms the workers up (they import torch
and open the finder); the ratio of the best of each counts. Asked: 1.7 for both. Every worker is held to one core, as
a batch system holds it; otherwise one worker alone takes part of the second core to read ahead. Bytes are compared too.

    python benchmarks/dask_workers.py [--images 12000] [--pairs 1500] [--rounds 3] [--free]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import LocalCluster

from lensaudit.cli.app import main as command
from lensaudit.finders import load_recipe
from lensaudit.lensset import LensSet, simulate

ASKED_RATIO = 1.7


def run(words: list[object]) -> float:
    """Seconds of one command in this process."""
    sys.argv = ["lensaudit", *map(str, words)]
    began = time.perf_counter()
    try:
        command()
    except SystemExit as end:
        if end.code:
            raise
    return time.perf_counter() - began


def hold(cluster: LocalCluster) -> None:
    """Give every worker a core of its own: all threads it has, whose children inherit it."""
    cores = sorted(os.sched_getaffinity(0))
    for number, worker in enumerate(cluster.workers.values()):
        for thread in Path(f"/proc/{worker.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})


def seconds_of(words: list[object], folder: Path, rounds: int, held: bool) -> dict[int, float]:
    """Workers → the least seconds of the command, in turns."""
    found: dict[int, list[float]] = {1: [], 2: []}
    with LocalCluster(n_workers=1, processes=True, threads_per_worker=1, dashboard_address=None) as one, LocalCluster(
        2, processes=True, threads_per_worker=1, dashboard_address=None
    ) as two:  # fmt: skip
        if held:
            for cluster in (one, two):
                hold(cluster)
        for turn in range(rounds + 1):
            for workers, cluster in ((1, one), (2, two)):
                out = folder / f"{words[0]}-{workers}-{turn}"
                took = run([*words, "--out", out, "--dask", cluster.scheduler_address])
                if turn:
                    found[workers].append(took)
    same(folder / f"{words[0]}-1-1", folder / f"{words[0]}-2-1")
    return {workers: min(all_of) for workers, all_of in found.items()}


def same(first: Path, second: Path) -> None:
    """Refuse folders whose Parquet files differ."""
    for path in sorted(first.rglob("*.parquet")):
        if path.read_bytes() != (second / path.relative_to(first)).read_bytes():
            raise SystemExit(f"{path}: other bytes with two workers")


def many(folder: Path, images: int) -> Path:
    """The YAML of so many cutouts: some simulated ones over and over, as arrays on disk."""
    simulate("euclid", "euclid", 200, 1, folder / "set", 2)
    few, bands = LensSet.open(folder / "set"), load_recipe("ou66").bands
    for band in bands:
        some = few.images(band, slice(None))
        every = np.lib.format.open_memmap(folder / f"{band}.npy", "w+", np.float32, (images, *some.shape[1:]))
        for first in range(0, images, len(some)):
            every[first : first + len(some)] = some[: images - first]
        every.flush()
    words = [f"  {band}: {band}.npy" for band in bands]
    scale = [f"  {band}: {few.pixel_scale_arcsec[band]}" for band in bands]
    lines = ["data: .", "format: npy", "images:", *words, f"bands: [{', '.join(bands)}]", "pixel_scale_arcsec:", *scale]
    (folder / "many.yaml").write_text("\n".join(lines) + "\n")
    return folder / "many.yaml"


def main() -> None:
    """Measure both; exit 1 if one is slower than asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--pairs", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--free", action="store_true", help="workers may use all cores")
    options = parser.parse_args()
    quick = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cutouts = many(folder, options.images)
        works: list[list[object]] = [
            ["score", "ou66", cutouts, "--part-rows", options.images // 16],
            ["probe", "red-source", "ou66", "--n", options.pairs],
        ]
        for words in works:
            took = seconds_of(words, folder, options.rounds, not options.free)
            ratio = took[1] / took[2]
            quick &= ratio >= ASKED_RATIO
            print(
                f"{words[0]}: {took[1]:.1f} s with one worker, {took[2]:.1f} s with two, ratio {ratio:.2f}", flush=True
            )
    raise SystemExit(0 if quick else 1)


if __name__ == "__main__":
    main()
