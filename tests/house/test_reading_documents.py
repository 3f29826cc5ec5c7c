"""JSON and YAML of other hands: what is refused before anything is built, in one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from lensaudit.documents import DEEPEST, LARGEST_TEXT, LARGEST_YAML, json_of, read_json, read_text, read_yaml
from lensaudit.errors import DataError, UsageError
from lensaudit.finders.recipe import Recipe


class Words(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    size: int = 1
    scale: float = 1.0
    names: tuple[str, ...] = ()


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{one}: &{one} [{', '.join(['*' + before] * 9)}]\n" for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "line 2: uses the alias *a; write out"),
        ("names: &n [a]\nsize: 1\n", "names"),  # an anchor alone is harmless, and read
        ("size: 1\nsize: 2\n", "line 2: size is there twice"),
        ("names: " + "[" * 100_000, "nested deeper than"),
        ("size: .nan\n", "size: Input should be a finite number (it is nan)"),
        ("scale: .inf\n", "scale: Input should be a finite number (it is inf)"),
        ("size: " + "9" * 5000, "is not readable as YAML"),
        ("sise: 1\n", "sise: Extra inputs are not permitted (it is 1)"),
        ("!!python/object/apply:os.system ['true']\n", "is not readable as YAML"),
        ("? [a]\n: b\n", "unhashable"),
        ("- 1\n", "Input should be a valid dictionary"),
        ("\x00", "is not readable as YAML"),
        ('"si\\ne\\e[31m": 1\n', r"si\ne\x1b[31m"),
    ],
)
def test_yaml_that_is_not_ours_is_refused_in_one_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    begin = time.perf_counter()
    if "&n" in text:
        assert read_yaml(path, Words).names == ("a",)
        return
    with pytest.raises(UsageError) as refused:
        read_yaml(path, Words)
    assert said in str(refused.value)
    assert str(refused.value).isprintable()
    assert str(refused.value).startswith(f"{path}: ")
    assert time.perf_counter() - begin < 5  # the bomb would take minutes; this machine may be busy


def test_size_is_known_before_reading(tmp_path: Path):
    (tmp_path / "big.yaml").write_bytes(b"#" * (LARGEST_YAML + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, said in (
        ("big.yaml", "at most 1.049"),
        ("pipe.yaml", "named pipe"),
        ("none.yaml", "no such file"),
    ):
        with pytest.raises(UsageError, match=said):
            read_yaml(tmp_path / name, Words)
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "none.json", "make it again")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"p": NaN}', "NaN is no number"),
        ('{"p": -Infinity}', "-Infinity is no number"),
        ('{"p": 1e999}', "1e999 is too large"),
        ('{"p": 1, "p": 2}', "p is there twice"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested deeper"),
        ("[" * 1_000_000, "nested deeper"),
        ('{"p": ' + "9" * 5000 + "}", "not readable"),
        ("<html>", "not readable"),
        ("", "not readable"),
    ],
)
def test_json_that_is_not_ours_is_refused_in_one_line(text: str, said: str):
    with pytest.raises(DataError) as refused:
        json_of(text, "x.json", "make it again")
    assert said in str(refused.value)
    assert str(refused.value).endswith("; make it again")
    assert str(refused.value).isprintable()


def test_brackets_in_strings_are_no_depth():
    words = {"a": "[" * 500 + '\\"', "b": [1.5, {}]}
    import json

    assert json_of(json.dumps(words), "x", "y") == words
    assert json_of('{"a": NaN}', "x", "y", nan=True)["a"] != 0


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("outputs", 10**9, "outputs: Input should be less than or equal to 10000 (it is 1000000000)"),
        ("size", 10**6, "size: Input should be less than or equal to 4096"),
        ("field_of_view_arcsec", 1e300, "field_of_view_arcsec: Input should be less than or equal to 36000"),
        (
            "architecture_options",
            {"embedding": 10**12},
            "architecture_options.embedding: 1000000000000 is not possible; its size is at most 1000000",
        ),
        ("name", "/somewhere/evil", "'/somewhere/evil' is not a name"),
        ("name", "../evil", "'../evil' is not a name"),
        ("bands", ["../VIS"], "'../VIS' is not a name"),
        ("bands", [f"b{k}" for k in range(65)], "at most 64 items"),
    ],
)
def test_absurd_recipes_are_refused_before_anything_is_built(tmp_path: Path, field: str, value: object, said: str):
    import yaml

    words = {"name": "x", "architecture": "cae-bgm", "bands": ["VIS"], "size": 100, "outputs": 1, "lens_index": 0}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(words | {field: value}))
    with pytest.raises(UsageError) as refused:
        read_yaml(tmp_path / "recipe.yaml", Recipe)
    assert said in str(refused.value)


def test_text_is_utf_8_small_and_a_file(tmp_path: Path):
    """Cards and histories of other hands; Latin-1 in a card was a traceback of ``models show``."""
    path = tmp_path / "card.md"
    path.write_bytes("\ufeff# θ_E\n".encode())
    assert read_text(path, "write it again") == "# θ_E\n"
    path.write_bytes("# café".encode("latin-1"))
    with pytest.raises(DataError, match=r"card\.md: is not text in UTF-8 \(byte 6\); write it again$"):
        read_text(path, "write it again")
    os.truncate(path, LARGEST_TEXT + 1)
    with pytest.raises(DataError, match="at most"):
        read_text(path, "write it again")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is a named pipe"):
        read_text(path, "write it again")
