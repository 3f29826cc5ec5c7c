"""What the realism gate costs beside scoring: `lensaudit realism` of two sets against scoring both with the finder.

``python benchmarks/realism_gate.py`` prints the ratio for 2 × 10 000 cutouts of Euclid's shapes and OU-66. Claim: at
most 1.5. Images are seeded noise on disk; larger sets read the same files again through the real reader. Both include
reading, neither imports; the gate's page is written too. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scoring import Repeated, write_noise

CLAIMED_RATIO = 1.5
STORED = 400


class Endless(Repeated):
    """`Repeated` with what the gate asks of a lens set beside its images."""

    @property
    def labels(self) -> np.ndarray:
        return np.ones(self.n, np.int8)

    @property
    def content_hash(self) -> str:
        return f"{self.first:064d}"

    @property
    def columns(self) -> tuple[str, ...]:
        return ("id", "label")

    def index_of(self, name: str) -> int:
        return self.ids.index(name)

    def images(self, band: str, index: Any) -> np.ndarray:
        rows = np.arange(index.start, index.stop) if isinstance(index, slice) else np.atleast_1d(index)
        return np.asarray(self.lens_set.images(band, (self.first + rows) % len(self.lens_set)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=10_000, help="cutouts of each set")
    parser.add_argument("--finder", default="ou66")
    n = parser.parse_args().n

    import sklearn.covariance
    import sklearn.ensemble
    import sklearn.linear_model  # noqa: F401

    from lensaudit.finders import load_finder, score_set
    from lensaudit.lensset import LensSet
    from lensaudit.realism_gate import RealismOptions, measure_realism

    finder = load_finder(parser.parse_args().finder)
    with tempfile.TemporaryDirectory() as folder:
        write_noise(Path(folder) / "set", STORED)
        stored = LensSet.open(Path(folder) / "set")
        sets: list[Any] = [Endless(stored, n, first) for first in (0, n)]
        score_set(finder, Endless(stored, 200, 0))
        began, worked = time.perf_counter(), time.process_time()
        for one in sets:
            score_set(finder, one)
        scored, scored_work = time.perf_counter() - began, time.process_time() - worked
        stages: dict[str, float] = {}

        def watch(stage: str, done: int, total: int) -> None:
            stages[f"{stage} {done}" if stage == "comparing" else stage] = time.perf_counter() - began

        began, worked = time.perf_counter(), time.process_time()
        gate = measure_realism(finder, sets[0], sets[1], RealismOptions(label="any"), watch)
        measured = time.perf_counter() - began
        gate.write(Path(folder) / "gate")
        took, work = time.perf_counter() - began, time.process_time() - worked
    print(f"n = 2 × {n}; gate / scoring = {took / scored:.2f} (claimed: at most {CLAIMED_RATIO})")
    print(f"  in processor time {work / scored_work:.2f}, whatever else runs here")
    print(f"  of which describing {stages['scoring simulated'] / scored:.2f}, all but the page {measured / scored:.2f}")
    print(f"  { ({name: round(at / scored, 2) for name, at in stages.items()}) }")


if __name__ == "__main__":
    main()
