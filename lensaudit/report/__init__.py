"""From a finder and a lens set to one page: ``build_audit`` measures, ``render_report`` draws (without torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lensaudit.report.options import AuditOptions
from lensaudit.report.render import render_report

if TYPE_CHECKING:
    from lensaudit.report.build import build_audit

__all__ = ["AuditOptions", "build_audit", "render_report"]


def __getattr__(name: str) -> Any:
    if name != "build_audit":  # which needs scenes and sets, and no page does
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lensaudit.report.build import build_audit

    return build_audit
