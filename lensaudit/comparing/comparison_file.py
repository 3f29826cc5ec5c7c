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
``digest``        SHA-256 of all other blocks: a comparison that was changed by hand is refused
================  ============================================================================================

A number that is not defined is ``null`` and has a ``status`` beside it that says why.
"""

from __future__ import annotations

from os.path import lexists
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lensaudit.documents import SEAL, read_json, refuse_broken_seal, sealed, validated
from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_json
from lensaudit.report.numbers import jsonable
from lensaudit.untrusted import printable

SCHEMA = 1
COMPARISON_NAME = "compare.json"
SPEED_NAME = "speed.json"
PAGE_NAME = "compare.html"
MEND = "run lensaudit compare again"


class _Comparison(BaseModel):
    """The types of the blocks; what is inside them is held by the digest, and where there is none by the page."""

    model_config = ConfigDict(extra="allow", frozen=True)

    finders: list[dict[str, Any]]
    sets: list[dict[str, Any]]
    probes: dict[str, Any] | None
    options: dict[str, Any]
    provenance: dict[str, Any]


class _Speed(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    finders: list[dict[str, Any]]


def write_comparison(folder: Path, comparison: dict[str, Any], speed: list[dict[str, Any]] | None) -> None:
    """Write ``compare.json``, which the same command writes alike, and ``speed.json`` if speed was measured."""
    path = Path(folder) / SPEED_NAME
    path.unlink(missing_ok=True)  # of another run, perhaps of other finders
    if speed is not None:
        write_json(path, sealed(jsonable({"schema": SCHEMA, "finders": speed})))
    write_json(Path(folder) / COMPARISON_NAME, sealed(jsonable(comparison)))


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
    comparison = _read(path, _Comparison)
    speed = Path(folder) / SPEED_NAME
    comparison["speed"] = _read(speed, _Speed)["finders"] if lexists(speed) else []
    return comparison


def _read(path: Path, schema: type[BaseModel]) -> dict[str, Any]:
    record = read_json(path, MEND)
    found = record.get("schema") if isinstance(record, dict) else None
    if found != SCHEMA:
        raise DataError(f"{path}: schema is {printable(found, 60)}, this version reads {SCHEMA}; {MEND}")
    refuse_broken_seal(record, f"{path}", MEND)
    validated(record, schema, f"{path}", MEND)
    return {name: record[name] for name in record if name != SEAL}
