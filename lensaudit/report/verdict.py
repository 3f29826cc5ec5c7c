"""The one to three sentences that open the page."""

from __future__ import annotations

from typing import Any

from lensaudit.report.findings import PROBES
from lensaudit.report.numbers import count, percent, percent_interval, plural, significant
from lensaudit.report.probe_words import BIAS, FALSE_POSITIVES, SELECTION, TOO_FEW, WITHIN


def verdict(audit: dict[str, Any]) -> dict[str, Any]:
    """Headline, sentences and a level (``bias``, ``chance``, ``clear``, ``unlabelled``) from blocks and findings."""
    performance = audit["performance"]
    name = audit["finder"]["name"]
    from_set = [f for f in audit["findings"] if f["source"] != PROBES]
    sentences = [_found(performance, name), *probe_sentences(audit["probes"]), *_losses(from_set), _alarms(performance)]
    return {
        "level": level(audit),
        "headline": _headline(audit),
        "sentences": [sentence for sentence in sentences if sentence],
    }


def level(audit: dict[str, Any]) -> str:
    """``unlabelled`` without lenses, ``chance`` where AUROC's interval holds 0.5, else ``bias`` or ``clear``."""
    performance = audit["performance"]
    if performance["n_lenses"] == 0:
        return "unlabelled"
    area = _metric(performance, "auroc")
    if area and area["low"] is not None and area["low"] <= 0.5:
        return "chance"
    return BIAS if any(f["verdict"] == BIAS for f in audit["findings"]) else "clear"


def _headline(audit: dict[str, Any]) -> str:
    name, findings = audit["finder"]["name"], audit["findings"]
    state = level(audit)
    if state == "unlabelled":
        return f"{name}: scores without a verdict, because this set has no labelled lenses"
    if state == "chance":
        return f"{name} cannot be told from guessing on this set"
    found = (
        f"{name} finds {percent(audit['performance']['confusion']['tp'] / audit['performance']['n_lenses'])} of lenses"
    )
    biases = [f for f in findings if f["verdict"] == BIAS]
    probed = [f for f in biases if f["source"] == PROBES]
    if probed:  # the same systems with one thing changed: nothing else can be the cause
        verb = "loses, above all," if probed[0]["gap"] > 0 else "finds too many"
        return f"{found} and {verb} {probed[0]['group']}"
    lost = [f for f in findings if f["verdict"] in (BIAS, SELECTION) and f["loses"]]
    if lost:
        return f"{found} and loses, above all, {lost[0]['group']}"
    if biases:
        return f"{found} and is misled, above all, by {biases[0]['group']}"
    shown = [f for f in findings if f["shown"] and f["loses"] and f["verdict"] == TOO_FEW and f["gap"] > 0]
    if shown:
        return f"{found} and fewer of {shown[0]['group']}"
    if all(f["verdict"] == TOO_FEW for f in findings) and not _settled(audit["probes"]):
        return f"{found}; this set is too small to say which ones it loses"
    return f"{found}; no kind of lens is shown to be lost by more than the tolerance"


def _settled(probes: dict[str, Any] | None) -> bool:
    """Whether any probe could tell."""
    return probes is not None and any(row["verdict"] != TOO_FEW for row in probes["rows"])


def probe_sentences(probes: dict[str, Any] | None) -> list[str]:
    """What the probes say together: biases, contaminants, and how many could not tell."""
    rows = [] if probes is None else probes["rows"]
    if not rows:
        return []
    biases, alarms, few = ([row for row in rows if row["verdict"] == w] for w in (BIAS, FALSE_POSITIVES, TOO_FEW))
    asked = plural(len(rows), "probe")
    if biases:
        others = ", ".join(row["title"].lower() for row in biases[1:])
        counted = f"{count(len(biases))} of {asked} {'shows' if len(biases) == 1 else 'show'} a bias"
        more = f". The others: {others}." if others else "."
        said = [f"{counted}: {_inline(biases[0]['meaning'].rstrip('.'))}{more}"]
    elif len(few) == len(rows):
        said = [f"All {asked} have too few pairs to tell."]
    else:
        left = f"; {count(len(few))} {'has' if len(few) == 1 else 'have'} too few pairs to tell" if few else ""
        said = [f"None of {asked} shows a bias{left}."]
    if alarms:
        told = ", ".join(f"{row['title'].lower()} {percent(row['effect']['value'])}" for row in alarms)
        said.append(f"It calls lenses scenes that hold none: {told}.")
    return said


def _found(performance: dict[str, Any], name: str) -> str:
    confusion, n = performance["confusion"], performance["n_lenses"]
    threshold = significant(performance["threshold"])
    if n == 0:
        return (
            f"{name} scored {plural(performance['n'], 'cutout')}, "
            f"{plural(performance['n_above'], 'of them', 'of them')} at or above its threshold p = {threshold}."
        )
    recall = _metric(performance, "recall")
    spread = f" (95 % interval {percent_interval(recall['low'], recall['high'])})" if recall else ""
    share = percent(recall["value"]) if recall else percent(confusion["tp"] / n)
    lost = confusion["fn"]
    return (
        f"At its threshold p = {threshold} it finds {count(confusion['tp'])} of {plural(n, 'lens', 'lenses')}, "
        f"{share}{spread}, and loses {count(lost)}."
    )


def _losses(findings: list[dict[str, Any]]) -> list[str]:
    biases = [f for f in findings if f["verdict"] in (BIAS, SELECTION)]
    if biases:
        return [f"{f['text']}." for f in biases[:2]]
    shown = [f for f in findings if f["shown"] and f["verdict"] == TOO_FEW]
    if shown:
        return [f"{f['text']}." for f in shown[:2]]
    few = sum(f["verdict"] == TOO_FEW for f in findings)
    small = [f for f in findings if f["verdict"] == WITHIN]
    said = []
    if small:
        said.append(f"The largest difference shown stays within tolerance: {_inline(small[0]['text'])}.")
    if few:
        said.append(f"{plural(few, 'comparison')} of {len(findings)} rest on too few lenses to tell.")
    if findings and not said:
        said.append(f"None of {plural(len(findings), 'comparison')} shows an effect beyond the tolerance.")
    return said


def _alarms(performance: dict[str, Any]) -> str:
    rate, n = performance.get("false_positive_rate"), performance["n_nonlenses"]
    if n == 0 or rate is None:
        return ""
    return (
        f"Of {plural(n, 'non-lens', 'non-lenses')} it calls {count(rate['k'])} a lens: {percent(rate['rate'])} "
        f"(95 % interval {percent_interval(rate['low'], rate['high'])})."
    )


def _inline(text: str) -> str:
    return text[0].lower() + text[1:]


def _metric(performance: dict[str, Any], name: str) -> dict[str, Any] | None:
    for metric in performance["metrics"]:
        if metric["name"] == name and metric["value"] is not None:
            return dict(metric)
    return None
