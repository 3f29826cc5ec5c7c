"""Associations in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lensaudit.explain.kernels.association import Effects
from lensaudit.explain.kernels.kav_table import Kernel
from lensaudit.explain.kernels.study import SILENT, KernelStudy

Measure = Literal["rho", "top"]
MEASURES: tuple[Measure, Measure] = ("rho", "top")
STRONGER = {"rho": "higher", "top": "highest more often"}


@dataclass(frozen=True)
class Statement:
    """What one kernel answers to.

    Attributes
    ----------
    kernel
        The kernel.
    column
        Name of the truth column.
    measure
        ``rho``: Spearman's ρ. ``top``: AUROC of its highest lenses against the others.
    words
        "higher when the arc lies to the right".
    value, low, high
        The statistic and its 95 % interval.
    p_holm
        p-value, corrected for all kernels and columns.
    n, n_top
        Lenses compared, and those of the top group.
    silent
        Whether its maps stay below 0, see `KernelStudy`.
    """

    kernel: Kernel
    column: str
    measure: Measure
    words: str
    value: float
    low: float
    high: float
    p_holm: float
    n: int
    n_top: int
    silent: bool

    @property
    def finding(self) -> str:
        """What was found, without the kernel's name."""
        if self.measure == "rho":
            numbers = f"rho {_signed(self.value)} ({_signed(self.low)} to {_signed(self.high)}), n {self.n}"
        else:
            numbers = f"AUROC {self.value:.2f} ({self.low:.2f} to {self.high:.2f}), top {self.n_top} of {self.n}"
        return f"{self.words} ({self.column}), {numbers}"

    def __str__(self) -> str:
        return f"{self.kernel}: {self.finding}{'; silent: its maps stay below 0' if self.silent else ''}"

    def summary(self) -> dict[str, Any]:
        """JSON-able facts; the statistic is under ``rho`` or ``auroc``."""
        return {
            "layer": self.kernel.layer,
            "kernel": self.kernel.number,
            "column": self.column,
            "measure": self.measure,
            "words": self.words,
            "rho" if self.measure == "rho" else "auroc": self.value,
            "low": self.low,
            "high": self.high,
            "p_holm": self.p_holm,
            "n": self.n,
            "n_top": self.n_top,
            "silent": self.silent,
        }


def statement(study: KernelStudy, kernel: int, column: int, measure: Measure = "rho") -> Statement:
    """Of the kernel and the truth column at these positions; the study must have correlations."""
    effects, top_lenses = _effects(study, measure), study.top_lenses
    assert effects is not None
    assert top_lenses is not None
    value = float(effects.value[kernel, column])
    return Statement(
        kernel=study.kernels[kernel],
        column=effects.columns[column].name,
        measure=measure,
        words=f"{STRONGER[measure]} {effects.columns[column].of(value - effects.neutral)}",
        value=value,
        low=float(effects.low[kernel, column]),
        high=float(effects.high[kernel, column]),
        p_holm=float(effects.p_holm[kernel, column]),
        n=int(effects.n[column]),
        n_top=int(top_lenses.n_top[column]),
        silent=study.state[kernel] == SILENT,
    )


def strongest_statements(study: KernelStudy, each: int = 3, measure: Measure = "rho") -> list[Statement]:
    """The `each` surest statements of every truth column, in the order of the columns; significant ones only."""
    effects = _effects(study, measure)
    if effects is None:
        return []
    columns = range(len(effects.columns))
    return [
        statement(study, kernel, column, measure) for column in columns for kernel in effects.strongest(column, each)
    ]


def statements_of(
    study: KernelStudy, kernel: int, count: int | None = None, measure: Measure = "rho"
) -> list[Statement]:
    """The `count` surest statements about one kernel, by default all; significant ones only."""
    effects = _effects(study, measure)
    if effects is None:
        return []
    strength = effects.strength[kernel]
    order = [int(column) for column in (-strength).argsort(kind="stable")[:count] if strength[column] > 0]
    return [statement(study, kernel, column, measure) for column in order]


def _effects(study: KernelStudy, measure: Measure) -> Effects | None:
    return study.correlations if measure == "rho" else study.top_lenses


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
