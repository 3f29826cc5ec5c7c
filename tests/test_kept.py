"""Pieces that a later run takes up: whole, of the same key, and as earlier versions wrote them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from lensaudit.documents import keep_json
from lensaudit.finders import Scores, write_scores
from lensaudit.finders.scores_file import ScoresForm
from lensaudit.kept import ArraysForm, JsonForm, Piece, TableForm, TensorsForm, key_of
from lensaudit.tables import sealed_table

KEY, OTHER = (hashlib.sha256(word.encode()).hexdigest() for word in ("this", "that"))
NUMBERS = np.arange(5.0)
TABLE = pa.table({"n": NUMBERS, "word": list("abcde")})
SCORES = Scores(("a", "b"), np.array([0.5, 0.8175744761936437]), np.array([0.0, 1.5]), ("ok", "ok"))


def plain(value: Any) -> Any:
    """A value as something that can be compared."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, pa.Table):
        return value.to_pydict()
    return (value.ids, value.logit.tolist()) if isinstance(value, Scores) else value


def of_scores(key: str) -> ScoresForm:
    return ScoresForm({"key": key, "finder": "small"})


FORMS = {
    "json": (lambda key: JsonForm("said"), {"a": [1, 2.5]}),
    "json beside": (lambda key: JsonForm(key_name="identity"), {"a": [1, 2.5]}),
    "arrays": (lambda key: ArraysForm(), {"map": NUMBERS}),
    "checkpoint": (lambda key: ArraysForm("of", binary=True), {"map": NUMBERS}),
    "table": (lambda key: TableForm(compression="zstd"), TABLE),
    "tensors": (lambda key: TensorsForm(), {"p_lens": NUMBERS}),
    "scores": (of_scores, SCORES),
}


@pytest.mark.parametrize("kind", FORMS)
def test_what_was_written_is_taken_up_under_its_key_alone(tmp_path: Path, kind: str):
    form, value = FORMS[kind]
    path = tmp_path / ("piece.parquet" if kind == "scores" else "piece")
    made = []

    def make() -> Any:
        made.append(1)
        return value

    for _ in range(2):
        assert plain(Piece(path, form(KEY), KEY).or_made(make)) == plain(value)
    assert made == [1]
    assert Piece(path, form(OTHER), OTHER).load() is None
    whole = path.read_bytes()
    for torn in (whole[: len(whole) // 2], b"", b"\0" * 100):
        path.write_bytes(torn)
        assert Piece(path, form(KEY), KEY).load() is None
    assert plain(Piece(path, form(KEY), KEY).or_made(make)) == plain(value)
    assert len(made) == 2
    assert Piece(tmp_path, form(KEY), KEY).load() is None  # a folder


def test_pieces_of_earlier_versions_are_taken_up(tmp_path: Path):
    """Written here as the code did before there was one way for all."""
    keep_json(tmp_path / "json", {"key": KEY, "result": [1]})
    assert Piece(tmp_path / "json", JsonForm("result"), KEY).load() == [1]
    np.savez_compressed(tmp_path / "arrays.npz", map=NUMBERS, key=np.array(KEY))
    assert plain(Piece(tmp_path / "arrays.npz", ArraysForm(), KEY).load()) == {"map": NUMBERS.tolist()}
    np.savez(tmp_path / "state.npz", of=np.frombuffer(bytes.fromhex(KEY), np.uint8), step=np.array(3))
    assert plain(Piece(tmp_path / "state.npz", ArraysForm("of", binary=True), KEY).load()) == {"step": 3}
    keyed = TABLE.replace_schema_metadata({b"lensaudit-key": KEY.encode()})
    pq.write_table(sealed_table(keyed), tmp_path / "table")
    assert plain(Piece(tmp_path / "table", TableForm(), KEY).load()) == TABLE.to_pydict()
    pq.write_table(sealed_table(TABLE), tmp_path / "rows")
    assert plain(Piece(tmp_path / "rows", TableForm()).load()) == TABLE.to_pydict()
    save_file({"p_lens": NUMBERS}, tmp_path / "tensors")
    assert plain(Piece(tmp_path / "tensors", TensorsForm()).load()) == {"p_lens": NUMBERS.tolist()}
    write_scores(SCORES, tmp_path / "scores.parquet", {"key": KEY, "finder": "small"})
    assert plain(Piece(tmp_path / "scores.parquet", of_scores(KEY), KEY).load()) == plain(SCORES)


def test_rows_changed_by_hand_and_what_the_form_refuses_are_made_again(tmp_path: Path):
    def refuse(_: Any) -> Any:
        raise ValueError("other columns")

    piece = Piece(tmp_path / "table", TableForm[pa.Table](), KEY)
    piece.write(TABLE)
    assert Piece(tmp_path / "table", TableForm(decode=refuse), KEY).load() is None
    stored = pq.read_table(tmp_path / "table")
    pq.write_table(stored.set_column(0, "n", pa.array(NUMBERS + 1)), tmp_path / "table")
    assert piece.load() is None


def test_a_key_depends_on_the_facts_and_not_on_their_order():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
