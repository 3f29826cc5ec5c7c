"""Probes: controlled experiments on a finder, made of pairs of scenes that differ in one thing.

A probe is two edits of one scene (`lensaudit.probes.steps`) and a YAML definition; `run_probe` renders the pairs, asks
the finder about both arms, and says what the difference costs. Results and definitions are read without torch. Every
name is imported when it is first used, so that a page of results needs neither scenes nor sets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lensaudit.probes.audit import AuditIndex, ProbeAudit, Ranked, audited
    from lensaudit.probes.definition import (
        QUICK_PROBES,
        ProbeDefinition,
        builtin_probes,
        load_definition,
        without_groups,
    )
    from lensaudit.probes.experiment import Drawn, Experiment, lenses_of
    from lensaudit.probes.finding import Finding, PairedScores
    from lensaudit.probes.hosts import HostsAsked
    from lensaudit.probes.on_hosts import OnHosts
    from lensaudit.probes.page import FINDINGS_HEAD, findings_rows
    from lensaudit.probes.result import ProbeResult
    from lensaudit.probes.run import ProbeOptions, run_audit, run_probe, why_not_applicable
    from lensaudit.probes.steps import EDITS, Arm, Edit, Step
    from lensaudit.probes.verdict import Verdict

__all__ = [
    "EDITS",
    "FINDINGS_HEAD",
    "QUICK_PROBES",
    "Arm",
    "AuditIndex",
    "Drawn",
    "Edit",
    "Experiment",
    "Finding",
    "HostsAsked",
    "OnHosts",
    "PairedScores",
    "ProbeAudit",
    "ProbeDefinition",
    "ProbeOptions",
    "ProbeResult",
    "Ranked",
    "Step",
    "Verdict",
    "audited",
    "builtin_probes",
    "findings_rows",
    "lenses_of",
    "load_definition",
    "run_audit",
    "run_probe",
    "why_not_applicable",
    "without_groups",
]

_HOME = {
    "audit": ("AuditIndex", "ProbeAudit", "Ranked", "audited"),
    "definition": ("QUICK_PROBES", "ProbeDefinition", "builtin_probes", "load_definition", "without_groups"),
    "experiment": ("Drawn", "Experiment", "lenses_of"),
    "finding": ("Finding", "PairedScores"),
    "hosts": ("HostsAsked",),
    "on_hosts": ("OnHosts",),
    "page": ("FINDINGS_HEAD", "findings_rows"),
    "result": ("ProbeResult",),
    "run": ("ProbeOptions", "run_audit", "run_probe", "why_not_applicable"),
    "steps": ("EDITS", "Arm", "Edit", "Step"),
    "verdict": ("Verdict",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
