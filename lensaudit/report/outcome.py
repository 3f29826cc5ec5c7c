"""What a finished audit means to a script: a short record, and whether its own threshold was crossed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.errors import AuditFailed
from lensaudit.report.verdict import INVERTED
from lensaudit.verdicts import CHANCE, failing


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
        A verdict of `lensaudit.verdicts.fail_words` (any finding is one, or a graver one), ``chance`` (AUROC may be a
        guess's, or is worse), or empty.
    """
    if not fail_on:
        return
    if fail_on == CHANCE:
        if audit["verdict"]["level"] in (CHANCE, INVERTED):
            raise AuditFailed(f"--fail-on {CHANCE}: {audit['verdict']['headline']}")
        return
    found = [finding for finding in audit["findings"] if failing([finding["verdict"]], fail_on)]
    if found:
        raise AuditFailed(f"--fail-on {fail_on}: {len(found)} found, first: {found[0]['title']}: {found[0]['text']}")
