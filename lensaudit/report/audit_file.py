"""``audit.json``: the audit as data. Its blocks, and reading and writing them.

======================  ======================================================================================
block                   holds
======================  ======================================================================================
``schema``              version of this layout, an integer
``finder``              name, hash of the weights, recipe (bands, size, stretch, threshold), training history
``set``                 name, content hash, instrument, number of lenses and non-lenses, seed, how it was made
``provenance``          lensaudit version, command line, seed, hashes of inputs, package versions
``verdict``             headline and sentences that open the page
``findings``            ranked list, see :mod:`lensaudit.report.findings`
``performance``         metrics (each with n, interval, method), ROC curve and band, score histogram, confusion
``selection``           recall along θ_E, arc S/N, source magnitude, colour; rates by kind; ``null`` without labels
``selection_function``  recall over two properties, medians, drivers; ``null`` without truth
``gallery``             groups of entries; each entry names the ``.npz`` under ``arrays/`` that holds its pixels
``maps``                a few systems explained by every method, each map scored against the truth; ``null`` if left out
``judged``              scores of the explanations by kind of lens, and their randomisation check; ``null`` if left out
``kernels``             what the kernels answer to; ``null`` if left out
``dreams``              class images and Deep Dreams; ``null`` if left out
``probes``              all probes, ranked, each in full; ``null`` where none was run
``certificate``         how the audit itself did on finders with planted biases, or the command that measures it
``limits``              sentences: what these numbers rest on
``not_measured``        list of ``{"what", "why"}``
======================  ======================================================================================

A number that is not defined is ``null`` and has a ``status`` beside it that says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_json
from lensaudit.report.numbers import jsonable

SCHEMA = 3
AUDIT_NAME = "audit.json"
PAGE_NAME = "index.html"
ARRAYS = "arrays"

BLOCKS = (
    "schema",
    "finder",
    "set",
    "provenance",
    "verdict",
    "findings",
    "performance",
    "selection",
    "selection_function",
    "gallery",
    "maps",
    "judged",
    "kernels",
    "dreams",
    "probes",
    "certificate",
    "limits",
    "not_measured",
)


def write_audit(folder: Path, audit: dict[str, Any]) -> Path:
    """Write ``audit.json`` in `folder`, NaN as ``null``; returns its path."""
    path = Path(folder) / AUDIT_NAME
    write_json(path, jsonable(audit))
    return path


def read_audit(folder: Path) -> dict[str, Any]:
    """Read and check the audit in `folder`.

    Raises
    ------
    UsageError
        The folder holds no ``audit.json``.
    DataError
        The file is not JSON, lacks a block, or has another schema.
    """
    path = Path(folder) / AUDIT_NAME
    if not path.is_file():
        raise UsageError(f"{folder}: holds no {AUDIT_NAME}; name a folder that `lensaudit report … --out` wrote")
    try:
        audit = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: is not JSON ({error}); build the audit again without --from") from error
    if not isinstance(audit, dict) or audit.get("schema") != SCHEMA:
        found = audit.get("schema") if isinstance(audit, dict) else type(audit).__name__
        raise DataError(f"{path}: schema is {found}, this version reads {SCHEMA}; build the audit again")
    missing = [block for block in BLOCKS if block not in audit]
    if missing:
        raise DataError(f"{path}: block '{missing[0]}' is missing; build the audit again without --from")
    return audit
