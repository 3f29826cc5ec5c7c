"""Rows of the page and of the printed table: numbers with n and interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lensaudit.comparing.comparison import (
    ComparedProbes,
    Comparison,
    Explained,
    FinderOnSet,
    FinderProbes,
    ProbeVerdict,
    SetComparison,
    Speed,
)
from lensaudit.comparing.entrants import ComparedFinder
from lensaudit.comparing.limits import AREA
from lensaudit.comparing.pairs import SIGNIFICANCE, AreaDifference, McNemar, Pair
from lensaudit.comparing.regression import ORDER, Baseline, Check, rank
from lensaudit.display.numbers import MISSING, count, decimal, interval, p_value, significant
from lensaudit.evaluation import Calibration, Metric
from lensaudit.evaluation.metric import LABELS
from lensaudit.verdicts import EQUIVALENT, INCONCLUSIVE, REGRESSION, STATES, present_word, state_of

METRICS = tuple(
    (name, f"{LABELS[name][0].upper()}{LABELS[name][1:]}") for name in ("auroc", "tpr0", "tpr10", "tpr_at_fpr")
)
HIGHER, LOWER = "descending", "ascending"

HEADS: tuple[tuple[str, str, str], ...] = (
    ("Finder", "", LOWER),
    *((title, "number", HIGHER) for _, title in METRICS),
    ("Calibration error", "number", LOWER),
    ("Brier score", "number", LOWER),
    ("Size", "number", LOWER),
    ("Images /s", "number", HIGHER),
    ("Probes", "", LOWER),
    ("Explained by the arcs", "number", HIGHER),
)
"""Title, class and first direction of sorting of each column of a set's table."""

MATRICES = (
    (
        "auroc",
        "Difference of AUROC",
        "AUROC of the row less that of the column, its 95 % bootstrap interval, and DeLong’s p.",
    ),
    (
        "own",
        "McNemar, each at its own threshold",
        "Images that only the row’s finder calls right : only the column’s. McNemar’s exact p.",
    ),
    (
        "fpr",
        "McNemar, both at FPR 1\u202f%",
        "Lenses that only the row’s finder finds : only the column’s, each at the threshold that leaves 1\u202f% of "
        "these non-lenses above it. McNemar’s exact p, given these thresholds.",
    ),
)


@dataclass(frozen=True)
class Cell:
    """A cell: its number, the small lines under it, and what the column is sorted by; None of what is not measured."""

    text: str
    under: tuple[str, ...] = ()
    value: float | None = None


@dataclass(frozen=True)
class TableRow:
    """A finder in the table of a set: its place and label, its images, its cells, what a reader must know."""

    place: int
    finder: str
    n_lenses: int
    n_non_lenses: int
    cells: tuple[Cell, ...]
    unused: str
    warnings: tuple[str, ...]


def cell(text: str, *under: str, value: float | None = None) -> Cell:
    """A cell without empty lines."""
    return Cell(text, tuple(line for line in under if line), value)


def set_table(comparison: Comparison, block: SetComparison) -> list[TableRow]:
    """One row per finder of a set, the highest AUROC first."""
    facts = {one.finder: one for one in comparison.finders}
    speeds = {one.finder: one for one in comparison.speed}
    probes = {one.finder: one for one in comparison.probes.finders} if comparison.probes else {}
    explained = {one.finder: one for one in block.explanations}
    table = []
    for place, row in zip(block.ranking, block.ranked, strict=True):
        name = row.finder
        cells = [metric_cell(row.metrics[key]) for key, _ in METRICS]
        cells += [error_cell(row.calibration), metric_cell(row.calibration.brier)]
        cells += [size_cell(facts[name]), speed_cell(speeds.get(name))]
        cells += [probe_cell(probes.get(name), comparison.probes), arcs_cell(explained.get(name), block)]
        about = (row.n_lenses, row.n_non_lenses, tuple(cells), unused_of(row), warnings_of(row))
        table.append(TableRow(place.place, name, *about))
    return table


def metric_cell(metric: Metric, *more: str) -> Cell:
    """Value over its interval, or why there is none."""
    if math.isnan(metric.value):
        return cell(MISSING, metric.status)
    between = interval(metric.low, metric.high)
    return cell(decimal(metric.value), between, metric.status, *more, value=metric.value)


def error_cell(calibration: Calibration) -> Cell:
    """The calibration error, with what chance alone would give."""
    return metric_cell(calibration.ece, f"chance < {decimal(calibration.ece_by_chance)}")


def size_cell(facts: ComparedFinder) -> Cell:
    """Parameters over bytes; exact counts, so without an interval."""
    stored = f"{significant(facts.bytes_on_disk / 1e6)} MB on disk" if facts.bytes_on_disk else "no file"
    return cell(count(facts.parameters), "parameters", stored, value=facts.parameters)


def speed_cell(speed: Speed | None) -> Cell:
    """Median over range; of this machine and run."""
    if speed is None:
        return cell(MISSING, "not measured")
    between = f"{significant(speed.lowest)}–{significant(speed.highest)}"
    n = f"{speed.repeats} × {speed.images} images"
    return cell(significant(speed.images_per_s), between, n, value=speed.images_per_s)


def probe_cell(said: FinderProbes | None, probes: ComparedProbes | None) -> Cell:
    """How many probes got which verdict, the gravest first."""
    if said is None or probes is None:
        return cell(MISSING, "not asked")
    if not said.verdicts:
        return cell(MISSING, "none applies")
    counted = Counter(present_word(one.word) for one in said.verdicts)
    gravest_first = sorted(counted, key=lambda word: state_of(word).gravity)
    words = [f"{counted[word]} {word}" for word in gravest_first]
    under = f"of {len(said.verdicts)}; n = {probes.n} pairs each"
    gravity = sum(counted[word] * 100.0 ** -state_of(word).gravity for word in counted)
    return cell(", ".join(words), under, value=gravity)


def arcs_cell(explained: Explained | None, block: SetComparison) -> Cell:
    """Fraction of the positive attribution on the arcs by the first method that was asked for."""
    if explained is None:
        return cell(MISSING, "not asked")
    row = next((row for row in explained.rows if row.kind == block.main_kind), None)
    if row is None or math.isnan(row.value):
        return cell(MISSING, explained.why or (row.status if row else "no such lens"))
    under = (interval(row.low, row.high, 2), f"chance {decimal(row.chance, 2)}", f"{row.title.lower()}, n = {row.n}")
    return cell(decimal(row.value, 2), *under, value=row.value)


def warnings_of(row: FinderOnSet) -> tuple[str, ...]:
    """What a reader of the row must know."""
    warnings = []
    if row.seen:
        warnings.append(f"this set was its {row.seen} set: its numbers here say nothing of new images")
    if row.other_pixels:
        warnings.append(f"{row.other_pixels}; resampled as asked")
    if row.pixels:  # not in comparisons of earlier versions
        warnings += row.pixels.remarks
    if row.n_unscored:
        warnings.append(f"{count(row.n_unscored)} images could not be scored")
    return tuple(warnings)


def unused_of(row: FinderOnSet) -> str:
    """Bands of the set that the finder leaves aside; empty for none."""
    return f"leaves out {', '.join(row.unused_bands)}" if row.unused_bands else ""


def told_apart(block: SetComparison) -> list[str]:
    """Sentences: of each finder, from which others its AUROC is not told."""
    sentences = []
    for one in block.ranking:
        if one.not_told_from is not None:
            others = ", ".join(one.not_told_from)
            unlike = "significantly different from every other"
            words = f"not significantly different from {others}" if others else unlike
            sentences.append(f"{one.place}. {one.finder}: {words}")
    return sentences


@dataclass(frozen=True)
class PairCell:
    """Two finders: the difference or the counts, the interval of the former, p, and whether it is below 0.05."""

    head: str
    under: str
    p: str
    shown: bool


@dataclass(frozen=True)
class MatrixRow:
    """A finder against those below it in the ranking; None left of the diagonal."""

    finder: str
    cells: tuple[PairCell | None, ...]


@dataclass(frozen=True)
class Matrix:
    """One of the three comparisons of all pairs, each of `n` images."""

    name: str
    title: str
    note: str
    order: tuple[str, ...]
    n: int
    rows: tuple[MatrixRow, ...]


def matrices_of(block: SetComparison) -> list[Matrix]:
    """The three comparisons as tables, above the diagonal, in the order of the ranking."""
    if not block.pairs:
        return []
    order = tuple(one.finder for one in block.ranking)
    pairs = {(one.a, one.b): one for pair in block.pairs for one in (pair, pair.turned())}
    return [
        Matrix(name, title, note, order, getattr(block.pairs[0], name).n, _matrix_rows(name, order, pairs))
        for name, title, note in MATRICES
    ]


def _matrix_rows(name: str, order: Sequence[str], pairs: dict[tuple[str, str], Pair]) -> tuple[MatrixRow, ...]:
    rows = []
    for place, a in enumerate(order[:-1], 1):
        cells = [None if at < place else _pair_cell(getattr(pairs[a, b], name)) for at, b in enumerate(order[1:], 1)]
        rows.append(MatrixRow(a, tuple(cells)))
    return tuple(rows)


def _pair_cell(found: McNemar | AreaDifference) -> PairCell:
    if isinstance(found, AreaDifference):
        head, under = decimal(found.difference, sign=True), interval(found.low, found.high)
    else:
        head, under = f"{count(found.a_alone)} : {count(found.b_alone)}", ""
    return PairCell(head, under, p_value(found.p_holm), found.p_holm < SIGNIFICANCE)


def verdicts_said(probes: ComparedProbes | None) -> dict[str, str]:
    """Word of every state → its definition, with the words an earlier version wrote where they are in use."""
    said = {present_word(one.word) for finder in (probes.finders if probes else ()) for one in finder.verdicts}
    states = {state.word: state for state in STATES} | {word: state_of(word) for word in said}
    return {word: state.definition for word, state in sorted(states.items(), key=lambda item: item[1].gravity)}


@dataclass(frozen=True)
class ProbeCell:
    """What a probe showed of a finder, or why it was not asked."""

    said: ProbeVerdict | None
    why: str


@dataclass(frozen=True)
class ProbeRow:
    """A probe with its cells, one per finder that was asked."""

    title: str
    nature: str
    cells: tuple[ProbeCell, ...]


@dataclass(frozen=True)
class Asked:
    """A finder that probes apply to, and whose cutouts it was asked about."""

    finder: str
    instruments: str


@dataclass(frozen=True)
class ProbeTable:
    """Probes as rows, finders as columns; `unasked` finder → why no probe applies."""

    n: int
    seed: int
    finders: tuple[Asked, ...]
    rows: tuple[ProbeRow, ...]
    unasked: dict[str, str] = field(default_factory=dict)
    hosts: str = ""


def probe_table(probes: ComparedProbes | None) -> ProbeTable | None:
    """Probes as rows, finders as columns; cells hold a verdict or why the finder was not asked."""
    if probes is None:
        return None
    asked = [one for one in probes.finders if one.verdicts]
    verdicts = [{said.probe: said for said in one.verdicts} for one in asked]
    reasons = [{refused.probe: refused.why for refused in one.not_applicable} for one in asked]
    rows = [
        ProbeRow(
            probe.title,
            probe.nature,
            tuple(
                ProbeCell(said.get(probe.probe), why.get(probe.probe, ""))
                for said, why in zip(verdicts, reasons, strict=True)
            ),
        )
        for probe in probes.probes
    ]
    finders = [Asked(one.finder, ", ".join(dict.fromkeys(said.instrument for said in one.verdicts))) for one in asked]
    unasked = {one.finder: one.not_applicable[0].why for one in probes.finders if not one.verdicts}
    note = "" if probes.hosts is None else probes.hosts.note
    return ProbeTable(probes.n, probes.seed, tuple(finders), tuple(rows), unasked, note)


@dataclass(frozen=True)
class AgainstRow:
    """A metric of a group under the baseline and under the new finder, in words."""

    group: str
    metric: str
    n: int
    old: str
    new: str
    change: str
    between: str
    p: str
    word: str
    needed: str


@dataclass(frozen=True)
class Against:
    """A finder against the baseline on a set: how many checks say what, those that tell, and all others."""

    finder: str
    baseline: str
    counted: str
    family: int
    telling: tuple[AgainstRow, ...]
    others: tuple[AgainstRow, ...]


def against(block: SetComparison, baseline: Baseline | None) -> list[Against]:
    """The checks of a set, one table for each finder, the gravest first."""
    if baseline is None:
        return []
    tables = []
    for finder in dict.fromkeys(check.finder for check in block.checks):
        checks = sorted((check for check in block.checks if check.finder == finder), key=rank)
        quiet = (EQUIVALENT.word, INCONCLUSIVE.word)
        rows = [
            [_against_row(one, baseline) for one in checks if (one.word in quiet) == said] for said in (False, True)
        ]
        about = (finder, baseline.finder, counted_states(checks), max(one.family for one in checks))
        tables.append(Against(*about, tuple(rows[0]), tuple(rows[1])))
    return tables


def counted_states(checks: Sequence[Check]) -> str:
    """``no regression, 3 inconclusive and 60 equivalent within tolerance``: how many checks say what."""
    words = Counter(one.word for one in checks)
    said = [f"{words[state.word]} {state.word}" for state in ORDER if words[state.word]]
    return ", ".join(said if words[REGRESSION.word] else ["no regression", *said])


def _against_row(check: Check, baseline: Baseline) -> AgainstRow:
    settle = f"n = {count(check.needed)} would settle it" if check.needed else ""
    tested = p_value(check.p_holm) if math.isfinite(check.p_holm) else "too few to test"
    return AgainstRow(
        group=check.group,
        metric=baseline.limits.named(check.metric),
        n=check.n,
        old=decimal(check.old),
        new=decimal(check.new),
        change=decimal(check.change, digits=4 if check.metric == AREA else 3, sign=True),
        between=interval(check.low, check.high),
        p=tested,
        word=check.word,
        needed=settle,
    )
