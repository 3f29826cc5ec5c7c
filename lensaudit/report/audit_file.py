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
``embedding``           what the last layer knows; ``null`` if left out
``realism``             how far simulated cutouts stand from real ones; ``null`` if none were given
``known``               recall of known lenses and graded candidates, a check; empty without any
``certificate``         how the audit itself did on finders with planted biases, or the command that measures it
``limits``              sentences: what these numbers rest on
``not_measured``        list of ``{"what", "why"}``
``digest``              SHA-256 of all other blocks: an audit that was changed by hand is refused
======================  ======================================================================================

A number that is not defined is ``null`` and has a ``status`` beside it that says why.
"""

from __future__ import annotations

import csv
import io
from os.path import lexists
from pathlib import Path

from lensaudit.documents import keep_json, read_json, read_text, refuse_broken_seal
from lensaudit.errors import DataError, NoSuchFile, UsageError
from lensaudit.files import builtin_folder
from lensaudit.report.chapters import Certificate, Planted
from lensaudit.report.schema import BLOCKS, Audit
from lensaudit.untrusted import printable

SCHEMA = 3
AUDIT_NAME = "audit.json"
PAGE_NAME = "index.html"
ARRAYS = "arrays"

FIX = "build the audit again without --from"


def write_audit(folder: Path, audit: Audit) -> Path:
    """Write ``audit.json`` in `folder` with its digest, NaN as ``null``; returns its path."""
    path = Path(folder) / AUDIT_NAME
    keep_json(path, Audit.from_json(audit.to_json(), f"{path}", FIX).to_json())  # what is written can be read
    return path


def _refuse_other_audit(path: Path, found: object) -> None:
    from lensaudit.probes.audit import FORMAT, PAGE_FILE  # scenes and sets come with it, which no page needs

    if found == FORMAT:
        raise DataError(f"{path}: is of lensaudit probe all, whose page is {PAGE_FILE} beside it; {FIX}")


def read_audit(folder: Path) -> Audit:
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
        raise NoSuchFile(f"{folder}: holds no {AUDIT_NAME}; name a folder that `lensaudit report … --out` wrote")
    words = read_json(path, FIX)
    if isinstance(words, dict) and "format" in words:
        _refuse_other_audit(path, words["format"])
    if not isinstance(words, dict) or words.get("schema") != SCHEMA:
        found = words.get("schema") if isinstance(words, dict) else type(words).__name__
        raise DataError(f"{path}: schema is {printable(found, 60)}, this version reads {SCHEMA}; {FIX}")
    refuse_broken_seal(words, f"{path}", FIX)
    if missing := [block for block in BLOCKS if block not in words]:
        raise DataError(f"{path}: block '{missing[0]}' is missing; {FIX}")
    return Audit.from_json(words, f"{path}", FIX)


COMMAND = "lensaudit planted-bias"
PLACE = Path("planted-bias") / "planted.json"


def certificate_block(path: Path | None = None) -> Certificate:
    """The figures of the planted-bias bench, or the command that measures them.

    Parameters
    ----------
    path
        A ``planted.json``; None takes the one that came with lensaudit (``reports/planted-bias``), if any.

    Raises
    ------
    UsageError
        `path` does not exist.
    DataError
        The file is not JSON or lacks a field.
    """
    if path is not None and not Path(path).is_file():
        raise NoSuchFile(f"--certificate {path}: no such file; `{COMMAND}` writes one")
    found = _shipped() if path is None else Path(path)
    if found is None:
        return Certificate(COMMAND, measured=False)
    fix = f"make it again with `{COMMAND}`"
    return Planted.from_json(read_json(found, fix), f"{found}", fix).certificate


def _shipped() -> Path | None:
    try:
        path = builtin_folder("reports") / PLACE
    except UsageError:  # a wheel without reports
        return None
    return path if path.is_file() else None


HISTORY_NAME = "history.csv"


def read_history(folder: Path) -> list[dict[str, float]] | None:
    """Rows of ``history.csv`` with numbers by column, ``None`` where the finder has no such file.

    A cell that is no number is left out of its row, so that one odd line hides no other.

    Raises
    ------
    DataError
        The file is no regular file, no text, or has a cell of more than 131 072 characters.
    """
    path = Path(folder) / HISTORY_NAME
    if not lexists(path):
        return None
    fix = "restore it, train again, or remove it"
    try:
        rows = [_numbers(row) for row in csv.DictReader(io.StringIO(read_text(path, fix), newline=""))]
    except csv.Error as broken:
        raise DataError(f"{path}: is no training history ({broken}); {fix}") from broken
    return [row for row in rows if "epoch" in row] or None


def _numbers(row: dict[str, str]) -> dict[str, float]:
    numbers = {}
    for name, text in row.items():
        try:
            numbers[name] = float(text)
        except (TypeError, ValueError):
            continue
    return numbers
