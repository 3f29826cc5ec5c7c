"""A column of a table of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class PairColumn:
    """A column of ``pairs.parquet`` with its unit and meaning."""

    name: str
    unit: str
    description: str
    values: NDArray[Any]
