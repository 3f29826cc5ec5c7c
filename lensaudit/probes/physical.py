"""What a dose is on the sky: the lenses it makes, in physical units."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lensaudit.probes.definition import Doses
from lensaudit.probes.response import Response


def lenses_at(doses: Doses, dose: float, response: Response | None) -> str:
    """Words that follow "lenses": what those of one dose are, by the median of a truth column where there is one."""
    physical = doses.physical
    if physical is not None and physical.at:
        value = _value(doses, dose, response)
        if math.isfinite(value):
            return physical.at.replace("{value}", short(value))
    return doses.phrase.replace("{dose}", f"{dose:g}")


def lenses_beyond(doses: Doses, dose: float, response: Response | None) -> str:
    """The same, from where the loss exceeds the tolerance on towards `dose`; as `lenses_at` where it does nowhere."""
    physical, control = doses.physical, doses.control
    if physical is None or response is None or control is None or math.isnan(response.crossing):
        return lenses_at(doses, dose, response)
    side = dose - control
    words = physical.above if side > 0 else physical.below
    value = _value(doses, response.crossing, response)
    if not words or (response.crossing - control) * side <= 0 or not math.isfinite(value):
        return lenses_at(doses, dose, response)
    return words.replace("{value}", short(value))


def short(value: float) -> str:
    """Two significant figures, without exponent: a median that the systems scatter about."""
    return np.format_float_positional(value, precision=2, fractional=False, trim="-")


def _value(doses: Doses, dose: float, response: Response | None) -> float:
    """Physical value of a dose, by straight lines between the medians of the arms; NaN where there is none."""
    column = doses.physical.column if doses.physical else None
    if column is None:
        return dose
    medians: Sequence[float] = response.truth.get(column, ()) if response else ()
    if not medians or doses.control is None:
        return math.nan
    places = np.array([doses.control, *doses.values])
    order = np.argsort(places, kind="stable")
    return float(np.interp(dose, places[order], np.asarray(medians, float)[order]))
