"""How long an audit of all built-in probes takes: minutes of each probe and in all.

    python benchmarks/probe_audit.py [--finder ou66] [--n 200] [--workers 2] [--out FOLDER]

Claim: at most 15 minutes for 200 pairs of each population on two cores, the shipped OU-66. Run it on a quiet machine:
it is the wall clock that is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

CLAIMED_MINUTES = 15.0


class Clock:
    """Minutes of each probe, from one message of progress to the first of the next probe."""

    def __init__(self) -> None:
        self.minutes: dict[str, float] = {}
        self._now: str | None = None
        self._since = time.perf_counter()

    def __call__(self, what: str, _done: int, _total: int) -> None:
        """Take note of which probe reports."""
        probe = what.partition(":")[0]
        if probe != self._now:
            self.stop()
            self._now = probe

    def stop(self) -> None:
        """End of the probe that ran last."""
        now = time.perf_counter()
        if self._now is not None:
            self.minutes[self._now] = self.minutes.get(self._now, 0.0) + (now - self._since) / 60
            print(f"{self._now}: {self.minutes[self._now]:.2f} min", flush=True)
        self._since = now


def main() -> None:
    """Audit and tell the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finder", default="ou66")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="by default a folder that is thrown away")
    arguments = parser.parse_args()

    import torch

    from lensaudit.finders import load_finder
    from lensaudit.probes import ProbeOptions, run_audit

    torch.set_num_threads(arguments.workers)
    finder, clock = load_finder(arguments.finder), Clock()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        options = ProbeOptions(workers=arguments.workers)
        audit = run_audit(
            finder, arguments.n, arguments.seed, arguments.out or Path(folder), options=options, progress=clock
        )
        clock.stop()
        minutes = (time.perf_counter() - start) / 60
    for name, why in audit.not_applicable.items():
        print(f"{name}: not applicable, {why}")
    print(
        f"{len(audit.results)} probes, {arguments.n} pairs of each population, {arguments.workers} workers, finder "
        f"{finder.name}: {minutes:.1f} min (claim ≤ {CLAIMED_MINUTES:g} min for 200 pairs on two cores)"
    )
    sys.exit(arguments.n >= 200 and minutes > CLAIMED_MINUTES)


if __name__ == "__main__":
    main()
