"""Probes: controlled experiments on a finder, made of pairs of scenes that differ in one thing.

A probe is two edits of one scene (`lensaudit.probes.steps`) and a YAML definition; `run_probe` renders the pairs, asks
the finder about both arms, and says what the difference costs. Results and definitions are read without torch; what
asks a finder is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lensaudit.probes.audit import AuditIndex, ProbeAudit, Ranked, audited
from lensaudit.probes.definition import ProbeDefinition, builtin_probes, load_definition
from lensaudit.probes.experiment import Drawn, Experiment, lenses_of
from lensaudit.probes.finding import Finding, PairedScores
from lensaudit.probes.page import FINDINGS_HEAD, findings_rows, page
from lensaudit.probes.result import ProbeResult
from lensaudit.probes.steps import EDITS, Arm, Edit, Step
from lensaudit.probes.verdict import Verdict

if TYPE_CHECKING:
    from lensaudit.probes.run import ProbeOptions, run_audit, run_probe, why_not_applicable

__all__ = [
    "EDITS",
    "FINDINGS_HEAD",
    "Arm",
    "AuditIndex",
    "Drawn",
    "Edit",
    "Experiment",
    "Finding",
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
    "page",
    "run_audit",
    "run_probe",
    "why_not_applicable",
]

_ASKING = {
    "collect": "collect",
    **dict.fromkeys(("ProbeOptions", "run_audit", "run_probe", "why_not_applicable"), "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _ASKING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.run"), name)
