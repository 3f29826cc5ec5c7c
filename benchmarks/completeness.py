"""Completeness at a false-positive rate of 1 % under cuts in Einstein radius and S/N, as Lanusse et al. 2018 give it.

Their ResNet-46 finds 90 % of the lenses of θ_E > 1.4″ and S/N > 20 on single exposures. Cuts take lenses out, never
non-lenses, so that the threshold is one for all. AUROC likewise is of the lenses left against all non-lenses. Two
finders are compared on the same images.

    python benchmarks/completeness.py FINDER [FINDER] SET [--fpr 0.01] [--figure PNG] [--fainter MAG …]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit as log_odds

from lensaudit.display.figures import row_of_axes, save_figure
from lensaudit.finders import Finder, load_finder, score_set
from lensaudit.imaging import load_instrument, render
from lensaudit.lensset import LensSet
from lensaudit.scenes import Scene, draw_scene, edits
from lensaudit.statistics import (
    allowed_false_positives,
    auroc,
    auroc_interval,
    mcnemar_exact,
    paired_auroc,
    strict_threshold,
    wilson_interval,
)

CUTS = ((-1.0, -1.0), (-1.0, 10.0), (-1.0, 20.0), (1.0, -1.0), (1.4, -1.0), (1.4, 20.0))
"""(θ_E in ″, S/N) above which a lens counts; -1: all of them, those whose arc has no pixel above 0.5 σ too."""
WIDE_ARCSEC = CUTS[-1][0]
BINS = {"theta_e_arcsec": (0.0, 0.6, 1.0, 1.4, 1.8, 2.2, 9.0), "arc_snr": (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 1e9)}
AXES = {"theta_e_arcsec": "Einstein radius [″]", "arc_snr": "S/N of the arc"}
NEAR_ARCSEC, BRIGHT_MAG = 3.0, 24.0
"""A field galaxy that can be taken for an image of a source."""


@dataclass(frozen=True)
class Scored:
    """A finder on a set: log-odds, and those above which it calls a lens at the rate asked for."""

    finder: Finder
    name: str
    logit: NDArray[np.float64]
    threshold: float

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which images it calls lenses."""
        return self.logit > self.threshold


def scored(name: str, lens_set: LensSet, fpr: float) -> Scored:
    """The finder `name` on the set, its threshold from the set's own non-lenses."""
    finder = load_finder(name)
    logit = score_set(finder, lens_set).logit
    others = logit[lens_set.labels == 0]
    return Scored(finder, Path(name).name, logit, strict_threshold(others, allowed_false_positives(len(others), fpr)))


def fraction(flags: NDArray[np.bool_]) -> str:
    """How many of them, with a 95 % interval and n."""
    low, high = wilson_interval(int(flags.sum()), len(flags))
    return f"{flags.mean():.3f} [{low:.3f}, {high:.3f}], n = {len(flags)}"


def words(least_radius: float, least_snr: float) -> str:
    """A cut in words."""
    parts = (("theta_E", least_radius), ("S/N", least_snr))
    return ", ".join(f"{name} > {least:g}" for name, least in parts if least >= 0) or "all lenses"


def print_cuts(one: Scored, lens_set: LensSet) -> None:
    """A line for every cut."""
    radius, snr = (np.asarray(lens_set.column(name), float) for name in BINS)
    others = one.logit[lens_set.labels == 0]
    for least_radius, least_snr in CUTS:
        chosen = (lens_set.labels == 1) & (radius > least_radius) & (snr > least_snr)
        lenses = one.logit[chosen]
        area, (low, high) = auroc(lenses, others), auroc_interval(lenses, others)
        found = fraction(one.found[chosen])
        print(f"{words(least_radius, least_snr)}: {found}; AUROC {area:.3f} [{low:.3f}, {high:.3f}]")


def print_thresholds(one: Scored, lens_set: LensSet, fpr: float, times: int = 4000) -> None:
    """The last cut with the non-lenses that set the threshold drawn anew too, and at the finder's own threshold."""
    others, lenses = one.logit[lens_set.labels == 0], one.logit[_wide_and_bright(lens_set)]
    rng, fractions, allowed = np.random.default_rng(0), [], allowed_false_positives(len(others), fpr)
    for _ in range(times):
        threshold = strict_threshold(rng.choice(others, len(others)), allowed)
        fractions.append((rng.choice(lenses, len(lenses)) > threshold).mean())
    low, high = np.quantile(fractions, (0.025, 0.975))
    print(f"  non-lenses drawn anew too ({times} times), {words(*CUTS[-1])}: [{low:.3f}, {high:.3f}]")
    own = float(log_odds(one.finder.recipe.threshold))
    print(
        f"  at its own threshold {words(*CUTS[-1])}: {fraction(lenses >= own)}; non-lenses: {fraction(others >= own)}"
    )


def print_bins(one: Scored, lens_set: LensSet) -> None:
    """A line for every bin of Einstein radius, and of S/N among all and among wide lenses."""
    lenses, radius = lens_set.labels == 1, np.asarray(lens_set.column("theta_e_arcsec"), float)
    for among, note in ((lenses, ""), (lenses & (radius > WIDE_ARCSEC), f", theta_E > {WIDE_ARCSEC:g}")):
        for column, edges in BINS.items():
            value = np.asarray(lens_set.column(column), float)
            for low, high in itertools.pairwise(edges):
                chosen = among & (value >= low) & (value < high)
                if chosen.sum() > 1 and not (note and column == "theta_e_arcsec"):
                    print(f"{column} {low:g}-{high:g}{note}: {fraction(one.found[chosen])}")


def print_false_positives(one: Scored, lens_set: LensSet, fpr: float) -> None:
    """How often a bright field galaxy stands near the false positives, and near all non-lenses."""
    others = np.flatnonzero(lens_set.labels == 0)
    beside = np.array([_has_neighbour(_scene(lens_set, int(index))) for index in others])
    called = one.found[others]
    print(f"a field galaxy within {NEAR_ARCSEC:g}″, brighter than {BRIGHT_MAG:g} mag:")
    print(f"  false positives {fraction(beside[called])}; all non-lenses {fraction(beside)}")
    alone = one.logit[others[~beside]]
    threshold = strict_threshold(alone, allowed_false_positives(len(alone), fpr))
    wide = one.logit[_wide_and_bright(lens_set)] > threshold
    print(f"  with the threshold of non-lenses that have none, {words(*CUTS[-1])}: {fraction(wide)}")


def _wide_and_bright(lens_set: LensSet) -> NDArray[np.bool_]:
    radius, snr = (np.asarray(lens_set.column(name), float) for name in BINS)
    return (lens_set.labels == 1) & (radius > CUTS[-1][0]) & (snr > CUTS[-1][1])


def print_readings(all_scored: Sequence[Scored], lens_set: LensSet) -> None:
    """The last cut as other readings of the paper's S/N have it: all of the arc's light, σ of all of the image."""
    band, (least_radius, least_snr) = lens_set.bands[0], CUTS[-1]
    light, images = (get(band, slice(0, len(lens_set))) for get in (lens_set.source_light, lens_set.images))
    background = load_instrument(lens_set.instrument).band(band).background_sigma
    wide = (lens_set.labels == 1) & (np.asarray(lens_set.column("theta_e_arcsec"), float) > least_radius)
    sigmas = {"the background's sigma": np.full(len(images), background), "the image's": images.std(axis=(1, 2))}
    for name, sigma in sigmas.items():
        mask = light > 0.5 * sigma[:, None, None]
        pixels = np.maximum(mask.sum(axis=(1, 2)), 1)
        for what, shown in (("in the mask", light * mask), ("all light", light)):
            snr = np.where(mask.any(axis=(1, 2)), shown.sum(axis=(1, 2)) / (sigma * np.sqrt(pixels)), 0.0)
            chosen = wide & (snr > least_snr)
            usual = np.median(np.asarray(lens_set.column("arc_snr"), float)[chosen])
            print(f"S/N of {what} over {name}, {words(*CUTS[-1])}; median of the set's own S/N {usual:.0f}")
            for one in all_scored:
                print(f"  {one.name}: {fraction(one.found[chosen])}")


def _scene(lens_set: LensSet, index: int) -> Scene:
    return draw_scene(str(lens_set.population), int(lens_set.seed or 0), index)


def _has_neighbour(scene: Scene) -> bool:
    field = (galaxy for galaxy in scene.galaxies if galaxy.role == "field")
    return any(np.hypot(g.x_arcsec, g.y_arcsec) < NEAR_ARCSEC and g.magnitude("g") < BRIGHT_MAG for g in field)


def print_pair(one: Scored, other: Scored, lens_set: LensSet) -> None:
    """The two finders on the same lenses."""
    lenses, radius = lens_set.labels == 1, np.asarray(lens_set.column("theta_e_arcsec"), float)
    snr = np.asarray(lens_set.column("arc_snr"), float)
    logits = np.stack([one.logit, other.logit], axis=1)
    both = paired_auroc(logits[lenses], logits[~lenses], np.random.default_rng(0))
    difference, low, high = both.difference(0, 1)
    print(
        f"{one.name} less {other.name}: AUROC {difference:+.3f} [{low:+.3f}, {high:+.3f}], p = {both.p_value(0, 1):.2g}"
    )
    for least_radius, least_snr in CUTS:
        chosen = lenses & (radius > least_radius) & (snr > least_snr)
        alone = int((one.found & ~other.found)[chosen].sum()), int((other.found & ~one.found)[chosen].sum())
        p = mcnemar_exact(*alone)
        print(f"{words(least_radius, least_snr)}: found by one alone {alone[0]}, {alone[1]}, p = {p:.2g}")


def print_dimmed(all_scored: Sequence[Scored], lens_set: LensSet, fainter: Sequence[float]) -> None:
    """The wide lenses of the set with fainter (below 0: brighter) sources, all else as it was, noise included."""
    radius = np.asarray(lens_set.column("theta_e_arcsec"), float)
    wide = np.flatnonzero((lens_set.labels == 1) & (radius > WIDE_ARCSEC))
    instrument = load_instrument(lens_set.instrument)
    for mag in fainter:
        seen = [render(edits.source_dimmed(_scene(lens_set, int(i)), mag), instrument) for i in wide]
        cutouts = {band: np.stack([one.images[band] for one in seen]) for band in lens_set.bands}
        snr = np.array([one.truth.row["arc_snr"] for one in seen], float)
        for one in all_scored:
            with torch.inference_mode():
                found = one.finder.logit(one.finder.preprocess(cutouts)).double().numpy() > one.threshold
            before = one.found[wide]
            p = mcnemar_exact(int((found & ~before).sum()), int((before & ~found).sum()))
            print(f"{one.name}, theta_E > {WIDE_ARCSEC:g}, {mag:+g} mag, median S/N {np.median(snr):.0f}: ", end="")
            print(f"{fraction(found)} (as it was {before.mean():.3f}, p = {p:.2g})")


def draw(all_scored: Sequence[Scored], lens_set: LensSet, path: Path) -> None:
    """Simulated and found lenses against Einstein radius and S/N, as in Figure 7 of the paper."""
    figure, axes = row_of_axes(width=7.2, columns=2)
    lenses = lens_set.labels == 1
    for axis, column, edges in zip(axes, BINS, (np.arange(0.3, 3.01, 0.15), np.arange(0.0, 101.0, 5.0)), strict=True):
        value = np.asarray(lens_set.column(column), float)
        axis.stairs(np.histogram(value[lenses], edges)[0], edges, color="0.75", fill=True, label="simulated")
        for one, style in zip(all_scored, ("-", "--"), strict=False):
            count = np.histogram(value[lenses & one.found], edges)[0]
            axis.stairs(count, edges, color="black", linestyle=style, label=f"found by {one.name}")
        axis.set_xlabel(AXES[column])
    axes[0].set_ylabel("lenses")
    axes[1].legend(frameon=False)
    save_figure(path, figure)


def main() -> None:
    """Score the set and print one line per cut."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("finders", nargs="+")
    parser.add_argument("set", type=Path)
    parser.add_argument("--fpr", type=float, default=0.01)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--fainter", type=float, nargs="+", default=())
    options = parser.parse_args()
    lens_set = LensSet.open(options.set)
    all_scored = [scored(name, lens_set, options.fpr) for name in options.finders]
    snr = np.asarray(lens_set.column("arc_snr"), float)[lens_set.labels == 1]
    print(
        f"{options.set.name}: S/N of the arcs, 5, 16, 50, 84, 95 %: {np.percentile(snr, (5, 16, 50, 84, 95)).round(1)}"
    )
    for one in all_scored:
        print(f"{one.name}: {int((lens_set.labels == 0).sum())} non-lenses, FPR at most {options.fpr:g}")
        print_cuts(one, lens_set)
        print_thresholds(one, lens_set, options.fpr)
        print_bins(one, lens_set)
        print_false_positives(one, lens_set, options.fpr)
    for other in all_scored[1:]:
        print_pair(all_scored[0], other, lens_set)
    print_readings(all_scored, lens_set)
    print_dimmed(all_scored, lens_set, options.fainter)
    if options.figure:
        draw(all_scored, lens_set, options.figure)


if __name__ == "__main__":
    main()
