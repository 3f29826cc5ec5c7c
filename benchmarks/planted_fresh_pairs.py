"""Finders of a planted-bias bench on fresh pairs: is what the audit named in some really there, from what dose?

    python benchmarks/planted_fresh_pairs.py runs/planted [--probe off-centre] [--plant clean] [--n 400] [--seed 1]
    python benchmarks/planted_fresh_pairs.py runs/planted --probe off-centre=0.5,1 --plant clean --plant centred-lenses

Asks all finders of the plants whose weights are in the folder, accused or not, at the doses of the bench or at others,
and prints a table of every finding.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

from lensaudit.planted_bias import bench
from lensaudit.planted_bias.planted_finders import load_small, small_finder
from lensaudit.planted_bias.result import BenchSettings


def doses_of(asked: str) -> tuple[str, tuple[float, ...]]:
    """A probe and its doses: those behind the =, or the bench's."""
    name, _, doses = asked.partition("=")
    return name, tuple(float(dose) for dose in doses.split(",")) if doses else bench.DOSES[name]


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="--out of lensaudit planted-bias")
    parser.add_argument("--probe", action="append", metavar="NAME[=DOSE,...]", help="off-centre, preprocessing-jpeg")
    parser.add_argument("--plant", action="append", metavar="NAME", help="clean alone, without it")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="another than the bench's")
    options = parser.parse_args()
    asked = options.probe or ["off-centre", "preprocessing-jpeg"]
    plants = options.plant or ["clean"]
    weights = [path for plant in plants for path in sorted((options.folder / "finders").glob(f"{plant}-*.safetensors"))]
    finders = [small_finder(path.stem.rpartition("-")[0], module=load_small(path)) for path in weights]
    settings = BenchSettings(n=options.n, seed=options.seed)
    with patch.object(bench, "DOSES", dict(doses_of(one) for one in asked)):  # these probes alone
        audits = bench.audit_blind(finders, options.folder / "again", settings)
    print("| finder | probe | dose | control | change of recall | verdict |\n| --- | --- | --- | --- | --- | --- |")
    for finder, audit in zip(finders, audits, strict=True):
        for result in audit.results:
            for one in result.findings:
                change = f"{one.recall_change.value:+.3f} [{one.recall_change.low:+.3f}, {one.recall_change.high:+.3f}]"
                word = one.verdict.word if one.verdict else ""
                asked_of = f"{finder.name} | {result.definition.name} | {one.dose}"
                print(f"| {asked_of} | {one.control.value:.3f} | {change} | {word} |")


if __name__ == "__main__":
    main()
