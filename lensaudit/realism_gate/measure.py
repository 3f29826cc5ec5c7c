"""Measure how far simulated cutouts stand from real ones, for one finder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset import LensSet
from lensaudit.lensset.image_statistics import Statistics, in_unit, with_colours, without_units
from lensaudit.provenance import Provenance
from lensaudit.realism_gate.classifying import Told, folds_of, told_apart
from lensaudit.realism_gate.cutouts import Cutouts
from lensaudit.realism_gate.domain import BEYOND, Distances, distances_from
from lensaudit.realism_gate.gate import Gate
from lensaudit.realism_gate.result import LEAST, WEAK, Compared, Domain, Extreme, Realism, TwoSample
from lensaudit.realism_gate.shifts import shifts_of
from lensaudit.spread import StageProgress
from lensaudit.statistics import Proportion, mean_discrepancy, normal_scores

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.realism_gate.describing import Described
    from lensaudit.realism_gate.last_layer import LastLayer

LABELS = {"lens": 1, "non-lens": 0}
ANY = "any"
EXTREMES = 12
MOST_IN_MMD = 2000
"""Cutouts of each set that the maximum mean discrepancy takes: it grows with their square."""

LAST_LAYER, IMAGE_STATISTICS = "last layer", "image statistics"
_STREAMS = {"folds": 1, "mmd": 2, "domain": 3}

Rows = NDArray[np.intp]
Features = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class RealismOptions:
    """What is compared, and how.

    Attributes
    ----------
    label
        ``lens``, ``non-lens`` or ``any``; empty: the label of which the smaller set has most, ``any`` where one set
        has no labels.
    seed
        Of folds, subsamples and permutations.
    batch
        Cutouts per forward pass; None takes what runs fastest.
    """

    label: str = ""
    seed: int = 0
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.label not in ("", ANY, *LABELS):
            raise UsageError(f"--label '{self.label}' is not known; allowed: {ANY}, {', '.join(LABELS)}")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more")

    def draws(self, stream: str) -> np.random.Generator:
        """Random numbers of one purpose."""
        return np.random.default_rng([self.seed, _STREAMS[stream]])


def measure_realism(
    finder: Finder,
    real: LensSet,
    simulated: LensSet,
    options: RealismOptions,
    progress: StageProgress,
    kept: Path | None = None,
) -> Gate:
    """Compare the cutouts of two sets by image statistics and by the finder's last layer.

    Parameters
    ----------
    finder
        Reads both; a set whose zero points differ from its own is brought to its unit.
    progress
        Called with the name of a stage, its steps done and its steps in all.
    kept
        Folder for what is known of the cutouts, which a run after a stopped one takes up; None keeps nothing.

    Raises
    ------
    UsageError
        Both are one set.
    DataError
        The finder cannot take one of them as input, their pixels have different scales, or fewer than `LEAST` cutouts
        of one can be compared.
    """
    from lensaudit.realism_gate.describing import described, stored_in
    from lensaudit.realism_gate.last_layer import last_layer

    refuse_unlike(finder, real, simulated)
    found = last_layer(finder)
    layer = None if isinstance(found, str) else found
    notes = [f"{found[0].upper()}{found[1:]}: image statistics alone are compared."] if isinstance(found, str) else []
    store = None if kept is None else stored_in(kept, finder, layer, options.batch)
    seen = [
        described(finder, one, layer, options.batch, lambda d, n, s=stage: progress(s, d, n), store)  # type: ignore[misc]
        for stage, one in (("scoring real", real), ("scoring simulated", simulated))
    ]
    for one, lens_set in zip(seen, (real, simulated), strict=True):
        if not one.good.any():
            raise DataError(
                f"{lens_set.path}: none of {len(one.ids)} cutouts can be scored (first: {one.status[0]}); give cutouts "
                "whose pixels are finite and not constant"
            )
    notes += [remark for one in seen for remark in _left_out(one, real if one is seen[0] else simulated)]
    notes += _other_pixels(finder, real, simulated)
    table = _statistics_of(seen, real, simulated, notes)
    label, chosen = choose_label(seen, (real, simulated), options.label)
    if layer is not None and layer.wide > layer.features:
        notes.append(
            f"Its last layer has {layer.wide} inputs; {layer.features} random directions of them are compared."
        )
    return _Comparison(finder, (real, simulated), seen, options, layer).gate(table, label, chosen, notes, progress)


def refuse_unlike(finder: Finder, real: LensSet, simulated: LensSet) -> None:
    """Make sure that both sets can be read and compared, before any image is read."""
    if real.content_hash == simulated.content_hash:
        raise UsageError(f"{real.path}: is given as --real and as --simulated; name two sets")
    for lens_set in (real, simulated):
        try:
            finder.for_units(lens_set).check(lens_set)
        except DataError as error:
            raise DataError(f"{lens_set.path}: {error}") from error
    for band in finder.recipe.bands:
        one, other = real.pixel_scale_arcsec[band], simulated.pixel_scale_arcsec[band]
        if _unlike(one, other) and not finder.resamples:
            raise DataError(
                f"{real.path}: band {band} has pixels of {one:.4g}″, those of {simulated.path} are {other:.4g}″, so "
                "noise and sharpness differ for that alone; simulate with the real set's pixels, or give --resample"
            )


def _other_pixels(finder: Finder, real: LensSet, simulated: LensSet) -> list[str]:
    """Of pixels that are resampled as asked: what is measured per pixel differs for that alone."""
    scales = {band: (real.pixel_scale_arcsec[band], simulated.pixel_scale_arcsec[band]) for band in finder.recipe.bands}
    odd = [f"{band} {one:.4g}″ and {other:.4g}″" for band, (one, other) in scales.items() if _unlike(one, other)]
    if not odd:
        return []
    return [
        f"Pixels differ in scale ({', '.join(odd)}): what is measured per pixel of these bands differs for that alone."
    ]


def _unlike(one: float, other: float) -> bool:
    return abs(one - other) > 0.03 * other


def _left_out(one: Described, lens_set: LensSet) -> list[str]:
    bad = one.failed
    if not bad:
        return []
    where = f"{len(bad)} of {len(one.ids)} cutouts of {lens_set.path.name}"
    return [f"{where} cannot be scored and are left out; the first: {bad[0]}."]


def _statistics_of(
    seen: Sequence[Described], real: LensSet, simulated: LensSet, notes: list[str]
) -> tuple[Statistics, Statistics]:
    """Statistics of both sets in the unit of the simulated one; those in units are left out where one is unknown."""
    from lensaudit.finders.units import factor, is_known

    given, own = real.pixel_units, simulated.pixel_units
    by = {band: factor(given[band], own[band]) for band in seen[0].bands}
    odd = [band for band in by if by[band] is None or not (is_known(given[band]) and is_known(own[band]))]
    bands = {band: in_unit(found, by[band] or 1.0) for band, found in seen[0].bands.items()}
    tables = with_colours(bands), with_colours(seen[1].bands)
    if not odd:
        return tables
    notes.append(
        f"The unit of the pixels of band {', '.join(odd)} is not known in both sets (no zero point), so fluxes, sky, "
        "noise and colours are not compared; lensaudit ingest --zero-point gives it."
    )
    return without_units(tables[0]), without_units(tables[1])


def choose_label(seen: Sequence[Described], sets: tuple[LensSet, LensSet], asked: str) -> tuple[str, str]:
    """The label that is compared, and a sentence that says so: like with like where both sets have it.

    Raises
    ------
    DataError
        One of the sets has too few of it.
    """
    counts = {name: [int((one.good & (one.labels == code)).sum()) for one in seen] for name, code in LABELS.items()}
    best = max(counts, key=lambda name: min(counts[name]))
    label = asked or (best if min(counts[best]) >= LEAST else ANY)
    have = counts.get(label, [int(one.good.sum()) for one in seen])
    for n, lens_set in zip(have, sets, strict=True):
        if n < LEAST:
            what = "cutouts" if label == ANY else f"cutouts labelled {label}"
            raise DataError(
                f"{lens_set.path}: has {n} {what} to compare, {LEAST} are the least and {WEAK} say something; "
                f"give a set with more{'' if label == ANY else ', or another --label'}"
            )
    if label != ANY:
        plural = "lenses" if label == "lens" else "non-lenses"
        return label, f"Compared are {plural} with {plural}."
    mixes = " and ".join(_mix(one) for one in seen)
    return label, f"Compared are all cutouts of any label ({mixes}): a difference may be one of the mix alone."


def _mix(one: Described) -> str:
    lenses, others, unknown = (int((one.labels == code).sum()) for code in (1, 0, -1))
    return f"{lenses} lenses, {others} non-lenses, {unknown} unlabelled"


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Two sets, described; real first."""

    finder: Finder
    sets: tuple[LensSet, LensSet]
    seen: Sequence[Described]
    options: RealismOptions
    layer: LastLayer | None

    def gate(
        self, table: tuple[Statistics, Statistics], label: str, chosen: str, notes: list[str], progress: StageProgress
    ) -> Gate:
        """Everything that is measured of what was described."""
        rows = [np.flatnonzero(one.good & ((label == ANY) | (one.labels == LABELS.get(label)))) for one in self.seen]
        names, values = _matrix(table)
        picked = [part[row] for part, row in zip(values, rows, strict=True)]
        real = np.arange(len(rows[0]) + len(rows[1])) < len(rows[0])
        systems = [one.systems[i] for one, row in zip(self.seen, rows, strict=True) for i in row]
        fold = folds_of(systems, real, self.options.draws("folds"))
        progress("comparing", 0, 3)
        statistics, told = self._two_sample(IMAGE_STATISTICS, np.concatenate(picked), real, fold)
        progress("comparing", 1, 3)
        in_layer = None
        if self.layer is not None:
            layers = [one.layer[row] for one, row in zip(self.seen, rows, strict=True) if one.layer is not None]
            in_layer, told = self._two_sample(LAST_LAYER, np.concatenate(layers), real, fold)
        progress("comparing", 2, 3)
        apart = self._distances(values)
        cutouts = self._cutouts(rows, told, apart)
        progress("comparing", 3, 3)
        record = Realism(
            finder=self.finder.name,
            label=label,
            chosen=chosen,
            real=self._compared(0, len(rows[0])),
            simulated=self._compared(1, len(rows[1])),
            layer=in_layer,
            layer_name="" if self.layer is None else self.layer.name,
            statistics=statistics,
            shifts=shifts_of(names, *picked),
            domain=Domain(
                LAST_LAYER if self.layer is not None else IMAGE_STATISTICS,
                BEYOND,
                apart.threshold,
                Proportion.among(apart.real > apart.threshold),
                len(apart.simulated),
            ),
            farthest_real=_extremes(cutouts, real=True),
            farthest_simulated=_extremes(cutouts, real=False),
            notes=tuple(notes),
            provenance=Provenance.here(seed=self.options.seed, inputs=inputs_of(self.finder, *self.sets)),
            bands=tuple(self.finder.recipe.bands),
        )
        return Gate(record, cutouts, *self.sets)

    def _compared(self, which: int, n: int) -> Compared:
        lens_set, one = self.sets[which], self.seen[which]
        counted = len(lens_set), n, len(one.failed), one.failed[0] if one.failed else ""
        return Compared(lens_set.path.name, lens_set.content_hash, lens_set.instrument, *counted)

    def _two_sample(self, of: str, values: Features, real: NDArray[np.bool_], fold: Rows) -> tuple[TwoSample, Told]:
        linear = of == LAST_LAYER
        told = told_apart(values, real, fold, linear=linear)
        draws = self.options.draws("mmd")
        some = [_some(np.flatnonzero(which), draws) for which in (real, ~real)]
        points = values[np.concatenate(some)].astype(np.float64)
        points = _standardised(points) if linear else normal_scores(points)
        mmd = mean_discrepancy(points[: len(some[0])], points[len(some[0]) :], draws)
        classifier = "logistic regression on standardised features" if linear else "gradient-boosted trees"
        counted = int(real.sum()), int((~real).sum()), int(fold.max()) + 1
        numbers = values.shape[1], told.auroc, told.low, told.high, *counted
        return TwoSample(of, classifier, *numbers, mmd.squared, mmd.p, len(some[0]), len(some[1])), told

    def _distances(self, values: Sequence[Features]) -> Distances:
        """Of all cutouts that the finder can score, whatever their label; NaN where it cannot."""
        good = [one.good for one in self.seen]
        if self.layer is not None:
            points: list[Features] = [
                one.layer[which] for one, which in zip(self.seen, good, strict=True) if one.layer is not None
            ]
        else:
            scores = normal_scores(np.concatenate([part[which] for part, which in zip(values, good, strict=True)]))
            points = [scores[: good[0].sum()], scores[good[0].sum() :]]
        return distances_from(points[1], points[0], self.options.draws("domain"))

    def _cutouts(self, rows: Sequence[Rows], told: Told, apart: Distances) -> Cutouts:
        """Every cutout of both sets, real first."""
        p_real = [np.full(len(one.ids), np.nan) for one in self.seen]
        distance = [np.full(len(one.ids), np.nan) for one in self.seen]
        ends = told.score[: len(rows[0])], told.score[len(rows[0]) :]
        for which, far in enumerate((apart.real, apart.simulated)):
            p_real[which][rows[which]] = ends[which]
            distance[which][self.seen[which].good] = far
        return Cutouts(
            ids=tuple(name for one in self.seen for name in one.ids),
            real=np.repeat([True, False], [len(one.ids) for one in self.seen]),
            labels=np.concatenate([one.labels for one in self.seen]),
            p_real=np.concatenate(p_real),
            distance=np.concatenate(distance),
            threshold=apart.threshold,
        )


def inputs_of(finder: Finder, real: LensSet, simulated: LensSet) -> dict[str, str]:
    """Hashes that a result names as its inputs."""
    return {"finder": finder.weights_hash, "real": real.content_hash, "simulated": simulated.content_hash}


def _matrix(table: tuple[Statistics, Statistics]) -> tuple[list[str], tuple[Features, Features]]:
    """Names and columns (n, d), (m, d) of the statistics that are not one and the same number everywhere."""
    names = []
    for name in table[0]:
        together = np.concatenate([part[name] for part in table])
        known = together[np.isfinite(together)]
        if len(known) and known.min() < known.max():
            names.append(name)
    if not names:
        raise DataError("all image statistics of both sets are one and the same; give cutouts that are not constant")
    return names, tuple(np.stack([part[name] for name in names], axis=1) for part in table)  # type: ignore[return-value]


def _some(rows: Rows, generator: np.random.Generator) -> Rows:
    return np.sort(generator.permutation(rows)[:MOST_IN_MMD])


def _standardised(points: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = points.std(axis=0)
    return np.asarray((points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _extremes(cutouts: Cutouts, *, real: bool) -> tuple[Extreme, ...]:
    """Cutouts of one set that are taken for it most surely, the surest first."""
    rows = np.flatnonzero((cutouts.real == real) & np.isfinite(cutouts.p_real))
    sure = cutouts.p_real[rows] if real else -cutouts.p_real[rows]
    order = np.lexsort((-cutouts.distance[rows], -sure))[:EXTREMES]
    return tuple(
        Extreme(cutouts.ids[i], float(cutouts.p_real[i]), float(cutouts.distance[i])) for i in rows[order].tolist()
    )
