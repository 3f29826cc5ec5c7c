"""How often the intervals of `lensaudit audit-labels` hold the truth, over repeated samples of surveys that are known.

python benchmarks/audit_coverage.py [--draws 2000]

Four surveys, each with its lenses fixed; samples are drawn without replacement from every stratum, as by `audit-plan`.
Printed: the fraction of 95 % intervals that hold the truth (it should be 0.95 or more), and how often it lies below and
above them (0.025 at most each).
"""

from __future__ import annotations

import argparse

import numpy as np

from lensaudit.statistics import Estimate, WeightedFraction
from lensaudit.statistics.stratified import stratified_fraction, stratified_recall, stratified_total

SURVEYS = {
    # name: images, fraction of lenses and images looked at of each stratum; strata called lenses
    "rare lenses, small sample": (
        [500, 2000, 10_000, 50_000, 300_000, 2_000_000], [0.8, 0.4, 0.05, 5e-3, 5e-4, 2e-5], [100] * 6, 2,
    ),
    "rare lenses, large sample": (
        [500, 2000, 10_000, 50_000, 300_000, 2_000_000], [0.8, 0.4, 0.05, 5e-3, 5e-4, 2e-5],
        [200, 400, 400, 400, 500, 2000], 2,
    ),
    "lenses in the bulk": ([1000, 3000, 10_000, 100_000], [0.7, 0.2, 0.02, 1e-3], [60, 60, 100, 500], 2),
    "common lenses": ([5000] * 4, [0.9, 0.6, 0.2, 0.05], [50, 100, 150, 80], 2),
}  # fmt: skip


def main() -> None:
    """Print a line for each survey and quantity."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    for name, (sizes, chances, looked_at, called_strata) in SURVEYS.items():
        images, n = np.array(sizes), np.array(looked_at)
        lenses = np.round(images * chances).astype(int)
        of = np.repeat(np.arange(len(n)), n)
        place, weights, called = np.arange(n.sum()) - np.r_[0, np.cumsum(n)][of], (images / n)[of], of < called_strata
        found_all, called_all = lenses[:called_strata].sum(), images[:called_strata].sum()
        true = {"recall": found_all / lenses.sum(), "precision": found_all / called_all, "lenses": lenses.sum()}
        missed = {quantity: np.zeros(2) for quantity in true}
        generator = np.random.default_rng(1)
        for _ in range(draws):
            lens = (place < generator.hypergeometric(lenses, images - lenses, n)[of]).astype(float)
            found: dict[str, Estimate | WeightedFraction] = {
                "recall": stratified_recall(lens, called, weights, of),
                "precision": stratified_fraction(lens[called], weights[called], of[called]),
                "lenses": stratified_total(lens, weights, of),
            }
            for quantity, one in found.items():
                truth = true[quantity]
                missed[quantity] += [truth < one.low * (1 - 1e-9), truth > one.high * (1 + 1e-9)]
        for quantity, (below, above) in ((quantity, both / draws) for quantity, both in missed.items()):
            print(f"{name:28s} {quantity:10s} held {1 - below - above:.3f}, below {below:.3f}, above {above:.3f}")


if __name__ == "__main__":
    main()
