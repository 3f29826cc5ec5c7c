"""Drawn answers of a finder to six probes: nothing is rendered, all that follows is the real code."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from lensaudit.imaging import TRUTH_COLUMNS
from lensaudit.probes import Drawn, Experiment, ProbeAudit, audited, load_definition
from lensaudit.probes.collect import Answers
from lensaudit.probes.columns import Sample, fulfilling
from lensaudit.probes.result import AuditedFinder, ProbeResult, ProbeSettings
from lensaudit.probes.run import conclude
from lensaudit.report.probe_block import ProbesBlock
from lensaudit.report.probes import laid_out

N = 100
THRESHOLD = 0.5
FINDER = AuditedFinder("ou66", "built-in", "ab" * 32, ("J", "Y", "H", "VIS"), "minmax", THRESHOLD)
LOST = {"red-source": 40, "arc-snr": 70, "psf-rotation": 0, "off-centre": 6, "compound": 0, "false-positive": 50}
"""Probe → pairs of N whose treated arm the finder loses at the last dose (of a contaminant: rejects)."""

REFUSED = {"lens-colour": "finder 'ou66' sees band VIS alone, and the probe changes colours only"}
TITLES = {name: load_definition(name).title for name in (*LOST, *REFUSED)}


@cache
def probe_audit() -> ProbeAudit:
    """What the finder answered, corrected together."""
    return audited([_result(name, lost) for name, lost in LOST.items()], REFUSED)


@cache
def probes_block() -> ProbesBlock:
    """The block of the audit, without pairs."""
    return laid_out(probe_audit(), TITLES, "ou66", (N, 3))


def _result(name: str, lost: int) -> ProbeResult:
    definition = load_definition(name)
    settings = ProbeSettings(N, 3, definition.default_mode, definition.tolerance)
    samples = [
        _sample(definition, label, population, lost)
        for label, population in definition.modes[definition.default_mode].populations.items()
    ]
    return conclude(definition, settings, FINDER, samples)


def _sample(definition: Any, label: str, population: str, lost: int) -> Sample:
    experiment = Experiment(Drawn(population, 3, N, definition.instrument), definition.arms())
    arms = len(experiment.arms)
    logit = np.full((arms, N), 2.0) + np.linspace(0, 0.5, N)
    for arm in range(1, arms):
        logit[arm, : round(lost * arm / (arms - 1))] -= 5.0
    truth = {column.name: _column(column, arms) for column in TRUTH_COLUMNS}
    asked = Answers(logit, np.full((arms, N), 50), truth)
    return Sample(label, experiment, asked, THRESHOLD, fulfilling(definition.lens_rule, truth))


def _column(column: Any, arms: int) -> np.ndarray:
    if column.dtype == "str":
        return np.full((arms, N), "single")
    values = np.linspace(1, 100, N) if column.name in ("magnification", "n_arc_pixels") else np.full(N, 2.0)
    return values + np.arange(arms)[:, None]  # a dose moves every median by one
