"""What can be read linearly from an embedding: cross-validated ridge on every column of a catalogue.

A quantity is read by ridge regression, a yes or no by the same on 0 and 1 (scikit-learn's `RidgeCV`, its strength
chosen on the training folds by leave-one-out), answers kept within the range of the training folds. All is out of fold,
with no system in two folds. R² is measured against the mean of the training folds, so that who knows nothing has 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.embedding.result import AUROC, R_SQUARED, Readable
from lensaudit.statistics import SortedScores
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from lensaudit.lensset import Cutouts

Floats = NDArray[np.float64]

MOST = 4000
"""Images that the reading takes, evenly spread: what it costs grows with the features' square times them."""

LEAST = 40
"""Images with a value that a column needs."""
LEAST_OF_EACH = 15
"""Images on either side of a yes or no."""
MOST_WORDS = 20
"""Different words of a column whose every word is asked about; with more it is a name."""

PERMUTED = 20
RESAMPLES = 500
FOLDS = 5
ALPHAS = np.logspace(-1, 6, 8)
"""Strengths of the ridge for standardised features; the largest leaves the mean."""

NOT_READ = frozenset({"id", "ra", "dec"})
TURNS = {"lens_angle_rad": 2, "psf_angle_deg": 3}
"""Symmetry of an angle, where it is not a full turn: an axis has two, the simulated PSF three."""


@dataclass(frozen=True, eq=False)
class Question:
    """A column to be read.

    Attributes
    ----------
    name, unit
        As `lensaudit.embedding.Readable` has them.
    target
        (n, c): a quantity, 0 and 1, or cosine and sine of an angle; NaN where it has no value.
    binary
        Whether it is a yes or no.
    """

    name: str
    unit: str
    target: Floats
    binary: bool

    @property
    def known(self) -> NDArray[np.bool_]:
        """Images that have a value (n,)."""
        return np.asarray(np.isfinite(self.target).all(axis=1))

    @property
    def can_be_asked(self) -> bool:
        """Whether there are enough values, and not all alike."""
        values = self.target[self.known]
        if len(values) < LEAST or (values.std(axis=0) <= 1e-9 * (1 + np.abs(values).max(axis=0))).all():
            return False
        fewer = min(values[:, 0].sum(), len(values) - values[:, 0].sum())
        return not self.binary or bool(fewer >= LEAST_OF_EACH)


def questions(lens_set: Cutouts, rows: NDArray[np.intp]) -> list[Question]:
    """Every column of the catalogue that can be asked about, of the images `rows`."""
    asked: list[Question] = []
    units = lens_set.units
    for name in lens_set.columns:
        if name.lower() in NOT_READ or "seed" in name:
            continue
        values = np.asarray(lens_set.column(name))[rows]
        asked += _questions(name, units.get(name, ""), values)
    first = {one.target.tobytes(): one for one in reversed(asked) if one.can_be_asked}  # columns that are alike: one
    return [one for one in asked if first.get(one.target.tobytes()) is one]


def _questions(name: str, unit: str, values: NDArray[Any]) -> list[Question]:
    if values.dtype == object or values.dtype.kind in "US":
        words = [None if value is None or value != value else str(value) for value in values.tolist()]
        different = sorted({word for word in words if word})
        if len(different) > MOST_WORDS or len(different) < 2:
            return []
        there = np.array([bool(word) for word in words])
        return [
            Question(
                f"{name} = {printable(one, 40)}", "",
                np.where(there, [word == one for word in words], np.nan)[:, None].astype(float), True,
            )
            for one in different
        ]  # fmt: skip
    numbers = values.astype(np.float64)
    if name == "label":
        numbers = np.where(numbers >= 0, numbers, np.nan)
    if "angle" in name and unit in ("rad", "deg"):
        angle = (numbers if unit == "rad" else np.radians(numbers)) * TURNS.get(name, 1)
        return [Question(name, "", np.stack([np.cos(angle), np.sin(angle)], axis=1), False)]
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    levels = np.unique(numbers[np.isfinite(numbers)])
    if len(levels) == 2:
        return [Question(name, "", np.where(np.isfinite(numbers), numbers == levels[1], np.nan)[:, None], True)]
    return [Question(name, unit, numbers[:, None], False)]


@dataclass(frozen=True, eq=False)
class _Read:
    """Out-of-fold answers to one question (n, c, 1 + permutations), the first the real one, and the truth alike.

    `centre` is the mean of the training folds (n, c, 1 + permutations).
    """

    truth: Floats
    answer: Floats
    centre: Floats


def read_all(
    features: Floats,
    baseline: Floats | None,
    asked: Sequence[Question],
    groups: Sequence[str],
    generator: np.random.Generator,
    progress: Any = None,
) -> tuple[Readable, ...]:
    """Read every question from `features` and from `baseline`, the best first.

    Parameters
    ----------
    features, baseline
        (n, d) each, all finite; None for no baseline.
    groups
        System of each image (n); no system is in two folds.
    generator
        Of folds, permutations and resamples.
    progress
        Called with (questions done, questions in all).
    """
    _, system = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    found: list[Readable] = []
    alike: dict[bytes, list[Question]] = {}
    for one in asked:  # columns that the same images have are read together: what is costly depends on the images alone
        alike.setdefault(one.known.tobytes(), []).append(one)
    for together in alike.values():
        known = together[0].known
        fold = _folds(system[known], together, generator)
        shuffled = [_with_permutations(one.target[known], generator) for one in together]
        weights = _resampled(system[known], generator)
        read = _out_of_fold(features[known], shuffled, fold)
        other = None if baseline is None else _out_of_fold(baseline[known], [one[..., :1] for one in shuffled], fold)
        for place, one in enumerate(together):
            found.append(_readable(one, read[place], None if other is None else other[place], weights))
            if progress is not None:
                progress(len(found), len(asked))
    return tuple(sorted(found, key=lambda one: (one.measure != AUROC, not one.known, -_rank(one.value), one.column)))


def _rank(value: float) -> float:
    return value if np.isfinite(value) else -np.inf


def _folds(system: NDArray[np.intp], asked: Sequence[Question], generator: np.random.Generator) -> NDArray[np.intp]:
    """Fold of each image (n,): systems dealt out in random order, those of one answer one after another."""
    first = asked[0].target[asked[0].known][:, 0]
    number = int(system.max()) + 1
    counts = np.bincount(system, minlength=number)
    mean = np.bincount(system, weights=first, minlength=number) / np.maximum(counts, 1)
    there = np.flatnonzero(counts)
    order = there[np.lexsort((generator.random(len(there)), mean[there] if asked[0].binary else np.zeros(len(there))))]
    fold = np.zeros(number, np.intp)
    fold[order] = np.arange(len(order)) % FOLDS
    dealt: NDArray[np.intp] = fold[system]
    return dealt


def _with_permutations(target: Floats, generator: np.random.Generator) -> Floats:
    """(n, c, 1 + permutations)."""
    drawn = [target, *(target[generator.permutation(len(target))] for _ in range(PERMUTED))]
    return np.stack(drawn, axis=2)


def _out_of_fold(features: Floats, targets: Sequence[Floats], fold: NDArray[np.intp]) -> list[_Read]:
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    n = len(features)
    flat = np.concatenate([one.reshape(n, -1) for one in targets], axis=1)
    scale = flat.std(axis=0)
    flat = (flat - flat.mean(axis=0)) / np.where(scale > 0, scale, 1)
    answer, centre = np.zeros_like(flat), np.zeros_like(flat)
    for one in np.unique(fold):
        test = fold == one
        scaler = StandardScaler().fit(features[~test])
        model = RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(scaler.transform(features[~test]), flat[~test])
        said = model.predict(scaler.transform(features[test])).reshape(int(test.sum()), -1)
        answer[test] = np.clip(said, flat[~test].min(axis=0), flat[~test].max(axis=0))  # one odd image is no quantity
        centre[test] = flat[~test].mean(axis=0)
    ends = np.cumsum([one.shape[1] * one.shape[2] for one in targets])[:-1]
    parts = zip(*(np.split(values, ends, axis=1) for values in (flat, answer, centre)), strict=True)
    return [
        _Read(*(values.reshape(target.shape) for values in three)) for target, three in zip(targets, parts, strict=True)
    ]


def _resampled(system: NDArray[np.intp], generator: np.random.Generator) -> Floats:
    """How often each image is drawn in each resample of systems (resamples, n), ones in the first row."""
    _, own = np.unique(system, return_inverse=True)
    number = int(own.max()) + 1
    counts = [np.bincount(generator.integers(number, size=number), minlength=number) for _ in range(RESAMPLES)]
    return np.concatenate([np.ones((1, len(own))), np.stack(counts)[:, own]]).astype(np.float64)


def _readable(asked: Question, read: _Read, other: _Read | None, weights: Floats) -> Readable:
    measure = _auroc if asked.binary else _r_squared
    own = measure(read, weights, 0)
    permuted = [float(measure(read, weights[:1], place)[0]) for place in range(1, read.truth.shape[2])]
    low, high = _interval(own)
    rest: dict[str, float] = {}
    if other is not None:
        beside = measure(other, weights, 0)
        ends, more = _interval(beside), _interval(own - beside)
        rest = {"statistics": float(beside[0]), "statistics_low": ends[0], "statistics_high": ends[1]}
        rest |= {"more": float(own[0] - beside[0]), "more_low": more[0], "more_high": more[1]}
    return Readable(
        asked.name,
        asked.unit,
        AUROC if asked.binary else R_SQUARED,
        int(asked.known.sum()),
        int(asked.target[asked.known][:, 0].sum()) if asked.binary else 0,
        float(own[0]),
        low,
        high,
        float(np.mean(permuted)),
        float(np.max(permuted)),
        **rest,
    )


def _interval(values: Floats) -> tuple[float, float]:
    """95 % of the resamples, the first value being of all images."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _r_squared(read: _Read, weights: Floats, place: int) -> Floats:
    """1 − squared errors over those of the training folds' mean, of each resample."""
    wrong = ((read.truth - read.answer)[..., place] ** 2).sum(axis=1)
    spread = ((read.truth - read.centre)[..., place] ** 2).sum(axis=1)
    return np.asarray(1 - (weights @ wrong) / (weights @ spread))


def _auroc(read: _Read, weights: Floats, place: int) -> Floats:
    """AUROC of each resample; ties count half. Each fold's answers are taken above its own mean."""
    score = (read.answer - read.centre)[:, 0, place]
    yes = read.truth[:, 0, place] > 0
    ranked = SortedScores.of(score[yes], score[~yes])
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample without one of the two has none
        return ranked.auroc(weights[:, yes], weights[:, ~yes])


def statistics_of(lens_set: Cutouts, bands: Sequence[str], rows: NDArray[np.intp], at_once: int = 128) -> Floats:
    """Image statistics of some images as normal scores (m, statistics): any unit, no outlier."""
    from lensaudit.lensset.image_statistics import band_statistics, with_colours
    from lensaudit.statistics import normal_scores

    found: list[Floats] = []
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        table = with_colours({band: band_statistics(lens_set.images(band, some)) for band in bands})
        found.append(np.stack(list(table.values()), axis=1).astype(np.float64))
    scores = normal_scores(np.concatenate(found))
    return scores[:, scores.std(axis=0) > 0]
