"""Numbers as they are written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lensaudit.display import numbers
from lensaudit.evaluation import Metric
from lensaudit.records import plain
from lensaudit.statistics import Proportion

NB = "\u202f"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.214, f"21{NB}%"), (0.004, f"0.4{NB}%"), (0.996, f"99.6{NB}%"), (0, f"0{NB}%"), (1.0, f"100{NB}%"), (None, "—")],
)
def test_percent_never_rounds_something_to_nothing(value: float | None, text: str):
    assert numbers.percent(value) == text


def test_intervals():
    assert numbers.percent_interval(0.173, 0.261) == f"17–26{NB}%"
    assert numbers.interval(0.1, 0.25) == "0.100–0.250"
    assert numbers.decimal(-0.0001, 2) == "0.00"
    assert numbers.interval(-0.1, 0.25, 2) == "−0.10 to 0.25"
    assert numbers.interval(math.nan, 0.25) == numbers.interval(None, None) == "—"


def test_a_number_stands_with_its_interval_or_alone():
    assert numbers.with_interval(0.214, 0.173, 0.261) == "0.214 [0.173, 0.261]"
    assert numbers.with_interval(-0.2, -0.31, 0.01, 2, sign=True) == "−0.20 [−0.31, +0.01]"
    assert numbers.with_interval(0.2, math.nan, math.nan) == "0.200"
    assert numbers.with_interval(math.nan, 0, 1) == "—"
    assert numbers.significant_with_interval(1234.5, 0.5, None) == "1230"
    assert numbers.significant_with_interval(12.345, 0.5, 20) == "12.3 [0.5, 20]"
    assert numbers.percent_with_interval(0.7931, 0.6723, 0.8775) == f"79.3{NB}% [67.2, 87.8]"


def test_k_of_n_and_what_is_not_measured_are_said():
    assert numbers.proportion(Proportion.of(46, 58)) == f"79.3{NB}% [67.2, 87.7], 46 of 58"
    assert numbers.proportion(Proportion.of(0, 0)) == "—"
    words = {"value": 0.91772, "low": 0.8555, "high": 0.95449, "status": ""}
    assert numbers.measured(words) == "0.9177 [0.8555, 0.9545]"
    assert numbers.measured({**words, "low": None, "high": None}, 2) == "0.92"
    assert numbers.measured({**words, "value": None, "status": "no lenses"}) == "not measured (no lenses)"
    assert numbers.measured(Metric("recall", math.nan, math.nan, math.nan, 0, "", "no lenses")).endswith("(no lenses)")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (1.25, "1.25"), (1234.5, "1230"), (0, "0"), (-0.0421, "−0.0421"), (2e-7, "2.00×10⁻⁷"), (None, "—")],
)
def test_significant_figures(value: float | None, text: str):
    assert numbers.significant(value) == text


def test_p_values_are_never_zero():
    assert numbers.p_value(1e-9) == "p < 0.001"
    assert numbers.p_value(0.0123) == "p = 0.012"
    assert (numbers.p_value(0.0496), numbers.p_value(0.05)) == ("p = 0.0496", "p = 0.05")
    assert numbers.p_value(None) == numbers.p_value(math.nan) == "p —"


def test_json_has_no_nan():
    value = {"a": np.float32(0.5), "b": [np.nan, np.inf, np.int64(3)], "c": np.array([1.0, np.nan]), "d": (True, None)}
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == {"a": 0.5, "b": [None, None, 3], "c": [1.0, None], "d": [True, None]}


def test_a_mean_stands_with_its_deviation_or_alone():
    assert numbers.plus_minus(0.91, 0.02) == "0.9100 ± 0.0200"
    assert numbers.plus_minus(-0.91, 0.02, 1) == "−0.9 ± 0.0"
    assert numbers.plus_minus(0.5, math.nan) == "0.5000"
    assert numbers.plus_minus(math.nan, math.nan) == numbers.MISSING


def test_counts_and_plurals():
    assert numbers.count(45000) == f"45{NB}000"
    assert numbers.plural(1, "lens", "lenses") == "1 lens"
    assert numbers.plural(2, "lens", "lenses") == "2 lenses"
