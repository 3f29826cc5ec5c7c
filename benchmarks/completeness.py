"""Completeness at a false-positive rate of 1 % under cuts in Einstein radius and S/N, as Lanusse et al. 2018 give it.

Their ResNet-46 finds 90 % of the lenses of θ_E > 1.4″ and S/N > 20 on single exposures. Cuts take lenses out, never
non-lenses, so that the threshold is one for all. AUROC likewise is of the lenses left against all non-lenses.

    python benchmarks/completeness.py FINDER SET [--fpr 0.01]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lensaudit.finders import load_finder, score_set
from lensaudit.lensset import LensSet
from lensaudit.statistics import allowed_false_positives, auroc, auroc_interval, strict_threshold, wilson_interval

CUTS = ((0.0, 0.0), (0.0, 10.0), (0.0, 20.0), (1.0, 0.0), (1.4, 0.0), (1.4, 20.0))
"""(θ_E in ″, S/N) above which a lens counts."""


def main() -> None:
    """Score the set and print one line per cut."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("finder")
    parser.add_argument("set", type=Path)
    parser.add_argument("--fpr", type=float, default=0.01)
    options = parser.parse_args()
    lens_set = LensSet.open(options.set)
    logit = score_set(load_finder(options.finder), lens_set).logit
    labels = lens_set.labels
    radius, snr = (np.asarray(lens_set.column(name), float) for name in ("theta_e_arcsec", "arc_snr"))
    others = logit[(labels == 0) & np.isfinite(logit)]
    threshold = strict_threshold(others, allowed_false_positives(len(others), options.fpr))
    print(f"{options.finder} on {options.set.name}: {len(others)} non-lenses, FPR at most {options.fpr:g}")
    for least_radius, least_snr in CUTS:
        chosen = (labels == 1) & np.isfinite(logit) & (radius > least_radius) & (snr > least_snr)
        lenses = logit[chosen]
        found, n = int((lenses > threshold).sum()), len(lenses)
        if n < 2:
            print(f"theta_E > {least_radius:g}, S/N > {least_snr:g}: {n} lenses, too few")
            continue
        low, high = wilson_interval(found, n)
        area, (area_low, area_high) = auroc(lenses, others), auroc_interval(lenses, others)
        print(
            f"theta_E > {least_radius:g}, S/N > {least_snr:g}: completeness {found / n:.3f} [{low:.3f}, {high:.3f}], "
            f"AUROC {area:.3f} [{area_low:.3f}, {area_high:.3f}], {n} lenses"
        )


if __name__ == "__main__":
    main()
