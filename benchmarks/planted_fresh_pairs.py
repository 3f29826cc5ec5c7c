"""Finders of a planted-bias bench on fresh pairs: is what the audit named in some really there, from what dose?

    python benchmarks/planted_fresh_pairs.py runs/planted [--probe off-centre] [--plant clean] [--n 400] [--seed 1]
    python benchmarks/planted_fresh_pairs.py runs/planted --probe off-centre=0.5,1 --plant clean --plant centred-lenses
    python benchmarks/planted_fresh_pairs.py runs/planted --probe red-source --plant blue-sources --strength 0.5 --same

Asks all finders of the plants whose weights are in the folder, accused or not, at the doses of the bench or at others,
and prints a table of every finding, and what the finders of a plant have in common. `--same` takes the pairs of the
bench in place of fresh ones: its answers are kept, so that nothing is drawn.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import count, takewhile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy import stats

from lensaudit.planted_bias import bench
from lensaudit.planted_bias.planted_finders import load_small, small_finder
from lensaudit.planted_bias.result import BenchSettings
from lensaudit.probes import ProbeAudit


def doses_of(asked: str) -> tuple[str, tuple[float, ...]]:
    """A probe and its doses: those behind the =, or the bench's."""
    name, _, doses = asked.partition("=")
    return name, tuple(float(dose) for dose in doses.split(",")) if doses else bench.DOSES[name]


def trained(folder: Path, plant: str, strength: float) -> list[Path]:
    """Weights of the plant's finders from number 0 on, as many as there are; of the bench's usual size."""
    weights = (bench.TrainOne(folder, (bench.Job(plant, k, strength),), BenchSettings()).path(0) for k in count())
    return list(takewhile(Path.is_file, weights))


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="--out of lensaudit planted-bias")
    parser.add_argument("--probe", action="append", metavar="NAME[=DOSE,...]", help="off-centre, preprocessing-jpeg")
    parser.add_argument("--plant", action="append", metavar="NAME", help="clean alone, without it")
    parser.add_argument("--strength", type=float, default=1.0, help="of the plants")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="another than the bench's")
    parser.add_argument("--same", action="store_true", help="the pairs of the bench, whatever --n and --seed say")
    options = parser.parse_args()
    asked = options.probe or ["off-centre", "preprocessing-jpeg"]
    weights = [
        (plant, path)
        for plant in options.plant or ["clean"]
        for path in trained(options.folder, plant, 1.0 if plant == "clean" else options.strength)
    ]
    finders = [small_finder(path.stem.rpartition("-")[0], module=load_small(path)) for _, path in weights]
    settings = BenchSettings() if options.same else BenchSettings(n=options.n, seed=options.seed)
    folder = options.folder if options.same else options.folder / "again"
    with patch.object(bench, "DOSES", dict(doses_of(one) for one in asked)):  # these probes alone
        audits = bench.audit_blind(finders, folder, settings)
    print_each([finder.name for finder in finders], audits)
    print_together([plant for plant, _ in weights], audits)


def print_each(names: list[str], audits: list[ProbeAudit]) -> None:
    """Every finding of every finder."""
    print("| finder | probe | dose | control | change of recall | verdict |\n| --- | --- | --- | --- | --- | --- |")
    for name, audit in zip(names, audits, strict=True):
        for result in audit.results:
            for one in result.findings:
                change = f"{one.recall_change.value:+.3f} [{one.recall_change.low:+.3f}, {one.recall_change.high:+.3f}]"
                word = one.verdict.word if one.verdict else ""
                print(
                    f"| {name} | {result.definition.name} | {one.dose} | {one.control.value:.3f} | {change} | {word} |"
                )


def print_together(plants: list[str], audits: list[ProbeAudit]) -> None:
    """Per plant, probe and dose the mean over finders (95 %, Student), the span, how many lose more than tolerated."""
    found, limit = defaultdict(list), -BenchSettings().tolerance
    for plant, audit in zip(plants, audits, strict=True):
        for result in audit.results:
            for one in result.findings:
                found[plant, result.definition.name, one.dose].append(one.recall_change)
    head = "plant | probe | dose | finders | mean change | lowest … highest"
    print(f"\n| {head} | below {limit:g} | interval below {limit:g} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (plant, probe, dose), changes in found.items():
        values = np.array([one.value for one in changes])
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.nan
        mean = f"{values.mean():+.3f} [{values.mean() - half:+.3f}, {values.mean() + half:+.3f}]"
        span = f"{values.min():+.3f} … {values.max():+.3f}"
        below = f"{(values < limit).sum()} | {sum(one.high < limit for one in changes)}"
        print(f"| {plant} | {probe} | {dose} | {len(values)} | {mean} | {span} | {below} |")


if __name__ == "__main__":
    main()
