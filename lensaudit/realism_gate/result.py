"""How far simulated cutouts stand from real ones: the result, and the one wording of what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.display.colour import FAINT, LENS
from lensaudit.display.figures import axes_or_new, light_grid, styled
from lensaudit.display.numbers import count, plural, with_interval
from lensaudit.provenance import Provenance
from lensaudit.records import Number, Record
from lensaudit.statistics import FEW, Proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 3
"""Cutouts of each set below which nothing is measured."""

WEAK = FEW
"""Cutouts of a set below which the result says that it is weak."""

LIMIT = 0.75
"""AUROC above which `--fail-on realism` fails by default: the goal of injected lenses beside known real ones."""

ALIKE, NEAR, UNCERTAIN, FAR = "alike", "near", "uncertain", "far"

_FOLLOWS = {
    ALIKE: "no difference is shown, so nothing keeps effects on simulated scenes from carrying over to such cutouts",
    NEAR: "they differ by little, so effects on simulated scenes carry over to such cutouts with some reserve",
    UNCERTAIN: "whether effects on simulated scenes carry over to such cutouts is open",
    FAR: "effects on simulated scenes are effects on the simulation, and need not hold on such cutouts",
}
"""What each standing means for probes of simulated scenes."""


@dataclass(frozen=True)
class Compared(Record):
    """One of the two sets.

    Attributes
    ----------
    n
        Cutouts in all.
    n_compared
        Those of the label that was compared which the finder could score.
    n_left_out, why
        Cutouts that it could not score, and the first one's reason.
    """

    name: str
    content_hash: str
    instrument: str
    n: int
    n_compared: int
    n_left_out: int = 0
    why: str = ""


@dataclass(frozen=True)
class TwoSample(Record):
    """Real and simulated cutouts told apart by one description of them.

    Attributes
    ----------
    of
        ``last layer`` or ``image statistics``.
    classifier
        Which, in words.
    features
        Numbers per cutout.
    auroc, low, high
        Out-of-fold AUROC with its 95 % interval; 0.5: they cannot be told apart.
    n_real, n_simulated
        Cutouts.
    folds
        Of the cross-validation; no system is in two of them.
    mmd_squared, mmd_p, mmd_n_real, mmd_n_simulated
        Maximum mean discrepancy (unbiased, so that it may lie below 0), its permutation p and the cutouts it took.
    """

    of: str
    classifier: str
    features: int
    auroc: Number
    low: Number
    high: Number
    n_real: int
    n_simulated: int
    folds: int
    mmd_squared: Number
    mmd_p: Number
    mmd_n_real: int
    mmd_n_simulated: int

    @property
    def weak(self) -> bool:
        """Whether one of the samples is too small to say much."""
        return min(self.n_real, self.n_simulated) < WEAK

    def standing(self, limit: float = LIMIT) -> str:
        """``alike``, ``near``, ``uncertain`` or ``far``, by where the interval lies to 0.5 and to `limit`."""
        if self.low > limit:
            return FAR
        if self.high > limit:
            return UNCERTAIN
        return ALIKE if self.low <= 0.5 else NEAR

    @property
    def words(self) -> str:
        """AUROC, interval and numbers of cutouts."""
        value = with_interval(self.auroc, self.low, self.high)
        return f"AUROC {value}, n = {count(self.n_real)} real and {count(self.n_simulated)} simulated"


@dataclass(frozen=True)
class Shift(Record):
    """One image statistic of both sets.

    Attributes
    ----------
    name, words
        ``noise VIS``, and what that is.
    auroc, low, high
        Chance that a real cutout has more of it than a simulated one, with DeLong's 95 % interval; Wilson's for the
        smaller set where that has fewer than `WEAK`.
    ks, p_holm
        Kolmogorov & Smirnov's distance, and its p-value after Holm's correction over all statistics.
    separation
        Difference of the medians over the typical spread within a set.
    real, simulated
        Medians.
    n_real, n_simulated
        Cutouts that have a value.
    """

    name: str
    words: str
    auroc: Number
    low: Number
    high: Number
    ks: Number
    p_holm: Number
    separation: Number
    real: Number
    simulated: Number
    n_real: int
    n_simulated: int


@dataclass(frozen=True)
class Domain(Record):
    """How many real cutouts lie beyond nearly all simulated ones, whatever their label.

    Attributes
    ----------
    of
        What the distance is taken in, as `TwoSample.of`.
    beyond
        Fraction of the simulated cutouts that lie beyond the threshold themselves.
    threshold
        Mahalanobis distance.
    outside
        Real cutouts beyond it.
    n_simulated
        Cutouts that the threshold rests on.
    """

    of: str
    beyond: float
    threshold: Number
    outside: Proportion
    n_simulated: int


@dataclass(frozen=True)
class Extreme(Record):
    """A cutout that is taken for one of its own set most surely."""

    id: str
    p_real: Number
    distance: Number


@dataclass(frozen=True)
class Realism(Record):
    """How far simulated cutouts stand from real ones, for one finder.

    Attributes
    ----------
    finder
        Its name.
    label
        What was compared: ``lens``, ``non-lens`` or ``any``.
    chosen
        How that came about, a sentence.
    layer
        In the finder's last layer; None where it has none, see `notes`.
    layer_name
        Dotted path of that layer.
    statistics
        In image statistics.
    shifts
        Every statistic, the one that differs most first.
    domain
        Real cutouts beyond the simulated ones.
    farthest_real, farthest_simulated
        Cutouts that are most unlike the other set.
    notes
        What is to be known of the numbers, a sentence each.
    """

    finder: str
    label: str
    chosen: str
    real: Compared
    simulated: Compared
    layer: TwoSample | None
    layer_name: str
    statistics: TwoSample
    shifts: tuple[Shift, ...]
    domain: Domain
    farthest_real: tuple[Extreme, ...]
    farthest_simulated: tuple[Extreme, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    bands: tuple[str, ...] = field(default_factory=tuple)

    @property
    def leading(self) -> TwoSample:
        """What the gate goes by: the last layer, which the answer rests on, or else the image statistics."""
        return self.statistics if self.layer is None else self.layer

    @property
    def compared(self) -> str:
        """What was compared, in words: ``lenses``, ``non-lenses`` or ``cutouts``."""
        return {"lens": "lenses", "non-lens": "non-lenses"}.get(self.label, "cutouts")

    @property
    def sentence(self) -> str:
        """How far effects on simulated scenes carry over, with the number: the one wording for pages and terminals."""
        one = self.leading
        where = f"by the last layer of {self.finder}" if self.layer is not None else "by image statistics"
        weak = ""
        if one.weak:
            fewest = min(one.n_real, one.n_simulated)
            weak = f" With {plural(fewest, 'cutout')} of a set this is weak: {WEAK} or more of each would say more."
        return (
            f"Real and simulated {self.compared} are told apart {where} with {one.words} (0.5: not at all): "
            f"{_FOLLOWS[one.standing()]}.{weak}"
        )

    @property
    def beside(self) -> str:
        """What stands beside every probe of simulated scenes."""
        return f"simulated scenes; {self.real_against('simulated')}"

    def real_against(self, simulated: str) -> str:
        """The leading AUROC; `simulated` is the word for what is not real."""
        one = self.leading
        auroc = with_interval(one.auroc, one.low, one.high, 2)
        return f"AUROC real against {simulated} {auroc}{', weak' if one.weak else ''}"

    @styled
    def plot(self, ax: Axes | None = None, most: int = 15) -> Axes:
        """Draw the AUROC of the statistics that differ most with their 95 % intervals, the first on top.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        most
            How many statistics.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``.
        """
        shown = self.shifts[:most]
        axes = axes_or_new(ax, 7.4, 0.9 + 0.24 * max(len(shown), 3))
        place = np.arange(len(shown))[::-1]
        axes.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=":")
        axes.hlines(place, [one.low for one in shown], [one.high for one in shown], color=LENS, linewidth=1.2)
        axes.plot([one.auroc for one in shown], place, "o", color=LENS, markersize=4)
        axes.set_yticks(place, [one.name for one in shown])
        axes.set(xlim=(-0.02, 1.02), xlabel="chance that a real cutout has more than a simulated one (0.5: alike)")
        one = self.statistics
        counted = f"n = {count(one.n_real)} real and {count(one.n_simulated)} simulated {self.compared}"
        axes.set_title(f"{counted}; 95 % intervals")
        light_grid(axes, "x")
        return axes
