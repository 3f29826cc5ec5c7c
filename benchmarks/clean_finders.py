"""Clean finders of a planted-bias bench on fresh pairs: is what the audit named in some of them really there?

    python benchmarks/clean_finders.py runs/planted [--probe off-centre] [--n 400] [--seed 1]

Asks all clean finders whose weights are in the folder, accused or not, and prints a table of every finding.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

from lensaudit.planted_bias import bench
from lensaudit.planted_bias.planted_finders import load_small, small_finder
from lensaudit.planted_bias.result import BenchSettings


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="--out of lensaudit planted-bias")
    parser.add_argument("--probe", action="append", metavar="NAME")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="another than the bench's")
    options = parser.parse_args()
    asked = options.probe or ["off-centre", "preprocessing-jpeg"]
    weights = sorted((options.folder / "finders").glob("clean-*.safetensors"))
    finders = [small_finder(path.stem[:8], module=load_small(path)) for path in weights]
    settings = BenchSettings(n=options.n, seed=options.seed)
    with patch.object(bench, "DOSES", {name: bench.DOSES[name] for name in asked}):  # these probes alone
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
