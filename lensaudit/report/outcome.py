"""What a finished audit means to a script: a short record, and whether its own threshold was crossed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.errors import AuditFailed


def summary(audit: dict[str, Any], page: Path) -> dict[str, Any]:
    """Verdict, findings and metrics, for ``--json``."""
    return {
        "page": str(page),
        "finder": audit["finder"]["name"],
        "set": audit["set"]["name"],
        "verdict": audit["verdict"],
        "findings": audit["findings"],
        "metrics": audit["performance"]["metrics"],
        "probes": None if audit["probes"] is None else audit["probes"]["rows"],
    }


def fail_where(audit: dict[str, Any], fail_on: str) -> None:
    """Raise AuditFailed where the audit holds what the user chose to fail on.

    Parameters
    ----------
    fail_on
        ``bias`` (any finding is one), ``chance`` (AUROC may be a guess's), or empty.
    """
    biased = [finding for finding in audit["findings"] if finding["verdict"] == "bias"]
    if fail_on == "bias" and biased:
        raise AuditFailed(f"--fail-on bias: {len(biased)} found, first: {biased[0]['title']}: {biased[0]['text']}")
    if fail_on == "chance" and audit["verdict"]["level"] == "chance":
        raise AuditFailed(f"--fail-on chance: {audit['verdict']['headline']}")
