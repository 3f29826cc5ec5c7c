"""Scores from a file come into the order of the set, or are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lensaudit.errors import DataError
from lensaudit.evaluation import in_order_of
from lensaudit.finders import Scores


def scores(*ids: str) -> Scores:
    logit = np.array([float(name[1:]) for name in ids])
    return Scores(ids, 1 / (1 + np.exp(-logit)), logit, ("ok",) * len(ids))


def test_they_are_put_in_order():
    ordered = in_order_of(["a1", "a2", "a3"], scores("a3", "a1", "a2"), Path("s.parquet"))
    assert ordered.ids == ("a1", "a2", "a3")
    assert ordered.logit.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("a1", "a2", "a1"), r"1 ids are there more than once \(a1\)"),
        (("a1",), r"1 ids are missing \(a2\)"),
        (("a1", "a2", "a7", "a8", "a9", "a6"), r"4 ids do not belong to the set \(a7, a8, a9, …\)"),
    ],
)
def test_what_does_not_fit_is_named(given, words):
    with pytest.raises(DataError, match=rf"s\.parquet: {words}; write it with"):
        in_order_of(["a1", "a2"], scores(*given), Path("s.parquet"))
