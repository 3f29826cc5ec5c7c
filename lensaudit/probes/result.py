"""What a probe found: numbers first, pictures and pages are made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import PlainValidator

from lensaudit.display.figures import axes_or_new, legend_under
from lensaudit.errors import DataError
from lensaudit.files import replacing
from lensaudit.probes.columns import Curve
from lensaudit.probes.definition import Recorded
from lensaudit.probes.experiment import VISIBLE_PIXELS, PairColumn
from lensaudit.probes.finding import ALL_PAIRS, ARMS, CONFIDENCE, Finding, draw_arms, headline, leading_finding
from lensaudit.probes.response import DoseScale, Response, draw_doses
from lensaudit.probes.verdict import Verdict
from lensaudit.provenance import Provenance
from lensaudit.records import Cells, Facts, Json, Record, Shown, plain
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "lensaudit-probe/2"
JSON_FILE = "probe.json"
PAGE_FILE = "probe.md"
PAIRS_FILE = "pairs.parquet"
DOSES_FILE = "doses.parquet"
OUTSIDE = "outside lensaudit"
"""How the origin of a finder begins that does not run here; its scores were imported."""


@dataclass(frozen=True)
class AuditedFinder(Record):
    """The finder a probe was asked of: name, origin, SHA-256 of its weights, bands, stretch, threshold on p."""

    name: str
    origin: str
    weights_hash: str
    bands: tuple[str, ...]
    stretch: str
    threshold: float


@dataclass(frozen=True)
class HostsUsed(Record):
    """Real cutouts that arcs were put into, in place of drawn scenes.

    Attributes
    ----------
    set
        Folder of the hosts.
    distinct, asked
        Hosts that were used, each counted once, and pairs that were asked for.
    reused
        Whether hosts were taken more than once.
    psf_of_arc
        Whether edits of the point-spread function act on the arc alone.
    sources
        ``populations``, or names of the catalogues or folder of real galaxies.
    notes
        How many hosts were left out and why, and what was brought right, a sentence each.
    """

    set: str
    distinct: int
    asked: int
    reused: bool
    psf_of_arc: bool
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """``real pixels: hosts of q1``."""
        return f"real pixels: hosts of {self.set}"

    @property
    def note(self) -> str:
        """What was done, for a page."""
        sources = "smooth ones" if self.sources == ("populations",) else f"real galaxies ({', '.join(self.sources)})"
        few = f" {self.asked} pairs were asked for, and there are no more hosts." if self._fewer else ""
        again = (
            f" {self.distinct} hosts are used more than once, each time with another source: pairs of one host are not "
            "independent, so that intervals are the wider of those over pairs and over hosts, those of a dose draw "
            "hosts, and p is the larger. Probes of hosts without an arc take each once."
            if self.reused
            else ""
        )
        psf = " Edits of the point-spread function act on the arc alone." if self.psf_of_arc else ""
        notes = "".join(f" {one[0].upper()}{one[1:]}." for one in self.notes)
        return (
            f"Simulated arcs in real cutouts, hosts of {self.set}: pixels that no arc reaches are the host's own, and "
            f"arcs are seen through its point-spread function. Sources are {sources}. A treated arm without a lens is "
            f"the host as it is, and a lens among the hosts without a label counts as a false positive."
            f"{few}{again}{psf}{notes}"
        )

    @property
    def _fewer(self) -> bool:
        return self.distinct < self.asked and not self.reused


@dataclass(frozen=True)
class ProbeSettings(Record):
    """What was asked: pairs per population, seed, mode, tolerated loss of recall; what was taken in place of drawn
    scenes, None where they were drawn: the lens set whose lenses were edited, or hosts that arcs were put into."""

    n: int
    seed: int
    mode: str
    tolerance: float
    lens_set: str | None = None
    hosts: HostsUsed | None = None


@dataclass(frozen=True)
class Example(Record):
    """A pair shown in the gallery and why it was chosen."""

    pair_id: str
    population: str
    index: int
    reason: str
    p_control: float
    p_treated: float


Columns = Annotated[tuple[PairColumn, ...], PlainValidator(tuple)]
"""Columns of a table, which lies in a file of its own."""


@dataclass(frozen=True, repr=False)
class ProbeResult(Shown, Record):
    """Everything a probe found; `to_json` is what ``probe.json`` holds::

        format          "lensaudit-probe/2"
        probe           name of the definition, e.g. "compound"
        title, question, meaning, nature
        settings        {n, seed, mode, tolerance, lens_set, hosts}; n pairs in each population
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
                         hosts, host_error: how many hosts, and the standard error of the change over them; 0, null
                         control, treated: {found, n, value, low, high}             recall, Wilson interval (or wider)
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
    `columns` and `every_dose` are the two tables; `read` finds them beside the file, `from_json` leaves them empty.
    """

    definition: Recorded
    settings: ProbeSettings
    finder: AuditedFinder
    findings: tuple[Finding, ...]
    responses: tuple[Response, ...]
    curves: tuple[Curve, ...]
    examples: tuple[Example, ...]
    figures: dict[str, str]
    provenance: Provenance
    visible_edits: dict[str, int] = field(default_factory=dict)
    rule_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    columns: Columns = ()
    every_dose: Columns = ()

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
        if self.settings.hosts is not None:
            return self.settings.hosts.note
        return self.definition.modes[self.settings.mode].note

    def plot(self, ax: Axes | None = None, population: str | None = None) -> Axes:
        """Draw the fraction called a lens along the doses; of a probe without doses, that of both arms.

        Parameters
        ----------
        ax
            Where; a figure of its own by default.
        population
            Whose doses; by default the one that the verdict rests on.
        """
        axes = axes_or_new(ax)
        if len(self.definition.arms()) > 2:
            of = leading_finding(self.findings, self.definition.nature).population if population is None else population
            draw_doses(axes, self.dosed(of), self.dose_scale, self.response(of))
        else:
            draw_arms(axes, self.findings, [f"{one.which}\n(n = {one.n} pairs)" for one in self.findings])
        axes.set_title(f"{self.definition.title}: {self.finder.name}", fontsize=9)
        legend_under(axes)
        return axes

    @property
    def dose_scale(self) -> DoseScale:
        """What the response curves are drawn against."""
        doses, nature = self.definition.doses, self.definition.nature
        label, control = (doses.label, doses.control) if doses else ("", None)
        return DoseScale(label, control, nature, self.settings.tolerance)

    def dosed(self, population: str) -> list[Finding]:
        """The findings over all pairs of a population, dose by dose."""
        return [one for one in self.findings if (one.population, one.subset) == (population, ALL_PAIRS)]

    def response(self, population: str) -> Response | None:
        """How a population answers to the doses; None where that was not measured."""
        return next((one for one in self.responses if one.population == population), None)

    def column(self, name: str) -> NDArray[Any]:
        """One column of the pairs, (all pairs,)."""
        return next(column.values for column in self.columns if column.name == name)

    def to_json(self) -> Json:
        """The structure described above, fit for `json.dumps`."""
        definition, rule = self.definition, self.definition.lens_rule
        record = {
            "format": FORMAT,
            "probe": definition.name,
            **{key: getattr(definition, key) for key in ("title", "question", "meaning", "nature")},
            "settings": self.settings,
            "mode_note": self.mode_note,
            "confidence": CONFIDENCE,
            "lens_rule": rule and {"name": rule.name, "condition": rule.describe(), "fulfilled": self.rule_counts},
            "visible_edits": self.visible_edits,
            "finder": self.finder,
            "verdict": self.verdict,
            "doses": definition.doses.model_dump() if definition.doses else None,
            "responses": self.responses,
            "findings": self.findings,
            "curves": self.curves,
            "examples": self.examples,
            "published": definition.published.model_dump() if definition.published else None,
            "figures": self.figures,
            "pairs": PAIRS_FILE,
            "every_dose": DOSES_FILE,
            "definition": definition.model_dump(),
            "provenance": self.provenance,
        }
        return {name: plain(value) for name, value in record.items()}

    @classmethod
    def _modern(cls, words: Json) -> Json:
        rule = words.get("lens_rule") or {}
        tables = {"columns": (), "every_dose": ()}  # the file names where they lie
        return {**words, "rule_counts": rule.get("fulfilled", {}), **tables}

    @classmethod
    def read(cls, path: Path, fix: str = "run the probe again") -> Self:
        """The result in ``probe.json`` or in the folder that holds it, with the tables that lie beside it.

        Raises
        ------
        DataError
            A file is missing, torn, or no result of a probe; the message names it.
        """
        path = Path(path) / JSON_FILE if Path(path).is_dir() else Path(path)
        columns, every_dose = (
            _read_table(table, fix) for table in (path.parent / PAIRS_FILE, path.parent / DOSES_FILE)
        )
        return replace(super().read(path, fix), columns=columns, every_dose=every_dose)

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


def _read_table(path: Path, fix: str) -> tuple[PairColumn, ...]:
    if not path.is_file():
        return ()
    try:
        table = pq.read_table(path)
        marks = [one.metadata or {} for one in table.schema]
        described = [[mark.get(key, b"").decode() for key in (b"unit", b"description")] for mark in marks]
    except (OSError, ValueError, pa.ArrowException) as torn:
        raise DataError(f"{path}: is no table of pairs ({printable(torn, 100)}); {fix}") from torn
    each = zip(table.column_names, described, table.columns, strict=True)
    return tuple(PairColumn(name, unit, words, np.asarray(column)) for name, (unit, words), column in each)


def rule_counts(columns: Sequence[PairColumn]) -> dict[str, dict[str, int]]:
    """Per population, how many pairs fulfil the lens rule in the control, the treated and both arms, of n."""
    held = {one.name: one.values for one in columns}
    population, control, treated = (held[name] for name in ("population", *(f"{arm}_fulfils_rule" for arm in ARMS)))
    return {
        label: {
            "n": int(np.sum(population == label)),
            "control": int(np.sum(control[population == label])),
            "treated": int(np.sum(treated[population == label])),
            "both": int(np.sum((control & treated)[population == label])),
        }
        for label in dict.fromkeys(population.tolist())
    }


def visible_edits(columns: Sequence[PairColumn]) -> dict[str, int]:
    """Per population, the pairs in which the edit changes more than `VISIBLE_PIXELS` pixels."""
    held = {one.name: one.values for one in columns}
    population, changed = held["population"], held["n_changed_pixels"]
    return {
        label: int(np.sum(changed[population == label] > VISIBLE_PIXELS))
        for label in dict.fromkeys(population.tolist())
    }
