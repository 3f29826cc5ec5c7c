"""The certificate of the audit itself: what it said of finders whose bias was planted, and of clean ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lensaudit.documents import read_json, validated
from lensaudit.errors import UsageError
from lensaudit.resources import builtin_folder

COMMAND = "lensaudit bench planted"
PLACE = Path("planted-bias") / "planted.json"

_Count = Annotated[int, Field(ge=0, le=1_000_000)]
_Rate = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _Planted(_Part):
    bias: str
    finders: _Count
    named_first: _Count
    low: _Rate
    high: _Rate
    told: str = ""


class _Clean(_Part):
    audits: _Count
    accused: _Count
    low: _Rate
    high: _Rate


class _Certificate(_Part):
    """What of ``planted.json`` an audit repeats."""

    command: str
    planted: list[_Planted] = Field(max_length=1000)
    clean: _Clean
    probes: list[str] = Field(max_length=1000)
    n_pairs: _Count


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
    fix = f"make it again with `{COMMAND}`"
    record = validated(read_json(found, fix), _Certificate, f"{found}", fix)
    return {"measured": True, **record.model_dump()}


def _shipped() -> Path | None:
    try:
        path = builtin_folder("reports") / PLACE
    except UsageError:  # a wheel without reports
        return None
    return path if path.is_file() else None
