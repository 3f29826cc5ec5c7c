"""Seeded damage and edits of a file, by kind of file: what a bad disk, an editor, another program or an enemy does.

A mutator takes a path and a generator, changes the file and returns in words what it did. `wrong` says that what it
writes can never be right, so that taking it without a word is a fault.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from campaigns.binary_mutators import edit_card, edit_pixels, edit_safetensors, edit_zip, store_compressed
from campaigns.damage import BYTES, Mutator, Rng, flip, rewrite
from hostile import EVERY

NASTY: tuple[Any, ...] = (
    None, True, "", -1, 0, 1, 2, 0.5, 5, -273.15, 1e-300, 1e300, 1e308, 10**30, -(10**30), 2**63, math.nan, math.inf,
    -math.inf, [], {}, [[]], "nan", "1e5", "é", "null", *EVERY.values(),
)  # fmt: skip


# --- JSON and YAML --------------------------------------------------------------------------------------------------


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of nested data."""
    found: list[tuple[Any, Any]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        found += [(value, key), *_places(inner)]
    return found


def _edit_tree(tree: Any, rng: Rng) -> str:
    places = _places(tree)
    if not places:
        return "nothing to edit"
    container, key = places[int(rng.integers(len(places)))]
    deed = str(rng.choice(["replace", "replace", "replace", "delete", "add", "rename", "double"]))
    where = f"{deed} {key!r}"
    if deed == "delete":
        del container[key]
    elif deed == "add" and isinstance(container, dict):
        container["unknown_key"] = 1
    elif deed == "rename" and isinstance(container, dict):
        container[f"{key}2"] = container.pop(key)
    elif deed == "double" and isinstance(container, list):
        container.append(container[key])
    else:
        value = NASTY[int(rng.integers(len(NASTY)))]
        where = f"replace {key!r} ({str(container[key])[:30]!r}) by {str(value)[:30]!r}"
        container[key] = value
    return where


def _edit_json(path: Path, rng: Rng) -> str:
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    number = int(rng.integers(len(lines)))
    tree = json.loads(lines[number])
    done = _unsealed(tree, rng) + _edit_tree(tree, rng)
    lines[number] = json.dumps(tree)
    rewrite(path, ("\n".join(lines) + "\n").encode())
    return done if len(lines) == 1 else f"line {number}: {done}"


def _unsealed(tree: Any, rng: Rng) -> str:
    """Often without the digests that notice any change: so wrote earlier versions, and so writes who wants to."""
    if not isinstance(tree, dict) or rng.random() < 0.3 or not {"digest", "checksums"} & tree.keys():
        return ""
    tree.pop("digest", None)
    tree.pop("checksums", None)
    return "no seal, "


def _edit_yaml(path: Path, rng: Rng) -> str:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    done = _edit_tree(tree, rng)
    words = re.sub(r"\\ud[89a-f][0-9a-f]{2}", "?", json.dumps(tree)) if rng.random() < 0.5 else None
    rewrite(path, (words or yaml.safe_dump(tree, allow_unicode=False)).encode("utf-8", "replace"))
    return done


def _text_lines(path: Path, rng: Rng) -> str:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
    deed = str(rng.choice(["shuffled", "one out", "one doubled", "CRLF", "BOM", "latin-1"]))
    number = int(rng.integers(max(len(lines), 1)))
    if deed == "shuffled":
        lines = [lines[i] for i in rng.permutation(len(lines))]
    elif deed == "one out":
        del lines[number : number + 1]
    elif deed == "one doubled":
        lines[number:number] = lines[number : number + 1]
    text = "".join(lines)
    if deed == "CRLF":
        text = text.replace("\n", "\r\n")
    data = text.encode("utf-8", "surrogateescape")
    if deed == "BOM":
        data = b"\xef\xbb\xbf" + data
    if deed == "latin-1":
        data = text.encode("latin-1", "replace") + "é".encode("latin-1")
    rewrite(path, data)
    return f"lines {deed}"


def _bomb(path: Path, rng: Rng) -> str:
    rows = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True):
        rows.append(f"{name}: &{name} [" + ", ".join([f"*{before}"] * 9) + "]")
    other = {
        "alias bomb": "\n".join(rows),
        "deep flow": "[" * 20_000 + "]" * 20_000,
        "deep map": "".join(f"{' ' * depth}a:\n" for depth in range(400)),
        "python tag": "!!python/object/apply:os.system ['touch evil']",
        "merge loop": "a: &a\n  <<: *a\n",
        "binary": "name: !!binary aGVsbG8=\n",
        "date": "name: 2020-01-01\n",
        "two documents": "a: 1\n---\nb: 2\n",
        "huge number": f"size: 1{'0' * 5000}\n",
        "sexagesimal": "size: 190:20:30\n",
    }
    name = str(rng.choice(list(other)))
    rewrite(path, other[name].encode())
    return name


JSON = (Mutator("edit", _edit_json), Mutator("lines", _text_lines), Mutator("bomb", _bomb, wrong=True))
YAML = (Mutator("edit", _edit_yaml), Mutator("lines", _text_lines), Mutator("bomb", _bomb, wrong=True))


# --- tables ---------------------------------------------------------------------------------------------------------


def _edit_parquet(path: Path, rng: Rng) -> str:
    table = pq.read_table(path)
    number = int(rng.integers(table.num_columns))
    name, column = table.column_names[number], table.column(number)
    deed = str(rng.choice(["drop", "rename", "twice", "cast", "value", "value", "shuffle", "rows", "metadata", "none"]))
    values = column.to_pylist()
    sealed = _without_digest(table, rng)
    unsealed, table = sealed is not table, sealed
    if deed == "drop":
        table = table.remove_column(number)
    elif deed == "rename":
        table = table.rename_columns([f"{one}2" if one == name else one for one in table.column_names])
    elif deed == "twice":
        table = table.append_column(name, column)
    elif deed == "cast":
        table = table.set_column(number, name, pa.array([str(value) for value in values]))
    elif deed == "shuffle":
        table = table.set_column(number, name, pa.array([values[i] for i in rng.permutation(len(values))], column.type))
    elif deed == "rows":
        table = table.take(pa.array(rng.integers(0, max(len(values), 1), int(rng.integers(0, len(values) + 3)))))
    elif deed == "metadata":
        words = {key: value[: len(value) // 2] for key, value in (table.schema.metadata or {}).items()}
        table = table.replace_schema_metadata(words if rng.random() < 0.5 else None)
    elif deed == "none":
        table = table.set_column(number, name, pa.nulls(len(values), column.type))
    else:
        deed = _one_value(values, rng)
        try:
            table = table.set_column(number, name, pa.array(values, column.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError):
            words = [str(value).encode("utf-8", "replace").decode() for value in values]
            table = table.set_column(number, name, pa.array(words))
    path.unlink()
    pq.write_table(table, path)
    return f"{'no seal, ' if unsealed else ''}column {name!r}: {deed}"


def _without_digest(table: pa.Table, rng: Rng) -> pa.Table:
    """Often without the digest in its metadata, see `_unsealed`."""
    words = dict(table.schema.metadata or {})
    if b"lensaudit" not in words or rng.random() < 0.3:
        return table
    known = json.loads(words[b"lensaudit"])
    kept = {key: value for key, value in known.items() if key not in ("digest", "rows", "sha256")}
    return table.replace_schema_metadata({**words, b"lensaudit": json.dumps(kept).encode()})


def _one_value(values: list[Any], rng: Rng) -> str:
    if not values:
        return "no values"
    value = NASTY[int(rng.integers(len(NASTY)))]
    values[int(rng.integers(len(values)))] = value
    return f"a value is {str(value)[:30]!r}"


def _edit_csv(path: Path, rng: Rng) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = [line.split(",") for line in lines]
    row, column = int(rng.integers(len(cells))), int(rng.integers(len(cells[0])))
    deed = str(rng.choice(["cell", "cell", "column out", "column twice", "separator", "quote", "rows", "empty line"]))
    if deed == "cell":
        value = str(NASTY[int(rng.integers(len(NASTY)))])
        cells[row][column : column + 1] = ['"' + value.replace('"', '""') + '"']
        deed = f"cell {row},{column} is {value[:30]!r}"
    elif deed == "column out":
        cells = [line[:column] + line[column + 1 :] for line in cells]
    elif deed == "column twice":
        cells = [[*line, line[column] if column < len(line) else ""] for line in cells]
    elif deed == "quote":
        cells[row][column] = '"' + cells[row][column]
    elif deed == "rows":
        cells = [cells[0], *(cells[1 + int(i)] for i in rng.integers(0, len(cells) - 1, len(cells)))]
    elif deed == "empty line":
        cells.insert(row, [""])
    separator = str(rng.choice([";", "\t", "|", " "])) if deed == "separator" else ","
    text = "\n".join(separator.join(line) for line in cells) + "\n"
    rewrite(path, text.encode("utf-8", "surrogateescape"))
    return deed


PARQUET = (Mutator("edit", _edit_parquet),)
CSV = (Mutator("edit", _edit_csv), Mutator("lines", _text_lines))


FITS = (Mutator("card", edit_card), Mutator("pixels", edit_pixels), Mutator("compressed", store_compressed))
SAFETENSORS = (Mutator("edit", edit_safetensors),)
ZIP = (Mutator("edit", edit_zip),)

BY_KIND: dict[str, tuple[Mutator, ...]] = {
    "bytes": (),
    "json": JSON,
    "yaml": YAML,
    "parquet": PARQUET,
    "csv": CSV,
    "fits": FITS,
    "safetensors": SAFETENSORS,
    "zip": ZIP,
}


def mutate(path: Path, kind: str, rng: Rng) -> tuple[str, bool]:
    """Change the file at `path`; returns what was done, and whether that can never be right."""
    own = BY_KIND[kind]
    mutators = own if own and rng.random() < 0.65 else BYTES
    mutator = mutators[int(rng.integers(len(mutators)))]
    try:
        return f"{mutator.name}: {mutator.change(path, rng)}", mutator.wrong
    except (ValueError, OSError, KeyError, TypeError, IndexError, zipfile.BadZipFile, pa.ArrowException) as error:
        return f"flip: {flip(path, rng)} ({mutator.name} does not apply: {type(error).__name__})", False
