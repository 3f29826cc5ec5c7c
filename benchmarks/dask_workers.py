"""Scoring and probing on a local dask cluster: two worker processes against one.

Both arms run the same command into fresh folders, in turns, after one run that warms the workers up (they import torch
and open the finder); the ratio of the best of each counts. Claim: at least 1.7 for both. Bytes are compared too.

    python benchmarks/dask_workers.py [--images 4000] [--pairs 120] [--rounds 3]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from distributed import LocalCluster

from lensaudit.cli.app import main as command
from lensaudit.lensset import simulate

CLAIMED_RATIO = 1.7


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


def seconds_of(words: list[object], folder: Path, rounds: int) -> dict[int, float]:
    """Workers → the least seconds of the command, in turns."""
    found: dict[int, list[float]] = {1: [], 2: []}
    with LocalCluster(1, processes=True, threads_per_worker=1, dashboard_address=None) as one, LocalCluster(
        2, processes=True, threads_per_worker=1, dashboard_address=None
    ) as two:  # fmt: skip
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


def main() -> None:
    """Measure both; exit 1 if one is slower than claimed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    quick = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        simulate("euclid", "euclid", options.images, 1, folder / "set", 2)
        works: list[list[object]] = [
            ["score", "ou66", folder / "set", "--part-rows", options.images // 16],
            ["probe", "red-source", "ou66", "--n", options.pairs],
        ]
        for words in works:
            took = seconds_of(words, folder, options.rounds)
            ratio = took[1] / took[2]
            quick &= ratio >= CLAIMED_RATIO
            print(
                f"{words[0]}: {took[1]:.1f} s with one worker, {took[2]:.1f} s with two, ratio {ratio:.2f}", flush=True
            )
    raise SystemExit(0 if quick else 1)


if __name__ == "__main__":
    main()
