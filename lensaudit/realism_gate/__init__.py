"""How far simulated cutouts stand from real ones, by image statistics and by a finder's last layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lensaudit.realism_gate.cutouts import Cutouts
from lensaudit.realism_gate.gate import Gate
from lensaudit.realism_gate.result import LIMIT, Realism

if TYPE_CHECKING:
    from lensaudit.realism_gate.measure import RealismOptions, measure_realism

__all__ = ["LIMIT", "Cutouts", "Gate", "Realism", "RealismOptions", "measure_realism"]


def __getattr__(name: str) -> Any:
    if name not in ("RealismOptions", "measure_realism"):  # which need sets, and no page does
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lensaudit.realism_gate import measure

    return getattr(measure, name)
