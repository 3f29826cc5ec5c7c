"""Numbers as they are written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lensaudit.display import numbers
from lensaudit.records import plain

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


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (1.25, "1.25"), (1234.5, "1230"), (0, "0"), (-0.0421, "−0.0421"), (2e-7, "2.00×10⁻⁷"), (None, "—")],
)
def test_significant_figures(value: float | None, text: str):
    assert numbers.significant(value) == text


def test_p_values_are_never_zero():
    assert numbers.p_value(1e-9) == "p < 0.001"
    assert numbers.p_value(0.0123) == "p = 0.012"
    assert numbers.p_value(None) == numbers.p_value(math.nan) == "p —"


def test_json_has_no_nan():
    value = {"a": np.float32(0.5), "b": [np.nan, np.inf, np.int64(3)], "c": np.array([1.0, np.nan]), "d": (True, None)}
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == {"a": 0.5, "b": [None, None, 3], "c": [1.0, None], "d": [True, None]}


def test_counts_and_plurals():
    assert numbers.count(45000) == f"45{NB}000"
    assert numbers.plural(1, "lens", "lenses") == "1 lens"
    assert numbers.plural(2, "lens", "lenses") == "2 lenses"
