"""The certificate of the audit itself: what it said of finders whose bias was planted, and of clean ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.resources import builtin_folder

COMMAND = "lensaudit bench planted"
PLACE = Path("planted-bias") / "planted.json"
_PLANTED = ("bias", "finders", "named_first", "low", "high")
_CLEAN = ("audits", "accused", "low", "high")


def certificate_block(path: Path | None = None) -> dict[str, Any]:
    """The figures of the planted-bias bench, or the command that measures them.

    Parameters
    ----------
    path
        A ``planted.json``; None takes the one that came with lensaudit (``reports/planted-bias``), if any.

    Returns
    -------
    dict
        ``measured``, ``command``, and where measured ``planted`` (``bias``, ``told``, ``finders``, ``named_first``,
        interval), ``clean``, ``probes`` and ``n_pairs``.

    Raises
    ------
    UsageError
        `path` does not exist.
    DataError
        The file is not JSON or lacks a field.
    """
    if path is not None and not Path(path).is_file():
        raise UsageError(f"--certificate {path}: no such file; `{COMMAND}` writes one")
    found = _shipped() if path is None else Path(path)
    if found is None:
        return {"measured": False, "command": COMMAND}
    try:
        record = json.loads(found.read_text(encoding="utf-8"))
        return {
            "measured": True,
            "command": str(record["command"]),
            "planted": [
                {**{name: one[name] for name in _PLANTED}, "told": str(one.get("told", ""))}
                for one in record["planted"]
            ],
            "clean": {name: record["clean"][name] for name in _CLEAN},
            "probes": [str(name) for name in record["probes"]],
            "n_pairs": int(record["n_pairs"]),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{found}: is no result of `{COMMAND}` ({type(error).__name__}: {error})") from error


def _shipped() -> Path | None:
    try:
        path = builtin_folder("reports") / PLACE
    except UsageError:  # a wheel without reports
        return None
    return path if path.is_file() else None
