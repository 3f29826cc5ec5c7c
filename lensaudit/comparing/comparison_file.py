"""``compare.json``: the comparison as data; and ``speed.json``, which another run writes otherwise.

================  ============================================================================================
block             holds
================  ============================================================================================
``schema``        version of this layout, an integer
``finders``       what each finder is: bands, input, parameters, bytes, threshold, what it was trained on
``sets``          one per set: ``set``, ``n``, ``rows`` (see `measures`), ``refused`` (``finder``, ``why``),
                  ``pairs`` and ``ranking`` (see `pairs`), ``explanations`` (see `explaining`), ``main_kind``
``probes``        verdicts, see `probing`; ``null`` where none was asked for
``options``       what the numbers depend on
``provenance``    lensaudit version, command line, seed, hashes of finders and sets, package versions
================  ============================================================================================

A number that is not defined is ``null`` and has a ``status`` beside it that says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_json
from lensaudit.report.numbers import jsonable

SCHEMA = 1
COMPARISON_NAME = "compare.json"
SPEED_NAME = "speed.json"
PAGE_NAME = "compare.html"
BLOCKS = ("schema", "finders", "sets", "probes", "options", "provenance")


def write_comparison(folder: Path, comparison: dict[str, Any], speed: list[dict[str, Any]] | None) -> None:
    """Write ``compare.json``, which the same command writes alike, and ``speed.json`` if speed was measured."""
    path = Path(folder) / SPEED_NAME
    path.unlink(missing_ok=True)  # of another run, perhaps of other finders
    if speed is not None:
        write_json(path, jsonable({"schema": SCHEMA, "finders": speed}))
    write_json(Path(folder) / COMPARISON_NAME, jsonable(comparison))


def read_comparison(folder: Path) -> dict[str, Any]:
    """The comparison in `folder`; ``speed`` is what ``speed.json`` says, an empty list without it.

    Raises
    ------
    UsageError
        The folder holds no ``compare.json``.
    DataError
        A file is not JSON, lacks a block, or has another schema.
    """
    path = Path(folder) / COMPARISON_NAME
    if not path.is_file():
        raise UsageError(f"{folder}: holds no {COMPARISON_NAME}; name a folder that lensaudit compare wrote")
    comparison = _read(path)
    missing = [block for block in BLOCKS if block not in comparison]
    if missing:
        raise DataError(f"{path}: block '{missing[0]}' is missing; run lensaudit compare again")
    speed = Path(folder) / SPEED_NAME
    comparison["speed"] = _read(speed)["finders"] if speed.is_file() else []
    return comparison


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = record["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no result of lensaudit compare ({error}); run it again") from error
    if found != SCHEMA:
        raise DataError(f"{path}: schema is {found}, this version reads {SCHEMA}; run lensaudit compare again")
    return record
