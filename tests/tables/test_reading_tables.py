"""One reader for every table a user hands over: forms, damage, ids. The same content in each form reads alike."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table as AstropyTable

from lensaudit.errors import DataError, UsageError
from lensaudit.tables import read_table, same_id

PLAIN = "id,label,z\na,1,0.5\nb,0,\n"
TEXTS = {
    "commas": PLAIN.encode(),
    "byte order mark and CRLF": ("\ufeff" + PLAIN.replace("\n", "\r\n")).encode(),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "carriage returns": PLAIN.replace("\n", "\r").encode(),
    "utf-16 of a spreadsheet": PLAIN.encode("utf-16"),
    "comments, blank lines, an index column": b"# made by us\n\n,id,label,z\n0,a,1,0.5\n\n# half way\n1,b,0,\n",
    "a newline in a cell": b'id,label,z,note\na,1,0.5,"two\nlines"\nb,0,,x\n',
    "quotes": b'"id","label","z"\n"a","1","0.5"\n"b","0",""\n',
    "blanks": b"  id   label  z\n a     1     0.5\n b     0     nan\n",
    "names in a comment": b"# written by TOPCAT\n# id label z\na 1 0.5\nb 0 --\n",
    "separators at the end": b"id,label,z,\na,1,0.5,\nb,0,,\n",
    "gzip": gzip.compress(PLAIN.encode()),
    "other case": PLAIN.replace("id,label,z", "ID,Label,Z").encode(),
}


@pytest.mark.parametrize("form", TEXTS)
def test_text_of_every_form_reads_alike(tmp_path: Path, form: str):
    (tmp_path / "t.csv").write_bytes(TEXTS[form])
    table = read_table(tmp_path / "t.csv")
    assert table.ids(table.need("id")) == ["a", "b"]
    assert table.need("label").text == ["1", "0"]
    np.testing.assert_array_equal(table.numbers(table.need("z")), [0.5, np.nan])


@pytest.mark.parametrize(
    ("form", "suffix"), [("fits", ".fits"), ("votable", ".vot"), ("ascii.ecsv", ".ecsv"), ("parquet", ".parquet")]
)
@pytest.mark.parametrize("told", ["", ".csv"])
def test_formats_are_told_by_their_first_bytes(tmp_path: Path, form: str, suffix: str, told: str):
    table = AstropyTable(
        {"ID": np.array([12345, -7]), "ok": [True, False], "name": ["αβ" if form != "fits" else "ab", ""]}
    )
    table["z"] = np.ma.MaskedArray([1.5, 2.5], [False, True])
    table["z"].unit = "arcsec"
    if form != "parquet":
        table["spectrum"] = np.zeros((2, 3))
    path = tmp_path / f"t{told or suffix}"
    if form == "parquet":  # astropy's writer leaves out what is masked
        columns = {name: table[name].tolist() for name in table.colnames}
        pq.write_table(pa.table(columns), path)
    else:
        table.write(path, format=form)
    found = read_table(path)
    assert found.ids(found.need("id"), ["12345", "-7"]) == ["12345", "-7"]
    np.testing.assert_array_equal(found.numbers(found.need("z")), [1.5, np.nan])
    np.testing.assert_array_equal(found.numbers(found.need("ok")), [1, 0])
    assert found.need("name").text == ["αβ" if form != "fits" else "ab", ""]
    assert form == "parquet" or found.need("z").unit == "arcsec"
    assert form in ("parquet", "ascii.ecsv") or found.left_out == ("spectrum",)


REFUSED = {
    "a cell of 200 000 characters": (b"id,z\na," + b"x" * 200_000 + b"\n", "line 2: a cell has more than 131072"),
    "an open quote": (b'id,z\na,"1\nb,2\n', "line 2: unexpected end of data; correct the quotes"),
    "a row too long": (b"id,z\na,1,2\n", r"line 2 has 3 cells, 2 are needed \(id, z\)"),
    "a row too short": (b'id,z\n"a\nb",1\nc\n', "line 4 has 1 cells"),
    "latin-1": (b"id,z\nL\xe9ns,1\n", "line 2: is not text in UTF-8"),
    "a page": (b"<!DOCTYPE html><html></html>", "is an HTML page, not a table"),
    "nothing": (b"", r"is empty \(0 bytes\)"),
    "names alone": (b"id,z\n", "has no lines below its header"),
    "comments alone": (b"# id,z\n", "is empty"),
    "JSON": (b'[{"id": 1}]', "is a JSON file, not a table"),
    "a torn Parquet": (b"PAR1" + b"\0" * 100, "cannot be read as Parquet"),
    "a torn FITS": (b"SIMPLE  =                    T" + b" " * 2850, "cannot be read as FITS"),
    "a torn VOTable": (b'<?xml version="1.0"?><VOTABLE><RESOURCE><TABLE>', "cannot be read as VOTable"),
    "rows elsewhere": (
        b'<?xml version="1.0"?><VOTABLE><STREAM encoding="base64" href="file:///etc/passwd"/></VOTABLE>',
        "keeps its rows in another place",
    ),
    "a torn gzip": (gzip.compress(b"id,z\na,1\n" * 1000)[:40], "ends early"),
    "aliases in ECSV": (b"# %ECSV 1.0\n# ---\n# meta: {a: &a [1], b: *a}\nid z\na 1\n", r"uses the alias \*a"),
}


@pytest.mark.parametrize("harm", REFUSED)
def test_what_is_no_table_is_one_line(tmp_path: Path, harm: str):
    data, said = REFUSED[harm]
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(DataError, match=said) as refused:
        read_table(tmp_path / "t.csv")
    assert str(refused.value).isprintable()


def test_text_in_a_fits_table_is_utf_8(tmp_path: Path):
    """A flipped bit in a column of text was a traceback of astropy's own decoding."""
    AstropyTable({"id": ["a1", "b2"], "z": [1.5, 2.5]}).write(tmp_path / "t.fits")
    data = (tmp_path / "t.fits").read_bytes()
    (tmp_path / "t.fits").write_bytes(data.replace(b"b2", b"\xe92"))
    with pytest.raises(DataError, match="column id: a cell is not text in UTF-8"):
        read_table(tmp_path / "t.fits")


def test_a_bomb_is_not_unpacked(tmp_path: Path):
    rows = 200_000
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 100_000]))
    pq.write_table(pa.table({"id": column}), tmp_path / "t.parquet")  # some kB that stand for 20 GB
    begin = time.perf_counter()
    with pytest.raises(DataError, match="100000 characters"):
        read_table(tmp_path / "t.parquet")
    assert time.perf_counter() - begin < 5
    with pytest.raises(UsageError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_columns_are_found_whatever_their_case_and_never_twice(tmp_path: Path):
    (tmp_path / "t.csv").write_text("id,Label,label,x\na,1,0,1_0\nb,1,1,2\n")
    table = read_table(tmp_path / "t.csv")
    with pytest.raises(DataError, match="column Label and label is there twice; keep one of them"):
        table.find("label")
    with pytest.raises(DataError, match="no column grade; the columns are id, Label, label, x"):
        table.need("grade")
    with pytest.raises(DataError, match="line 2: column x: '1_0' is not a number"):
        table.numbers(table.need("x"))


def test_a_parquet_column_that_is_there_twice_is_said(tmp_path: Path):
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], ["id", "z", "z"]), tmp_path / "t"
    )
    with pytest.raises(DataError, match="column z is there twice; keep one of them"):
        read_table(tmp_path / "t")


@pytest.mark.parametrize(
    ("written", "known", "meant"),
    [
        ("12345.0", ["12345"], "12345"),
        ("1.2345e4", ["12345"], "12345"),
        ("1.2345E+04", ["12345"], "12345"),
        ("-7.0", ["-7"], "-7"),
        ("7", ["007"], "007"),
        ("007.0", ["7"], "7"),
        ("007", ["007", "7"], "007"),
        ("7.0", ["007", "07"], "7"),  # either of them: not guessed
        ("12e4567", ["12e4567"], "12e4567"),
        ("12e4567", ["120"], "12e4567"),
        ("1.5", ["1", "2"], "1.5"),
        (" a b ", ["a b"], "a b"),
        ("5853498713160606720.0", ["5853498713160606720"], "5853498713160606720"),  # digits float64 does not keep
    ],
)
def test_ids_that_mean_the_same(written: str, known: list[str], meant: str):
    assert same_id(known)(written) == meant


def test_an_id_twice_in_two_spellings_is_seen(tmp_path: Path):
    (tmp_path / "t.csv").write_text("id\n12\n12.0\n")
    table = read_table(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"line 3: id 12 is there twice \(also line 2\)"):
        table.ids(table.need("id"), ["12"])
