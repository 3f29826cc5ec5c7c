"""Comparisons of equally good finders with a baseline: how often is one called worse anywhere?

Scores are drawn: both finders see the same quality of every image and add noise of their own. The groups are kinds and
terciles of drawn properties, and everything goes through the functions of `lensaudit compare --baseline`.

    python benchmarks/regression_null.py --repetitions 500

Claims, for each of the cases: a significant loss of any metric in any group in at most 5 % of the repetitions beyond
what chance explains (one-sided binomial test at 5 %), and no regression more often than that.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.comparing.limits import Limits
from lensaudit.comparing.pairs import Told
from lensaudit.comparing.regression import checks_of, concluded
from lensaudit.comparing.subgroups import subgroups_of
from lensaudit.statistics import wilson_interval
from lensaudit.verdicts import REGRESSION, SIGNIFICANCE

CASES = ((1000, 4.0, 1.0), (400, 3.0, 1.0), (2000, 5.0, 0.5))
"""Images, distance of the classes in log-odds, and noise that the finders do not share."""

NOTHING_ACCEPTED = Limits(tolerance=0.0, auroc_tolerance=0.0)


@dataclass(frozen=True)
class Drawn:
    """A catalogue, as groups are made of."""

    table: dict[str, NDArray[np.generic]]
    path: str = "drawn"
    bands: tuple[str, ...] = ("VIS", "H")

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 for a lens."""
        return self.table["label"].astype(np.int8)

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.table)

    def column(self, name: str) -> NDArray[np.generic]:
        """One of them."""
        return self.table[name]


def drawn(n: int, rng: np.random.Generator) -> Drawn:
    """Half lenses, of three kinds, with six properties."""
    label = np.arange(n) % 2
    lens = label == 1
    kinds = rng.choice(["single", "compound-arcs", "compound-rings"], n, p=[0.6, 0.3, 0.1])
    table = {"label": label, "kind": np.where(lens, kinds, rng.choice(["no-source", "spiral", "merger"], n))}
    for name in ("theta_e_arcsec", "arc_snr", "mag_source_VIS", "colour_source_VIS_H", "source_r_eff_arcsec"):
        table[name] = np.where(lens, rng.lognormal(0, 0.5, n), np.nan)
    return Drawn({**table, "mag_lens_VIS": rng.normal(20, 1, n)})


def main() -> int:
    """Print a line for each case; 1 where a claim fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    failed = False
    for case, (n, apart, spread) in enumerate(CASES):
        changed = worse = family = 0
        for repetition in range(asked.repetitions):
            rng = np.random.default_rng([asked.seed, case, repetition])
            catalogue = drawn(n, rng)
            shared = apart * (catalogue.labels - 0.5) + rng.normal(0, 1.2, n)
            logits = [shared + rng.normal(0, spread, n) for _ in range(2)]
            told = [Told(name, expit(z), z, 0.5) for name, z in zip(("old", "new"), logits, strict=True)]
            groups = subgroups_of(catalogue, np.ones(n, bool))
            checks = checks_of(catalogue.labels, (told[0], told[1]), groups, NOTHING_ACCEPTED, repetition)
            found = concluded(checks, NOTHING_ACCEPTED)
            changed += any(one.p_holm < SIGNIFICANCE for one in found)
            worse += any(one.word == REGRESSION.word for one in found)
            family = found[0].family
        low, high = wilson_interval(changed, asked.repetitions)
        print(
            f"{n} images, {family} tests: {changed} of {asked.repetitions} with a significant loss anywhere "
            f"({changed / asked.repetitions:.4f}, 95 % interval {low:.4f} to {high:.4f}), {worse} with a regression"
        )
        failed |= wilson_interval(changed, asked.repetitions, 0.90)[0] > SIGNIFICANCE
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
