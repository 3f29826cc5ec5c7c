"""Score files that were edited, or written by another program: what is no probability is never measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from lensaudit.errors import DataError
from lensaudit.finders import read_scores, write_scores
from lensaudit.finders.score import Scores

IDS = ("s1", "s2", "12345")
LOGIT = np.array([-2.0, 3.0, 0.25])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write_scores(Scores(IDS, expit(LOGIT), LOGIT, ("ok",) * 3), tmp_path / "s.parquet", {"finder": "f"})
    return tmp_path / "s.parquet"


def rewrite(path: Path, metadata: bool = False, **columns: object) -> None:
    """Replace columns; another program also loses our metadata."""
    table = pq.read_table(path)
    for name, values in columns.items():
        column = pa.array(values)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table if metadata else table.replace_schema_metadata(None), path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"p_lens": [0.1, 5.0, 0.2]}, r"row 2: column p_lens is 5, 1 of 3 lie outside \[0, 1\]"),
        ({"p_lens": LOGIT}, r"row 1: column p_lens is -2, 2 of 3 lie outside \[0, 1\]; p is a probability \(log-o"),
        ({"p_lens": [0.1, np.inf, 0.2]}, "row 2: column p_lens is inf"),
        ({"p_lens": [0.1, np.nan, 0.2]}, "row 2: column p_lens is empty or NaN, and no status says why"),
        ({"p_lens": [0.1, None, 0.2]}, "row 2: column p_lens is empty or NaN, and no status says why"),
        ({"p_lens": ["a", "b", "c"]}, "row 1: column p_lens: 'a' is not a number"),
        ({"p_lens": expit(LOGIT)[::-1]}, r"row 1: logit -2 is not that of p = 0.562177 \(2 of 3 rows\)"),
        ({"logit": [np.nan, 3.0, 0.25]}, "row 1: logit nan is not that of p"),
        ({"id": ["s1", "s1", "s3"]}, r"row 2: id s1 is there twice \(also row 1\)"),
        ({"id": ["s1", "", "s3"]}, "row 2: the id is empty"),
    ],
)
def test_what_is_no_score_is_one_line(stored: Path, columns: dict, said: str):
    rewrite(stored, **columns)
    with pytest.raises(DataError, match=said):
        read_scores(stored)


def test_scores_that_fit_each_other_are_still_not_those_that_were_written(stored: Path):
    rewrite(stored, metadata=True, logit=LOGIT[::-1], p_lens=expit(LOGIT)[::-1])
    with pytest.raises(DataError, match="was changed after it was written"):
        read_scores(stored)


@pytest.mark.parametrize("name", ["p", "P_lens", "p(lens)"])
def test_a_table_of_probabilities_will_do(tmp_path: Path, name: str):
    (tmp_path / "s.csv").write_text(f"id;{name};note\ns1;0;x\ns2;1;y\n12345.0;0.25;\n")
    scores, record = read_scores(tmp_path / "s.csv", IDS)
    assert scores.ids == IDS
    assert not record
    assert scores.p_lens.tolist() == [0, 1, 0.25]
    assert scores.logit[0] == -scores.logit[1] < -36  # as far out as double precision goes, and finite
    assert scores.logit[2] == pytest.approx(np.log(1 / 3), rel=1e-12)  # rounding of one logarithm
