"""Graded candidates: means, spreads and intervals per grade, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from lens_sets import LABEL, write_set
from scipy import stats

from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.visual_inspection import by_grade, grades_of_column, grades_table, read_grades, rows_of
from lensaudit.finders import Finder, Recipe, initialised_module, load_finder, save_finder, score_set
from lensaudit.lensset import CatalogueColumn, LensSet


def test_mean_deviation_and_interval_of_each_grade():
    draws = np.random.default_rng(3)
    p = {"A": draws.beta(8, 2, 60), "B": draws.beta(3, 3, 40), "C": np.r_[draws.beta(2, 8, 30), np.nan]}
    named = [grade for grade, values in p.items() for _ in values]
    mixed = draws.permutation(len(named))
    found = by_grade([named[i] for i in mixed], np.concatenate(list(p.values()))[mixed])
    assert [one.grade for one in found] == ["A", "B", "C"]
    assert [(one.n, one.n_unscored) for one in found] == [(60, 0), (40, 0), (30, 1)]
    for one in found:
        values = p[one.grade][np.isfinite(p[one.grade])]
        assert one.mean == pytest.approx(np.mean(values))
        assert one.deviation == pytest.approx(np.std(values, ddof=1))
        rng = np.random.default_rng(0)
        other = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=rng).confidence_interval
        # the ends of 2000 resamples scatter by a few per cent of the interval's width
        assert (one.low, one.high) == pytest.approx(tuple(other), abs=0.1 * (other.high - other.low))


def test_a_lonely_candidate_has_neither_spread_nor_interval():
    (one, none) = by_grade(["A", "B"], [0.25, np.nan])
    assert (one.mean, one.n) == (0.25, 1)
    assert np.isnan([one.deviation, one.low, one.high, none.mean]).all()
    assert one.to_json()["deviation"] is None
    assert "| A | 1 | 0.2500 | — (no spread and no interval with fewer than two candidates) | — |" in grades_table(
        (one, none), "x"
    )
    assert "| B | 0 (1 could not be scored) | — |" in grades_table((one, none), "x")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id,mark\na,A\n", "no column grade or grades; the columns are id, mark"),
        ("", "is empty"),
        ("id,grade\na,A\nb,\n", "line 3: the grade of b is empty"),
        ("id,grade\na,A\nb\n", "line 3 has 1 cells, 2 are needed"),
        ("id,grade\n ,A\n", "line 2: the id is empty"),
        ("id,grade\na,A\na,B\n", "line 3: id a is there twice (also line 2)"),
        ("id,grade\n", "has no lines below its header"),
    ],
)
def test_a_wrong_file_is_one_line(text, line, tmp_path):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(DataError) as refused:
        read_grades(tmp_path / "g.csv")
    assert line in str(refused.value)
    assert str(tmp_path / "g.csv") in str(refused.value)


def test_a_file_is_read_whatever_else_is_in_it(tmp_path):
    (tmp_path / "g.csv").write_bytes("\ufeffgrade,ra,id\nA , 3,x\nB,4, y\n".encode())
    assert read_grades(tmp_path / "g.csv") == {"x": "A", "y": "B"}
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not text in UTF-8"):
        read_grades(tmp_path / "b.csv")
    with pytest.raises(UsageError, match="no such file"):
        read_grades(tmp_path / "none.csv")


def test_ids_of_another_set_are_named():
    assert rows_of({"c": "A", "a": "B"}, ["a", "b", "c"], "g.csv").tolist() == [0, 2]
    with pytest.raises(DataError, match=r"g.csv: 4 of 5 ids are not in the set \(w, x, y, …\)"):
        rows_of({"a": "A", "w": "A", "x": "A", "y": "A", "z": "A"}, ["a"], "g.csv")


def test_a_column_grades_what_it_has():
    ids = ["a", "b", "c"]
    assert grades_of_column(ids, np.array(["A", "", " B"], dtype=object), "g") == {"a": "A", "c": "B"}
    assert grades_of_column(ids, np.array([1.0, np.nan, 2.0]), "g") == {"a": "1.0", "c": "2.0"}
    with pytest.raises(DataError, match="column g of the catalogue grades nothing"):
        grades_of_column(ids, np.array(["", None, " "], dtype=object), "g")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve candidates, ten of them graded in the catalogue, and an untrained finder."""
    root = tmp_path_factory.mktemp("grades")
    grade = CatalogueColumn(name="grade", unit="", description="by people", dtype="str")
    images = np.random.default_rng(1).normal(size=(12, 24, 24)).astype(np.float32)
    table = {"label": [-1] * 12, "grade": [*"ABCABCABCA", "", ""]}
    write_set(root / "set", {"VIS": images}, {"VIS": 0.1}, table, columns=(LABEL, grade), ids="c{}", unit="adu")
    options = {"spatial_dropout": False}
    recipe = Recipe(name="x", architecture="lastro", bands=("VIS",), size=81, field_of_view_arcsec=2.4, outputs=1,
                    lens_index=0, architecture_options=options)  # fmt: skip
    module = initialised_module(recipe, torch.Generator().manual_seed(1))
    save_finder(Finder(recipe, module, "test"), root / "finder", origin="a test")
    return root


@pytest.fixture
def run(folder, cli):
    return lambda *words: cli("grades", folder / "finder", folder / "set", "--device", "cpu", *words)


def test_the_command_says_the_same_from_a_file_and_a_column(run, folder, tmp_path):
    (tmp_path / "g.csv").write_text("id,grade\n" + "".join(f"c{i},{'ABC'[i % 3]}\n" for i in reversed(range(10))))
    results = []
    for name, words in (("file", ("--grades", tmp_path / "g.csv")), ("column", ("--column", "grade"))):
        ran = run(*words, "--out", tmp_path / name)
        assert ran.exit_code == 0, ran.output
        results.append(json.loads((tmp_path / name / "grades.json").read_text())["grades"])
        assert (tmp_path / name / "grades.png").stat().st_size > 5_000
    assert results[0] == results[1]
    p = score_set(load_finder(str(folder / "finder")), LensSet.open(folder / "set")).p_lens[:10]
    for number, row in enumerate(results[0]):
        assert row["n"] == (4, 3, 3)[number]
        assert row["mean"] == pytest.approx(p[number::3].mean(), abs=1e-6)  # float32, other neighbours


def test_the_command_asks_for_one_source_of_grades(run, folder, tmp_path):
    for words in ((), ("--grades", "g.csv", "--column", "grade")):
        with pytest.raises(UsageError, match="either --grades FILE or --column NAME"):
            run(*words, "--out", tmp_path)
    with pytest.raises(DataError, match="marks"):
        run("--column", "marks", "--out", tmp_path)
