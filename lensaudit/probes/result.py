"""What a probe found: numbers first, pictures and pages are made from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.files import replacing
from lensaudit.notebook import Cells, Facts, Shown
from lensaudit.probes.columns import Curve
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.experiment import VISIBLE_PIXELS, PairColumn
from lensaudit.probes.finding import CONFIDENCE, Finding, headline
from lensaudit.probes.response import Response
from lensaudit.probes.verdict import Verdict

FORMAT = "lensaudit-probe/2"
JSON_FILE = "probe.json"
PAGE_FILE = "probe.md"
PAIRS_FILE = "pairs.parquet"
DOSES_FILE = "doses.parquet"
OUTSIDE = "outside lensaudit"
"""How the origin of a finder begins that does not run here; its scores were imported."""


@dataclass(frozen=True)
class AuditedFinder:
    """The finder a probe was asked of: name, origin, SHA-256 of its weights, bands, stretch, threshold on p."""

    name: str
    origin: str
    weights_hash: str
    bands: tuple[str, ...]
    stretch: str
    threshold: float


@dataclass(frozen=True)
class ProbeSettings:
    """What was asked: pairs per population, seed, mode, tolerated loss of recall; the lens set whose lenses were edited
    in place of drawn scenes, None where scenes were drawn."""

    n: int
    seed: int
    mode: str
    tolerance: float
    lens_set: str | None = None


@dataclass(frozen=True)
class Example:
    """A pair shown in the gallery and why it was chosen."""

    pair_id: str
    population: str
    index: int
    reason: str
    p_control: float
    p_treated: float


@dataclass(frozen=True, repr=False)
class ProbeResult(Shown):
    """Everything a probe found; `write` puts it into a folder, `to_json` is what ``probe.json`` holds::

        format          "lensaudit-probe/2"
        probe           name of the definition, e.g. "compound"
        title, question, meaning, nature
        settings        {n, seed, mode, tolerance, lens_set}; n pairs in each population
        mode_note       what this mode draws, one or two sentences for the page
        confidence      0.95, of every interval below
        lens_rule       {name, condition, fulfilled {population: {n, control, treated, both}}} or null: the rule of
                        the restricted subset, and how many pairs fulfil it
        visible_edits   {population: pairs in which the edit changes more than 20 pixels of the first band by > 0.5 σ,
                        in the last treated arm}
        finder          {name, origin, weights_hash, bands, stretch, threshold}; the stretch used in this run
        verdict         {word, sentence, needed}: of the leading finding; word is that of a state of
                        `lensaudit.verdicts`, needed the pairs that would settle it or null
        doses           {label, phrase, values, control, physical} or null: strengths of the treated arms
        responses       list, one per population with two doses or more: {population, crossing, low, high, crossed,
                        truth {column: medians per arm, the control first}}; see `lensaudit.probes.response`
        findings        list, one per population, subset ("all pairs", and the name of the lens rule) and dose:
                        {population, subset, dose or null, n, gained, lost, p_value, p_holm, family, test, verdict {…},
                         control, treated: {found, n, value, low, high}             recall, Wilson interval
                         recall_change, logit_change: {value, low, high, method}}   treated − control, paired
        curves          list, one per population and column: {population, column, label, outside,
                         bins: [{low, high, control {found, n, value, low, high}, treated {…}}]}
        examples        pairs of the gallery, in its order: {pair_id, population, index, reason, p_control, p_treated}
        published       {source, caption, threshold, recall {finder {population: recall}}} or null; others' images
        figures         {name: file beside probe.json}: recall, curves, effect, pairs
        every_dose      "doses.parquet": pair_id, population, arm, dose, p, logit, n_changed_pixels, fulfils_rule
        pairs           "pairs.parquet", control and last treated arm: pair_id, population, index, p_control,
                        p_treated, logit_control, logit_treated, n_changed_pixels, control_fulfils_rule,
                        treated_fulfils_rule, then control_… and treated_… truth columns
        definition      the probe definition as read
        provenance      version, command, seed, input hashes, packages

    A number that does not exist (n = 0) is null. `populations` are the labels of the definition (``arcs``, ``rings``).
    """

    definition: ProbeDefinition
    settings: ProbeSettings
    finder: AuditedFinder
    findings: tuple[Finding, ...]
    responses: tuple[Response, ...]
    curves: tuple[Curve, ...]
    examples: tuple[Example, ...]
    columns: tuple[PairColumn, ...]
    every_dose: tuple[PairColumn, ...]
    figures: Mapping[str, str]
    provenance: Mapping[str, Any]

    def _facts(self) -> Facts:
        asked = {"probe": self.definition.name, "finder": self.finder.name, "pairs": self.settings.n}
        return {**asked, "verdict": self.verdict.word, "because": self.verdict.sentence}

    def _rows(self) -> list[Cells]:
        return [finding.as_row() for finding in self.findings]

    @property
    def verdict(self) -> Verdict:
        """The probe's headline, see `headline`."""
        return headline(self.findings, self.definition.nature)

    @property
    def mode_note(self) -> str:
        """What the mode of this run draws, or whose images were edited."""
        if self.settings.lens_set is not None:
            return f"The lenses of the set {self.settings.lens_set}, whose images were edited; no scene was drawn."
        return self.definition.modes[self.settings.mode].note

    @property
    def rule_counts(self) -> dict[str, dict[str, int]]:
        """Per population, how many pairs fulfil the lens rule in the control, the treated and both arms, of n."""
        population = self.column("population")
        control, treated = (self.column(f"{arm}_fulfils_rule") for arm in ("control", "treated"))
        return {
            label: {
                "n": int(np.sum(population == label)),
                "control": int(np.sum(control[population == label])),
                "treated": int(np.sum(treated[population == label])),
                "both": int(np.sum((control & treated)[population == label])),
            }
            for label in dict.fromkeys(population.tolist())
        }

    @property
    def visible_edits(self) -> dict[str, int]:
        """Per population, the pairs in which the edit changes more than `VISIBLE_PIXELS` pixels."""
        population, changed = self.column("population"), self.column("n_changed_pixels")
        return {
            label: int(np.sum(changed[population == label] > VISIBLE_PIXELS))
            for label in dict.fromkeys(population.tolist())
        }

    def response(self, population: str) -> Response | None:
        """How a population answers to the doses; None where that was not measured."""
        return next((one for one in self.responses if one.population == population), None)

    def column(self, name: str) -> NDArray[Any]:
        """One column of the pairs, (all pairs,)."""
        return next(column.values for column in self.columns if column.name == name)

    def to_json(self) -> dict[str, Any]:
        """The structure described above, fit for `json.dumps`."""
        rule = self.definition.lens_rule
        record = {
            "format": FORMAT,
            "probe": self.definition.name,
            **{key: getattr(self.definition, key) for key in ("title", "question", "meaning", "nature")},
            "settings": asdict(self.settings),
            "mode_note": self.mode_note,
            "confidence": CONFIDENCE,
            "lens_rule": rule and {"name": rule.name, "condition": rule.describe(), "fulfilled": self.rule_counts},
            "visible_edits": self.visible_edits,
            "finder": asdict(self.finder),
            "verdict": asdict(self.verdict),
            "doses": self.definition.doses.model_dump() if self.definition.doses else None,
            "responses": [asdict(response) for response in self.responses],
            "findings": [asdict(finding) for finding in self.findings],
            "curves": [asdict(curve) for curve in self.curves],
            "examples": [asdict(example) for example in self.examples],
            "published": self.definition.published.model_dump() if self.definition.published else None,
            "figures": dict(self.figures),
            "pairs": PAIRS_FILE,
            "every_dose": DOSES_FILE,
            "definition": self.definition.model_dump(),
            "provenance": dict(self.provenance),
        }
        return without_nan(record)

    def write_pairs(self, folder: Path) -> None:
        """Write ``pairs.parquet`` and ``doses.parquet``, unit and description in the metadata of each field."""
        _write_table(self.columns, folder / PAIRS_FILE)
        _write_table(self.every_dose, folder / DOSES_FILE)


def _write_table(columns: Sequence[PairColumn], path: Path) -> None:
    fields = [
        pa.field(c.name, pa.array(c.values).type, metadata={"unit": c.unit, "description": c.description})
        for c in columns
    ]
    table = pa.table([pa.array(c.values) for c in columns], schema=pa.schema(fields))
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def without_nan(value: Any) -> Any:
    """`value` with NaN and infinities as ``None``, tuples as lists and numpy scalars as Python ones."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, np.generic):
        return without_nan(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
