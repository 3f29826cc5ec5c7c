"""What of a lens a selection can depend on, and thresholds on the score."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import UsageError
from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.lensset.part import COLUMNS
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import Proportion, allowed_false_positives, strict_threshold
from lensaudit.untrusted import printable

Array = NDArray[np.float64]


class WithTruth(Protocol):
    """What is asked of a lens set: :class:`lensaudit.lensset.LensSet` has it."""

    @property
    def path(self) -> Any: ...
    @property
    def labels(self) -> NDArray[np.int8]: ...
    @property
    def bands(self) -> Sequence[str]: ...
    @property
    def columns(self) -> Sequence[str]: ...
    def column(self, name: str) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Parameter(Record):
    """One property of a lens.

    Attributes
    ----------
    name
        How tables name it; the catalogue's column where it is one.
    words, unit
        How a person reads it; no unit for a pure number.
    columns
        The catalogue's columns it is made of: one, or x and y of which it is the length.
    logarithmic
        Whether the model of what drives the selection takes its logarithm (base 10), as for what spans decades.
    driver
        Whether that model takes it at all; not what others fix already.
    """

    ALSO = ("label",)

    name: str
    words: str
    unit: str
    columns: tuple[str, ...]
    logarithmic: bool = False
    driver: bool = True

    @property
    def label(self) -> str:
        """Words with the unit in brackets."""
        return f"{self.words} [{self.unit}]" if self.unit else self.words

    def values(self, lens_set: WithTruth, rows: NDArray[np.bool_]) -> Array:
        """Values of the systems `rows`, float64; NaN where it does not apply."""
        parts = [np.asarray(lens_set.column(name), float)[rows] for name in self.columns]
        return parts[0] if len(parts) == 1 else np.hypot(*parts)

    def modelled(self, values: Array) -> Array:
        """The values as the model takes them; NaN where there is no logarithm."""
        if not self.logarithmic:
            return values
        return np.log10(values, out=np.full(len(values), np.nan), where=values > 0)


EINSTEIN_RADIUS = Parameter("theta_e_arcsec", "Einstein radius θ_E", "″", ("theta_e_arcsec",), logarithmic=True)
ARC_SNR = Parameter("arc_snr", "arc S/N", "", ("arc_snr",), logarithmic=True)
BANDS = ("VIS", "g", "H", "J", "Y")
"""Of which the magnitudes are taken: the first of these that the set has."""


def parameters_of(lens_set: WithTruth) -> tuple[tuple[Parameter, ...], tuple[str, ...]]:
    """Parameters the lenses of a set have, and the words of those that none of them has; the user's own come last.

    Those of Herle, O'Riordan & Vegetti 2024 (MNRAS 534, 1093) that the simulation draws, and what pictures show of
    them: S/N, magnification, colours, places. Columns that other columns fix (the velocity dispersion, given θ_E and
    both redshifts; the brightness of the arc, given source and magnification) are left to the medians or left out.
    """
    lens = lens_set.labels == 1
    there, absent = [], []
    for parameter in _candidates(source_band(lens_set, lens), colour_of(lens_set)):
        known = set(parameter.columns) <= set(lens_set.columns)
        if known and np.isfinite(parameter.values(lens_set, lens)).any():
            there.append(parameter)
        else:
            absent.append(parameter.words)
    return (*there, *own_parameters(lens_set, lens, [name for one in there for name in one.columns])), tuple(absent)


_PLACES = {name for pair in COLUMNS for name in pair}
_DECADES = 30
"""Largest over smallest value, all positive, from which on a user's column is modelled by its logarithm."""


def own_parameters(lens_set: WithTruth, rows: NDArray[Any], taken: Sequence[str] = ()) -> tuple[Parameter, ...]:
    """Columns of numbers that the user declared beside cutouts, as far as the systems `rows` differ in them.

    Left out are places on the sky, and those `taken`.
    """
    found = []
    for name, unit in getattr(lens_set, "own_columns", {}).items():  # what is drawn or made has none
        if name in taken or name.lower() in _PLACES:
            continue
        values = np.asarray(lens_set.column(name), float)[rows]
        values = values[np.isfinite(values)]
        if len(np.unique(values)) > 1:
            wide = bool(values.min() > 0 and values.max() > _DECADES * values.min())
            words = printable(name, 60)
            found.append(Parameter(name, words, printable(unit, 30), (name,), logarithmic=wide))
    return tuple(found)


def known_parameter(name: str, words: str, unit: str) -> Parameter:
    """The parameter that a table of an earlier version names; it did not say columns and unit of a logarithm."""
    named, last = _COLOUR.fullmatch(name), name.rpartition("_")[2]
    colour = (named["blue"], named["red"]) if named else EUCLID_COLOUR
    known = {one.name: one for band in (*BANDS, last) for one in _candidates(band, colour)}
    return known.get(name, Parameter(name, words, unit.removeprefix("dex"), (name,), unit == "dex"))


def values_of(parameters: Sequence[Parameter], lens_set: WithTruth, rows: NDArray[np.bool_]) -> Mapping[str, Array]:
    """Name of each parameter → its values for the systems `rows`."""
    return {parameter.name: parameter.values(lens_set, rows) for parameter in parameters}


def source_band(lens_set: WithTruth, lens: NDArray[np.bool_]) -> str:
    """The band whose source magnitudes are known; the set's first where none is."""
    for band in BANDS:
        name = f"mag_source_{band}"
        if name in lens_set.columns and np.isfinite(np.asarray(lens_set.column(name), float)[lens]).any():
            return band
    return next(iter(lens_set.bands), BANDS[0])


EUCLID_COLOUR = ("VIS", "H")
_COLOUR = re.compile(r"colour_(source|lens)_(?P<blue>[^_]+)_(?P<red>[^_]+)")


def colour_of(lens_set: WithTruth) -> tuple[str, str]:
    """The two bands between which the set has colours; without any Euclid's, or the first and last of other bands."""
    named = next((found for name in lens_set.columns if (found := _COLOUR.fullmatch(name))), None)
    if named is not None:
        return named["blue"], named["red"]
    bands = tuple(lens_set.bands)
    return EUCLID_COLOUR if "VIS" in bands or len(bands) < 2 else (bands[0], bands[-1])


def _candidates(band: str, colour: tuple[str, str] = EUCLID_COLOUR) -> tuple[Parameter, ...]:
    between, words = "_".join(colour), " − ".join(colour)

    def plain(name: str, words: str, unit: str = "", logarithmic: bool = False, driver: bool = True) -> Parameter:
        return Parameter(name, words, unit, (name,), logarithmic, driver)

    return (
        EINSTEIN_RADIUS,
        ARC_SNR,
        plain(f"mag_source_{band}", f"source magnitude {band}", "mag"),
        plain("magnification", "magnification", logarithmic=True),
        plain("source_r_eff_arcsec", "source half-light radius", "″", logarithmic=True),
        plain("source_n_sersic", "source Sérsic index"),
        plain(f"colour_source_{between}", f"source colour {words}", "mag"),
        plain("z_source", "source redshift"),
        plain(f"mag_lens_{band}", f"lens magnitude {band}", "mag"),
        plain("lens_r_eff_arcsec", "lens half-light radius", "″", logarithmic=True),
        plain("lens_axis_ratio", "axis ratio of the lens's mass"),
        plain(f"colour_lens_{between}", f"lens colour {words}", "mag"),
        plain("z_lens", "lens redshift"),
        plain("sigma_v_km_s", "velocity dispersion of the lens", "km/s", driver=False),
        plain("arc_offset_arcsec", "arc's distance from the centre", "″", driver=False),
        Parameter("lens_offset_arcsec", "lens's distance from the centre", "″", ("lens_x_arcsec", "lens_y_arcsec")),
        plain("n_field", "field galaxies"),
    )


FEW = 100
"""Fewer lenses than this are marked: at n = 100 a 95 % Wilson interval is up to 0.19 wide."""


@dataclass(frozen=True)
class Threshold(Record):
    """From which score on a system is selected.

    Attributes
    ----------
    value
        The lowest p that is selected, or the highest false-positive rate among the set's non-lenses; in [0, 1].
    of
        ``p`` or ``fpr``.
    """

    value: float
    of: Literal["p", "fpr"] = "p"

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise UsageError(f"--{'threshold' if self.of == 'p' else 'fpr'} {self.value}: must lie between 0 and 1")

    @property
    def words(self) -> str:
        """``p ≥ 0.5`` or ``FPR ≤ 1 %``."""
        return f"p ≥ {self.value:g}" if self.of == "p" else f"FPR ≤ {100 * self.value:g} %"


LADDER = (
    Threshold(0.5),
    Threshold(0.9),
    Threshold(0.99),
    Threshold(0.1, "fpr"),
    Threshold(0.01, "fpr"),
    Threshold(0.001, "fpr"),
)
"""Thresholds at which medians are compared besides the one asked for."""


@dataclass(frozen=True)
class Cut(Record):
    """A threshold applied to a set.

    Attributes
    ----------
    threshold
        What was asked for.
    p
        The p it comes to; at a false-positive rate, the p of the highest non-lens that is still rejected.
    recall, false_positives
        Fractions of the lenses and of the non-lenses that are selected.
    note
        Empty, or what is to be said of it.
    """

    ALSO = ("words", "few")

    threshold: Threshold
    p: Number
    recall: Proportion
    false_positives: Proportion
    note: str = ""

    @property
    def words(self) -> str:
        """How tables name it."""
        return self.threshold.words

    @property
    def few(self) -> bool:
        """Fewer than 100 lenses are selected."""
        return self.recall.k < FEW

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if not isinstance(words.get("threshold"), str):
            return words
        return {**words, "threshold": {"value": words["asked"], "of": words["of"]}}


@dataclass(frozen=True, eq=False)
class Selected:
    """A cut, and which lenses it selects, bool (lenses,)."""

    cut: Cut
    found: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Classes:
    """Scores of both classes: p and logit of the lenses (n1,) and of the non-lenses (n0,), float64."""

    p_lenses: NDArray[np.float64]
    logit_lenses: NDArray[np.float64]
    p_others: NDArray[np.float64]
    logit_others: NDArray[np.float64]

    def cut(self, threshold: Threshold) -> Selected | None:
        """Apply `threshold`; None where it is a false-positive rate and there is no non-lens to measure it on."""
        if threshold.of == "p":
            return self._cut(
                threshold, threshold.value, self.p_lenses >= threshold.value, self.p_others >= threshold.value
            )
        n = len(self.p_others)
        if not n:
            return None
        allowed = allowed_false_positives(n, threshold.value)
        limit = strict_threshold(self.logit_others, allowed)  # logits rank where p has long become 1
        note = "" if allowed else f"{n} non-lenses are too few for this rate: it lies above all of them"
        return self._cut(threshold, float(expit(limit)), self.logit_lenses > limit, self.logit_others > limit, note)

    def _cut(
        self, threshold: Threshold, p: float, found: NDArray[np.bool_], called: NDArray[np.bool_], note: str = ""
    ) -> Selected:
        recall, false_positives = (Proportion.among(some, CONFIDENCE) for some in (found, called))
        return Selected(Cut(threshold, p, recall, false_positives, note), found)
