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
``pixels``              units of the set's pixels and of the finder's numbers, fractions clipped; not in old audits
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
``digest``              SHA-256 of all other blocks: an audit that was changed by hand is refused
======================  ======================================================================================

A number that is not defined is ``null`` and has a ``status`` beside it that says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lensaudit.documents import SEAL, read_json, refuse_broken_seal, sealed, validated
from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_json
from lensaudit.report.numbers import jsonable
from lensaudit.untrusted import printable

SCHEMA = 3
AUDIT_NAME = "audit.json"
PAGE_NAME = "index.html"
ARRAYS = "arrays"

MEND = "build the audit again without --from"

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


class _Block(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Finder(_Block):
    name: str = Field(max_length=200)
    weights_hash: str | None = None


class _Verdict(_Block):
    headline: str


class _Groups(_Block):
    groups: list[dict[str, Any]]


class _Reason(_Block):
    what: str
    why: str


class _Audit(_Block):
    """The types of the blocks; what is inside them is held by the digest, and where there is none by the page."""

    finder: _Finder
    set: dict[str, Any]
    provenance: dict[str, Any]
    verdict: _Verdict
    findings: list[dict[str, Any]]
    performance: dict[str, Any]
    pixels: dict[str, Any] | None = None
    selection: dict[str, Any] | None
    selection_function: dict[str, Any] | None
    gallery: _Groups | None
    maps: dict[str, Any] | None
    judged: dict[str, Any] | None
    kernels: dict[str, Any] | None
    dreams: dict[str, Any] | None
    probes: dict[str, Any] | None
    certificate: dict[str, Any]
    limits: list[Any]
    not_measured: list[_Reason]


def write_audit(folder: Path, audit: dict[str, Any]) -> Path:
    """Write ``audit.json`` in `folder` with its digest, NaN as ``null``; returns its path."""
    path = Path(folder) / AUDIT_NAME
    write_json(path, sealed(jsonable(audit)))
    return path


def read_audit(folder: Path) -> dict[str, Any]:
    """Read and check the audit in `folder`.

    Raises
    ------
    UsageError
        The folder holds no ``audit.json``.
    DataError
        The file is not JSON, lacks a block, has another schema, or was changed after it was written.
    """
    path = Path(folder) / AUDIT_NAME
    if not path.is_file():
        raise UsageError(f"{folder}: holds no {AUDIT_NAME}; name a folder that `lensaudit report … --out` wrote")
    audit = read_json(path, MEND)
    if not isinstance(audit, dict) or audit.get("schema") != SCHEMA:
        found = audit.get("schema") if isinstance(audit, dict) else type(audit).__name__
        raise DataError(f"{path}: schema is {printable(found, 60)}, this version reads {SCHEMA}; {MEND}")
    refuse_broken_seal(audit, f"{path}", MEND)
    missing = [block for block in BLOCKS if block not in audit]
    if missing:
        raise DataError(f"{path}: block '{missing[0]}' is missing; {MEND}")
    validated(audit, _Audit, f"{path}", MEND)
    return {name: audit[name] for name in audit if name != SEAL}
