"""From a finder and a lens set to one page: ``build_audit`` measures, ``render_report`` draws (without torch)."""

from __future__ import annotations

from lensaudit.report.build import build_audit
from lensaudit.report.options import AuditOptions
from lensaudit.report.render import render_report

__all__ = ["AuditOptions", "build_audit", "render_report"]
