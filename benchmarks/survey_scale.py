"""Ten million rows: is the rate of scoring constant, is memory flat, and does a killed run end with the same bytes?

python benchmarks/survey_scale.py [--rows 10000000] [--kills 20]

Images of 12×12 pixels, a memory-mapped file of 65 536 of them over and over, and a finder of one layer, so that what
lies around the network is what is timed: reading, batches, parts on disk, ids compared, the highest scores, a plan of
what to label. Rates are of processor time of this process and of the clock; claim: a part of the last million takes
within 5 % of the time of one of the first. With `--kills` a child is killed at seeded moments and started again; the
folder must be that of one left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import linregress, t
from torch import nn

import lensaudit as la
from lensaudit.cli.options import Reading
from lensaudit.evaluation.audit_plan import PlanSettings, audit_plan
from lensaudit.evaluation.scored_rows import ScoredRows
from lensaudit.finders import Finder
from lensaudit.finders.score_parts import ScorePart, _Held, _held, begin_parts, score_into, summary_of_parts

SIDE, STORED = 12, 1 << 16
ROWS_PER_PART = 100_000


class Sky:
    """Cutouts that are stored images over and over, with ids of their own."""

    bands, instrument, columns = ("g",), "none", ("id",)
    shape, pixel_scale_arcsec, pixel_units = {"g": (SIDE, SIDE)}, {"g": 0.2}, {"g": "ADU"}
    content_hash, has_wcs, path = "0" * 64, False, Path("synthetic")

    def __init__(self, stored: Path, n: int) -> None:
        self._stored, self._n = np.load(stored, mmap_mode="r"), n

    def __len__(self) -> int:
        return self._n

    def ids_in(self, span: slice) -> list[str]:
        """Names of some rows."""
        return [f"sky-{row:09d}" for row in range(span.start, span.stop)]

    def images(self, band: str, index: slice) -> NDArray[np.float32]:
        """Pixels of some rows."""
        return np.asarray(self._stored[np.arange(index.start, index.stop) % STORED])


def finder() -> Finder:
    """A layer and a sum."""
    module = nn.Sequential(nn.Conv2d(1, 2, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    generator = torch.Generator().manual_seed(1)
    for one in module.parameters():
        nn.init.normal_(one, 0, 0.3, generator=generator)
    return la.declare_finder(module, bands=("g",), size=SIDE, field_of_view_arcsec=SIDE * 0.2, name="one-layer")


def memory() -> float:
    """Resident memory now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def scored(stored: Path, out: Path, n: int, rows: int, progress: Any) -> Any:
    """Score `n` images into `out`."""
    sky: Any = Sky(stored, n)
    out.mkdir(exist_ok=True)
    table = begin_parts(out, n, rows, "benchmark", force=False)
    task = ScorePart("one-layer", sky.path, Reading(), table, batch=512)
    return score_into(task, (finder(), sky), 1, progress).write_index()


def trend(clock: list[float]) -> str:
    """How much longer the last rows took than the first, by a straight line through the time of every part.

    Parts are the unit, as their order is what is asked about; a single million differs from the next by what else runs.
    """
    took = np.diff(clock)
    line = linregress(np.arange(len(took)), took)
    first, span = line.intercept, len(took) - 1
    rise, half = line.slope * span / first, t.ppf(0.975, len(took) - 2) * line.stderr * span / first
    return f"time of a part, first to last: {rise:+.1%} [{rise - half:+.1%}, {rise + half:+.1%}] ({len(took)} parts)"


def long_run(stored: Path, out: Path, n: int) -> None:
    """Rates and memory at every million."""
    marks: list[tuple[int, float, float, float]] = []

    def progress(done: int, _: int) -> None:
        marks.append((done, time.process_time(), time.perf_counter(), memory()))

    scored(stored, out.with_name("warm"), 2 * ROWS_PER_PART, ROWS_PER_PART, lambda *_: None)
    table = scored(stored, out, n, ROWS_PER_PART, progress)
    by = {done: rest for done, *rest in marks}
    step = max(ROWS_PER_PART, n // 10)
    rates = []
    for end in range(step, n + 1, step):
        cpu, wall = (by[end][i] - by[end - step][i] for i in (0, 1))
        rates.append(step / cpu)
        print(
            f"{end:>10} rows: {step / cpu:7.0f}/s of processor, {step / wall:7.0f}/s, {by[end][2]:.0f} MB", flush=True
        )
    print(f"last against first: {rates[-1] / rates[0]:.3f}; spread of all {max(rates) / min(rates) - 1:.3f}")
    print(trend([by[end][0] for end in sorted(by)]))
    began = time.perf_counter()
    found = summary_of_parts(table, 50)
    print(f"{found.n} rows read for the 50 highest: {time.perf_counter() - began:.1f} s, {memory():.0f} MB")
    began = time.perf_counter()
    plan, _ = audit_plan(ScoredRows.open(out), PlanSettings(budget=1000))
    print(f"plan of {plan.planned} among {plan.images}: {time.perf_counter() - began:.1f} s, {memory():.0f} MB")
    again = time.perf_counter()
    scored(stored, out, n, ROWS_PER_PART, lambda *_: None)
    print(f"the same again, all parts verified: {time.perf_counter() - again:.1f} s")


def in_turns(stored: Path, out: Path, n: int, turns: int = 40) -> None:
    """A part of the first rows and one of the last, in turns, so that what else runs on the machine meets both."""
    sky: Any = Sky(stored, n)
    out.mkdir()
    task = ScorePart("one-layer", sky.path, Reading(), begin_parts(out, n, ROWS_PER_PART, "turns", force=False), 512)
    _held[task.table.index.key] = _Held(finder(), sky)
    last, took = n // ROWS_PER_PART - 1, np.empty((turns, 2))
    for turn in range(-1, turns):
        for place, part in enumerate((max(turn, 0) % 10, last - max(turn, 0) % 10)):
            began = time.process_time()
            task(part)
            took[turn, place] = time.process_time() - began
    ratios = took[:, 1] / took[:, 0]
    draws = np.random.default_rng(1).choice(ratios, (2000, turns))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5)) - 1
    print(
        f"in turns, {turns} parts of the last million against as many of the first: {np.median(ratios) - 1:+.1%} "
        f"[{low:+.1%}, {high:+.1%}] of processor time (claim: within 5 %)",
        flush=True,
    )


def content(folder: Path) -> dict[str, str]:
    """Name → SHA-256."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def killed(stored: Path, place: Path, kills: int) -> None:
    """One run left alone, and one killed so often."""
    words = [sys.executable, __file__, "--child", str(stored)]
    began = time.monotonic()
    subprocess.run([*words, str(place / "alone")], check=True)
    whole = time.monotonic() - began
    draws, done, ended, same = random.Random(5), 0, 0, True
    while done < kills:
        child = subprocess.Popen([*words, str(place / "killed")])
        try:
            child.wait(draws.uniform(0.25, 0.6) * whole)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            done += 1
            if done < kills:
                continue
            subprocess.run([*words, str(place / "killed")], check=True)
        ended += 1
        same &= content(place / "alone") == content(place / "killed")
        shutil.rmtree(place / "killed")
    print(f"{done} kills, {ended} runs to the end: {'equal bytes' if same else 'OTHER BYTES'}", flush=True)


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--child", nargs=2, type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.child:
        stored, out = asked.child
        scored(stored, out, 300_000, 10_000, lambda *_: None)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        stored = place / "images.npy"
        images = np.random.default_rng(1).normal(size=(STORED, SIDE, SIDE)) + 2
        np.save(stored, images.astype(np.float32))
        if asked.rows:
            in_turns(stored, place / "turns", asked.rows)
            long_run(stored, place / "scores", asked.rows)
        if asked.kills:
            killed(stored, place, asked.kills)


if __name__ == "__main__":
    main()
