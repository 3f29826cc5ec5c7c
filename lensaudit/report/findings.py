"""What the numbers say, as ranked findings; computed from the audit's blocks alone.

A finding from the set compares the group treated worst with all the others; its verdict is a state of
`lensaudit.verdicts`, of the gap in place of a change. A probe brings its own verdict. Columns along which lenses are
naturally harder to find (`DIFFICULT`) are a selection function where others are a bias. The worst group is chosen after
the fact, so its gap is on average a little too large; the permutation test over all groups does not suffer from that.

Findings are ranked: what is accused, then the likeliest losses whatever their state, then what is natural to lose.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lensaudit.display.numbers import count, p_value, percent, percent_interval, significant
from lensaudit.report.performance import rate
from lensaudit.report.schema import MIN_BIN
from lensaudit.statistics import holm, wilson_interval
from lensaudit.verdicts import (
    BIAS,
    FALSE_POSITIVES,
    INCONCLUSIVE,
    NOT_ASSESSABLE,
    SIGNIFICANCE,
    TENTATIVE,
    State,
    decide,
    state_of,
)

DIFFICULT = ("arc_snr", "theta_e_arcsec", "mag_source_VIS", "mag_source_g")
"""Columns along which losing some is natural: a loss to be counted, not an accusation."""

PROBES = "probes"
"""Section of the findings that come from probes."""

MOST_LENSES = 100_000


def find(audit: dict[str, Any], tolerance: float) -> list[dict[str, Any]]:
    """All findings of an audit, ranked.

    Each has ``title, text, group, worst, rest, gap, low, high, p_holm, significant, verdict, loses, section``: rates
    and gap are fractions, ``low`` and ``high`` the 95 % interval of the gap, ``significant`` whether p < 0.05 after
    Holm, ``loses`` whether lenses are lost (not false positives), ``difficult`` whether losing some is natural,
    ``source`` whether it is from the ``set`` or the ``probes``, ``needed`` how many lenses (pairs) would settle it.
    """
    found = _selection_findings(audit.get("selection"))
    for finding, p in zip(found, holm([finding["p"] for finding in found]) if found else [], strict=True):
        finding["p_holm"], finding["tolerance"] = float(p), tolerance
        finding["significant"] = bool(p < SIGNIFICANCE)
        state = judge(finding, tolerance, _recall_low(finding, audit.get("performance")))
        finding["verdict"] = state.word
        finding["needed"] = _lenses_needed(finding, tolerance) if state in (TENTATIVE, INCONCLUSIVE) else None
        finding["text"] += f" ({p_value(float(p))}, permutation test, Holm-corrected)" + _open_words(finding, tolerance)
    found += _probe_findings(audit.get("probes"))
    return sorted(found, key=_rank)


def judge(finding: dict[str, Any], tolerance: float, recall_low: float = 1.0) -> State:
    """State of a gap with its interval and corrected p-value.

    Parameters
    ----------
    recall_low
        Lower end of the interval of the recall: of a finder that finds nearly nothing, no gap says anything.
    """
    nature = "difficulty" if finding.get("difficult") else "population"
    change = (-finding["high"], -finding["low"])
    return decide(nature, change, tolerance, finding["p_holm"] < SIGNIFICANCE, recall_low > tolerance)


def _rank(finding: dict[str, Any]) -> tuple[int, int, float]:
    state = state_of(finding["verdict"])
    settled = not state.open and not state.beyond
    accused = state in (BIAS, FALSE_POSITIVES)
    lost = not (finding["loses"] and _size(finding) <= 0)  # a change that is no loss by its estimate comes late
    place = 0 if accused else 4 if settled else 3 if not lost else 2 if finding["difficult"] else 1
    gravity = state.gravity if accused or state is NOT_ASSESSABLE else 0
    return place, gravity, -_size(finding)


def _size(finding: dict[str, Any]) -> float:
    return -math.inf if finding["gap"] is None else float(finding["gap"])


def _recall_low(finding: dict[str, Any], performance: dict[str, Any] | None) -> float:
    """Lower end of the recall's interval: over the groups that are compared, or of the set where they hold no lens."""
    if finding["loses"]:
        k, n = (finding["worst"][name] + finding["rest"][name] for name in ("k", "n"))
    elif performance and performance["n_lenses"]:
        k, n = performance["confusion"]["tp"], performance["n_lenses"]
    else:
        return 1.0
    return wilson_interval(k, n)[0]


def _open_words(finding: dict[str, Any], tolerance: float) -> str:
    state, needed = state_of(finding["verdict"]), finding["needed"]
    objects = "lenses" if finding["loses"] else "non-lenses"
    more = f"; about {count(needed)} {objects} in the set would settle it" if needed else ""
    if state is TENTATIVE:
        return f": likely more than the tolerated {tolerance:g}, but not significant{more}"
    if state is INCONCLUSIVE:
        also = "a difference is significant, but " if finding["significant"] else ""
        return f": {also}inconclusive as to more than the tolerated {tolerance:g}{more}"
    if state is NOT_ASSESSABLE:
        return ": it finds too few lenses for a difference to show"
    return ""


def _lenses_needed(finding: dict[str, Any], tolerance: float) -> int | None:
    """Objects in the set with which the interval leaves the tolerance in 80 % of sets, were the rates those seen."""
    distance = abs(finding["gap"] - tolerance)
    if finding["gap"] > tolerance and not finding["significant"]:
        distance = min(distance, finding["gap"])
    n = finding["worst"]["n"] + finding["rest"]["n"]
    half = (finding["high"] - finding["low"]) / 2
    needed = n * (half * 2.8 / 1.96 / distance) ** 2 if distance > 0 else math.inf  # 2.8: z of 95 % plus that of 80 %
    if not needed <= MOST_LENSES:
        return None
    step = 10 ** max(math.floor(math.log10(max(needed, 1))) - 1, 0)
    return max(math.ceil(needed / step) * step, n + 1)


def gap_interval(worse: dict[str, Any], better: dict[str, Any]) -> tuple[float, float]:
    """95 % interval of better − worse for two independent rates (Newcombe 1998, method 10, from Wilson intervals)."""
    gap = better["value"] - worse["value"]
    below = math.hypot(better["value"] - better["low"], worse["high"] - worse["value"])
    above = math.hypot(better["high"] - better["value"], worse["value"] - worse["low"])
    return gap - below, gap + above


def _selection_findings(selection: dict[str, Any] | None) -> list[dict[str, Any]]:
    if selection is None:
        return []
    along = [_along(curve) for curve in selection["curves"]]
    kinds = [
        _by_kind(selection.get("lens_kinds"), "Recall by kind of lens", loses=True),
        _by_kind(selection.get("non_lens_kinds"), "False positives by kind of non-lens", loses=False),
    ]
    return [finding for finding in (*along, *kinds) if finding is not None]


def _along(curve: dict[str, Any]) -> dict[str, Any] | None:
    bins = [b for b in curve["bins"] if not b["few"]]
    if len(bins) < 2 or curve["p"] is None:
        return None
    worst = min(bins, key=lambda b: b["value"])
    rest = _others(bins, worst)
    group = "lenses with " + curve["phrase"].format(range=range_text(worst, curve["bins"], curve["unit"]))
    text = f"Of {group} it finds {rate_text(worst)}, of the others {rate_text(rest)}"
    title = f"Recall against {lower_first(curve['label'])}"
    difficult = curve["column"] in DIFFICULT
    numbers = _numbers(worst, rest, curve["p"])
    return {"title": title, "group": group, "text": text, "loses": True, "difficult": difficult, **numbers}


def _by_kind(table: dict[str, Any] | None, title: str, loses: bool) -> dict[str, Any] | None:
    rows = [] if table is None else [row for row in table["rows"] if not row["few"]]
    if table is None or len(rows) < 2 or table["p"] is None:
        return None
    worst = (min if loses else max)(rows, key=lambda row: row["value"])
    rest = _others(rows, worst)
    verb = "it finds" if loses else "it calls lenses"
    text = f"Of scenes “{worst['kind']}” {verb} {rate_text(worst)}, of the other kinds {rate_text(rest)}"
    group = f"lenses of kind “{worst['kind']}”" if loses else f"non-lenses of kind “{worst['kind']}”"
    return {
        "title": title,
        "group": group,
        "text": text,
        "loses": loses,
        "difficult": False,
        **_numbers(worst, rest, table["p"]),
    }


_FROM_SET = {"section": "selection", "source": "set"}


def _numbers(worst: dict[str, Any], rest: dict[str, Any], p: float) -> dict[str, Any]:
    worse, better = (worst, rest) if worst["value"] <= rest["value"] else (rest, worst)
    low, high = gap_interval(worse, better)
    gap = better["value"] - worse["value"]
    return {"worst": worst, "rest": rest, "gap": gap, "low": low, "high": high, "p": p, **_FROM_SET}


def _probe_findings(probes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Every probe by its leading finding, whatever its verdict."""
    return [_probed(row) for row in ([] if probes is None else probes["rows"])]


def _probed(row: dict[str, Any]) -> dict[str, Any]:
    effect, alarms = row["effect"], row["nature"] == "contaminant"
    if alarms or row["n"] == 0 or (row["nature"] == "nuisance" and effect["value"] > 0):
        numbers = effect
    else:
        numbers = {"value": -effect["value"], "low": -effect["high"], "high": -effect["low"]}
    interval = f"95 % interval {percent_interval(row['treated']['low'], row['treated']['high'])}, n = {row['n']}"
    test = f"{p_value(row['p_holm'])}, exact test, Holm-corrected over all probes"
    advice = f" {row['advice']}".rstrip(".") if row["advice"] else ""
    return {
        "title": f"Probe: {row['title']}",
        "group": row["group"],
        "text": f"{row['meaning'].rstrip('.')} ({interval if alarms else test}){'.' if advice else ''}{advice}",
        "loses": not alarms,
        "difficult": row["nature"] == "difficulty",
        "rises": not alarms and row["n"] > 0 and effect["value"] > 0,
        "worst": row["treated"],
        "rest": row["control"],
        "gap": numbers["value"],
        "low": numbers["low"],
        "high": numbers["high"],
        "p": None,
        "p_holm": row["p_holm"],
        "verdict": row["verdict"],
        "significant": row["p_holm"] is not None and row["p_holm"] < SIGNIFICANCE,
        "needed": row["needed"],
        "tolerance": row["tolerance"],
        "section": f"probe-{row['probe']}",
        "source": PROBES,
    }


def _others(groups: list[dict[str, Any]], worst: dict[str, Any]) -> dict[str, Any]:
    others = [g for g in groups if g is not worst]
    n, k = sum(g["n"] for g in others), sum(g["k"] for g in others)
    return rate(np.arange(n) < k)


def rate_text(group: dict[str, Any]) -> str:
    """``22 % (12–37 %, n = 45)``."""
    return f"{percent(group['value'])} ({percent_interval(group['low'], group['high'])}, n = {group['n']})"


def range_text(one: dict[str, Any], bins: list[dict[str, Any]], unit: str) -> str:
    """``below 0.8″``, ``above 2.1″`` or ``between 0.8 and 1.1″`` for a bin among its neighbours."""
    suffix = unit if unit in ("", "″") else f" {unit}"
    low, high = significant(one["start"]), significant(one["end"])
    if one["start"] == bins[0]["start"]:
        return f"below {high}{suffix}"
    if one["end"] == bins[-1]["end"]:
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

_NO_GRADIENT = (
    "This finder’s score has no gradient, so they do not apply; occlusion, kernels, probes and the selection need none."
)


def limits(audit: dict[str, Any]) -> list[str]:
    """Sentences about the data and the method, for this audit."""
    said = [
        _data(audit["set"]),
        "Intervals are 95 % and cover the chance of drawing this set, not errors of the simulation or of labels.",
    ]
    if _trained_on(audit["finder"]) == audit["set"]["content_hash"]:
        said.insert(0, "This is the set the finder was trained on: every number of this page is too good.")
    said += [f"{remark[0].upper()}{remark[1:]}." for remark in (audit.get("pixels") or {"remarks": []})["remarks"]]
    if audit["selection"] is not None:
        said.append(
            "Recall against one property mixes in others that go with it: small θ_E, faint arcs and faint sources are "
            "often the same lenses."
        )
        said.append(
            "The worst group is named after looking, so its gap is on average a little too large; bins below "
            f"{MIN_BIN} lenses enter no test."
        )
    if audit["gallery"] is not None:
        said.append(
            "An occlusion map shows where a black patch changes the score of one image. A black patch is not something "
            "the finder was trained on, and light hidden in two places at once is not shown."
        )
    if audit["maps"] is not None:
        said.append(
            "Maps of single images illustrate; they prove nothing about the finder. Their scores say how much falls on "
            "the lensed light, not whether the finder would have decided otherwise without it."
        )
    if audit["probes"] is not None and audit["probes"]["rows"]:
        said.append(
            "Probes change one thing of simulated scenes: an effect is one of that edit on those scenes, and a probe "
            "that shows none says nothing of edits it did not make."
        )
    if any(detail["published"] for detail in (audit["probes"] or {"details": []})["details"]):
        said.append("Published recalls beside a probe were measured on other people’s images and are no test of it.")
    return said


def not_measured(audit: dict[str, Any]) -> list[dict[str, str]]:
    """List of ``{"what", "why"}``: what this audit left out, first what its own data could not give."""
    missing = [*_without_labels(audit), *_without_truth(audit), *_unscored(audit)]
    if audit["gallery"] is None:
        missing.append(("What the finder looks at", "The occlusion gallery was switched off for this audit."))
    if not audit["finder"].get("differentiable", True):
        missing.append(("Gradients, Grad-CAM, DeepLIFT, class images and Deep Dreams", _NO_GRADIENT))
    missing += _unprobed(audit["probes"])
    return [{"what": what, "why": why} for what, why in (*missing, *_ALWAYS)]


def _unprobed(probes: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Probes that were not run, by their reason."""
    if probes is None:
        return [("Probes", "They were switched off for this audit, so nothing is said of what changes an answer.")]
    by_reason: dict[str, list[str]] = {}
    for one in probes["left_out"]:
        by_reason.setdefault(one["why"], []).append(one["title"].lower())
    missing = [(f"Probes: {', '.join(titles)}", f"{why[0].upper()}{why[1:]}.") for why, titles in by_reason.items()]
    if probes["not_applicable"]:
        titles = ", ".join(one["title"].lower() for one in probes["not_applicable"])
        missing.append((f"Probes: {titles}", "They do not apply to this finder; the chapter on probes says why."))
    return missing


def _trained_on(finder: dict[str, Any]) -> str | None:
    training = finder["training"] or {}
    return (training.get("data") or {}).get("set")


def _data(lens_set: dict[str, Any]) -> str:
    if lens_set["simulated"]:
        return (
            f"Every cutout is simulated (population “{lens_set['population']}”, instrument {lens_set['instrument']}): "
            "real lenses, real PSFs and real contaminants differ, and recall on the sky can be lower."
        )
    return (
        f"The cutouts were ingested ({lens_set['made_by']}); labels, where there are any, are those of their archive "
        "and its naming rule."
    )


def _without_labels(audit: dict[str, Any]) -> list[tuple[str, str]]:
    lens_set = audit["set"]
    if lens_set["n_lenses"] + lens_set["n_non_lenses"] == 0:
        return [("Recall, false positives, ROC curve", "No cutout of this set has a label.")]
    missing = []
    if lens_set["n_lenses"] == 0:
        missing.append(("Recall and ROC curve", "This set has no lenses."))
    if lens_set["n_non_lenses"] == 0:
        missing.append(("False positives, precision and ROC curve", "This set has no non-lenses."))
    return missing


def _without_truth(audit: dict[str, Any]) -> list[tuple[str, str]]:
    if audit["set"]["n_lenses"] == 0:
        return []
    if audit["selection"] is None:
        return [("Which lenses are found", "The catalogue holds neither properties of the lenses nor kinds of scenes.")]
    missing = [curve["label"] for curve in audit["selection"]["curves"] if not curve["bins"]]
    missing += audit["selection"]["absent"]
    if not missing:
        return []
    return [(f"Recall against: {', '.join(missing)}", "The catalogue of this set has no such values.")]


def _unscored(audit: dict[str, Any]) -> list[tuple[str, str]]:
    unscored = audit["performance"]["unscored"]
    if not unscored:
        return []
    examples = "; ".join(f"{one['id']}: {one['why']}" for one in unscored[:3])
    more = f" and {len(unscored) - 3} more" if len(unscored) > 3 else ""
    return [(f"{len(unscored)} cutouts without a score", f"They enter no number of this page. {examples}{more}.")]
