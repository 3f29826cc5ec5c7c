"""Labels and columns of a user's catalogue: which column is read, what a cell may say, what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lensaudit.errors import DataError
from lensaudit.lensset import LensSet
from lensaudit.lensset.ingest import ingest, parse_band, plan_fits
from lensaudit.lensset.ingest.external import external_rows

from fits_files import noise, sky_header, write_plane  # isort: skip - beside this file


def rows(tmp_path: Path, text: str, names=("s1", "s2", "s3"), label="unknown"):
    (tmp_path / "c.csv").write_text(text)
    return external_rows(names, label, tmp_path / "c.csv")


def labels(found) -> list[int]:
    return found.values["label"].tolist()


@pytest.mark.parametrize("name", ["label", "Label", "LABELS", "is_lens", "IsLens", "lens", "class", "target", "truth"])
def test_a_column_of_labels_is_read_by_its_usual_names_and_said(tmp_path: Path, name: str):
    found = rows(tmp_path, f"id,{name}\ns1,1\ns2,0\ns3,-1\n")
    assert labels(found) == [1, 0, -1]
    assert any(
        f"labels are read from column {name} of c.csv: 1 lenses, 1 non-lenses, 1 unknown" in n for n in found.notes
    )
    assert [column.name for column in found.columns] == ["label"]


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("1.0", 1),
        ("TRUE", 1),
        ("Lens", 1),
        ("yes", 1),
        ("0.0", 0),
        ("non-lens", 0),
        ("No lens", 0),
        ("unknown", -1),
        ("", 1),  # takes --label
    ],
)
def test_clear_words_are_labels(tmp_path: Path, cell: str, label: int):
    assert labels(rows(tmp_path, f"id,label\ns1,{cell}\ns2,0\ns3,0\n", label="lens"))[0] == label


@pytest.mark.parametrize("cell", ["2", ".5", "0.5", "None", "nan", "-0.5", "-2", "lens?", "1e0", "inf", "- 1"])
def test_anything_else_is_refused_with_its_line(tmp_path: Path, cell: str):
    with pytest.raises(DataError, match=r"line 3: is_lens is '.*'; allowed: 1, true or lens"):
        rows(tmp_path, f"id,is_lens\ns1,1\ns2,{cell}\n")


def test_a_column_that_may_be_something_else_is_carried_along_and_said(tmp_path: Path):
    found = rows(tmp_path, "id,lens,z_lens\ns1,SDSSJ0946,0.2\ns2,,0.3\ns3,HE0435,0.4\n")
    assert labels(found) == [-1, -1, -1]
    assert found.values["lens"] == ["SDSSJ0946", "", "HE0435"]
    assert "column lens is kept as a column, not read as labels (it holds 'SDSSJ0946')" in found.notes


def test_two_columns_of_labels(tmp_path: Path):
    assert labels(rows(tmp_path, "id,is_lens,label\ns1,1,lens\ns2,0,0\ns3,,1\n")) == [1, 0, 1]
    with pytest.raises(DataError, match="line 3: label is 1, is_lens is 0; correct one of them"):
        rows(tmp_path, "id,label,is_lens\ns1,1,1\ns2,1,0\n")
    with pytest.raises(DataError, match="column label is there twice; keep one of them"):
        rows(tmp_path, "id,label,label\ns1,1,0\n")


def test_ids_as_floats_match_negative_ones_too(tmp_path: Path):
    found = rows(tmp_path, "id,label\n-12.0,1\n1.2345e4,1\n7,0\n", names=("-12", "12345", "007"))
    assert labels(found) == [1, 1, 0]
    assert not any("have no image" in note for note in found.notes)


def test_words_are_carried_along_and_large_ids_keep_their_digits(tmp_path: Path):
    found = rows(tmp_path, "id,note,gaia,mag\ns1,ring,5853498713160606721,20.5\ns2,arc,1,x\ns3,,2,21\n")
    kinds = {column.name: column.dtype for column in found.columns}
    assert kinds == {"label": "int8", "note": "str", "gaia": "str", "mag": "str"}
    assert found.values["gaia"][0] == "5853498713160606721"
    assert any(
        "column mag is kept as text: 1 of its cells are no numbers (line 3: 'x')" in note for note in found.notes
    )
    with pytest.raises(DataError, match="line 2: column theta_e_arcsec: 'large' is not a number"):
        rows(tmp_path, "id,theta_e_arcsec\ns1,large\n")


def test_a_set_with_columns_of_our_own_names_can_be_read(tmp_path: Path):
    """Two columns of one name made a Parquet that nobody could open."""
    write_plane(tmp_path / "s1.fits", noise(1), sky_header())
    (tmp_path / "c.csv").write_text("id,Label,n_nan_VIS,n_masked_VIS,note\ns1,lens,3,4,ring\n")
    plan = plan_fits(tmp_path, [parse_band("VIS=*.fits[0]")], catalogue=tmp_path / "c.csv")
    ingest(plan, tmp_path / "out")
    opened = LensSet.open(tmp_path / "out")
    assert opened.columns == ("id", "label", "catalogue_n_nan_VIS", "catalogue_n_masked_VIS", "note", "n_nan_VIS")
    assert opened.column("catalogue_n_nan_VIS").tolist() == [3]
    assert opened.column("note").tolist() == ["ring"]
    assert opened.labels.tolist() == [1]
    assert np.array_equal(opened.column("n_nan_VIS"), [0])
    opened.verify()
