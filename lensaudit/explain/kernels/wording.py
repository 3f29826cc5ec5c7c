"""Correlations in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lensaudit.explain.kernels.kav_table import Kernel
from lensaudit.explain.kernels.study import SILENT, KernelStudy


@dataclass(frozen=True)
class Statement:
    """What one kernel answers to.

    Attributes
    ----------
    kernel
        The kernel.
    column
        Name of the truth column.
    words
        "higher when the arc lies to the right".
    rho, low, high
        Spearman's ρ and its 95 % interval.
    p_holm
        p-value, corrected for all kernels and columns.
    n
        Lenses compared.
    silent
        Whether its maps stay below 0, see `KernelStudy`.
    """

    kernel: Kernel
    column: str
    words: str
    rho: float
    low: float
    high: float
    p_holm: float
    n: int
    silent: bool

    def __str__(self) -> str:
        numbers = f"rho {_signed(self.rho)} ({_signed(self.low)} to {_signed(self.high)}), n {self.n}"
        silent = "; silent: its maps stay below 0" if self.silent else ""
        return f"{self.kernel}: {self.words} ({self.column}), {numbers}{silent}"

    def summary(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "layer": self.kernel.layer,
            "kernel": self.kernel.number,
            "column": self.column,
            "words": self.words,
            "rho": self.rho,
            "low": self.low,
            "high": self.high,
            "p_holm": self.p_holm,
            "n": self.n,
            "silent": self.silent,
        }


def statement(study: KernelStudy, kernel: int, column: int) -> Statement:
    """Of the kernel and the truth column at these positions; the study must have correlations."""
    found = study.correlations
    assert found is not None
    about = found.columns[column]
    rho = float(found.rho[kernel, column])
    return Statement(
        study.kernels[kernel],
        about.name,
        f"higher {about.of(rho)}",
        rho,
        float(found.low[kernel, column]),
        float(found.high[kernel, column]),
        float(found.p_holm[kernel, column]),
        int(found.n[column]),
        study.state[kernel] == SILENT,
    )


def strongest_statements(study: KernelStudy, each: int = 3) -> list[Statement]:
    """The `each` surest statements of every truth column, in the order of the columns; significant ones only."""
    if study.correlations is None:
        return []
    columns = range(len(study.correlations.columns))
    return [statement(study, kernel, column) for column in columns for kernel in study.strongest(column, each)]


def statements_of(study: KernelStudy, kernel: int, count: int = 2) -> list[Statement]:
    """The `count` surest statements about one kernel; significant ones only."""
    if study.correlations is None:
        return []
    strength = study.correlations.strength[kernel]
    order = [int(column) for column in (-strength).argsort(kind="stable")[:count] if strength[column] > 0]
    return [statement(study, kernel, column) for column in order]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
