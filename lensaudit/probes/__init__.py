"""Probes: controlled experiments on a finder, made of pairs of scenes that differ in one thing.

A probe is two edits of one scene (`lensaudit.probes.edits`) and a YAML definition; `run_probe` renders the pairs, asks
the finder about both arms, and says what the difference costs.
"""

from lensaudit.probes.definition import ProbeDefinition, builtin_probes, load_definition
from lensaudit.probes.edits import EDITS, Edit
from lensaudit.probes.finding import Finding, PairedScores
from lensaudit.probes.options import ProbeOptions
from lensaudit.probes.page import FINDINGS_HEAD, findings_rows, page
from lensaudit.probes.pairs import PairPlan, PairSets, render_pairs
from lensaudit.probes.result import ProbeResult
from lensaudit.probes.run import run_probe
from lensaudit.probes.score import why_not_applicable
from lensaudit.probes.verdict import BIAS, NO_EFFECT, TOO_FEW, WITHIN_TOLERANCE, Verdict

__all__ = [
    "BIAS",
    "EDITS",
    "FINDINGS_HEAD",
    "NO_EFFECT",
    "TOO_FEW",
    "WITHIN_TOLERANCE",
    "Edit",
    "Finding",
    "PairPlan",
    "PairSets",
    "PairedScores",
    "ProbeDefinition",
    "ProbeOptions",
    "ProbeResult",
    "Verdict",
    "builtin_probes",
    "findings_rows",
    "load_definition",
    "page",
    "render_pairs",
    "run_probe",
    "why_not_applicable",
]
