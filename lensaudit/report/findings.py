"""What the numbers say, as ranked findings; computed from the audit's blocks alone.

A finding compares the group treated worst with all the others. Its verdict is one of

* ``bias``: p < 0.05 after Holm's correction, and the whole 95 % interval of the gap lies beyond the tolerance;
* ``selection function``: the same, along a property by which lenses are naturally harder to find (`DIFFICULT`);
* ``too few to tell``: the interval reaches across the tolerance;
* ``within tolerance``: the interval lies below the tolerance and the effect is shown;
* ``no effect shown``: the interval lies below the tolerance and p ≥ 0.05.

Probes bring their own verdicts; those of a bias and of too many false positives are findings too. The worst group is
chosen after the fact, so its gap is on average a little too large; the permutation test over all groups does not
suffer from that choice.
Findings are ranked by verdict, those that show a difference first, then by the size of the gap.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lensaudit.report.numbers import p_value, percent, percent_interval, significant
from lensaudit.report.probe_words import BIAS, FALSE_POSITIVES, NONE, SELECTION, TOO_FEW, WITHIN, words_of
from lensaudit.report.selection import rate
from lensaudit.statistics import holm

ALPHA = 0.05
DIFFICULT = ("arc_snr", "theta_e_arcsec", "mag_source_VIS", "mag_source_g")
"""Columns along which losing some is natural: a loss to be counted, not an accusation."""

PROBES = "probes"
"""Section of the findings that come from probes."""


def find(audit: dict[str, Any], tolerance: float) -> list[dict[str, Any]]:
    """All findings of an audit, ranked.

    Each has ``title, text, group, worst, rest, gap, low, high, p_holm, shown, verdict, loses, section``: rates and gap
    are fractions, ``low`` and ``high`` the 95 % interval of the gap, ``shown`` whether p < 0.05 after Holm, ``loses``
    whether lenses are lost (not false alarms), ``source`` whether it is from the ``set`` or the ``probes``.
    """
    found = _selection_findings(audit.get("selection"))
    for finding, p in zip(found, holm([finding["p"] for finding in found]) if found else [], strict=True):
        finding["p_holm"] = float(p)
        finding["verdict"] = judge(finding, tolerance)
        finding["shown"] = bool(p < ALPHA)
        finding["text"] += f" ({p_value(float(p))}, permutation test, Holm-corrected)"
        if finding["shown"] and finding["verdict"] == TOO_FEW:
            finding["text"] += f": a difference is shown, but not that it exceeds {tolerance:g}"
    found += _probe_findings(audit.get("probes"))
    return sorted(found, key=lambda f: (words_of(f["verdict"]), not f["shown"], -f["gap"]))


def judge(finding: dict[str, Any], tolerance: float) -> str:
    """Verdict for a gap with its interval and corrected p-value."""
    shown = finding["p_holm"] < ALPHA
    if shown and finding["low"] > tolerance:
        return SELECTION if finding.get("difficult") else BIAS
    if finding["high"] > tolerance:
        return TOO_FEW
    return WITHIN if shown else NONE


def gap_interval(worse: dict[str, Any], better: dict[str, Any]) -> tuple[float, float]:
    """95 % interval of better − worse for two independent rates (Newcombe 1998, method 10, from Wilson intervals)."""
    gap = better["rate"] - worse["rate"]
    below = math.hypot(better["rate"] - better["low"], worse["high"] - worse["rate"])
    above = math.hypot(better["high"] - better["rate"], worse["rate"] - worse["low"])
    return gap - below, gap + above


def _selection_findings(selection: dict[str, Any] | None) -> list[dict[str, Any]]:
    if selection is None:
        return []
    along = [_along(curve) for curve in selection["curves"]]
    kinds = [
        _by_kind(selection.get("lens_kinds"), "Recall by kind of lens", loses=True),
        _by_kind(selection.get("non_lens_kinds"), "False alarms by kind of non-lens", loses=False),
    ]
    return [finding for finding in (*along, *kinds) if finding is not None]


def _along(curve: dict[str, Any]) -> dict[str, Any] | None:
    bins = [b for b in curve["bins"] if not b["few"]]
    if len(bins) < 2 or curve["p"] is None:
        return None
    worst = min(bins, key=lambda b: b["rate"])
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
    worst = (min if loses else max)(rows, key=lambda row: row["rate"])
    rest = _others(rows, worst)
    verb = "it finds" if loses else "it calls lenses"
    text = f"Of scenes “{worst['kind']}” {verb} {rate_text(worst)}, of the other kinds {rate_text(rest)}"
    group = f"lenses of kind “{worst['kind']}”" if loses else f"non-lenses of kind “{worst['kind']}”"
    return {"title": title, "group": group, "text": text, "loses": loses, **_numbers(worst, rest, table["p"])}


_FROM_SET = {"section": "selection", "source": "set"}


def _numbers(worst: dict[str, Any], rest: dict[str, Any], p: float) -> dict[str, Any]:
    worse, better = (worst, rest) if worst["rate"] <= rest["rate"] else (rest, worst)
    low, high = gap_interval(worse, better)
    gap = better["rate"] - worse["rate"]
    return {"worst": worst, "rest": rest, "gap": gap, "low": low, "high": high, "p": p, **_FROM_SET}


def _probe_findings(probes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The probes with a bias or with too many false positives; all of them have their own chapter."""
    rows = [] if probes is None else probes["rows"]
    return [_probed(row) for row in rows if row["verdict"] in (BIAS, FALSE_POSITIVES)]


def _probed(row: dict[str, Any]) -> dict[str, Any]:
    effect, alarms = row["effect"], row["verdict"] == FALSE_POSITIVES
    numbers = effect if alarms else {"value": -effect["value"], "low": -effect["high"], "high": -effect["low"]}
    test = f"{p_value(row['p_holm'])}, exact McNemar, Holm-corrected over all probes"
    interval = f"95 % interval {percent_interval(effect['low'], effect['high'])}, n = {row['n']}"
    return {
        "title": f"Probe: {row['title']}",
        "group": row["group"],
        "text": f"{row['meaning'].rstrip('.')} ({interval if alarms else test})",
        "loses": not alarms,
        "worst": row["treated"],
        "rest": row["control"],
        "gap": numbers["value"],
        "low": numbers["low"],
        "high": numbers["high"],
        "p": None,
        "p_holm": row["p_holm"],
        "verdict": row["verdict"],
        "shown": True,
        "section": f"probe-{row['probe']}",
        "source": PROBES,
    }


def _others(groups: list[dict[str, Any]], worst: dict[str, Any]) -> dict[str, Any]:
    others = [g for g in groups if g is not worst]
    n, k = sum(g["n"] for g in others), sum(g["k"] for g in others)
    return rate(np.arange(n) < k)


def rate_text(group: dict[str, Any]) -> str:
    """``22 % (12–37 %, n = 45)``."""
    return f"{percent(group['rate'])} ({percent_interval(group['low'], group['high'])}, n = {group['n']})"


def range_text(one: dict[str, Any], bins: list[dict[str, Any]], unit: str) -> str:
    """``below 0.8″``, ``above 2.1″`` or ``between 0.8 and 1.1″`` for a bin among its neighbours."""
    suffix = unit if unit in ("", "″") else f" {unit}"
    low, high = significant(one["from"]), significant(one["to"])
    if one["from"] == bins[0]["from"]:
        return f"below {high}{suffix}"
    if one["to"] == bins[-1]["to"]:
        return f"above {low}{suffix}"
    return f"between {low} and {high}{suffix}"


def lower_first(label: str) -> str:
    """Lower the first letter of a label unless it is a person's name."""
    return label if label.startswith("Einstein") else label[0].lower() + label[1:]
