"""What is finished of a judgement, on disk: one file per explainer and kind, so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit import __version__
from lensaudit.documents import keep_json, kept_json
from lensaudit.explain.judging.image_scores import ImageScore
from lensaudit.explain.judging.randomisation import RandomisationResult, RandomisedStep
from lensaudit.files import replacing
from lensaudit.tables import kept_table, sealed_table
from lensaudit.untrusted import file_stem

FOLDER = "parts"
_KEY = b"lensaudit-key"

SCHEMA = pa.schema(
    [
        pa.field("system", pa.string(), metadata={"description": "name of the image in its set"}),
        pa.field("score", pa.string(), metadata={"description": "which score"}),
        pa.field("value", pa.float64(), metadata={"description": "NaN where there is none"}),
        pa.field("chance", pa.float64(), metadata={"description": "by area, where chance is known for the image"}),
        pa.field("status", pa.string(), metadata={"description": "why there is no value; empty if there is one"}),
    ]
)


def key_of(facts: Mapping[str, Any]) -> str:
    """SHA-256 of all that a part depends on, and of the version."""
    words = json.dumps({**facts, "lensaudit": __version__}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(words.encode()).hexdigest()


def scores_path(out: Path, explainer: str, kind: str) -> Path:
    """Where an explainer's scores on the images of one kind lie."""
    return out / FOLDER / f"{file_stem(explainer)}--{file_stem(kind)}.parquet"


def check_path(out: Path, method: str) -> Path:
    """Where a method's randomisation check lies."""
    return out / FOLDER / f"{file_stem(method)}--randomisation.json"


def write_scores_part(path: Path, scores: Sequence[ImageScore], key: str) -> None:
    """Write scores, whole or not at all."""
    columns = {field.name: [getattr(one, field.name) for one in scores] for field in fields(ImageScore)}
    table = sealed_table(pa.table(columns, schema=SCHEMA.with_metadata({_KEY: key.encode()})))
    with replacing(path) as partial:
        pq.write_table(table, partial)


def read_scores_part(path: Path, key: str) -> tuple[ImageScore, ...] | None:
    """The scores; None where there are none, they are torn, or of something else."""
    table = kept_table(path)
    if table is None or (table.schema.metadata or {}).get(_KEY) != key.encode():
        return None
    try:
        return tuple(ImageScore(**row) for row in table.to_pylist())
    except (pa.ArrowException, TypeError, ValueError):
        return None


def write_check_part(path: Path, result: RandomisationResult, key: str) -> None:
    """Write a randomisation check, whole or not at all."""
    keep_json(path, {"key": key, "result": without_nan(asdict(result))})


def read_check_part(path: Path, key: str) -> RandomisationResult | None:
    """The check; None where there is none, it is torn, or of something else."""
    try:
        record = kept_json(path)
        return check_of(record["result"]) if record.get("key") == key else None
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def check_of(record: Mapping[str, Any]) -> RandomisationResult:
    """A randomisation check from its JSON; null becomes NaN."""
    words = {field.name: record[field.name] for field in fields(RandomisationResult)}
    steps = tuple(RandomisedStep(**with_nan(step)) for step in record["steps"])
    return RandomisationResult(**{**with_nan(words), "steps": steps})


def with_nan(record: Mapping[str, Any]) -> dict[str, Any]:
    """`record` with NaN for null, the way back of `without_nan`."""
    return {key: float("nan") if value is None else value for key, value in record.items()}


def without_nan(value: Any) -> Any:
    """`value` with NaN and infinities as None, and tuples as lists, as JSON wants it."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
