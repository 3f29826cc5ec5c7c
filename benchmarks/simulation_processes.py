"""Throughput of ``lensaudit simulate`` with two worker processes against one.

Both arms run in fresh folders, alternating, each ``--rounds`` times; the best of each counts. Two figures: steady
(from the first finished chunk to the last, which is what a long run sees) and whole (with the start of the processes
and their imports). Claim: steady ratio ≥ 1.7. Processor time per system is printed beside them: on a machine that
others use too, it tells whether a poor ratio is ours (the workers burn more) or theirs (the workers wait).

    python benchmarks/simulation_processes.py [--n 400] [--rounds 2] [--instrument euclid]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from lensaudit.lensset import simulate

CLAIMED_RATIO = 1.7


@dataclass
class Clock:
    """Progress callback that keeps when how many systems were done."""

    marks: list[tuple[float, int]] = field(default_factory=list)
    processor_s: float = 0.0

    def __call__(self, done: int, n: int) -> None:
        self.marks.append((time.perf_counter(), done))

    def whole(self) -> float:
        """Systems per second from the start."""
        return self._rate(0)

    def steady(self) -> float:
        """Systems per second from the first finished chunk."""
        return self._rate(1)

    def _rate(self, first: int) -> float:
        (start, before), (end, after) = self.marks[first], self.marks[-1]
        return (after - before) / (end - start)


def run(instrument: str, n: int, workers: int) -> Clock:
    """Simulate `n` systems into a folder that is then thrown away."""
    clock, before = Clock(), _processor_s()
    with tempfile.TemporaryDirectory() as folder:
        simulate(instrument, instrument, n, 1, Path(folder) / "set", workers, clock)
    clock.processor_s = _processor_s() - before
    return clock


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def main() -> None:
    """Run both arms and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--instrument", default="euclid")
    options = parser.parse_args()
    clocks: dict[int, list[Clock]] = {1: [], 2: []}
    run(options.instrument, 8, 1)  # imports and caches of this process, which the one-worker arm runs in
    for _ in range(options.rounds):
        for workers, done in clocks.items():
            done.append(run(options.instrument, options.n, workers))
    load = os.getloadavg()[0]
    print(f"{options.instrument}, n = {options.n}, {os.cpu_count()} cores, load {load:.1f}")
    for name, rate in (("steady", Clock.steady), ("whole", Clock.whole)):
        one, two = (max(rate(clock) for clock in clocks[workers]) for workers in (1, 2))
        print(f"{name:7s} one process {one:6.1f}/s, two processes {two:6.1f}/s, ratio {two / one:.2f}")
    one, two = (min(clock.processor_s for clock in clocks[workers]) / options.n * 1e3 for workers in (1, 2))
    print(f"processor time per system, start included: one process {one:.1f} ms, two processes {two:.1f} ms")
    print(f"claim: steady ratio >= {CLAIMED_RATIO}")


if __name__ == "__main__":
    main()
