"""What the numbers say, as ranked findings; computed from the audit's blocks alone.

A finding from the set compares the group treated worst with all the others; its verdict is a state of
`lensaudit.verdicts`, of the gap in place of a change. A probe brings its own verdict. Columns along which lenses are
naturally harder to find (`DIFFICULT`) are a selection function where others are a bias. The worst group is chosen after
the fact, so its gap is on average a little too large: the p-value that the gap is no more than the tolerance is
multiplied by the number of groups (Bonferroni), and never below that of the permutation test over all groups.

Findings are ranked: what is accused, then the likeliest losses whatever their state, then what is natural to lose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lensaudit.display.numbers import count, p_value, percent, percent_interval, significant
from lensaudit.report.probe_block import ProbeRow, ProbesBlock, limits_of
from lensaudit.report.schema import (
    MIN_BIN,
    AuditedSet,
    Bin,
    Curve,
    Finding,
    Kinds,
    Measured,
    Omission,
    Performance,
    Rate,
    Selection,
    Unscored,
)
from lensaudit.statistics import Proportion, gap_beyond_p, gap_interval, holm, objects_to_settle, wilson_interval
from lensaudit.verdicts import (
    BIAS,
    FALSE_POSITIVES,
    INCONCLUSIVE,
    NOT_ASSESSABLE,
    TENTATIVE,
    State,
    decide,
    state_of,
)

DIFFICULT = ("arc_snr", "theta_e_arcsec", "mag_source_VIS", "mag_source_g")
"""Columns along which losing some is natural: a loss to be counted, not an accusation."""

PROBES = "probes"
"""Section of the findings that come from probes."""


def find(audit: Measured, tolerance: float) -> tuple[Finding, ...]:
    """All findings of an audit, ranked."""
    found = _selection_findings(audit.selection)
    corrected = holm([_beyond_p(one, tolerance) for one in found]) if found else ()
    tests = sum(one.groups for one in found)
    settled = [
        _settled(replace(one, p_holm=float(p), tolerance=tolerance), tests, audit.performance)
        for one, p in zip(found, corrected, strict=True)
    ]
    return tuple(sorted([*settled, *_probe_findings(audit.probes)], key=_rank))


def _beyond_p(finding: Finding, tolerance: float) -> float:
    """p-value that the gap of the worst group is no more than the tolerance."""
    groups = (finding.worst, finding.rest) if finding.loses else (finding.rest, finding.worst)
    return max(1.0 if finding.p is None else finding.p, min(1.0, finding.groups * gap_beyond_p(*groups, tolerance)))


def _settled(finding: Finding, tests: int, performance: Performance) -> Finding:
    """A comparison within the set, corrected, with its verdict and what would settle it."""
    state = judge(finding, finding.tolerance, _recall_low(finding, performance))
    needed = _lenses_needed(finding, tests) if state in (TENTATIVE, INCONCLUSIVE) else None
    finding = replace(finding, verdict=state.word, needed=needed)
    asked = f" ({p_value(finding.p_holm)} against the tolerated {finding.tolerance:g})"
    tested = asked if state.open or state.beyond else ""
    return replace(finding, text=finding.text + tested + _open_words(finding))


def judge(finding: Finding, tolerance: float, recall_low: float = 1.0) -> State:
    """State of a gap with its interval and whether it is significant.

    Parameters
    ----------
    recall_low
        Lower end of the interval of the recall: of a finder that finds nearly nothing, no gap says anything.
    """
    nature = "difficulty" if finding.difficult else "population"
    return decide(nature, (-finding.high, -finding.low), tolerance, finding.significant, recall_low > tolerance)


def _rank(finding: Finding) -> tuple[int, int, float]:
    state = state_of(finding.verdict)
    settled = not state.open and not state.beyond
    accused = state in (BIAS, FALSE_POSITIVES)
    lost = not (finding.loses and _size(finding) <= 0)  # a change that is no loss by its estimate comes late
    place = 0 if accused else 4 if settled else 3 if not lost else 2 if finding.difficult else 1
    gravity = state.gravity if accused or state is NOT_ASSESSABLE else 0
    return place, gravity, -_size(finding)


def _size(finding: Finding) -> float:
    return -math.inf if math.isnan(finding.gap) else finding.gap


def _recall_low(finding: Finding, performance: Performance) -> float:
    """Lower end of the recall's interval: over the groups that are compared, or of the set where they hold no lens."""
    if finding.loses:
        return wilson_interval(finding.worst.k + finding.rest.k, finding.worst.n + finding.rest.n)[0]
    if performance.n_lenses and performance.confusion:
        return wilson_interval(performance.confusion.tp, performance.n_lenses)[0]
    return 1.0


def _open_words(finding: Finding) -> str:
    state = state_of(finding.verdict)
    objects = "lenses" if finding.loses else "non-lenses"
    more = f"; about {count(finding.needed)} {objects} in the set would settle it" if finding.needed else ""
    if state is TENTATIVE:
        return f": likely, but not significant{more}"
    if state is INCONCLUSIVE:
        return f": inconclusive{more}"
    if state is NOT_ASSESSABLE:
        return ": it finds too few lenses for a difference to show"
    return ""


def _lenses_needed(finding: Finding, tests: int) -> int | None:
    """Objects in the set with which it is settled in 80 % of sets, were the rates those seen."""
    excess, interval = finding.gap - finding.tolerance, (finding.low, finding.high)
    return objects_to_settle(finding.worst.n + finding.rest.n, interval, abs(excess), tests if excess > 0 else 1)


def _selection_findings(selection: Selection | None) -> list[Finding]:
    if selection is None:
        return []
    along = [_along(curve) for curve in selection.curves]
    kinds = [
        _by_kind(selection.lens_kinds, "Recall by kind of lens", loses=True),
        _by_kind(selection.non_lens_kinds, "False positives by kind of non-lens", loses=False),
    ]
    return [finding for finding in (*along, *kinds) if finding is not None]


def _along(curve: Curve) -> Finding | None:
    bins = [one for one in curve.bins if not one.few]
    if len(bins) < 2 or curve.p is None:
        return None
    worst = min(bins, key=lambda one: one.value)
    rest = _others(bins, worst)
    group = "lenses with " + curve.phrase.format(range=range_text(worst, curve.bins, curve.unit))
    compared = _compared(worst, rest, curve.p, len(bins), loses=True)
    return replace(
        compared,
        title=f"Recall against {lower_first(curve.label)}",
        group=group,
        text=f"Of {group} it finds {rate_text(worst)}, of the others {rate_text(rest)}",
        difficult=curve.column in DIFFICULT,
    )


def _by_kind(table: Kinds | None, title: str, loses: bool) -> Finding | None:
    rows = [] if table is None else [row for row in table.rows if not row.few]
    if table is None or len(rows) < 2 or table.p is None:
        return None
    worst = (min if loses else max)(rows, key=lambda row: row.value)
    rest = _others(rows, worst)
    verb = "it finds" if loses else "it calls lenses"
    return replace(
        _compared(worst, rest, table.p, len(rows), loses=loses),
        title=title,
        group=f"{'' if loses else 'non-'}lenses of kind “{worst.kind}”",
        text=f"Of scenes “{worst.kind}” {verb} {rate_text(worst)}, of the other kinds {rate_text(rest)}",
    )


def _compared(worst: Rate, rest: Rate, p: float, groups: int, *, loses: bool) -> Finding:
    """The numbers of a comparison within the set, without words; the verdict waits for the correction over all."""
    worse, better = (worst, rest) if worst.value <= rest.value else (rest, worst)
    low, high = gap_interval(worse, better)
    return Finding(
        title="",
        text="",
        worst=_rate(worst),
        rest=rest,
        gap=better.value - worse.value,
        low=low,
        high=high,
        p=p,
        p_holm=None,
        verdict="",
        loses=loses,
        section="selection",
        source="set",
        groups=groups,
    )


def _probe_findings(probes: ProbesBlock | None) -> list[Finding]:
    """Every probe by its leading finding, whatever its verdict."""
    return [_probed(row) for row in (() if probes is None else probes.rows)]


def _probed(row: ProbeRow) -> Finding:
    effect, alarms = row.effect, row.nature == "contaminant"
    if alarms or row.n == 0 or (row.nature == "nuisance" and effect.value > 0):
        gap, low, high = effect.value, effect.low, effect.high
    else:
        gap, low, high = -effect.value, -effect.high, -effect.low
    interval = f"95 % interval {percent_interval(row.treated.low, row.treated.high)}, n = {row.n}"
    test = f"{p_value(row.p_holm)} against the tolerated {row.tolerance:g}, after Holm over all probes"
    advice = f" {row.advice}".rstrip(".") if row.advice else ""
    return Finding(
        title=f"Probe: {row.title}",
        group=row.group,
        text=f"{row.meaning.rstrip('.')} ({interval if alarms else test}){'.' if advice else ''}{advice}",
        loses=not alarms,
        difficult=row.nature == "difficulty",
        rises=not alarms and row.n > 0 and effect.value > 0,
        worst=_rate(row.treated),
        rest=_rate(row.control),
        gap=gap,
        low=low,
        high=high,
        p=None,
        p_holm=None if math.isnan(row.p_holm) else row.p_holm,
        verdict=row.verdict,
        needed=row.needed,
        tolerance=row.tolerance,
        section=f"probe-{row.probe}",
        source=PROBES,
    )


def _rate(one: Proportion) -> Rate:
    return Rate(one.k, one.n, one.low, one.high)


def _others(groups: Sequence[Rate], worst: Rate) -> Rate:
    others = [group for group in groups if group is not worst]
    return Rate.of(sum(one.k for one in others), sum(one.n for one in others))


def rate_text(group: Proportion) -> str:
    """``22 % (12–37 %, n = 45)``."""
    return f"{percent(group.value)} ({percent_interval(group.low, group.high)}, n = {group.n})"


def range_text(one: Bin, bins: Sequence[Bin], unit: str) -> str:
    """``below 0.8″``, ``above 2.1″`` or ``between 0.8 and 1.1″`` for a bin among its neighbours."""
    suffix = unit if unit in ("", "″") else f" {unit}"
    low, high = significant(one.start), significant(one.end)
    if one.start == bins[0].start:
        return f"below {high}{suffix}"
    if one.end == bins[-1].end:
        return f"above {low}{suffix}"
    return f"between {low} and {high}{suffix}"


def lower_first(label: str) -> str:
    """Lower the first letter of a label unless it is a person's name."""
    return label if label.startswith("Einstein") else label[0].lower() + label[1:]


_ALWAYS = (
    ("Calibration on real data", "p(lens) is the finder’s own scale: that 0.9 means nine in ten was not tested."),
    (
        "The sky’s share of lenses",
        "Precision here belongs to this set’s mix; on the sky lenses are one in thousands.",
    ),
    ("Other instruments and depths", "Nothing is said about images of another survey, depth or seeing."),
)

_NO_REALISM = (
    "How far simulated scenes stand from the sky",
    "No real cutouts were given: --realism SET compares them, or takes what lensaudit realism measured.",
)

_NO_MASKS = (
    "How well maps fall on the lensed light",
    "Nobody knows which pixels of these cutouts are lensed light: they have no truth masks, as simulated sets have.",
)

_NO_GRADIENT = (
    "This finder’s score has no gradient, so they do not apply; occlusion, kernels, probes and the selection need none."
)


def limits(audit: Measured) -> tuple[str, ...]:
    """Sentences about the data and the method, for this audit."""
    said = [
        _data(audit.set),
        "Intervals are 95 % and cover the chance of drawing this set, not errors of the simulation or of labels.",
    ]
    if audit.realism is not None:
        said.insert(0, audit.realism.sentence)
    training = audit.finder.training
    if training is not None and training.trained_on(audit.set.content_hash):
        said.insert(0, "This is the set the finder was trained on: every number of this page is too good.")
    said += [f"{remark[0].upper()}{remark[1:]}." for remark in (audit.pixels.remarks if audit.pixels else ())]
    if audit.selection is not None:
        said.append(
            "Recall against one property mixes in others that go with it: small θ_E, faint arcs and faint sources are "
            "often the same lenses."
        )
        said.append(
            "The worst group is named after looking, so its gap is on average a little too large; bins below "
            f"{MIN_BIN} lenses enter no test."
        )
    if audit.gallery is not None:
        said.append(
            "An occlusion map shows where a black patch changes the score of one image. A black patch is not something "
            "the finder was trained on, and light hidden in two places at once is not shown."
        )
    if audit.maps is not None:
        said.append(
            "Maps of single images illustrate; they prove nothing about the finder. Their scores say how much falls on "
            "the lensed light, not whether the finder would have decided otherwise without it."
        )
    return (*said, *limits_of(audit.probes))


def not_measured(audit: Measured) -> tuple[Omission, ...]:
    """What this audit left out and why, first what its own data could not give."""
    missing = [*_without_labels(audit.set), *_without_truth(audit), *_unscored(audit.performance.unscored)]
    missing += [] if audit.set.has_truth or not audit.set.n_lenses else [_NO_MASKS]
    if audit.gallery is None:
        missing.append(("What the finder looks at", "The occlusion gallery was switched off for this audit."))
    if not audit.finder.differentiable:
        missing.append(("Gradients, Grad-CAM, DeepLIFT, class images and Deep Dreams", _NO_GRADIENT))
    missing += _unprobed(audit.probes)
    missing += [] if audit.realism is not None else [_NO_REALISM]
    return tuple(Omission(what, why) for what, why in (*missing, *_ALWAYS))


def _unprobed(probes: ProbesBlock | None) -> list[tuple[str, str]]:
    """Probes that were not run, by their reason."""
    if probes is None:
        return [("Probes", "They were switched off for this audit, so nothing is said of what changes an answer.")]
    by_reason: dict[str, list[str]] = {}
    for one in probes.left_out:
        by_reason.setdefault(one.why, []).append(one.title.lower())
    missing = [(f"Probes: {', '.join(titles)}", f"{why[0].upper()}{why[1:]}.") for why, titles in by_reason.items()]
    if probes.not_applicable:
        titles = ", ".join(one.title.lower() for one in probes.not_applicable)
        missing.append((f"Probes: {titles}", "They do not apply to this finder; the chapter on probes says why."))
    if probes.not_on_hosts:
        titles = ", ".join(one.title.lower() for one in probes.not_on_hosts)
        missing.append((f"Probes on hosts: {titles}", "Real hosts do not allow them; the chapter on probes says why."))
    return missing


def _data(lens_set: AuditedSet) -> str:
    if lens_set.simulated:
        return (
            f"Every cutout is simulated (population “{lens_set.population}”, instrument {lens_set.instrument}): "
            "real lenses, real PSFs and real contaminants differ, and recall on the sky can be lower."
        )
    if lens_set.made_by.startswith("lensaudit inject"):
        words = "a lens is a host with an arc, a non-lens the host as it is; a lens among the hosts counts as false."
        return f"Arcs are simulated and stand in cutouts of hosts ({lens_set.made_by}): {words}"
    if "read in place" in lens_set.made_by:
        return f"The cutouts are the user’s own ({lens_set.made_by}); labels, where there are any, are theirs."
    return f"The cutouts were ingested ({lens_set.made_by}); labels, where there are any, are their archive’s."


def _without_labels(lens_set: AuditedSet) -> list[tuple[str, str]]:
    if lens_set.n_lenses + lens_set.n_non_lenses == 0:
        return [("Recall, false positives, ROC curve", "No cutout of this set has a label.")]
    missing = [("Recall and ROC curve", "This set has no lenses.")] if lens_set.n_lenses == 0 else []
    if lens_set.n_non_lenses == 0:
        missing.append(("False positives, precision and ROC curve", "This set has no non-lenses."))
    return missing


def _without_truth(audit: Measured) -> list[tuple[str, str]]:
    if audit.set.n_lenses == 0:
        return []
    if audit.selection is None:
        return [("Which lenses are found", "The catalogue holds neither properties of the lenses nor kinds of scenes.")]
    missing = [curve.label for curve in audit.selection.curves if not curve.bins]
    missing += audit.selection.absent
    words = f"Recall against: {', '.join(missing)}"
    return [(words, "The catalogue of this set has no such values.")] if missing else []


def _unscored(unscored: Sequence[Unscored]) -> list[tuple[str, str]]:
    if not unscored:
        return []
    examples = "; ".join(f"{one.id}: {one.why}" for one in unscored[:3])
    more = f" and {len(unscored) - 3} more" if len(unscored) > 3 else ""
    return [(f"{len(unscored)} cutouts without a score", f"They enter no number of this page. {examples}{more}.")]
