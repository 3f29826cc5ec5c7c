"""A result of other inputs is not replaced unasked; one that is torn, or of the same, is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lensaudit.errors import UsageError
from lensaudit.provenance import refuse_other

INPUTS = {"finder": "a" * 64, "set": "b" * 64}


def result(path: Path, inputs: object) -> Path:
    path.write_text(json.dumps({"provenance": {"inputs": inputs}, "seed": 3}), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["finder", "set"])
def test_other_inputs_are_refused_by_name(tmp_path, name):
    path = result(tmp_path / "audit.json", INPUTS | {name: "c" * 64})
    with pytest.raises(UsageError) as caught:
        refuse_other(path, INPUTS, "audit")
    mine = INPUTS[name][:12]
    assert str(caught.value) == (
        f"{path}: is the audit of another {name} (cccccccccccc, this one is {mine}); choose another --out, or remove "
        f"that file"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"provenance": 3}',
        '{"provenance": {"inputs": [1]}}',
        '{"provenance": {"inputs": {}}}',
        "[" * 9000,
    ],
    ids=range(9),
)
def test_what_tells_nothing_is_replaced(tmp_path, text):
    (tmp_path / "audit.json").write_text(text)
    refuse_other(tmp_path / "audit.json", INPUTS, "audit")


def test_the_same_inputs_and_none_at_all_are_taken(tmp_path):
    refuse_other(tmp_path / "nothing.json", INPUTS, "audit")
    refuse_other(result(tmp_path / "audit.json", INPUTS | {"kernel": "d"}), INPUTS, "audit")
