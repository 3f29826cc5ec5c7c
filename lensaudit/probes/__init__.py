"""Probes: controlled experiments on a finder, made of pairs of scenes that differ in one thing.

A probe is two edits of one scene (`lensaudit.probes.steps`) and a YAML definition; `run_probe` renders the pairs, asks
the finder about both arms, and says what the difference costs.
"""

from lensaudit.probes.audit import ProbeAudit, Ranked, audited, run_audit
from lensaudit.probes.collect import collect
from lensaudit.probes.definition import ProbeDefinition, builtin_probes, load_definition
from lensaudit.probes.experiment import Drawn, Experiment, lenses_of
from lensaudit.probes.finding import Finding, PairedScores
from lensaudit.probes.page import FINDINGS_HEAD, findings_rows, page
from lensaudit.probes.result import ProbeResult
from lensaudit.probes.run import ProbeOptions, run_probe, why_not_applicable
from lensaudit.probes.steps import EDITS, Arm, Edit, Step
from lensaudit.probes.verdict import Verdict

__all__ = [
    "EDITS",
    "FINDINGS_HEAD",
    "Arm",
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
    "collect",
    "findings_rows",
    "lenses_of",
    "load_definition",
    "page",
    "run_audit",
    "run_probe",
    "why_not_applicable",
]
